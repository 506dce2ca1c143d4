import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { migrate } from "../../../src/internal/postgres/migrate.ts"
import { type Migration, migrations } from "../../../src/internal/postgres/migrations.ts"
import { tables } from "../../../src/internal/postgres/names.ts"
import * as Postgres from "../../../src/Postgres.ts"
import * as Schedule from "../../../src/Schedule.ts"
import * as Workflow from "../../../src/Workflow.ts"
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
    const known = migrations.map(({ version }) => version)
    assert.deepStrictEqual(yield* versions(sql), known)
    const failing = [
      ...migrations,
      {
        version: known.length + 1,
        name: "bad",
        breaking: false,
        statements: () => ["create table left_over (id int)", "nonsense"]
      }
    ]
    assert.isTrue(Exit.isFailure(yield* Effect.exit(migrate(sql, t, failing))))
    assert.deepStrictEqual(yield* versions(sql), known)
    assert.deepStrictEqual(yield* sql`select from pg_tables where tablename = 'left_over'`, [])

    const later = next(`alter table ${t.runs} add column queue text`)
    yield* Effect.all(Array.from({ length: 5 }, () => migrate(sql, t, later)), { concurrency: "unbounded" })
    assert.deepStrictEqual(yield* versions(sql), [...known, known.length + 1])
    const error = yield* Effect.flip(migrate(sql, t))
    assert.deepInclude(error, { _tag: "SchemaTooNew", found: known.length + 1, supported: known.length })
  }).pipe(Effect.provide(database)))

it.live("schedules that the first version stored go on, at the same instants", () =>
  Effect.gen(function*() {
    const [sql, t] = [yield* PgClient, yield* tables("effect_durable")]
    yield* migrate(sql, t, migrations.slice(0, 1))
    yield* sql.unsafe(`insert into ${t.schedules}
      (name, workflow, cron, time_zone, context, policies, application, status, next_at, created_at, updated_at) values
      ('a "b"', 'w', '0 0 6 * * *', 'Europe/Berlin', '{"x":1}', '{"graceMillis":5}', 'app', 'Active', '2030-01-01', now(), now()),
      ('paused', 'w', '@daily', 'UTC', 'null', '{}', null, 'Paused', '2030-01-01', now(), '2029-01-01')`)
    yield* migrate(sql, t)
    const [active, paused] = yield* Schedule.list().pipe(Effect.provide(Postgres.layerFromClient({})))
    assert.deepStrictEqual(
      [active!.name, active!.expression, active!.timeZone, active!.owner, active!.contextJson],
      ["a \"b\"", "0 0 6 * * *", "Europe/Berlin", Option.some("app"), "{\"x\":1}"]
    )
    assert.strictEqual(Result.getOrThrow(active!.policies).graceMillis, 5)
    assert.strictEqual(DateTime.formatIso(Option.getOrThrow(active!.nextTick)), "2030-01-01T00:00:00.000Z")
    assert.deepStrictEqual([paused!.status, paused!.expression], ["Paused", "@daily"])
    assert.strictEqual(DateTime.formatIso(Option.getOrThrow(paused!.pausedAt)), "2029-01-01T00:00:00.000Z")
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
      yield* sql.unsafe(`grant usage on all sequences in schema effect_durable to ${role}`)
      yield* sql.unsafe(`grant select, insert, update, delete on all tables in schema effect_durable to ${role}`)
      const limited = new URL(url)
      limited.username = role
      limited.password = ""
      const Daily = Schedule.make("daily", {
        workflow: Workflow.make("w", { payload: Schedule.Tick() }),
        cron: "@daily"
      })
      const used = Effect.andThen(Schedule.create(Daily), Schedule.trigger(Daily)).pipe(
        Effect.provide(Postgres.layer({ url: limited.href }), { local: true })
      )
      const { id } = yield* used
      assert.deepStrictEqual(yield* sql`select id from effect_durable.runs`, [{ id }])
    }).pipe(Effect.scoped, Effect.provide(Postgres.layer({ url })))
  }))
