import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { StepTimedOut } from "../src/Errors.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, flush, inTime, single, whileTimePasses } from "./support/engine.ts"

class Busy extends Schema.TaggedError<Busy>("test/Busy")("Busy", { at: Schema.DateTimeUtc }) {}

const Flow = Workflow.make("flow", { success: Schema.Unknown })

/** The message of the defect that the exit is. */
const defectOf = (exit: Exit.Exit<unknown, unknown>): string => {
  assert(Exit.isFailure(exit))
  const die = exit.cause.reasons.find((reason) => reason._tag === "Die")
  assert(die !== undefined, String(exit.cause))
  return die.defect instanceof Error ? die.defect.message : String(die.defect)
}

/** Executes a body once in an engine of its own, and gives its exit and its steps. */
const executed = <A, E>(body: Effect.Effect<A, E, Workflow.CurrentRun>) =>
  Effect.gen(function*() {
    const { run, steps } = yield* single(Flow.toLayer(() => Effect.orDie(body)))
    const exit = yield* whileTimePasses(run(Flow.execute(undefined, { runId: "r" })))
    return { exit, steps: yield* steps("r") }
  })

describe("a step", () => {
  it.effect("gives the body its value and is recorded with times, attempts and outcome", () =>
    Effect.gen(function*() {
      const { exit, steps } = yield* executed(
        Step.run("load", Effect.as(Effect.sleep("1 second"), { rows: [1, 2], next: null }))
      )
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(exit.value, { rows: [1, 2], next: null })
      assert.strictEqual(steps.length, 1)
      const { recordedAt, startedAt, ...step } = steps[0]!
      assert.deepStrictEqual(step, {
        name: "load",
        key: "",
        occurrence: 1,
        kind: "Step",
        attempts: 1,
        errors: null,
        outcome: "{\"_tag\":\"Success\",\"value\":{\"rows\":[1,2],\"next\":null}}",
        wakeAt: null
      })
      assert.strictEqual(recordedAt - startedAt, 1000)
    }))

  it.effect("that is recorded does not run again when its worker crashes, and the one that was not does", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const log: Array<string> = []
      const body = Effect.gen(function*() {
        const one = yield* Step.run("one", Effect.sync(() => log.push("one")))
        yield* Step.run("two", Effect.sync(() => log.push("two")).pipe(Effect.andThen(Effect.sleep("10 seconds"))))
        return one
      })
      const first = yield* node({ bodies: Flow.toLayer(() => body) })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("5 seconds")
      yield* first.crash
      assert.strictEqual((yield* find("r")).status, "Running")
      const second = yield* node({ bodies: Flow.toLayer(() => body) })
      assert.strictEqual(yield* inTime(second.run(handle.await)), 1)
      assert.deepStrictEqual(log, ["one", "two", "two"])
      assert.strictEqual((yield* find("r")).attempt, 2)
    }))

  it.effect("whose effect happened and whose record did not before the crash runs twice", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      let effects = 0
      const bodies = Flow.toLayer(() => Step.run("charge", Effect.sync(() => ++effects)))
      const first = yield* node({ bodies })
      first.intercept = (method, call) => method === "recordStep" ? Effect.never : call
      const handle = yield* first.run(Flow.start())
      yield* flush
      assert.strictEqual(effects, 1)
      yield* first.crash
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), 2)
    }))

  it.effect("gives a failure back from its record as an instance of its class", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      let attempts = 0
      const seen: Array<unknown> = []
      const call = Effect.suspend(() => (attempts++, Effect.fail(new Busy({ at: DateTime.makeUnsafe(7) }))))
      const body = Effect.gen(function*() {
        seen.push(yield* Effect.flip(Step.run("call", call, { error: Busy })))
        yield* Workflow.sleep("1 hour")
        return "went on"
      })
      const { run } = yield* node({ bodies: Flow.toLayer(() => body) })
      assert.strictEqual(yield* inTime(run(Flow.execute()), "1 minute"), "went on")
      assert.strictEqual(attempts, 1)
      assert.strictEqual(seen.length, 2)
      for (const error of seen) {
        assert.instanceOf(error, Busy)
        assert.strictEqual(DateTime.toEpochMillis(error.at), 7)
      }
    }))

  it.effect("records a defect with message and cause, and dies with it on replay without running again", () =>
    Effect.gen(function*() {
      const { steps, node } = yield* cluster()
      let attempts = 0
      const seen: Array<unknown> = []
      const boom = Effect.suspend(() => (attempts++, Effect.die(new TypeError("boom", { cause: "a reason" }))))
      const body = Effect.gen(function*() {
        yield* Effect.catchDefect(
          Step.run("boom", boom, { retry: Step.backoff({ times: 5 }) }),
          (defect) => Effect.sync(() => void seen.push(defect))
        )
        yield* Workflow.sleep("1 hour")
        return "went on"
      })
      const { run } = yield* node({ bodies: Flow.toLayer(() => body) })
      yield* inTime(run(Flow.execute(undefined, { runId: "r" })), "1 minute")
      assert.strictEqual(attempts, 1)
      assert.strictEqual(seen.length, 2)
      for (const defect of seen) {
        assert.instanceOf(defect, Error)
        assert.deepStrictEqual([defect.name, defect.message, defect.cause], ["TypeError", "boom", "a reason"])
      }
      assert.include((yield* steps("r"))[0]?.outcome, "\"_tag\":\"Defect\"")
    }))

  it.effect("that is interrupted records nothing", () =>
    Effect.gen(function*() {
      const { steps } = yield* executed(
        Effect.timeoutOption(Step.run("slow", Effect.sleep("1 minute")), "1 second")
      )
      assert.deepStrictEqual(steps, [])
    }))

  it.effect("that the engine stops records nothing, even when its finalizer dies", () =>
    Effect.gen(function*() {
      const { node, steps } = yield* cluster()
      let begun = 0
      const slow = Effect.suspend(() => (begun++, begun === 1 ? Effect.never : Effect.succeed("done"))).pipe(
        Effect.ensuring(Effect.suspend(() => begun === 1 ? Effect.die(new Error("in the finalizer")) : Effect.void))
      )
      const bodies = Flow.toLayer(() => Effect.uninterruptible(Step.run("slow", Effect.interruptible(slow))))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      yield* first.stop
      assert.deepStrictEqual(yield* steps("r"), [])
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), "done")
    }))

  it.effect("inside of a step is refused, and so is whatever else only a body may call", () =>
    Effect.gen(function*() {
      for (
        const inner of [
          Step.run("inner", Effect.void),
          Workflow.sleep("1 second"),
          Workflow.now,
          Workflow.uuid,
          Effect.void.pipe(Step.withUndo("undo", () => Effect.void))
        ]
      ) {
        const { exit } = yield* executed(
          Step.run("outer", Effect.asVoid(inner as Effect.Effect<unknown, never, Workflow.CurrentRun>))
        )
        const message = defectOf(exit)
        assert.include(message, "inside step outer")
      }
    }))

  it.effect("of a name or key that no store could keep is refused before its effect runs", () =>
    Effect.gen(function*() {
      let ran = 0
      const effect = Effect.sync(() => void ran++)
      for (const name of ["", "a\0b", "\udc00", "x".repeat(513), "\u4e2d".repeat(171), "Workflow.mine"]) {
        assert.include(defectOf((yield* executed(Step.run(name, effect))).exit), "step")
      }
      for (const key of ["a\0b", "x".repeat(513), "\u4e2d".repeat(171), "\ud800"]) {
        assert.include(defectOf((yield* executed(Step.run("step", effect, { key }))).exit), "must")
        const sleeping = yield* executed(Effect.andThen(Workflow.sleep("1 second", { key }), effect))
        assert.include(defectOf(sleeping.exit), "must")
        const undoing = Step.run("step", effect).pipe(Step.withUndo("undo", () => Effect.void, { key }))
        assert.include(defectOf((yield* executed(undoing)).exit), "must")
      }
      for (const undoName of ["", "a\0b", "Workflow.mine"]) {
        const undoing = Step.run("step", effect, { undoName, undo: () => Effect.void })
        assert.include(defectOf((yield* executed(undoing)).exit), "step")
      }
      assert.strictEqual(ran, 0)
    }))

  it.effect("of the longest name may have an undo step that is named after it", () =>
    Effect.gen(function*() {
      const names = ["a", "b"].map((end) => "\u4e2d".repeat(170) + end)
      const { exit, steps } = yield* executed(Effect.andThen(
        Effect.forEach(names, (name) => Step.run(name, Effect.void, { undo: () => Effect.void })),
        Effect.fail("no")
      ))
      assert.isTrue(Exit.isFailure(exit))
      const undone = steps.filter(({ kind }) => kind === "Undo").map(({ name }) => name)
      assert.strictEqual(new Set(undone).size, 2)
      for (const name of undone) {
        assert.isTrue(name.startsWith("undo \u4e2d") && name.isWellFormed())
        assert.isAtMost(Buffer.byteLength(name), 512)
      }
    }))

  it.effect("with a timeout that cannot be one is refused before its effect runs, and an infinite one is none", () =>
    Effect.gen(function*() {
      let ran = 0
      const effect = Effect.andThen(Effect.sleep("1 day"), Effect.sync(() => ++ran))
      for (const timeout of [-1, Number.NaN, "-Infinity", 8.64e15] as const) {
        assert.include(defectOf((yield* executed(Step.run("s", effect, { timeout }))).exit), "timeout of step s")
      }
      assert.strictEqual(ran, 0)
      const { run } = yield* single(Flow.toLayer(() => Effect.orDie(Step.run("s", effect, { timeout: "Infinity" }))))
      assert.strictEqual(yield* inTime(run(Flow.execute()), "1 hour"), 1)
    }))

  it.effect("knows the number of its attempt, which is 0 outside of a step", () =>
    Effect.gen(function*() {
      const { exit } = yield* executed(Effect.all([Step.attempt, Step.run("one", Step.attempt)]))
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(exit.value, [0, 1])
    }))

  it.effect("transaction dies on a store without an SQL client, and says so", () =>
    Effect.gen(function*() {
      const { exit } = yield* executed(
        Step.transaction("write", Effect.void) as Effect.Effect<void, never, Workflow.CurrentRun>
      )
      assert.isTrue(Exit.isFailure(exit))
    }))
})

describe("a step's value", () => {
  const kept: ReadonlyArray<readonly [string, unknown]> = [
    ["undefined", undefined],
    ["null", null],
    ["text with NUL, quotes and a lone surrogate", "a\0\"\ud800"],
    ["nested", { a: [1, { b: null, c: [true, "x"] }], "__proto_": 1 }],
    ["numbers", [0, -1.5, 1e300, Number.MAX_SAFE_INTEGER, 5e-324]],
    ["an object without prototype", Object.assign(Object.create(null) as object, { a: 1 })]
  ]
  it.effect("comes back from its record as it was", () =>
    Effect.gen(function*() {
      for (const [what, value] of kept) {
        const seen: Array<unknown> = []
        const { run } = yield* single(Flow.toLayer(() =>
          Effect.gen(function*() {
            seen.push(yield* Step.run("value", Effect.succeed(value as string)))
            yield* Workflow.sleep("1 hour")
            return null
          })
        ))
        yield* inTime(run(Flow.execute()), "5 minutes")
        assert.strictEqual(seen.length, 2)
        assert.deepStrictEqual({ ...seen[1] as object }, { ...value as object }, what)
        assert.strictEqual(JSON.stringify(seen[1]), JSON.stringify(value), what)
      }
    }))

  class Point {
    readonly x = 1
  }
  const cyclic: Array<unknown> = []
  cyclic.push(cyclic)
  const refused: ReadonlyArray<readonly [unknown, string]> = [
    [Number.NaN, "value is NaN"],
    [{ a: [1, Number.POSITIVE_INFINITY] }, "value.a[1] is Infinity"],
    [-0, "value is -0"],
    [[undefined], "value[0] is undefined"],
    [{ a: 1n }, "value.a is a bigint"],
    [{ a: () => 1 }, "value.a is a function"],
    [{ p: new Point() }, "value.p is an instance of Point"],
    [new Map(), "instance of Map"],
    [new Error("x"), "instance of Error"],
    [Option.some(1), "instance of"],
    [{ [Symbol.iterator]: 1 }, "symbol"],
    [cyclic, "is nested too deeply, or refers to itself"]
  ]
  it.effect("that JSON would not give back is refused with a defect that says where and what to do", () =>
    Effect.gen(function*() {
      for (const [value, where] of refused) {
        const { exit, steps } = yield* executed(Step.run("value", Effect.succeed(value as string)))
        const message = defectOf(exit)
        assert.include(message, where)
        assert.include(message, "schema")
        assert.include(steps[0]?.outcome, "Defect")
      }
    }))

  it.effect("over the store's limit is a defect that names the step and the limit, and nothing is recorded", () =>
    Effect.gen(function*() {
      const { node, steps } = yield* cluster({ maxValueBytes: 10_000 })
      const { run } = yield* node({ bodies: Flow.toLayer(() => Step.run("large", Effect.succeed("x".repeat(20_000)))) })
      const exit = yield* whileTimePasses(run(Flow.execute(undefined, { runId: "r" })))
      const message = defectOf(exit)
      assert.include(message, "step large")
      assert.include(message, "10000")
      assert.deepStrictEqual(yield* steps("r"), [])
    }))

  it.effect("recorded under another schema dies with Undecodable and names the step", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const before = Flow.toLayer(() =>
        Step.run("load", Effect.succeed("text")).pipe(Effect.andThen(Workflow.sleep("1 hour")))
      )
      const after = Flow.toLayer(() =>
        Step.run("load", Effect.succeed(1), { success: Schema.Finite }).pipe(Effect.andThen(Workflow.sleep("1 hour")))
      )
      const first = yield* node({ bodies: before })
      const handle = yield* first.run(Flow.start())
      yield* flush
      yield* first.stop
      const second = yield* node({ bodies: after })
      const message = defectOf(yield* whileTimePasses(second.run(handle.await), "1 minute"))
      assert.include(message, "step load")
    }))

  it.effect("a typed failure with the tag of a timeout is not taken for one", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const seen: Array<string> = []
      const error = new StepTimedOut({ step: "somewhere else" })
      const { run } = yield* node({
        bodies: Flow.toLayer(() =>
          Effect.gen(function*() {
            seen.push((yield* Effect.flip(Step.run("call", Effect.fail(error), { error: StepTimedOut }))).step)
            yield* Workflow.sleep("1 hour")
            return null
          })
        )
      })
      yield* inTime(run(Flow.execute()), "1 minute")
      assert.deepStrictEqual(seen, ["somewhere else", "somewhere else"])
    }))
})
