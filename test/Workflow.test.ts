import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Run from "../src/Run.ts"
import * as Step from "../src/Step.ts"
import { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, inTime, single } from "./support/engine.ts"

class Refused extends Schema.TaggedError<Refused>("test/Refused")("Refused", {
  at: Schema.DateTimeUtc,
  reason: Schema.String
}) {}

class Money extends Schema.Class<Money>("test/Money")({ amount: Schema.BigInt, currency: Schema.String }) {
  get text(): string {
    return `${this.amount} ${this.currency}`
  }
}

const Double = Workflow.make("double", { payload: { n: Schema.Finite }, success: Schema.Finite })

/** A body that counts how often it begins. */
const counted = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const count = { begun: 0 }
  return Object.assign(count, { effect: Effect.suspend(() => (count.begun++, effect)) })
}

describe("starting a run", () => {
  it.effect("execute returns what the body returns", () => {
    const DoubleLive = Double.toLayer(({ n }) => Effect.succeed(n * 2))
    const layer = DoubleLive.pipe(Layer.provideMerge(Engine.layer({ name: "t" })), Layer.provideMerge(Memory.layer))
    return Effect.gen(function*() {
      assert.strictEqual(yield* Double.execute({ n: 21 }), 42)
    }).pipe(Effect.provide(layer))
  })

  it.effect("start returns before the body has ended, and the handle says how it stands", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Double.toLayer(({ n }) => Effect.as(Effect.sleep("1 second"), n * 2)))
      const handle = yield* run(Double.start({ n: 1 }, { runId: "r" }))
      assert.strictEqual(handle.id, "r")
      assert.strictEqual(yield* run(handle.status), "Running")
      assert.strictEqual(yield* inTime(run(handle.await)), 2)
      const { attempt, epoch, outcome, payload, status, workflow } = yield* run(handle.info)
      assert.deepStrictEqual({ attempt, epoch, outcome, payload, status, workflow }, {
        attempt: 1,
        epoch: 1,
        outcome: "{\"_tag\":\"Success\",\"value\":2}",
        payload: "{\"n\":1}",
        status: "Succeeded",
        workflow: "double"
      })
    }))

  it.effect("a run id started again gives the same run, and the body begins once", () =>
    Effect.gen(function*() {
      const body = counted(Effect.succeed(5))
      const { run } = yield* single(Double.toLayer(() => body.effect))
      const first = yield* run(Double.execute({ n: 1 }, { runId: "r" }))
      const second = yield* run(Double.execute({ n: 2 }, { runId: "r" }))
      assert.deepStrictEqual([first, second, body.begun], [5, 5, 1])
    }))

  it.effect("a run id started many times at once gives one run, on one process or on two", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const body = counted(Effect.as(Effect.sleep("1 second"), 7))
      const bodies = Double.toLayer(() => body.effect)
      const nodes = [yield* node({ bodies }), yield* node({ bodies })]
      const executions = Array.from({ length: 20 }, (_, n) => nodes[n % 2]!.run(Double.execute({ n }, { runId: "r" })))
      const results = yield* inTime(Effect.all(executions, { concurrency: "unbounded" }))
      assert.deepStrictEqual(results, results.map(() => 7))
      assert.strictEqual(body.begun, 1)
    }))

  it.effect("an id that belongs to a run of another workflow is refused with RunConflict", () =>
    Effect.gen(function*() {
      const Other = Workflow.make("other")
      const { run } = yield* single(Double.toLayer(() => Effect.succeed(0)))
      yield* run(Double.start({ n: 1 }, { runId: "r" }))
      const error = yield* Effect.flip(run(Other.start(undefined, { runId: "r" })))
      assert(error._tag === "RunConflict")
      assert.deepStrictEqual([error.runId, error.workflow, error.existing], ["r", "other", "double"])
    }))

  it.effect("a payload its schema refuses is refused with InvalidInput, and nothing is started", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Double.toLayer(() => Effect.succeed(0)))
      const error = yield* Effect.flip(run(Double.start({ n: Number.NaN }, { runId: "r" })))
      assert(error._tag === "InvalidInput")
      assert.strictEqual(error.field, "payload")
      assert.isTrue(Option.isNone(yield* run(Run.get("r"))))
    }))

  it.effect("a run id that cannot be one is refused with InvalidInput", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.empty)
      const ofTick = "sched-nightly-2030-01-01T01:00:00.000Z"
      for (const runId of ["", "a\0b", "x".repeat(513), "\u4e2d".repeat(171), "\ud800", ofTick]) {
        const error = yield* Effect.flip(run(Double.start({ n: 1 }, { runId })))
        assert(error._tag === "InvalidInput")
        assert.strictEqual(error.field, "runId")
      }
    }))

  it.effect("a workflow whose name cannot be one is refused by start, and by its layer", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.empty)
      for (const name of ["", "a\0b", "x".repeat(513), "\ud800"]) {
        const Odd = Workflow.make(name)
        const error = yield* Effect.flip(run(Odd.start()))
        assert(error._tag === "InvalidInput")
        assert.strictEqual(error.field, "workflow")
        const built = yield* Effect.exit(single(Odd.toLayer(() => Effect.void)))
        assert.include(String(Exit.isFailure(built) && Cause.squash(built.cause)), "workflow: must")
      }
    }))

  it.effect("a delay or timeout that cannot be one is refused, and the field named", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.empty)
      const durations: ReadonlyArray<Duration.Input> = [
        -5000,
        "-5 seconds",
        Number.NaN,
        { minutes: Number.NaN },
        "-Infinity",
        8.64e15,
        "soon" as Duration.Input
      ]
      for (const duration of durations) {
        for (const field of ["delay", "timeout"] as const) {
          const error = yield* Effect.flip(run(Double.start({ n: 1 }, { runId: "r", [field]: duration })))
          assert(error._tag === "InvalidInput")
          assert.strictEqual(error.field, field)
        }
      }
      const endless = yield* Effect.flip(run(Double.start({ n: 1 }, { runId: "r", delay: "Infinity" })))
      assert.strictEqual(endless._tag, "InvalidInput")
      assert.isTrue(Option.isNone(yield* run(Run.get("r"))))
      const Negative = Workflow.make("negative", { timeout: "-5 seconds" })
      assert.strictEqual((yield* Effect.flip(run(Negative.start())))._tag, "InvalidInput")
      const built = yield* Effect.exit(single(Negative.toLayer(() => Effect.void)))
      assert.include(String(Exit.isFailure(built) && Cause.squash(built.cause)), "timeout: must not be negative")
    }))

  it.effect("an infinite timeout is none, also where the workflow has one", () =>
    Effect.gen(function*() {
      const body = () => Effect.as(Effect.sleep("1 day"), 1)
      const Endless = Workflow.make("endless", { success: Schema.Finite, timeout: Duration.infinity })
      const Bounded = Workflow.make("bounded", { success: Schema.Finite, timeout: "5 seconds" })
      const { find, run } = yield* single(Layer.mergeAll(Endless.toLayer(body), Bounded.toLayer(body)))
      yield* run(Endless.start(undefined, { runId: "a" }))
      yield* run(Endless.start(undefined, { runId: "b", timeout: "Infinity" }))
      yield* run(Bounded.start(undefined, { runId: "c", timeout: Duration.infinity }))
      assert.strictEqual(yield* inTime(run(Bounded.handle("c").await), "1 hour"), 1)
      for (const id of ["a", "b"]) {
        const { deadline, status, timeoutMillis } = yield* find(id)
        assert.deepStrictEqual({ deadline, status, timeoutMillis }, {
          deadline: null,
          status: "Succeeded",
          timeoutMillis: null
        })
      }
    }))

  it.effect("ids that are not given are new each time", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.empty)
      const ids = yield* run(Effect.forEach([1, 2, 3], (n) => Effect.map(Double.start({ n }), ({ id }) => id)))
      assert.strictEqual(new Set(ids).size, 3)
    }))

  it.effect("a delayed run begins when the delay is over and not before", () =>
    Effect.gen(function*() {
      const body = counted(Effect.succeed(1))
      const { run } = yield* single(Double.toLayer(() => body.effect))
      const handle = yield* run(Double.start({ n: 1 }, { delay: "1 hour" }))
      yield* elapse("59 minutes", 100)
      assert.deepStrictEqual([yield* run(handle.status), body.begun], ["Enqueued", 0])
      yield* elapse("61 seconds", 61)
      assert.deepStrictEqual([yield* run(handle.status), body.begun], ["Succeeded", 1])
    }))

  it.effect("a run whose workflow has no body here waits until a process has one", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const client = yield* node()
      const handle = yield* client.run(Double.start({ n: 4 }))
      yield* elapse("10 seconds")
      assert.strictEqual(yield* client.run(handle.status), "Enqueued")
      yield* node({ bodies: Double.toLayer(({ n }) => Effect.succeed(n * 2)) })
      assert.strictEqual(yield* inTime(client.run(handle.await)), 8)
    }))

  it.effect("two bodies for one workflow in one process are refused when the layer is built", () =>
    Effect.gen(function*() {
      const body = Double.toLayer(() => Effect.succeed(1))
      const other = Double.toLayer(() => Effect.succeed(2))
      const exit = yield* Effect.exit(single(Layer.mergeAll(body, other)))
      assert(exit._tag === "Failure")
      assert.include(String(exit.cause), "two bodies")
    }))

  it.effect("an engine without a worker starts runs and executes none", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Double.toLayer(({ n }) => Effect.succeed(n * 2))
      const client = yield* node({ worker: false, bodies })
      const handle = yield* client.run(Double.start({ n: 4 }))
      yield* elapse("10 seconds")
      assert.strictEqual(yield* client.run(handle.status), "Enqueued")
    }))

  it.effect("a workflow is started and awaited with the store alone, in a process without an engine", () =>
    Effect.gen(function*() {
      const { db, node } = yield* cluster()
      yield* node({ bodies: Double.toLayer(({ n }) => Effect.succeed(n * 2)) })
      const client = Effect.provideService(Double.execute({ n: 8 }), SystemDb, db)
      assert.strictEqual(yield* inTime(client), 16)
    }))
})

describe("values", () => {
  const Rich = Schema.Struct({
    at: Schema.DateTimeUtc,
    zoned: Schema.DateTimeZoned,
    maybe: Schema.Option(Schema.String),
    none: Schema.Option(Schema.String),
    big: Schema.BigInt,
    decimal: Schema.BigDecimal,
    money: Money,
    map: Schema.ReadonlyMap(Schema.String, Money),
    bytes: Schema.Uint8Array
  })
  const rich: typeof Rich.Type = {
    at: DateTime.makeUnsafe(1_234_567_890_123),
    zoned: DateTime.makeZonedUnsafe("2024-03-31T02:30:00Z", { timeZone: "Europe/Berlin" }),
    maybe: Option.some("x"),
    none: Option.none(),
    big: 2n ** 80n,
    decimal: BigDecimal.fromStringUnsafe("12345678901234567890.000001"),
    money: new Money({ amount: 5n, currency: "EUR" }),
    map: new Map([["a", new Money({ amount: 1n, currency: "USD" })]]),
    bytes: new Uint8Array([0, 255, 7])
  }
  const same = (actual: typeof Rich.Type) => {
    assert.isTrue(Equal.equals(actual.at, rich.at))
    assert.isTrue(Equal.equals(actual.zoned, rich.zoned))
    assert.isTrue(Equal.equals([actual.maybe, actual.none], [rich.maybe, rich.none]))
    assert.strictEqual(actual.big, rich.big)
    assert.isTrue(Equal.equals(actual.decimal, rich.decimal))
    assert.instanceOf(actual.money, Money)
    assert.strictEqual(actual.money.text, "5 EUR")
    assert.strictEqual(actual.map.get("a")?.text, "1 USD")
    assert.deepStrictEqual(actual.bytes, rich.bytes)
  }

  it.effect("rich values come out of payload, step and success as what they were", () =>
    Effect.gen(function*() {
      const Echo = Workflow.make("echo", { payload: Rich, success: Rich })
      const seen: Array<typeof Rich.Type> = []
      const { find, run } = yield* single(Echo.toLayer(Effect.fnUntraced(function*(payload) {
        seen.push(payload)
        const stepped = yield* Step.run("echo", Effect.succeed(payload), { success: Rich })
        yield* Workflow.sleep("1 hour")
        seen.push(stepped)
        return stepped
      })))
      const handle = yield* run(Echo.start(rich, { runId: "r" }))
      yield* elapse("2 hours", 100)
      assert.strictEqual((yield* find("r")).status, "Succeeded")
      // Begun twice: the first time from the payload, the second time from the payload and the step's record.
      assert.strictEqual(seen.length, 3)
      seen.forEach(same)
      same(yield* run(handle.await))
    }))

  it.effect("a typed failure comes back as an instance of its class", () =>
    Effect.gen(function*() {
      const Fails = Workflow.make("fails", { error: Refused })
      const at = DateTime.makeUnsafe(42)
      const { run } = yield* single(Fails.toLayer(() => Effect.fail(new Refused({ at, reason: "no" }))))
      const handle = yield* run(Fails.start(undefined, { runId: "r" }))
      const error = yield* Effect.flip(run(handle.await))
      assert.instanceOf(error, Refused)
      assert.isTrue(Equal.equals(error.at, at))
      assert.strictEqual(yield* run(handle.status), "Failed")
      // From another handle, which has only the store.
      assert.instanceOf(yield* Effect.flip(run(Fails.handle("r").await)), Refused)
    }))

  it.effect("a defect comes back as a defect with its message and cause, and the run is Failed", () =>
    Effect.gen(function*() {
      const Dies = Workflow.make("dies")
      const boom = new Error("boom", { cause: new Error("the reason") })
      const { run } = yield* single(Dies.toLayer(() => Effect.die(boom)))
      const handle = yield* run(Dies.start())
      const exit = yield* Effect.exit(run(handle.await))
      assert(exit._tag === "Failure" && exit.cause.reasons[0]?._tag === "Die")
      const { defect } = exit.cause.reasons[0]
      assert.instanceOf(defect, Error)
      assert.strictEqual(defect.message, "boom")
      assert.strictEqual((defect.cause as Error).message, "the reason")
      assert.strictEqual(yield* run(handle.status), "Failed")
    }))

  it.effect("a workflow without payload and success takes and gives nothing", () =>
    Effect.gen(function*() {
      const Nothing = Workflow.make("nothing")
      const payloads: Array<unknown> = []
      const { run } = yield* single(Nothing.toLayer((payload) => Effect.sync(() => void payloads.push(payload))))
      assert.isUndefined(yield* run(Nothing.execute()))
      assert.isUndefined(yield* run(Nothing.execute(undefined, { runId: "r" })))
      assert.deepStrictEqual(payloads, [undefined, undefined])
    }))

  it.effect("a success its schema cannot encode ends the run as Failed with a defect that says so", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Double.toLayer(() => Effect.succeed(Number.NaN)))
      const handle = yield* run(Double.start({ n: 1 }))
      const exit = yield* Effect.exit(run(handle.await))
      assert(exit._tag === "Failure")
      assert.include(String(exit.cause), "cannot be stored")
      assert.strictEqual(yield* run(handle.status), "Failed")
    }))

  it.effect("a payload that no longer decodes ends the run as Failed without executing the body", () =>
    Effect.gen(function*() {
      const body = counted(Effect.succeed(1))
      const { db, run } = yield* single(Double.toLayer(() => body.effect))
      const draft = { workflow: "double", owner: null, delayMillis: null, timeoutMillis: null, parent: null }
      yield* db.start({ ...draft, id: "r", payload: "{\"m\":1}" })
      const exit = yield* Effect.exit(inTime(run(Double.handle("r").await)))
      assert(exit._tag === "Failure")
      assert.include(String(exit.cause), "payload of run r")
      assert.strictEqual(body.begun, 0)
    }))

  it.effect("an outcome that no longer decodes fails await with Undecodable", () =>
    Effect.gen(function*() {
      const Before = Workflow.make("changed", { success: Schema.Finite })
      const After = Workflow.make("changed", { success: Schema.String })
      const { run } = yield* single(Before.toLayer(() => Effect.succeed(1)))
      yield* run(Before.execute(undefined, { runId: "r" }))
      const error = yield* Effect.flip(run(After.handle("r").await))
      assert.strictEqual(error._tag, "Undecodable")
    }))

  it.effect("an outcome over the store's limit ends the run as Failed with a defect that names the limit", () =>
    Effect.gen(function*() {
      const Long = Workflow.make("long", { success: Schema.String })
      const { node } = yield* cluster({ maxValueBytes: 10_000 })
      const undone: Array<string> = []
      const body = Effect.gen(function*() {
        yield* Step.run("one", Effect.succeed(1)).pipe(
          Step.withUndo("undo one", () => Effect.sync(() => undone.push("one")))
        )
        return "x".repeat(20_000)
      })
      const { run } = yield* node({ bodies: Long.toLayer(() => body) })
      const handle = yield* run(Long.start())
      const exit = yield* Effect.exit(inTime(run(handle.await)))
      assert(exit._tag === "Failure")
      assert.include(String(exit.cause), "10000")
      assert.deepStrictEqual([yield* run(handle.status), undone], ["Failed", ["one"]])
    }))

  it.effect("a payload over the store's limit is refused with ValueTooLarge", () =>
    Effect.gen(function*() {
      const Text = Workflow.make("text", { payload: Schema.String })
      const { node } = yield* cluster({ maxValueBytes: 1000 })
      const { run } = yield* node()
      assert.strictEqual((yield* Effect.flip(run(Text.start("x".repeat(2000)))))._tag, "ValueTooLarge")
    }))
})

describe("a body", () => {
  it.effect("knows its run", () =>
    Effect.gen(function*() {
      const Who = Workflow.make("who", {
        success: Schema.Struct({ id: Schema.String, workflow: Schema.String, attempt: Schema.Finite })
      })
      const { run } = yield* single(Who.toLayer(() => Workflow.current))
      assert.deepStrictEqual(yield* run(Who.execute(undefined, { runId: "r" })), {
        id: "r",
        workflow: "who",
        attempt: 1
      })
    }))

  it.effect("has a scope, closed when it ends", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => void log.push(text))
      const Scoped = Workflow.make("scoped")
      const { run } = yield* single(
        Scoped.toLayer(() =>
          Effect.acquireRelease(note("open"), () => note("closed")).pipe(Effect.andThen(note("used")))
        )
      )
      yield* run(Scoped.execute())
      assert.deepStrictEqual(log, ["open", "used", "closed"])
    }))

  it.effect("that interrupts itself ends as Failed with a defect that says so", () =>
    Effect.gen(function*() {
      const Odd = Workflow.make("odd")
      const { run } = yield* single(Odd.toLayer(() => Effect.interrupt))
      const handle = yield* run(Odd.start())
      const exit = yield* Effect.exit(inTime(run(handle.await)))
      assert(exit._tag === "Failure")
      assert.include(String(exit.cause), "interrupted from within")
      assert.strictEqual(yield* eventually(run(handle.status), (status) => status !== "Running"), "Failed")
    }))
})
