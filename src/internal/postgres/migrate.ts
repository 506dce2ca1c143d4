/** Brings a schema up to date, or refuses one that is newer than this code. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as EffectSchedule from "effect/Schedule"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { SchemaTooNew } from "../../Errors.ts"
import { backoff } from "./database.ts"
import { codeOf } from "./errors.ts"
import { type Migration, migrations as all } from "./migrations.ts"
import type { Tables } from "./names.ts"
import { transact } from "./transactions.ts"
import * as Waits from "./waits.ts"

const versionOf = (migrations: ReadonlyArray<Migration>): number => migrations.at(-1)?.version ?? 0

/**
 * What there is of the schema. Asked of the catalog and not of `to_regclass`, which answers from a cache: after waiting for the
 * lock, that would still be without what another process has just created.
 */
const present = Effect.fnUntraced(function*(sql: PgClient, t: Tables) {
  const [row] = yield* sql<{ readonly schema: boolean; readonly table: boolean }>`
    select exists (select from pg_catalog.pg_namespace where nspname = ${t.name}) as schema,
      exists (select from pg_catalog.pg_tables where schemaname = ${t.name} and tablename = 'migrations') as table`
  return row ?? { schema: false, table: false }
})

/** The version found, 0 when there is none. Reading it needs no right to create anything. */
const found = Effect.fnUntraced(function*(sql: PgClient, t: Tables) {
  if (!(yield* present(sql, t)).table) return 0
  const [row] = yield* sql.unsafe<{ readonly version: number }>(
    `select coalesce(max(version), 0) as version from ${t.migrations}`
  )
  return row?.version ?? 0
})

/** The version to start from, or undefined when there is nothing to do. */
const behind = Effect.fnUntraced(function*(sql: PgClient, t: Tables, migrations: ReadonlyArray<Migration>) {
  const [version, supported] = [yield* found(sql, t), versionOf(migrations)]
  if (version > supported) return yield* new SchemaTooNew({ schema: t.name, found: version, supported })
  return version === supported ? undefined : version
})

const change = Effect.fnUntraced(function*(
  sql: PgClient,
  t: Tables,
  migrations: ReadonlyArray<Migration>,
  version: number
) {
  const { schema, table } = yield* present(sql, t)
  if (!schema) yield* sql.unsafe(`create schema ${t.schema}`)
  if (!table) {
    yield* sql.unsafe(`create table ${t.migrations} (
      version int primary key,
      name text not null,
      breaking boolean not null default false,
      applied_at timestamptz(3) not null default now()
    )`)
  }
  for (const { breaking, name, statements, version: next } of migrations) {
    if (next <= version) continue
    for (const statement of statements(t)) yield* sql.unsafe(statement).unprepared
    yield* sql.unsafe(`insert into ${t.migrations} (version, name, breaking) values ($1, $2, $3)`, [
      next,
      name,
      breaking
    ])
  }
})

/** In one transaction under a lock, so that of many processes that boot at once one migrates and the others wait. */
const apply = Effect.fnUntraced(function*(
  sql: PgClient,
  t: Tables,
  migrations: ReadonlyArray<Migration>,
  waits: Waits.Waits
) {
  yield* waits.aloud(
    `another process, which brings schema ${t.name} up to date in ${waits.where}`,
    sql`select pg_advisory_xact_lock(hashtextextended(${`effect-durable/${t.name}`}, 0))`
  )
  const version = yield* behind(sql, t, migrations)
  if (version === undefined) return
  yield* waits.aloud(
    `schema ${t.name} to be brought up to date in ${waits.where}`,
    change(sql, t, migrations, version)
  )
})

/** Others were in the way, or created the same thing, such as the schema, without taking the lock. */
const raced = /^(40|23505|42P06|42P07)/

/** Two round trips when there is nothing to do. What others did at the same moment is looked at again. */
export const migrate = (
  sql: PgClient,
  t: Tables,
  migrations: ReadonlyArray<Migration> = all,
  waits = Waits.make("the database")
): Effect.Effect<void, SqlError | SchemaTooNew> =>
  Effect.flatMap(
    behind(sql, t, migrations),
    (version) => version === undefined ? Effect.void : transact(sql, apply(sql, t, migrations, waits))
  ).pipe(Effect.retry({
    schedule: EffectSchedule.upTo(backoff, { times: 20 }),
    while: (error) => isSqlError(error) && raced.test(codeOf(error) ?? "")
  }))
