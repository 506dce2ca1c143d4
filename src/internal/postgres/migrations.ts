/**
 * The schema, version by version. Forward-only: a version that has been released never changes. Each is a list of single
 * statements, run in one transaction under a lock, so that any number of processes may boot at once.
 */
import * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { SchemaTooNew } from "../../Errors.ts"
import * as Lifecycle from "../lifecycle.ts"
import { quoted, statusList, type Tables } from "./names.ts"

export interface Migration {
  readonly version: number
  readonly name: string
  /** Whether processes of the version before would stop working. */
  readonly breaking: boolean
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
      status text not null check (status in (${statusList(Lifecycle.statuses)})),
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
    ) with (fillfactor = 80)`,
    `create index runs_claimable on ${t.runs} (wake_at, id) where status in (${statusList(Lifecycle.claimable)})`,
    `create index runs_owned on ${t.runs} (owner) where status = 'Running'`,
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
      application text,
      status text not null default 'Active' check (status in ('Active', 'Paused')),
      revision int not null default 1,
      next_at timestamptz(3),
      last_tick timestamptz(3),
      last_run_id text,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null
    ) with (fillfactor = 70)`,
    `create index schedules_due on ${t.schedules} (next_at) where status = 'Active'`,
    `create table ${t.workers} (
      id text primary key,
      application text not null,
      lock_key int not null,
      lease_until timestamptz(3) not null,
      renewed_at timestamptz(3) not null,
      started_at timestamptz(3) not null
    )`
  ]
}

export const migrations: ReadonlyArray<Migration> = [foundation]

export const newest = migrations.at(-1)!.version

/** Brings the schema up to date, or refuses one that is newer than this code. One transaction. */
export const migrate = (sql: SqlClient, t: Tables): Effect.Effect<void, SqlError | SchemaTooNew> =>
  sql.withTransaction(Effect.gen(function*() {
    yield* sql`select pg_advisory_xact_lock(hashtextextended(${`effect-durable/${t.schema}`}, 0))`
    yield* sql.unsafe(`create schema if not exists ${quoted(t.schema)}`)
    yield* sql.unsafe(`create table if not exists ${t.migrations} (
      version int primary key, name text not null, applied_at timestamptz not null default now())`)
    const [row] = yield* sql.unsafe<{ version: number }>(
      `select coalesce(max(version), 0)::int as version from ${t.migrations}`
    )
    const found = row!.version
    if (found > newest) return yield* new SchemaTooNew({ schema: t.schema, found, supported: newest })
    for (const migration of migrations.filter(({ version }) => version > found)) {
      for (const statement of migration.statements(t)) yield* sql.unsafe(statement)
      yield* sql.unsafe(`insert into ${t.migrations} (version, name) values ($1, $2)`, [
        migration.version,
        migration.name
      ])
    }
  }))
