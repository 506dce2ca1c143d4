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
