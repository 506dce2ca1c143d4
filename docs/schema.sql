-- version 1: runs, steps, schedules and workers

create table "effect_durable".runs (
      id text collate "C" primary key,
      workflow text collate "C" not null,
      status text not null check (status in ('Enqueued', 'Running', 'Suspended', 'Succeeded', 'Failed', 'Cancelled', 'Dead')),
      payload text not null,
      outcome text,
      owner text,
      epoch int not null default 0,
      attempt int not null default 1,
      wake_at timestamptz(3),
      deadline timestamptz(3),
      timeout_millis float8,
      schedule text collate "C",
      tick timestamptz(3),
      parent text collate "C",
      created_at timestamptz(3) not null,
      started_at timestamptz(3),
      finished_at timestamptz(3)
    ) with (fillfactor = 80);

create index runs_claimable on "effect_durable".runs (wake_at, id) where status in ('Enqueued', 'Suspended');

create index runs_owned on "effect_durable".runs (owner) where status = 'Running';

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
      application text,
      status text not null default 'Active' check (status in ('Active', 'Paused')),
      revision int not null default 1,
      next_at timestamptz(3),
      last_tick timestamptz(3),
      last_run_id text,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null
    ) with (fillfactor = 70);

create index schedules_due on "effect_durable".schedules (next_at) where status = 'Active';

create table "effect_durable".workers (
      id text primary key,
      application text not null,
      lock_key int not null,
      lease_until timestamptz(3) not null,
      renewed_at timestamptz(3) not null,
      started_at timestamptz(3) not null
    );
