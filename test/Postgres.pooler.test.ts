/** A pooler between the process and its database is found out, and nothing is left in its sessions. */
import { PgConnection } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import * as Engine from "../src/Engine.ts"
import { look } from "../src/internal/postgres/pooler.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Step from "../src/Step.ts"
import * as Timing from "../src/Timing.ts"
import * as Workflow from "../src/Workflow.ts"
import { bouncerBefore, isInstalled } from "./support/pgbouncer.ts"
import { freshDatabase } from "./support/postgres.ts"
import { proxyTo } from "./support/proxy.ts"

const Tick = Workflow.make("tick", { payload: Schedule.Tick() })
const Flow = Workflow.make("flow")

const app = (url: string) =>
  Layer.mergeAll(
    Tick.toLayer(() => Step.run("beat", Effect.void)),
    Flow.toLayer(() => Step.transaction("in a transaction", SqlClient.use((sql) => Effect.asVoid(sql`select 1`)))),
    Schedule.layer([Schedule.make("beat", { workflow: Tick, timing: Timing.every("1 second") })])
  ).pipe(Layer.provideMerge(Engine.layer({ name: "app" })), Layer.provideMerge(Postgres.layer({ url })))

const wayTo = (url: string) => Effect.map(look({ url: Redacted.make(url) }, true), ({ way }) => way)

/** What is said while the effect runs. */
const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const said: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") said.push(String(message))
  })
  return Effect.as(Effect.provide(effect, Logger.layer([logger])), said)
}

const work = (url: string) =>
  Effect.gen(function*() {
    yield* Flow.execute()
    yield* Effect.repeat(
      Effect.delay(Run.list({ schedule: ["beat"], status: ["Succeeded"] }), "50 millis"),
      { until: (runs) => runs.length > 1 }
    )
  }).pipe(Effect.provide(app(url)))

it.live("no pooler is seen in a server or in what passes on what it hears", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    const proxy = yield* proxyTo(url)
    assert.deepStrictEqual([yield* wayTo(url), yield* wayTo(proxy.url)], ["direct", "direct"])
    assert.deepStrictEqual(yield* warnings(work(proxy.url)), [])
  }), 60_000)

describe.skipIf(!isInstalled)("behind PgBouncer (skipped where it is not installed: apt-get install pgbouncer)", () => {
  it.live("its modes are told apart, however few sessions it keeps", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      for (const size of [1, 2, 10]) {
        assert.strictEqual(yield* wayTo(yield* bouncerBefore(url, { mode: "transaction", size })), "transaction")
      }
      assert.strictEqual(yield* wayTo(yield* bouncerBefore(url, { mode: "session" })), "session")
    }), 60_000)

  it.live(
    "in transaction mode runs and ticks work after one warning, and its sessions are as they were",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        const pooled = yield* bouncerBefore(url, { mode: "transaction", size: 4 })
        const said = yield* warnings(work(pooled))
        assert.strictEqual(said.length, 1)
        assert.include(said[0], "pooler in transaction mode")
        // All of the pooler's sessions at once.
        const state = `select array(select name from pg_settings where source = 'session' and name <> 'application_name'
            and name <> 'client_encoding') as settings,
          (select count(*)::int from pg_prepared_statements) as prepared,
          (select count(*)::int from pg_listening_channels()) as channels,
          (select count(*)::int from pg_locks where locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())) as locks,
          pg_sleep(0.2)::text as slept`
        const states = yield* Effect.forEach(
          [1, 2, 3, 4],
          () =>
            Effect.scoped(Effect.flatMap(
              PgConnection.make({ url: Redacted.make(pooled) }),
              (connection) => Effect.map(connection.query(state, [], false), ({ rows }) => rows[0])
            )),
          { concurrency: "unbounded" }
        )
        for (const row of states) {
          assert.deepStrictEqual(row, { settings: [], prepared: 0, channels: 0, locks: 0, slept: "" })
        }
      }),
    60_000
  )

  it.live("in session mode everything works as without it", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      assert.deepStrictEqual(yield* warnings(work(yield* bouncerBefore(url, { mode: "session", size: 20 }))), [])
    }), 60_000)
})
