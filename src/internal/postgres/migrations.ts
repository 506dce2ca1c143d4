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

export const migrations: ReadonlyArray<Migration> = [foundation]
