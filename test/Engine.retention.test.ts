import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Step from "../src/Step.ts"
import { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, type NodeOptions } from "./support/engine.ts"

const day = Date.UTC(2030, 0, 1)
const minute = 60_000
const hour = 60 * minute

const Beat = Workflow.make("beat", { payload: Schedule.Tick(Schema.Unknown) })
const body = Beat.toLayer(() => Effect.void)

/** A store whose schedule ran at every minute of the past two hours, one run after the other. */
const past = Effect.fnUntraced(function*(options: NodeOptions) {
  yield* TestClock.setTime(day)
  const { db, node } = yield* cluster()
  const first = yield* node({ bodies: body })
  yield* first.run(Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "0 * * * * *", context: 1 })))
  yield* elapse("2 hours", 120)
  yield* first.run(Schedule.pause("beat"))
  yield* first.stop
  const ticks = Effect.map(
    db.listRuns({ schedule: ["beat"] }, { limit: 1_000, after: null }),
    (runs) => runs.map(({ tick }) => (tick! - day) / minute)
  )
  assert.strictEqual((yield* ticks).length, 120)
  return { db, ticks, node: yield* node(options) }
})

const newest = (count: number) => Array.from({ length: count }, (_, n) => 120 - n)

it.effect("without a retention everything is kept, and nobody looks for what is old", () =>
  Effect.gen(function*() {
    const { node, ticks } = yield* past({ retention: { runs: { age: "Infinity" }, ledger: {} } })
    yield* elapse("1 hour")
    assert.deepStrictEqual(yield* ticks, newest(120))
    assert.isUndefined(node.calls.get("prune"))
  }))

it.effect("runs are kept for their age, and go as time passes", () =>
  Effect.gen(function*() {
    const { ticks } = yield* past({ retention: { runs: { age: "1 hour" } } })
    yield* eventually(ticks, ({ length }) => length <= 61, "10 millis")
    yield* elapse("30 minutes", 60)
    const left = yield* ticks
    assert.isAtMost(left.length, 32)
    assert.deepStrictEqual(left, newest(left.length))
    yield* elapse("1 hour", 60)
    assert.deepStrictEqual(yield* ticks, [])
  }))

it.effect("of each schedule the newest runs are kept, and runs of no schedule stay", () =>
  Effect.gen(function*() {
    const { db, node, ticks } = yield* past({ retention: { runs: { count: 10 } } })
    const Plain = Workflow.make("plain")
    yield* node.run(Plain.start(undefined, { runId: "plain" }))
    yield* eventually(ticks, ({ length }) => length === 10)
    assert.deepStrictEqual(yield* ticks, newest(10))
    yield* elapse("10 minutes")
    assert.isTrue((yield* db.findRun("plain"))._tag === "Some")
  }))

it.effect("what a run has started stays as long as the run may start it again, in its body or in a step", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const { db, node } = yield* cluster()
    const ran: Array<string> = []
    const Child = Workflow.make("child", { payload: Schema.String, success: Schema.Finite })
    const Parent = Workflow.make("parent", { success: Schema.Unknown })
    const bodies = Layer.mergeAll(
      Child.toLayer((name) => Effect.sync(() => ran.push(name))),
      Parent.toLayer(() =>
        Effect.gen(function*() {
          const answers = [yield* Child.execute("child"), yield* Child.execute("given", { runId: "given" })]
          // An attempt that fails starts it again in the next one.
          const again = Step.run(
            "step",
            Effect.flatMap(Effect.orDie(Child.execute("in a step", { runId: "in a step" })), (answer) =>
              Effect.flatMap(Step.attempt, (attempt) =>
                attempt < 3 ? Effect.fail("again") : Effect.succeed(answer))),
            { retry: EffectSchedule.spaced("1 minute") }
          )
          return [...answers, yield* again]
        }).pipe(Effect.orDie)
      )
    )
    const { run } = yield* node({ bodies, retention: { runs: { age: "20 seconds" }, interval: "5 seconds" } })
    yield* run(Child.start("given", { runId: "given" }))
    const parent = yield* Effect.forkChild(run(Parent.execute(undefined, { runId: "parent" })))
    yield* elapse("90 seconds")
    assert.deepStrictEqual((yield* db.listRuns({ workflow: ["child"] }, { limit: 9, after: null })).length, 3)
    yield* elapse("90 seconds")
    assert.deepStrictEqual(yield* Fiber.join(parent), [2, 1, 3])
    assert.deepStrictEqual(ran, ["given", "child", "in a step"])
    yield* elapse("1 minute")
    assert.deepStrictEqual(yield* db.listRuns({}, { limit: 9, after: null }), [])
  }))

it.effect("ledger entries are kept for their age and by number, and the runs stay", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const { db, node } = yield* cluster()
    const first = yield* node({ bodies: body })
    const except = { cron: "0 0-29 * * * *" }
    yield* first.run(
      Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "0 * * * * *", except, context: 1 }))
    )
    yield* elapse("1 hour", 60)
    yield* first.stop
    const all = { schedule: "beat", from: null, to: null, newestFirst: true }
    const history = db.listHistory(all, { limit: 1_000, after: null })
    const entries = Effect.map(history, (rows) => rows.filter(({ entry }) => entry !== null).length)
    const before = yield* history
    assert.isAtLeast(yield* entries, 30)
    const second = yield* node({ retention: { ledger: { count: 5 } }, scheduler: false })
    yield* eventually(entries, (count) => count === 5)
    assert.strictEqual((yield* history).length, before.filter(({ run }) => run !== null).length + 5)
    yield* second.stop
    yield* node({ retention: { ledger: { age: "1 minute" } }, scheduler: false })
    yield* elapse("3 minutes")
    assert.strictEqual(yield* entries, 0)
    assert.deepStrictEqual(yield* db.listAudits("beat", { limit: 10, after: null }), [])
  }))

it.effect("what is old goes in small batches with pauses, and is looked for at every interval", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const db = yield* SystemDb
    const requests: Array<{ readonly at: number; readonly limit: number; readonly runs: number }> = []
    const watched = Layer.succeed(
      SystemDb,
      SystemDb.of({
        ...db,
        prune: (request) =>
          Effect.tap(
            db.prune(request),
            ({ runs }) =>
              Effect.map(
                Clock.currentTimeMillis,
                (at) => requests.push({ at: at - day, limit: request.limit, runs })
              )
          )
      })
    )
    yield* Effect.forEach(Array.from({ length: 1_200 }, (_, n) => `r${n}`), (id) =>
      Effect.andThen(
        db.start({
          id,
          workflow: "w",
          payload: "{}",
          owner: null,
          delayMillis: null,
          timeoutMillis: null,
          parent: null
        }),
        db.cancel(id, null)
      ), { discard: true })
    yield* TestClock.adjust("1 hour")
    const retention = { runs: { age: "1 minute" }, interval: "10 minutes" } as const
    yield* elapse("15 minutes", 900).pipe(
      Effect.provide(Engine.layer({ name: "app", retention })),
      Effect.provide(watched)
    )
    assert.deepStrictEqual(requests.map(({ runs }) => runs), [500, 500, 200, 0, 0])
    assert.deepStrictEqual([...new Set(requests.map(({ limit }) => limit))], [500])
    const times = requests.map(({ at }) => at - hour)
    assert.isTrue(times.slice(1, 4).every((at, n) => at >= times[n]! + 100))
    assert.isTrue(times[4]! >= 10 * minute && times[4]! < 11 * minute)
  }).pipe(Effect.provide(Memory.layer)))

it.effect("pruning that fails is tried again", () =>
  Effect.gen(function*() {
    const { node, ticks } = yield* past({ retention: { runs: { count: 1 } }, scheduler: false })
    let failures = 0
    node.intercept = (method, call) => method === "prune" && failures++ < 2 ? Effect.die("the store is away") : call
    yield* eventually(ticks, ({ length }) => length === 1)
    assert.deepStrictEqual(yield* ticks, [120])
  }))

it.effect("a retention that makes no sense stops the engine before it deletes anything", () =>
  Effect.gen(function*() {
    const message = (retention: Engine.Options["retention"]) =>
      Effect.map(Effect.exit(Layer.build(Engine.layer({ name: "app", retention }))), (exit) =>
        Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "")
    assert.include(
      yield* message({ runs: { count: -1 } }),
      "retention.runs.count: must be a whole number from 0 up"
    )
    assert.include(yield* message({ runs: { count: Number.NaN } }), "retention.runs.count")
    assert.include(yield* message({ ledger: { age: 0 } }), "retention.ledger.age: must be longer than nothing")
  }).pipe(Effect.scoped, Effect.provide(Memory.layer)))
