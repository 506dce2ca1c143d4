import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, flush, inTime, single, whileTimePasses } from "./support/engine.ts"

class Declined extends Schema.TaggedError<Declined>("test/Declined")("Declined", {}) {}

const Order = Workflow.make("order", { success: Schema.String, error: Declined })

/** What was done and undone, in order. */
const journal = () => {
  const log: Array<string> = []
  const note = (text: string) => Effect.sync(() => void log.push(text))
  /** A step whose undo step is noted too. */
  const step = (name: string, undo: Effect.Effect<void> = Effect.void) =>
    Step.run(name, note(name)).pipe(Step.withUndo(`undo ${name}`, () => Effect.andThen(note(`undo ${name}`), undo)))
  return { log, note, step }
}

describe("undo steps", () => {
  it.effect("run in reverse order when the body fails, and the run ends with that failure", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run, steps } = yield* single(Order.toLayer(() =>
        Effect.gen(function*() {
          yield* step("book")
          yield* step("charge")
          return yield* new Declined()
        })
      ))
      const exit = yield* whileTimePasses(run(Order.execute(undefined, { runId: "r" })))
      assert.deepStrictEqual(log, ["book", "charge", "undo charge", "undo book"])
      assert(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
      assert.instanceOf(exit.cause.reasons[0].error, Declined)
      assert.deepStrictEqual((yield* steps("r")).map(({ kind, name }) => [kind, name]), [
        ["Step", "book"],
        ["Step", "charge"],
        ["Failure", "Workflow.failure"],
        ["Undo", "undo charge"],
        ["Undo", "undo book"]
      ])
    }))

  it.effect("run when the body dies", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run } = yield* single(Order.toLayer(() => Effect.andThen(step("book"), Effect.die(new Error("boom")))))
      const exit = yield* whileTimePasses(run(Order.execute()))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "boom")
      assert.deepStrictEqual(log, ["book", "undo book"])
    }))

  it.effect("run when the run times out", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run } = yield* single(Order.toLayer(() => Effect.andThen(step("book"), Effect.never)))
      const handle = yield* run(Order.start(undefined, { timeout: "5 seconds" }))
      const exit = yield* whileTimePasses(run(handle.await))
      assert(Exit.isFailure(exit))
      assert.include(String(exit.cause), "RunTimedOut")
      assert.deepStrictEqual(log, ["book", "undo book"])
    }))

  it.effect("do not run when the body succeeds, nor when the failure was handled", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run } = yield* single(Order.toLayer(() =>
        step("book").pipe(
          Effect.andThen(Effect.fail(new Declined())),
          Effect.catch(() => Effect.succeed("handled"))
        )
      ))
      assert.strictEqual(yield* run(Order.execute()), "handled")
      assert.deepStrictEqual(log, ["book"])
    }))

  it.effect("do not run for a step that failed itself", () =>
    Effect.gen(function*() {
      const { log, note, step } = journal()
      const failing = Step.run("charge", Effect.fail(new Declined()), { error: Declined }).pipe(
        Step.withUndo("undo charge", () => note("undo charge"))
      )
      const { run } = yield* single(Order.toLayer(() => Effect.as(Effect.andThen(step("book"), failing), "")))
      yield* whileTimePasses(run(Order.execute()))
      assert.deepStrictEqual(log, ["book", "undo book"])
    }))

  it.effect("do not run when the run is cancelled", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run } = yield* single(Order.toLayer(() => Effect.andThen(step("book"), Effect.never)))
      const handle = yield* run(Order.start())
      yield* flush
      yield* run(handle.cancel)
      yield* elapse("5 seconds")
      assert.strictEqual(yield* run(handle.status), "Cancelled")
      assert.deepStrictEqual(log, ["book"])
    }))

  it.effect("do not run when the run is suspended or handed back", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, step } = journal()
      const bodies = Order.toLayer(() =>
        step("book").pipe(Effect.andThen(Workflow.sleep("1 hour")), Effect.andThen(Effect.never))
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Order.start())
      yield* elapse("2 hours", 50)
      assert.strictEqual(yield* first.run(handle.status), "Running")
      yield* first.stop
      assert.deepStrictEqual(log, ["book"])
    }))

  it.effect("get the value of the step they undo, also from its record", () =>
    Effect.gen(function*() {
      const undone: Array<string> = []
      const { run } = yield* single(Order.toLayer(() =>
        Effect.gen(function*() {
          yield* Step.run("charge", Effect.succeed("payment 7")).pipe(
            Step.withUndo("refund", (id) => Effect.sync(() => void undone.push(id)))
          )
          yield* Workflow.sleep("1 hour")
          return yield* new Declined()
        })
      ))
      yield* whileTimePasses(run(Order.execute()), "1 minute")
      assert.deepStrictEqual(undone, ["payment 7"])
    }))

  it.effect("that are recorded do not run again after a crash in the middle; the others do", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, note, step } = journal()
      const slow = Effect.suspend(() =>
        log.filter((entry) => entry === "undo two").length > 1 ? Effect.void : Effect.never
      )
      const bodies = Order.toLayer(() =>
        Effect.gen(function*() {
          yield* step("one")
          yield* step("two", slow)
          yield* step("three")
          yield* note("fails")
          return yield* new Declined()
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Order.start())
      yield* elapse("1 second")
      yield* first.crash
      const second = yield* node({ bodies })
      const exit = yield* whileTimePasses(second.run(handle.await))
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(log, [
        "one",
        "two",
        "three",
        "fails",
        "undo three",
        "undo two",
        "fails",
        "undo two",
        "undo one"
      ])
    }))

  it.effect("go on after a crash when the run had timed out, and it still ends as timed out", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, step } = journal()
      const slow = Effect.suspend(() =>
        log.filter((entry) => entry === "undo one").length > 1 ? Effect.void : Effect.never
      )
      const bodies = Order.toLayer(() =>
        Effect.gen(function*() {
          yield* step("one", slow)
          yield* step("two")
          // Long enough for the deadline the first time, short the second time.
          yield* Effect.suspend(() => log.includes("undo two") ? Effect.void : Effect.sleep("1 minute"))
          return "succeeded"
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Order.start(undefined, { timeout: "5 seconds" }))
      yield* elapse("6 seconds", 60)
      assert.deepStrictEqual(log, ["one", "two", "undo two", "undo one"])
      yield* first.crash
      const second = yield* node({ bodies })
      const exit = yield* whileTimePasses(second.run(handle.await))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "did not end within its timeout")
      assert.deepStrictEqual(log, ["one", "two", "undo two", "undo one", "undo one"])
    }))

  it.effect("that fails is recorded and logged, and the others still run", () =>
    Effect.gen(function*() {
      const { log, note, step } = journal()
      const { run, steps } = yield* single(Order.toLayer(() =>
        Effect.gen(function*() {
          yield* step("one")
          yield* Step.run("two", note("two")).pipe(Step.withUndo("undo two", () => Effect.fail(new Error("cannot"))))
          yield* Step.run("three", note("three")).pipe(Step.withUndo("undo three", () => Effect.die("broken")))
          yield* Step.run("four", note("four")).pipe(Step.withUndo("undo four", () => Effect.interrupt))
          return yield* new Declined()
        })
      ))
      const exit = yield* whileTimePasses(run(Order.execute(undefined, { runId: "r" })))
      assert.deepStrictEqual(log, ["one", "two", "three", "four", "undo one"])
      assert(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
      assert.instanceOf(exit.cause.reasons[0].error, Declined)
      const undone = (yield* steps("r")).filter(({ kind }) => kind === "Undo")
      assert.deepStrictEqual(undone.map(({ name }) => name), ["undo three", "undo two", "undo one"])
      assert.include(undone[1]!.outcome, "cannot")
    }))

  it.effect("are retried as their schedule says, and the deadline does not count for them", () =>
    Effect.gen(function*() {
      let attempts = 0
      const { run, steps } = yield* single(Order.toLayer(() =>
        Effect.gen(function*() {
          yield* Step.run("charge", Effect.void).pipe(
            Step.withUndo(
              "refund",
              () => Effect.suspend(() => ++attempts < 4 ? Effect.fail("not yet" as const) : Effect.void),
              { retry: EffectSchedule.spaced("1 minute") }
            )
          )
          return yield* new Declined()
        })
      ))
      const handle = yield* run(Order.start(undefined, { runId: "r", timeout: "30 seconds" }))
      const exit = yield* whileTimePasses(run(handle.await), "1 second")
      assert(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
      assert.instanceOf(exit.cause.reasons[0].error, Declined)
      assert.strictEqual(attempts, 4)
      assert.strictEqual((yield* steps("r")).find(({ name }) => name === "refund")?.attempts, 4)
    }))

  it.effect("may take long: the run is not interrupted by the deadline that passes while it undoes", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run } = yield* single(
        Order.toLayer(() => Effect.andThen(step("one", Effect.sleep("1 minute")), new Declined()))
      )
      const handle = yield* run(Order.start(undefined, { timeout: "30 seconds" }))
      const exit = yield* whileTimePasses(run(handle.await), "1 second")
      assert(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
      assert.instanceOf(exit.cause.reasons[0].error, Declined)
      assert.deepStrictEqual(log, ["one", "undo one"])
    }))

  it.effect("stop when the run is cancelled meanwhile", () =>
    Effect.gen(function*() {
      const { log, step } = journal()
      const { run } = yield* single(
        Order.toLayer(() => step("one").pipe(Effect.andThen(step("two", Effect.never)), Effect.andThen(new Declined())))
      )
      const handle = yield* run(Order.start())
      yield* elapse("1 second")
      yield* run(handle.cancel)
      yield* elapse("5 seconds")
      assert.strictEqual(yield* run(handle.status), "Cancelled")
      assert.deepStrictEqual(log, ["one", "two", "undo two"])
    }))

  it.effect("of one name in a loop are told apart", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const log: Array<string> = []
      let crashed = false
      const bodies = Order.toLayer(() =>
        Effect.gen(function*() {
          for (const n of [1, 2, 3]) {
            yield* Step.run("charge", Effect.succeed(n)).pipe(
              Step.withUndo("refund", (n) =>
                Effect.suspend(() => {
                  log.push(`refund ${n}`)
                  return n === 2 && !crashed ? Effect.never : Effect.void
                }))
            )
          }
          return yield* new Declined()
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Order.start())
      yield* elapse("1 second")
      yield* first.crash
      crashed = true
      const second = yield* node({ bodies })
      yield* whileTimePasses(second.run(handle.await))
      assert.deepStrictEqual(log, ["refund 3", "refund 2", "refund 2", "refund 1"])
    }))

  it.effect("of one name in concurrent branches are refused before the step runs, unless a key tells them apart", () =>
    Effect.gen(function*() {
      const effects: Array<string> = []
      const branch = (n: number, key: string | undefined) =>
        Step.run(`charge ${n}`, Effect.sync(() => void effects.push(`charge ${n}`))).pipe(
          Effect.delay("1 second"),
          Step.withUndo("refund", () => Effect.sync(() => void effects.push(`refund ${n}`)), { key })
        )
      const order = (key: (n: number) => string | undefined) =>
        single(Order.toLayer(() =>
          Effect.andThen(
            Effect.forEach([1, 2], (n) => branch(n, key(n)), { concurrency: "unbounded" }),
            new Declined()
          )
        ))
      const refused = yield* order(() => undefined)
      const exit = yield* whileTimePasses(refused.run(Order.execute()))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "give it a key")
      assert.deepStrictEqual(effects, [])
      const keyed = yield* order(String)
      yield* whileTimePasses(keyed.run(Order.execute()))
      assert.deepStrictEqual([...effects].sort(), ["charge 1", "charge 2", "refund 1", "refund 2"])
    }))

  it.effect("may use a scope, although the body's has closed", () =>
    Effect.gen(function*() {
      const { log, note } = journal()
      const using = Effect.acquireRelease(note("acquired"), () => note("released")).pipe(Effect.andThen(note("used")))
      const { run } = yield* single(Order.toLayer(() =>
        Step.run("one", Effect.void).pipe(Step.withUndo("undo", () => using), Effect.andThen(new Declined()))
      ))
      yield* whileTimePasses(run(Order.execute()))
      assert.deepStrictEqual(log, ["acquired", "used", "released"])
    }))

  it.effect("go on after a crash although the body would succeed now, and the run ends with the failure that started them", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, step } = journal()
      let fails = true
      const bodies = Order.toLayer(() =>
        Effect.gen(function*() {
          yield* step("one", Effect.suspend(() => fails ? Effect.never : Effect.void))
          yield* step("two")
          if (fails) return yield* new Declined()
          return "succeeded"
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Order.start(undefined, { runId: "r" }))
      yield* elapse("1 second")
      fails = false
      yield* first.crash
      const second = yield* node({ bodies })
      const exit = yield* whileTimePasses(second.run(handle.await))
      assert(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
      assert.instanceOf(exit.cause.reasons[0].error, Declined)
      assert.deepStrictEqual(log, ["one", "two", "undo two", "undo one", "undo one"])
    }))

  it.effect("are not skipped for a step whose record was being written when the deadline came", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, step } = journal()
      const only = yield* node({ bodies: Order.toLayer(() => Effect.andThen(step("one"), Effect.never)) })
      only.intercept = (method, call) => method === "recordStep" ? Effect.delay(call, "10 seconds") : call
      const handle = yield* only.run(Order.start(undefined, { timeout: "5 seconds" }))
      const exit = yield* whileTimePasses(only.run(handle.await))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "did not end within its timeout")
      assert.deepStrictEqual(log, ["one", "undo one"])
      assert.isDefined(yield* inTime(only.run(handle.steps)))
    }))
})
