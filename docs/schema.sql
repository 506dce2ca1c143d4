-- version 1: runs, steps, schedules and workers

create table "effect_durable".runs (
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
      constraint runs_status check (status in ('Enqueued', 'Running', 'Suspended', 'Succeeded', 'Failed', 'Cancelled', 'Dead')),
      constraint runs_running_owned check (status <> 'Running' or owner is not null),
      constraint runs_waiting_until check ((status in ('Enqueued', 'Suspended')) = (wake_at is not null)),
      constraint runs_finished_at check ((status in ('Succeeded', 'Failed', 'Cancelled', 'Dead')) = (finished_at is not null))
    );

create index runs_claimable on "effect_durable".runs (wake_at, id) where status in ('Enqueued', 'Suspended');

create index runs_owned on "effect_durable".runs (owner, id) where status = 'Running';

create index runs_by_schedule on "effect_durable".runs (schedule, tick desc) where schedule is not null;

create index runs_newest on "effect_durable".runs (created_at desc, id desc);

create table "effect_durable".steps (
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
    );

create table "effect_durable".schedules (
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
      constraint schedules_status check (status in ('Active', 'Paused'))
    );

create index schedules_due on "effect_durable".schedules (next_at, name) where status = 'Active';

create table "effect_durable".workers (
      id text collate "C" primary key,
      application text collate "C" not null,
      lock_key int,
      lease_until timestamptz(3) not null,
      renewed_at timestamptz(3) not null,
      started_at timestamptz(3) not null
    ) with (fillfactor = 50);

-- version 2: timings, the ledger, audits, controls and backfills

create sequence "effect_durable".turns;

alter table "effect_durable".runs add column origin text, add column overlap text collate "C",
      add column start_by timestamptz(3), add column backfill text collate "C", add column reason text,
      add column settle boolean not null default false;

create index runs_overlapping on "effect_durable".runs (overlap, id)
      where overlap is not null and status in ('Enqueued', 'Running', 'Suspended');

create index runs_unsettled on "effect_durable".runs (schedule, finished_at, id)
      where settle and status in ('Succeeded', 'Failed', 'Cancelled', 'Dead');

create index runs_of_backfill on "effect_durable".runs (backfill, id)
      where backfill is not null and status in ('Enqueued', 'Running', 'Suspended');

alter table "effect_durable".schedules add column timing text, add column context_schema text, add column json_schema text,
      add column overlap text collate "C", add column labels text not null default '{}',
      add column external_id text collate "C", add column turn bigint not null default nextval('"effect_durable".turns'),
      add column wake_at timestamptz(3), add column waiting boolean not null default false,
      add column state text not null default '{}', add column paused_at timestamptz(3), add column pause_reason text,
      add column resume_at timestamptz(3), add column note text;

alter table "effect_durable".schedules rename column application to owner;

update "effect_durable".schedules set wake_at = case when status = 'Active' then next_at end,
      paused_at = case when status = 'Paused' then updated_at end,
      timing = '{"cron":' || to_json(cron)::text || ',"timeZone":' || to_json(time_zone)::text || '}';

alter table "effect_durable".schedules alter column timing set not null, drop column cron, drop column time_zone;

drop index "effect_durable".schedules_due;

create index schedules_due on "effect_durable".schedules (wake_at, name) where wake_at is not null;

create index schedules_waiting on "effect_durable".schedules (name) where waiting;

create index schedules_by_owner on "effect_durable".schedules (owner, name) where owner is not null;

create index schedules_by_external_id on "effect_durable".schedules (external_id, name) where external_id is not null;

create table "effect_durable".overlaps (
      key text collate "C" primary key,
      turn bigint not null
    );

create table "effect_durable".controls (
      key text collate "C" primary key,
      value text not null,
      turn bigint not null
    );

create table "effect_durable".ledger (
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
    );

create index ledger_by_tick on "effect_durable".ledger (schedule, first_tick, position);

create table "effect_durable".audits (
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
    );

create index audits_by_schedule on "effect_durable".audits (schedule, position);

create index audits_by_change on "effect_durable".audits (change);

create table "effect_durable".backfills (
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
      constraint backfills_status check (status in ('Active', 'Paused', 'Cancelled', 'Done')),
      constraint backfills_finished_at check ((status in ('Cancelled', 'Done')) = (finished_at is not null))
    );

create index backfills_active on "effect_durable".backfills (created_at, id) where status = 'Active';

create index backfills_newest on "effect_durable".backfills (created_at desc, id desc);

-- version 3: suspects, handed-back runs and the runs that others rely on

alter table "effect_durable".runs add column deaths int not null default 0, add column isolated boolean not null default false,
      add column handbacks int not null default 0;

drop index "effect_durable".runs_claimable;

create index runs_claimable on "effect_durable".runs (workflow, wake_at, id) where status in ('Enqueued', 'Suspended');

create index runs_suspected on "effect_durable".runs (workflow, wake_at, id)
      where deaths > 0 and status in ('Enqueued', 'Suspended');

drop index "effect_durable".runs_newest;

create index runs_listed on "effect_durable".runs (workflow, status, created_at, id);

create index runs_listed_by_schedule on "effect_durable".runs (schedule, status, created_at, id) where schedule is not null;

create table "effect_durable".links (
      run_id text collate "C" not null,
      parent text collate "C" not null,
      primary key (run_id, parent)
    );

create index links_by_parent on "effect_durable".links (parent);

-- version 4: schedules that share a scope take turns, count what they started and know their predecessors

alter table "effect_durable".schedules add column waiting_since timestamptz(3), add column started bigint not null default 0,
      add column incarnation bigint;

update "effect_durable".schedules set started = coalesce((state::json ->> 'started')::bigint, 0),
      waiting_since = case when waiting then updated_at end;

drop index "effect_durable".schedules_waiting;

alter table "effect_durable".schedules drop column waiting;

create index schedules_waiting on "effect_durable".schedules (name) where waiting_since is not null;

create index schedules_overlapping on "effect_durable".schedules (overlap, name) where overlap is not null;

update "effect_durable".runs set overlap = 'schedule:' || schedule
      where overlap is not null and status in ('Enqueued', 'Running', 'Suspended');

alter table "effect_durable".backfills add column planned text;

-- version 5: traces, what workers execute, and whose workflows are

alter table "effect_durable".runs add column trace text;

alter table "effect_durable".workers add column workflows text[];

create table "effect_durable".workflows (
      name text collate "C" primary key,
      application text collate "C" not null,
      since timestamptz(3) not null
    );
