import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { StepTimedOut } from "../src/Errors.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, flush, inTime, single, whileTimePasses } from "./support/engine.ts"

class Flaky extends Schema.TaggedError<Flaky>("test/Flaky")("Flaky", { attempt: Schema.Finite }) {}

const Flow = Workflow.make("flow", { success: Schema.Unknown, error: Schema.Union([Flaky, StepTimedOut]) })

/** Fails until the attempt with this number, and notes when each attempt was made. */
const flaky = (succeedsAt: number) => {
  const at: Array<number> = []
  const numbers: Array<number> = []
  const effect = Effect.gen(function*() {
    at.push(yield* Clock.currentTimeMillis)
    const attempt = yield* Step.attempt
    numbers.push(attempt)
    if (attempt < succeedsAt) return yield* new Flaky({ attempt })
    return `attempt ${attempt}`
  })
  return { at, numbers, effect }
}

const errorsOf = (text: string | null | undefined) =>
  text == null ?
    null :
    (JSON.parse(text) as ReadonlyArray<{ readonly _tag: string; readonly error?: { readonly attempt: number } }>)
      .map((outcome) => outcome.error?.attempt ?? outcome._tag)

describe("a step that is retried", () => {
  it.effect("follows its schedule, and its attempts and errors are recorded", () =>
    Effect.gen(function*() {
      const { at, effect, numbers } = flaky(3)
      const retry = EffectSchedule.exponential("1 second")
      const { run, steps } = yield* single(Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry })))
      assert.strictEqual(yield* inTime(run(Flow.execute(undefined, { runId: "r" }))), "attempt 3")
      assert.deepStrictEqual(numbers, [1, 2, 3])
      assert.deepStrictEqual(at.map((time) => time - at[0]!), [0, 1000, 3000])
      const [step] = yield* steps("r")
      assert.strictEqual(step?.attempts, 3)
      assert.deepStrictEqual(errorsOf(step?.errors), [1, 2])
    }))

  it.effect("fails with its last error when the schedule is done, and replays that", () =>
    Effect.gen(function*() {
      const { effect, numbers } = flaky(100)
      const seen: Array<unknown> = []
      const { run, steps } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          const failing = Step.run("call", effect, { error: Flaky, retry: EffectSchedule.recurs(2) })
          seen.push(yield* Effect.orDie(Effect.flip(failing)))
          yield* Workflow.sleep("1 hour")
          return null
        })
      ))
      yield* inTime(run(Flow.execute(undefined, { runId: "r" })), "1 minute")
      assert.deepStrictEqual(numbers, [1, 2, 3])
      assert.deepStrictEqual(seen.map((error) => error instanceof Flaky && error.attempt), [3, 3])
      assert.deepStrictEqual(errorsOf((yield* steps("r"))[0]?.errors), [1, 2, 3])
    }))

  it.effect("shows its failed attempts while it waits for the next", () =>
    Effect.gen(function*() {
      const { effect } = flaky(2)
      const { run, steps } = yield* single(
        Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry: EffectSchedule.spaced("5 seconds") }))
      )
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("2 seconds")
      const [step] = yield* steps("r")
      assert.strictEqual(step?.outcome, null)
      assert.strictEqual(step?.wakeAt, 5000)
      assert.deepStrictEqual([step?.attempts, errorsOf(step?.errors)], [1, [1]])
      assert.strictEqual(yield* inTime(run(handle.await)), "attempt 2")
    }))

  it.effect("goes on counting attempts and following its schedule after a crash", () =>
    Effect.gen(function*() {
      const { node, steps } = yield* cluster()
      const { at, effect, numbers } = flaky(5)
      const retry = EffectSchedule.exponential("1 second").pipe(EffectSchedule.upTo({ times: 4 }))
      const bodies = Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry }))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r" }))
      // Attempts at 0, 1 and 3 seconds; the next would be at 7.
      yield* elapse("4 seconds", 80)
      assert.deepStrictEqual(numbers, [1, 2, 3])
      yield* first.crash
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), "attempt 5")
      assert.deepStrictEqual(numbers, [1, 2, 3, 4, 5])
      assert.deepStrictEqual(at, [0, 1000, 3000, 7000, 15000])
      const [step] = yield* steps("r")
      assert.deepStrictEqual([step?.attempts, step?.startedAt, errorsOf(step?.errors)], [5, 0, [1, 2, 3, 4]])
    }))

  it.effect("goes on where it was after a crash although most of its errors were dropped or are only described", () =>
    Effect.gen(function*() {
      const { node, steps } = yield* cluster()
      const at: Array<number> = []
      const effect = Effect.gen(function*() {
        at.push(yield* Clock.currentTimeMillis)
        const attempt = yield* Step.attempt
        return attempt < 25 ? yield* Effect.fail({ _tag: "Busy", attempt, why: "x".repeat(20_000) }) : attempt
      })
      const retry = EffectSchedule.exponential("1 second", 1.1).pipe(EffectSchedule.upTo({ times: 30 }))
      const bodies = Flow.toLayer(() => Effect.orDie(Step.run("call", effect, { retry })))
      const first = yield* node({ bodies, suspendAfter: "1 hour" })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("1 minute", 600)
      yield* first.crash
      const before = at.length
      assert.isAbove(before, 15)
      const second = yield* node({ bodies, suspendAfter: "1 hour" })
      assert.strictEqual(yield* inTime(second.run(handle.await), "100 millis"), 25)
      const waits = at.slice(1).map((time, index) => time - at[index]!)
      for (const [index, wait] of waits.entries()) {
        assert.closeTo(wait, 1000 * 1.1 ** index, 300, `the wait after attempt ${index + 1}`)
      }
      const [step] = yield* steps("r")
      assert.strictEqual(step?.attempts, 25)
      assert.lengthOf(JSON.parse(step.errors!) as ReadonlyArray<unknown>, 8)
      assert.isBelow(step.errors!.length, 20_000)
    }))

  it.effect("is not failed by its errors, however small the store's limit is", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster({ maxValueBytes: 100 })
      const call = Effect.flatMap(
        Step.attempt,
        (attempt) => attempt < 20 ? Effect.fail("x".repeat(90)) : Effect.succeed(attempt)
      )
      const { run } = yield* node({
        bodies: Flow.toLayer(() => Effect.orDie(Step.run("call", call, { retry: EffectSchedule.spaced("1 second") })))
      })
      assert.strictEqual(yield* inTime(run(Flow.execute())), 20)
    }))

  it.effect("does not get its retries anew after a crash", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { effect, numbers } = flaky(100)
      const retry = EffectSchedule.spaced("2 seconds").pipe(EffectSchedule.upTo({ times: 3 }))
      const bodies = Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry }))
      let current = yield* node({ bodies })
      const handle = yield* current.run(Flow.start())
      for (let crashes = 0; crashes < 3; crashes++) {
        yield* elapse("3 seconds", 60)
        yield* current.crash
        current = yield* node({ bodies })
      }
      const exit = yield* whileTimePasses(current.run(handle.await))
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(numbers, [1, 2, 3, 4])
    }))

  it.effect("keeps to a limit in time across a crash", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { at, effect } = flaky(100)
      const retry = EffectSchedule.spaced("2 seconds").pipe(EffectSchedule.upTo({ duration: "9 seconds" }))
      const bodies = Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry }))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* elapse("5 seconds", 100)
      yield* first.crash
      const second = yield* node({ bodies })
      assert(Exit.isFailure(yield* whileTimePasses(second.run(handle.await))))
      assert.isAtMost(at.at(-1)!, 11_000)
    }))

  it.effect("waits for long as a row, not as a fiber", () =>
    Effect.gen(function*() {
      const { at, effect, numbers } = flaky(2)
      const { find, run } = yield* single(
        Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry: EffectSchedule.spaced("1 hour") }))
      )
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("1 minute")
      const { status, wakeAt } = yield* find("r")
      assert.deepStrictEqual([status, wakeAt], ["Suspended", 3_600_000])
      assert.strictEqual(yield* inTime(run(handle.await), "1 minute"), "attempt 2")
      assert.deepStrictEqual([numbers, at], [[1, 2], [0, 3_600_000]])
    }))

  it.effect("is retried by Effect.retry around it as one step after another", () =>
    Effect.gen(function*() {
      let calls = 0
      const call = Effect.suspend(() =>
        ++calls < 3 ? Effect.fail(new Flaky({ attempt: calls })) : Effect.succeed(calls)
      )
      const { run, steps } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          const value = yield* Effect.retry(Step.run("call", call, { error: Flaky }), { times: 5 })
          yield* Workflow.sleep("1 hour")
          return value
        })
      ))
      assert.strictEqual(yield* inTime(run(Flow.execute(undefined, { runId: "r" })), "1 minute"), 3)
      assert.strictEqual(calls, 3)
      const occurrences = (yield* steps("r")).filter(({ name }) => name === "call").map(({ occurrence }) => occurrence)
      assert.deepStrictEqual(occurrences, [1, 2, 3])
    }))
})

describe("Step.backoff", () => {
  it.effect("doubles its waits up to the longest, give or take a fifth, and ends after the given retries", () =>
    Effect.gen(function*() {
      const { at, effect } = flaky(100)
      const retry = Step.backoff({ times: 5, base: "1 second", max: "4 seconds" })
      const { run } = yield* single(Flow.toLayer(() => Step.run("call", effect, { error: Flaky, retry })))
      assert(Exit.isFailure(yield* whileTimePasses(run(Flow.execute()), "10 millis")))
      const waits = at.slice(1).map((time, index) => time - at[index]!)
      assert.strictEqual(waits.length, 5)
      for (const [index, expected] of [1000, 2000, 4000, 4000, 4000].entries()) {
        assert.closeTo(waits[index]!, expected, expected * 0.21 + 10)
      }
    }))
})

describe("a step with a timeout", () => {
  it.effect("fails with StepTimedOut, interrupts the attempt and replays the timeout", () =>
    Effect.gen(function*() {
      let [begun, interrupted] = [0, 0]
      const slow = Effect.suspend(() => (begun++, Effect.never)).pipe(
        Effect.onInterrupt(() => Effect.sync(() => void interrupted++))
      )
      const seen: Array<unknown> = []
      const { run, steps } = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          seen.push(yield* Effect.flip(Step.run("slow", slow, { timeout: "2 seconds" })))
          yield* Workflow.sleep("1 hour")
          return null
        })
      ))
      yield* inTime(run(Flow.execute(undefined, { runId: "r" })), "1 minute")
      assert.deepStrictEqual([begun, interrupted], [1, 1])
      assert.deepStrictEqual(seen.map((error) => error instanceof StepTimedOut && error.step), ["slow", "slow"])
      assert.strictEqual((yield* steps("r"))[0]?.outcome, "{\"_tag\":\"TimedOut\"}")
    }))

  it.effect("bounds each attempt by itself when it is retried too", () =>
    Effect.gen(function*() {
      const slowOnce = Effect.flatMap(Step.attempt, (n) => n === 1 ? Effect.never : Effect.succeed(n))
      const { run, steps } = yield* single(
        Flow.toLayer(() =>
          Step.run("slow", slowOnce, { timeout: "2 seconds", retry: EffectSchedule.spaced("1 second") })
        )
      )
      assert.strictEqual(yield* inTime(run(Flow.execute(undefined, { runId: "r" }))), 2)
      const [step] = yield* steps("r")
      assert.deepStrictEqual([step?.attempts, errorsOf(step?.errors)], [2, ["TimedOut"]])
      assert.strictEqual(step!.recordedAt - step!.startedAt, 3000)
    }))

  it.effect("counts timeouts of before a crash", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      let begun = 0
      const slow = Effect.suspend(() => (begun++, Effect.never))
      const bodies = Flow.toLayer(() =>
        Effect.result(Step.run("slow", slow, { timeout: "1 second", retry: EffectSchedule.recurs(2) })).pipe(
          Effect.map((result) => Result.isFailure(result) ? result.failure._tag : "succeeded")
        )
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* elapse("1500 millis", 30)
      assert.strictEqual(begun, 2)
      yield* first.crash
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), "StepTimedOut")
      // The attempt in which the worker died does not count.
      assert.strictEqual(begun, 4)
    }))

  it.effect("leaves a workflow that fails with it awaitable by its class", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Step.run("slow", Effect.never, { timeout: "2 seconds" })))
      const handle = yield* run(Flow.start())
      yield* flush
      yield* eventually(run(handle.status), (status) => status === "Failed")
      assert.instanceOf(yield* Effect.flip(run(handle.await)), StepTimedOut)
    }))
})
