import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { migrate } from "../../../src/internal/postgres/migrate.ts"
import { type Migration, migrations } from "../../../src/internal/postgres/migrations.ts"
import { tables } from "../../../src/internal/postgres/names.ts"
import * as Postgres from "../../../src/Postgres.ts"
import { freshDatabase } from "../../support/postgres.ts"

const database = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url, schema: "other" })))

const versions = (sql: PgClient) =>
  Effect.map(
    sql<{ readonly version: number }>`select version from effect_durable.migrations order by version`,
    (rows) => rows.map(({ version }) => version)
  )

const next = (statement: string): ReadonlyArray<Migration> => [
  ...migrations,
  { version: migrations.length + 1, name: "next", breaking: true, statements: () => [statement] }
]

it.live("a later version is applied on top, once, and a failed one leaves nothing behind", () =>
  Effect.gen(function*() {
    const [sql, t] = [yield* PgClient, yield* tables("effect_durable")]
    yield* migrate(sql, t)
    yield* migrate(sql, t)
    assert.deepStrictEqual(yield* versions(sql), [1])
    const failing = [
      ...migrations,
      { version: 2, name: "bad", breaking: false, statements: () => ["create table left_over (id int)", "nonsense"] }
    ]
    assert.isTrue(Exit.isFailure(yield* Effect.exit(migrate(sql, t, failing))))
    assert.deepStrictEqual(yield* versions(sql), [1])
    assert.deepStrictEqual(yield* sql`select from pg_tables where tablename = 'left_over'`, [])

    const later = next(`alter table ${t.runs} add column queue text`)
    yield* Effect.all(Array.from({ length: 5 }, () => migrate(sql, t, later)), { concurrency: "unbounded" })
    assert.deepStrictEqual(yield* versions(sql), [1, 2])
    const error = yield* Effect.flip(migrate(sql, t))
    assert.deepInclude(error, { _tag: "SchemaTooNew", found: 2, supported: 1 })
  }).pipe(Effect.provide(database)))

it.live("a role that may only read and write is enough once the schema is there", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    const role = `limited_${new URL(url).pathname.slice(-12)}`
    yield* Effect.gen(function*() {
      const sql = yield* PgClient
      yield* sql.unsafe(`create role ${role} login`)
      yield* Effect.addFinalizer(() =>
        Effect.ignore(Effect.andThen(sql.unsafe(`drop owned by ${role}`), sql.unsafe(`drop role ${role}`)))
      )
      yield* sql.unsafe(`grant usage on schema effect_durable to ${role}`)
      yield* sql.unsafe(`grant select, insert, update, delete on all tables in schema effect_durable to ${role}`)
      const limited = new URL(url)
      limited.username = role
      limited.password = ""
      const found = PgClient.use((sql) => sql`select from effect_durable.runs`).pipe(
        Effect.provide(Postgres.layer({ url: limited.href }), { local: true })
      )
      assert.deepStrictEqual(yield* found, [])
    }).pipe(Effect.scoped, Effect.provide(Postgres.layer({ url })))
  }))
