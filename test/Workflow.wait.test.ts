import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, flush, freeSlots, inTime, single, whileTimePasses } from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.Unknown })
const Many = Workflow.make("many", { payload: Schema.Finite })

const hour = 3_600_000

describe("time and ids", () => {
  it.effect("are the same on every replay", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const { run } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          const times = [yield* Workflow.now, yield* Workflow.now]
          const ids = [yield* Workflow.uuid, yield* Workflow.uuid]
          seen.push([...times.map(DateTime.toEpochMillis), ...ids])
          yield* Workflow.sleep("1 hour")
          seen.push(DateTime.toEpochMillis(yield* Workflow.now))
          return null
        })
      ))
      yield* TestClock.setTime(1000)
      yield* inTime(run(Flow.execute()), "1 minute")
      assert.strictEqual(seen.length, 3)
      assert.deepStrictEqual(seen[0], seen[1])
      const [, , one, two] = seen[0] as ReadonlyArray<string>
      assert.match(one!, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      assert.notStrictEqual(one, two)
      assert.isAtLeast(seen[2] as number, hour + 1000)
    }))
})

describe("a durable sleep", () => {
  it.effect("ends when its time has come, and what follows runs once", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const { run } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          yield* Workflow.sleep("3 seconds")
          log.push(yield* Clock.currentTimeMillis)
          yield* Workflow.sleep("2 seconds")
          log.push(yield* Clock.currentTimeMillis)
          return null
        })
      ))
      yield* inTime(run(Flow.execute()))
      assert.deepStrictEqual(log, [3000, 5000])
    }))

  it.effect("ends when it would have ended, although its worker crashed", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.andThen(Workflow.sleep("9 seconds"), Clock.currentTimeMillis))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* elapse("4 seconds")
      yield* first.crash
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), 9000)
    }))

  it.effect("that is over when the run is taken over does not wait again", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.andThen(Workflow.sleep("5 seconds"), Clock.currentTimeMillis))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* elapse("4 seconds")
      yield* first.crash
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      assert.isBelow((yield* inTime(second.run(handle.await))) as number, 67_000)
    }))

  it.effect("that is short keeps the body's fiber", () =>
    Effect.gen(function*() {
      let begun = 0
      const { calls, run } = yield* single(
        Flow.toLayer(() => Effect.suspend(() => (begun++, Effect.as(Workflow.sleep("10 seconds"), null))))
      )
      yield* inTime(run(Flow.execute()))
      assert.deepStrictEqual([begun, calls.get("suspend")], [1, undefined])
    }))

  it.effect("of no length is over at once", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Effect.as(Workflow.sleep(0), "over")))
      assert.strictEqual(yield* inTime(run(Flow.execute())), "over")
    }))

  it.effect("of a length that no wait can have is refused before anything is recorded", () =>
    Effect.gen(function*() {
      const lengths: ReadonlyArray<Duration.Input> = [
        -5000,
        "-1 second",
        Number.NaN,
        { seconds: Number.NaN },
        Duration.infinity,
        "-Infinity",
        8.64e15,
        "soon" as Duration.Input
      ]
      const { run, steps } = yield* single(Flow.toLayer(() =>
        Effect.map(
          Effect.forEach(lengths, (length) => Effect.exit(Workflow.sleep(length))),
          (exits) => exits.map((exit) => Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "slept")
        )
      ))
      const refusals = (yield* inTime(run(Flow.execute(undefined, { runId: "r" })))) as ReadonlyArray<string>
      assert.lengthOf(refusals, lengths.length)
      for (const refusal of refusals) assert.include(refusal, "duration of Workflow.sleep")
      assert.deepStrictEqual(yield* steps("r"), [])
    }))

  it.effect("that is long releases the fiber: finalizers run; failure handlers, and what follows, do not", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => void log.push(text))
      const { find, run } = yield* single(Flow.toLayer(() =>
        Workflow.sleep("1 hour").pipe(
          Effect.ensuring(note("finalizer")),
          Effect.catch(() => note("catch")),
          Effect.catchCause(() => note("catchCause")),
          Effect.tapCause(() => note("tapCause")),
          Effect.catchDefect(() => note("catchDefect")),
          Effect.andThen(note("after")),
          Effect.as(null)
        )
      ))
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      const { owner, status, wakeAt } = yield* find("r")
      assert.deepStrictEqual({ owner, status, wakeAt }, { owner: null, status: "Suspended", wakeAt: hour })
      assert.deepStrictEqual(log, ["finalizer"])
      yield* inTime(run(handle.await), "1 minute")
      assert.deepStrictEqual(log, ["finalizer", "finalizer", "after"])
    }))

  it.effect("that is long wakes on time, on whatever process is there", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.andThen(Workflow.sleep("1 hour"), Clock.currentTimeMillis))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* flush
      yield* first.stop
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await), "10 seconds"), hour)
    }))

  it.effect("that is long, in a loop, replays each round once", () =>
    Effect.gen(function*() {
      const rounds: Array<number> = []
      const { run } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          for (let round = 1; round <= 4; round++) {
            yield* Step.run("round", Effect.sync(() => void rounds.push(round)))
            yield* Workflow.sleep("1 day")
          }
          return yield* Clock.currentTimeMillis
        })
      ))
      assert.strictEqual(yield* inTime(run(Flow.execute()), "2 hours"), 4 * 24 * hour)
      assert.deepStrictEqual(rounds, [1, 2, 3, 4])
    }))

  it.effect("in a race or under a timeout keeps the fiber, and stays durable", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      let begun = 0
      const bodies = Flow.toLayer(() =>
        Effect.gen(function*() {
          begun++
          yield* Effect.race(Workflow.sleep("1 hour"), Effect.never)
          yield* Effect.timeoutOption(Workflow.sleep("1 hour"), "2 hours")
          return yield* Clock.currentTimeMillis
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("30 minutes", 100)
      assert.deepStrictEqual([(yield* find("r")).status, begun], ["Running", 1])
      yield* first.crash
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await), "10 seconds"), 2 * hour)
      assert.strictEqual(begun, 2)
    }))

  it.effect("in an uninterruptible region releases the fiber all the same", () =>
    Effect.gen(function*() {
      const { find, run } = yield* single(
        Flow.toLayer(() => Effect.as(Effect.uninterruptible(Workflow.sleep("1 hour")), "woke"))
      )
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      assert.strictEqual((yield* find("r")).status, "Suspended")
      assert.strictEqual(yield* inTime(run(handle.await), "1 minute"), "woke")
    }))

  it.effect("is not given up while something else is under way beside it", () =>
    Effect.gen(function*() {
      let ran = 0
      const { find, run } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          yield* Effect.forkChild(
            Step.run("slow", Effect.andThen(Effect.sleep("1 minute"), Effect.sync(() => void ran++))),
            {
              startImmediately: true
            }
          )
          yield* Workflow.sleep("1 hour")
          return null
        })
      ))
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("10 seconds")
      assert.strictEqual((yield* find("r")).status, "Running")
      yield* inTime(run(handle.await), "1 minute")
      assert.strictEqual(ran, 1)
    }))

  it.effect("whose finalizers take longer than the sleep itself is claimed again when they are done", () =>
    Effect.gen(function*() {
      let begun = 0
      const { run } = yield* single(Flow.toLayer(() =>
        Effect.suspend(() => {
          begun++
          return Workflow.sleep("20 seconds").pipe(
            Effect.ensuring(begun === 1 ? Effect.sleep("40 seconds") : Effect.void),
            Effect.andThen(Clock.currentTimeMillis)
          )
        })
      ))
      const handle = yield* run(Flow.start())
      assert.isAtMost((yield* inTime(run(handle.await))) as number, 40_100)
      assert.strictEqual(begun, 2)
    }))
})

describe("ten thousand sleeping runs", () => {
  it.effect("leave nothing in the worker and hold no slot, and all wake", () =>
    Effect.gen(function*() {
      const count = 10_000
      let ended = 0
      const node = yield* single(
        Many.toLayer(() => Effect.andThen(Workflow.sleep("1 day"), Effect.sync(() => void ended++))),
        { concurrency: 50 }
      )
      const { db, run } = node
      yield* run(Effect.forEach(Array.from({ length: count }, (_, n) => n), (n) => Many.start(n), { discard: true }))
      const suspended = Effect.map(
        db.listRuns({ status: ["Suspended"] }, { limit: 20_000, after: null }),
        (runs) => runs.length
      )
      yield* eventually(suspended, (n) => n === count)
      const local = run(Engine.Engine.use((engine) =>
        Effect.map(
          db.listRuns({}, { limit: 20_000, after: null }),
          (runs) => runs.filter(({ id }) => engine.local(id) !== undefined).length
        )
      ))
      assert.deepStrictEqual([yield* local, yield* freeSlots(node, "many")], [0, 50])
      yield* TestClock.adjust("1 day")
      yield* eventually(Effect.sync(() => ended), (n) => n === count, "1 second")
      yield* flush
      assert.deepStrictEqual([yield* local, yield* freeSlots(node, "many")], [0, 50])
    }), 60_000)
})

it.effect("a typed failure in a body after a long sleep is the run's failure", () =>
  Effect.gen(function*() {
    const Fails = Workflow.make("fails", { error: Schema.String })
    const { run } = yield* single(Fails.toLayer(() => Effect.andThen(Workflow.sleep("1 hour"), Effect.fail("no"))))
    const exit = yield* whileTimePasses(run(Fails.execute()), "1 minute")
    assert(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
    assert.strictEqual(exit.cause.reasons[0].error, "no")
  }))
