/**
 * The schema, version by version. Forward-only: a version that was released never changes, and what comes later is a new
 * one. Each says whether processes of the version before it stop working.
 *
 * There are no foreign keys: every write would lock the row it refers to. Instants have milliseconds, as in JavaScript, and
 * JSON is kept as text (decision 0007). Ids and names compare by code point.
 */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"

export interface Migration {
  readonly version: number
  readonly name: string
  readonly breaking: boolean
  /** One statement each: the extended protocol takes no more. */
  readonly statements: (t: Tables) => ReadonlyArray<string>
}

const foundation: Migration = {
  version: 1,
  name: "runs, steps, schedules and workers",
  breaking: false,
  statements: (t) => [
    `create table ${t.runs} (
      id text collate "C" primary key,
      workflow text collate "C" not null,
      status text not null,
      payload text not null,
      outcome text,
      owner text collate "C",
      epoch int not null,
      attempt int not null default 1,
      wake_at timestamptz(3),
      deadline timestamptz(3),
      timeout_millis float8,
      schedule text collate "C",
      tick timestamptz(3),
      parent text collate "C",
      created_at timestamptz(3) not null,
      started_at timestamptz(3),
      finished_at timestamptz(3),
      constraint runs_status check (status in (${literals(Lifecycle.statuses)})),
      constraint runs_running_owned check (status <> 'Running' or owner is not null),
      constraint runs_waiting_until check ((status in (${literals(Lifecycle.claimable)})) = (wake_at is not null)),
      constraint runs_finished_at check ((status in (${literals(Lifecycle.finished)})) = (finished_at is not null))
    )`,
    `create index runs_claimable on ${t.runs} (wake_at, id) where status in (${literals(Lifecycle.claimable)})`,
    // With the id: a look-up by id and owner may be planned on this index, and must not read all that the owner has then.
    `create index runs_owned on ${t.runs} (owner, id) where status = 'Running'`,
    `create index runs_by_schedule on ${t.runs} (schedule, tick desc) where schedule is not null`,
    `create index runs_newest on ${t.runs} (created_at desc, id desc)`,
    `create table ${t.steps} (
      run_id text collate "C" not null,
      name text collate "C" not null,
      key text collate "C" not null,
      occurrence int not null,
      kind text not null,
      attempts int not null,
      errors text,
      outcome text,
      wake_at timestamptz(3),
      started_at timestamptz(3) not null,
      recorded_at timestamptz(3) not null,
      epoch int not null,
      position bigint generated always as identity,
      primary key (run_id, name, key, occurrence)
    )`,
    `create table ${t.schedules} (
      name text collate "C" primary key,
      workflow text collate "C" not null,
      cron text not null,
      time_zone text not null,
      context text not null,
      policies text not null,
      application text collate "C",
      status text not null default 'Active',
      revision int not null default 1,
      next_at timestamptz(3),
      last_tick timestamptz(3),
      last_run_id text collate "C",
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      constraint schedules_status check (status in (${literals(Lifecycle.ScheduleStatus.literals)}))
    )`,
    // With the name, for the same reason: many schedules are due at one instant.
    `create index schedules_due on ${t.schedules} (next_at, name) where status = 'Active'`,
    // Renewed all the time, so there is room for the next version of a row beside it.
    `create table ${t.workers} (
      id text collate "C" primary key,
      application text collate "C" not null,
      lock_key int,
      lease_until timestamptz(3) not null,
      renewed_at timestamptz(3) not null,
      started_at timestamptz(3) not null
    ) with (fillfactor = 50)`
  ]
}

const ledger: Migration = {
  version: 2,
  name: "timings, the ledger, audits, controls and backfills",
  // The columns `cron` and `time_zone` become one, `timing`.
  breaking: true,
  statements: (t) => [
    `create sequence ${t.turns}`,
    `alter table ${t.runs} add column origin text, add column overlap text collate "C",
      add column start_by timestamptz(3), add column backfill text collate "C", add column reason text,
      add column settle boolean not null default false`,
    `create index runs_overlapping on ${t.runs} (overlap, id)
      where overlap is not null and status in (${literals(Lifecycle.live)})`,
    `create index runs_unsettled on ${t.runs} (schedule, finished_at, id)
      where settle and status in (${literals(Lifecycle.finished)})`,
    `create index runs_of_backfill on ${t.runs} (backfill, id)
      where backfill is not null and status in (${literals(Lifecycle.live)})`,
    `alter table ${t.schedules} add column timing text, add column context_schema text, add column json_schema text,
      add column overlap text collate "C", add column labels text not null default '{}',
      add column external_id text collate "C", add column turn bigint not null default nextval('${t.turns}'),
      add column wake_at timestamptz(3), add column waiting boolean not null default false,
      add column state text not null default '{}', add column paused_at timestamptz(3), add column pause_reason text,
      add column resume_at timestamptz(3), add column note text`,
    `alter table ${t.schedules} rename column application to owner`,
    `update ${t.schedules} set wake_at = case when status = 'Active' then next_at end,
      paused_at = case when status = 'Paused' then updated_at end,
      timing = '{"cron":' || to_json(cron)::text || ',"timeZone":' || to_json(time_zone)::text || '}'`,
    `alter table ${t.schedules} alter column timing set not null, drop column cron, drop column time_zone`,
    `drop index ${t.schema}.schedules_due`,
    `create index schedules_due on ${t.schedules} (wake_at, name) where wake_at is not null`,
    `create index schedules_waiting on ${t.schedules} (name) where waiting`,
    `create index schedules_by_owner on ${t.schedules} (owner, name) where owner is not null`,
    `create index schedules_by_external_id on ${t.schedules} (external_id, name) where external_id is not null`,
    `create table ${t.overlaps} (
      key text collate "C" primary key,
      turn bigint not null
    )`,
    `create table ${t.controls} (
      key text collate "C" primary key,
      value text not null,
      turn bigint not null
    )`,
    `create table ${t.ledger} (
      position bigint generated always as identity primary key,
      schedule text collate "C" not null,
      first_tick timestamptz(3) not null,
      last_tick timestamptz(3) not null,
      ticks int,
      decision text not null,
      reason text,
      run_id text collate "C",
      timing text,
      recorded_at timestamptz(3) not null
    )`,
    `create index ledger_by_tick on ${t.ledger} (schedule, first_tick, position)`,
    `create table ${t.audits} (
      position bigint generated always as identity primary key,
      change text collate "C" not null,
      schedule text collate "C",
      action text not null,
      actor text not null,
      source text,
      reason text,
      before text,
      after text,
      at timestamptz(3) not null
    )`,
    `create index audits_by_schedule on ${t.audits} (schedule, position)`,
    `create index audits_by_change on ${t.audits} (change)`,
    `create table ${t.backfills} (
      id text collate "C" primary key,
      schedule text collate "C" not null,
      from_at timestamptz(3) not null,
      to_at timestamptz(3) not null,
      newest_first boolean not null,
      concurrency int not null,
      rerun boolean not null,
      context text,
      status text not null,
      cursor timestamptz(3),
      started int not null default 0,
      existing int not null default 0,
      turn bigint not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      finished_at timestamptz(3),
      constraint backfills_status check (status in (${literals(Lifecycle.BackfillStatus.literals)})),
      constraint backfills_finished_at check ((status in ('Cancelled', 'Done')) = (finished_at is not null))
    )`,
    `create index backfills_active on ${t.backfills} (created_at, id) where status = 'Active'`,
    `create index backfills_newest on ${t.backfills} (created_at desc, id desc)`
  ]
}

const resilience: Migration = {
  version: 3,
  name: "suspects, handed-back runs and the runs that others rely on",
  breaking: false,
  statements: (t) => [
    `alter table ${t.runs} add column deaths int not null default 0, add column isolated boolean not null default false,
      add column handbacks int not null default 0`,
    // By workflow, so that a worker reads nothing of what waits for others.
    `drop index ${t.schema}.runs_claimable`,
    `create index runs_claimable on ${t.runs} (workflow, wake_at, id) where status in (${
      literals(Lifecycle.claimable)
    })`,
    `create index runs_suspected on ${t.runs} (workflow, wake_at, id)
      where deaths > 0 and status in (${literals(Lifecycle.claimable)})`,
    // A list under any filter, and what is too old, is a few stretches of these.
    `drop index ${t.schema}.runs_newest`,
    `create index runs_listed on ${t.runs} (workflow, status, created_at, id)`,
    `create index runs_listed_by_schedule on ${t.runs} (schedule, status, created_at, id) where schedule is not null`,
    // Runs that a body started under an id that existed: as long as the one lives, the other is kept.
    `create table ${t.links} (
      run_id text collate "C" not null,
      parent text collate "C" not null,
      primary key (run_id, parent)
    )`,
    `create index links_by_parent on ${t.links} (parent)`
  ]
}

const answers: Migration = {
  version: 4,
  name: "schedules that share a scope take turns, count what they started and know their predecessors",
  // A run is kept under its own schedule, not under the scope that its schedule had.
  breaking: true,
  statements: (t) => [
    `alter table ${t.schedules} add column waiting_since timestamptz(3), add column started bigint not null default 0,
      add column incarnation bigint`,
    `update ${t.schedules} set started = coalesce((state::json ->> 'started')::bigint, 0),
      waiting_since = case when waiting then updated_at end`,
    `drop index ${t.schema}.schedules_waiting`,
    `alter table ${t.schedules} drop column waiting`,
    `create index schedules_waiting on ${t.schedules} (name) where waiting_since is not null`,
    `create index schedules_overlapping on ${t.schedules} (overlap, name) where overlap is not null`,
    `update ${t.runs} set overlap = 'schedule:' || schedule
      where overlap is not null and status in (${literals(Lifecycle.live)})`,
    `alter table ${t.backfills} add column planned text`
  ]
}

const company: Migration = {
  version: 5,
  name: "traces, what workers execute, and whose workflows are",
  breaking: false,
  statements: (t) => [
    `alter table ${t.runs} add column trace text`,
    // Null: of a version that does not say.
    `alter table ${t.workers} add column workflows text[]`,
    `create table ${t.workflows} (
      name text collate "C" primary key,
      application text collate "C" not null,
      since timestamptz(3) not null
    )`
  ]
}

export const migrations: ReadonlyArray<Migration> = [foundation, ledger, resilience, answers, company]
