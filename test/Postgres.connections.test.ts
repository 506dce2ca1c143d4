/** What becomes of a store whose connections fall silent, break, or hear nonsense. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Engine from "../src/Engine.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Step from "../src/Step.ts"
import { type Hint, SystemDb } from "../src/SystemDb.ts"
import * as Timing from "../src/Timing.ts"
import * as Workflow from "../src/Workflow.ts"
import { freshDatabase } from "./support/postgres.ts"
import { proxyTo } from "./support/proxy.ts"

const Tick = Workflow.make("tick", { payload: Schedule.Tick() })
const Long = Workflow.make("long")

const app = (url: string) =>
  Layer.mergeAll(
    Tick.toLayer(() => Step.run("beat", Effect.void)),
    Long.toLayer(() =>
      Effect.forEach(Array.from({ length: 10_000 }), () => Step.run("work", Effect.sleep("20 millis")))
    ),
    Schedule.layer([Schedule.make("beat", { workflow: Tick, timing: Timing.every("1 second") })])
  ).pipe(Layer.provideMerge(Engine.layer({ name: "app" })), Layer.provideMerge(Postgres.layer({ url })))

const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.delay(holds, "50 millis"), { until: (yes) => yes })

it.live("a process whose connections all fall silent goes on over new ones", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    const proxy = yield* proxyTo(url)
    const onlooker = yield* Layer.build(Layer.fresh(Postgres.layer({ url })))
    const ran = Effect.provideContext(
      Effect.map(Run.list({ schedule: ["beat"], status: ["Succeeded"] }), (runs) => runs.map(({ id }) => id)),
      onlooker
    )
    yield* Effect.gen(function*() {
      yield* until(Effect.map(ran, (ids) => ids.length > 0))
      yield* proxy.silence
      const before = new Set(yield* ran)
      // Ticks of before may still be written by what the server has received.
      yield* until(Effect.map(ran, (ids) => ids.filter((id) => !before.has(id)).length > 1))
    }).pipe(Effect.provide(app(proxy.url)))
  }), 90_000)

it.live(
  "closing ends although no connection answers any more, with a run and its record under way",
  () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const proxy = yield* proxyTo(url)
      const scope = yield* Scope.make()
      const context = yield* Scope.provide(Layer.build(app(proxy.url)), scope)
      yield* Effect.provideContext(
        Effect.gen(function*() {
          const sql = yield* SqlClient
          yield* Long.start()
          yield* until(Effect.map(sql`select from effect_durable.steps limit 3`, (rows) => rows.length === 3))
        }),
        context
      )
      yield* proxy.silence
      yield* proxy.refuse(true)
      yield* Scope.close(scope, Exit.void)
    }),
  60_000
)

it.live("a caller's interruption ends his call at once on a silent connection", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    const proxy = yield* proxyTo(url)
    yield* Effect.gen(function*() {
      const db = yield* SystemDb
      yield* db.findRun("none")
      yield* proxy.silence
      const result = yield* Effect.timeoutOption(db.findRun("none"), "100 millis")
      assert.strictEqual(result._tag, "None")
    }).pipe(Effect.provide(Postgres.layer({ url: proxy.url })))
  }), 30_000)

it.live(
  "of a notification that makes no sense the hints that do are heard, and those after it",
  () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const heard: Array<Hint> = []
      yield* Effect.gen(function*() {
        const [db, sql] = [yield* SystemDb, yield* SqlClient]
        yield* Effect.forkScoped(Stream.runForEach(db.hints, (hint) => Effect.sync(() => heard.push(hint))), {
          startImmediately: true
        })
        const channel = "effect_durable_effect_durable"
        const say = (note: string) => sql`select pg_notify(${channel}, ${note})`
        const nonsense = [
          "",
          "null",
          "{",
          "[]",
          "{\"from\":1,\"hints\":[]}",
          "{\"from\":\"x\",\"hints\":{}}",
          "{\"from\":\"x\",\"hints\":[null,{},{\"_tag\":\"RunsFinished\"},{\"_tag\":\"RunsFinished\",\"runIds\":[1]}]}",
          "{\"from\":\"x\",\"hints\":[{\"_tag\":\"RunCancelled\"},{\"_tag\":\"RunCancelled\",\"runId\":\"good\"}]}"
        ]
        const isGood = (hint: Hint, id: string) => hint._tag === "RunCancelled" && hint.runId === id
        // Said again until the listener is there.
        yield* until(Effect.andThen(
          Effect.forEach(nonsense, say, { discard: true }),
          Effect.sync(() => heard.some((hint) => isGood(hint, "good")))
        ))
        yield* say("{\"from\":\"x\",\"hints\":[{\"_tag\":\"RunCancelled\",\"runId\":\"later\"}]}")
        yield* until(Effect.sync(() => heard.some((hint) => isGood(hint, "later"))))
        assert.isTrue(
          heard.every((hint) => hint._tag !== "RunsFinished" || hint.runIds.every((id) => typeof id === "string"))
        )
      }).pipe(Effect.provide(Postgres.layer({ url })))
    }),
  60_000
)

it.live("a registration that fails gives back its session lock", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    yield* Effect.gen(function*() {
      const [db, sql] = [yield* SystemDb, yield* SqlClient]
      const locks = Effect.map(
        sql`select from pg_locks where locktype = 'advisory'
          and database = (select oid from pg_database where datname = current_database())`,
        (rows) => rows.length
      )
      yield* sql`create function refuse() returns trigger language plpgsql as $$
        begin raise exception 'not now' using errcode = 'XX000'; end $$`
      yield* sql`create trigger refuse before insert on effect_durable.workers for each row execute function refuse()`
      const register = Effect.scoped(db.registerWorker({ application: "app", leaseMillis: 10_000 }))
      yield* Effect.repeat(Effect.exit(register), { times: 3 })
      assert.strictEqual(yield* locks, 0)
      yield* sql`drop trigger refuse on effect_durable.workers`
      yield* Effect.scoped(Effect.gen(function*() {
        yield* db.registerWorker({ application: "app", leaseMillis: 10_000 })
        assert.strictEqual(yield* locks, 1)
      }))
      assert.strictEqual(yield* locks, 0)
    }).pipe(Effect.provide(Postgres.layer({ url })))
  }), 60_000)
