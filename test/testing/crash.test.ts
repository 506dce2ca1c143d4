/** Crashes where a test says so, and steps that do something else than they would. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { StepTimedOut, StoreError } from "../../src/Errors.ts"
import * as Step from "../../src/Step.ts"
import { Interceptor } from "../../src/SystemDb.ts"
import * as Testing from "../../src/Testing.ts"
import * as Workflow from "../../src/Workflow.ts"

const Order = Workflow.make("order", { payload: Schema.String, success: Schema.String, error: Schema.String })
const Part = Workflow.make("part")

/** An order of every kind of fact, and a note of everything it does. */
const orders = () => {
  const log: Array<string> = []
  const note = (what: string) => Effect.sync(() => void log.push(what))
  const body = Order.toLayer(Effect.fnUntraced(function*(id) {
    yield* note("begin")
    yield* Step.run("charge", note("charge"), { undo: () => note("refund") })
    yield* Step.run(
      "flaky",
      Effect.flatMap(Step.attempt, (n) => Effect.andThen(note(`try ${n}`), n < 2 ? Effect.fail("Busy") : Effect.void)),
      { retry: Step.backoff({ times: 3 }) }
    )
    yield* Workflow.uuid
    yield* Workflow.sleep("1 hour")
    yield* Effect.orDie(Part.execute())
    yield* note("end")
    return id === "bad" ? yield* Effect.fail("refused") : `${id} done`
  }))
  return { log, layer: Layer.merge(body, Part.toLayer(() => Effect.void)) }
}

describe("a crash", () => {
  const undisturbed = ["begin", "charge", "try 1", "try 2", "begin", "end"]

  const places: ReadonlyArray<
    readonly [what: string, place: Testing.Place, log: ReadonlyArray<string>, payload?: string]
  > = [
    ["at the start", { before: "Start" }, undisturbed],
    ["between an effect and its record", { before: "Step", step: "charge" }, [
      "begin",
      "charge",
      "begin",
      "charge",
      "try 1",
      "try 2",
      "begin",
      "end"
    ]],
    ["after a record", { after: "Step", step: "charge" }, [
      "begin",
      "charge",
      "begin",
      "try 1",
      "try 2",
      "begin",
      "end"
    ]],
    ["between the second effect and its record", { before: "Step", nth: 2 }, [
      "begin",
      "charge",
      "try 1",
      "try 2",
      "begin",
      "try 2",
      "begin",
      "end"
    ]],
    ["before a failed attempt is recorded", { before: "Attempt", step: "flaky" }, [
      "begin",
      "charge",
      "try 1",
      "begin",
      "try 1",
      "try 2",
      "begin",
      "end"
    ]],
    ["after a failed attempt is recorded", { after: "Attempt" }, [
      "begin",
      "charge",
      "try 1",
      "begin",
      "try 2",
      "begin",
      "end"
    ]],
    ["at a value", { after: "Value" }, ["begin", "charge", "try 1", "try 2", "begin", "begin", "end"]],
    ["at a sleep", { after: "Sleep" }, ["begin", "charge", "try 1", "try 2", "begin", "begin", "end"]],
    ["before a suspension", { before: "Suspend" }, ["begin", "charge", "try 1", "try 2", "begin", "begin", "end"]],
    ["after a suspension", { after: "Suspend" }, undisturbed],
    ["at the start of a child", { before: "Child" }, ["begin", "charge", "try 1", "try 2", "begin", "begin", "end"]],
    ["at the end", { before: "Finish", workflow: Order }, [...undisturbed, "begin", "end"]],
    ["after the end", { after: "Finish", workflow: "order" }, undisturbed],
    ["between an undo and its record", { before: "Undo" }, [...undisturbed, "refund", "begin", "end", "refund"], "bad"],
    ["before the failure is recorded", { before: "Failure" }, [...undisturbed, "begin", "end", "refund"], "bad"]
  ]

  for (const [what, place, expected, payload = "good"] of places) {
    it.effect(`${what} leaves the outcome as it is, and repeats what was not recorded`, () => {
      const { layer, log } = orders()
      return Effect.gen(function*() {
        yield* Testing.crash(place)
        const ended = Effect.catch(Order.execute(payload), Effect.succeed)
        assert.strictEqual(yield* Testing.until(ended), payload === "bad" ? "refused" : "good done")
        assert.deepStrictEqual(log, expected)
        const [crash, ...more] = yield* Testing.crashes
        assert.strictEqual(crash?.fact, place.before ?? place.after)
        assert.deepStrictEqual(more, [])
      }).pipe(Effect.provide(Layer.provideMerge(layer, Testing.layer())))
    })
  }

  it.effect("strikes the run that is named, and no other", () => {
    const { layer } = orders()
    return Effect.gen(function*() {
      yield* Testing.crash({ after: "Step", runId: "B" })
      yield* Testing.until(Effect.all([Order.execute("A", { runId: "A" }), Order.execute("B", { runId: "B" })]))
      const [crash] = yield* Testing.crashes
      assert.deepInclude(crash, { runId: "B", workflow: "order", step: "charge", side: "after" })
    }).pipe(Effect.provide(Layer.provideMerge(layer, Testing.layer({ workers: 2 }))))
  })

  it.effect("keeps what the worker asked before from being answered", () => {
    const log: Array<string> = []
    const body = Order.toLayer(Effect.fnUntraced(function*(id) {
      if (id !== "waiting") return yield* Effect.as(Step.run("pay", Effect.void), id)
      const other = yield* Effect.orDie(Order.handle("other").await)
      log.push(`heard of ${other}`)
      return other
    }))
    return Effect.gen(function*() {
      yield* Testing.crash({ before: "Step", step: "pay" })
      const other = yield* Order.start("other", { runId: "other", delay: "1 minute" })
      yield* Testing.until(Effect.all([Order.execute("waiting"), other.await]))
      assert.deepStrictEqual(log, ["heard of other"])
    }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer())))
  })
})

describe("a step that is replaced", () => {
  const body = Order.toLayer(Effect.fnUntraced(function*(id) {
    const receipt = yield* Step.run("charge", Effect.succeed(`receipt of ${id}`), {
      error: Schema.String,
      retry: Step.backoff({ times: 2, base: "1 minute" }),
      timeout: "10 minutes"
    }).pipe(Effect.catchTag("StepTimedOut", () => Effect.fail("too slow")))
    yield* Step.run("ship", Effect.void, { key: id })
    return receipt
  }))
  const AppTest = Layer.provideMerge(body, Testing.layer())
  const minutes = Effect.map(Clock.currentTimeMillis, (now) => (now - Date.UTC(2026, 0)) / 60_000)

  it.effect("fails as the test says, at the attempt that it says, and is retried", () =>
    Effect.gen(function*() {
      yield* Testing.replaceStep({ step: "charge", nth: 2 }, () => Effect.fail("Busy"))
      assert.strictEqual(yield* Testing.until(Order.execute("1")), "receipt of 1")
      const second = yield* Order.start("2")
      assert.strictEqual(yield* Testing.until(second.await), "receipt of 2")
      const [charge] = yield* second.steps
      assert.deepInclude(charge, { name: "charge", attempts: 2 })
    }).pipe(Effect.provide(Layer.fresh(AppTest))))

  it.effect("takes as long as the test says, and no longer than its time-out", () =>
    Effect.gen(function*() {
      yield* Testing.replaceStep({ step: "charge", nth: 1 }, Effect.delay("5 minutes"))
      yield* Testing.until(Order.execute("1"))
      assert.strictEqual(yield* minutes, 5)
      yield* Testing.replaceStep("charge", Effect.delay("1 hour"))
      assert.strictEqual(yield* Effect.flip(Testing.until(Order.execute("2", { runId: "2" }))), "too slow")
      const outcome = yield* Testing.outcome("2", "charge")
      assert.instanceOf(yield* Effect.flip(Option.getOrThrow(outcome)), StepTimedOut)
    }).pipe(Effect.provide(Layer.fresh(AppTest))))

  it.effect("returns what the test says, which is recorded, for the workflow and the key that are named", () =>
    Effect.gen(function*() {
      yield* Testing.replaceStep({ step: "charge", workflow: Order }, () => Effect.succeed("nothing"))
      yield* Testing.replaceStep({ step: "charge", workflow: "another" }, () => Effect.die("not this one"))
      yield* Testing.replaceStep({ step: "ship", key: "1" }, () => Effect.die("lost"))
      const one = yield* Order.start("1")
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Testing.until(one.await))))
      assert.deepStrictEqual(yield* Testing.outcome(one, "charge"), Option.some(Exit.succeed("nothing")))
      assert.strictEqual(yield* Testing.until(Order.execute("2")), "nothing")
    }).pipe(Effect.provide(Layer.fresh(AppTest))))
})

describe("an outcome", () => {
  const Typed = Workflow.make("typed", { payload: Schema.Boolean })
  class Declined extends Schema.TaggedError<Declined>("test/Declined")("Declined", { amount: Schema.Int }) {}
  const at = DateTime.makeUnsafe("2026-05-01T00:00:00Z")
  const body = Typed.toLayer(Effect.fnUntraced(function*(paid) {
    yield* Workflow.sleep("1 hour")
    yield* Effect.ignore(
      Step.run("charge", paid ? Effect.succeed(at) : Effect.fail(new Declined({ amount: 7 })), {
        success: Schema.DateTimeUtc,
        error: Declined
      })
    )
    for (const n of [1, 2]) yield* Step.run("count", Effect.succeed(n))
  }))
  const schemas = { success: Schema.DateTimeUtc, error: Declined }

  it.effect("comes back as what it was, with the step's schemas", () =>
    Effect.gen(function*() {
      const paid = yield* Typed.start(true)
      assert.deepStrictEqual(yield* Testing.outcome(paid, "charge", schemas), Option.none())
      const declined = yield* Typed.start(false)
      yield* Testing.until(Effect.all([paid.await, declined.await]))
      assert.deepStrictEqual(yield* Testing.outcome(paid.id, "charge", schemas), Option.some(Exit.succeed(at)))
      const found = yield* Testing.outcome(declined, "charge", schemas)
      const error = Option.getOrThrow(found)
      assert.isTrue(Exit.isFailure(error))
      assert.instanceOf(yield* Effect.flip(Option.getOrThrow(found)), Declined)
      assert.deepStrictEqual(
        yield* Testing.outcome(paid, "count", { occurrence: 2, success: Schema.Int }),
        Option.some(Exit.succeed(2))
      )
      const undecodable = yield* Effect.flip(Testing.outcome(paid, "charge", { success: Schema.Int }))
      assert.strictEqual(undecodable._tag, "Undecodable")
    }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer()))))
})

describe("the interceptor", () => {
  it.effect("stands between the workers and the store when the test's layer is built on it", () => {
    const methods: Array<string> = []
    let refusals = 2
    const trouble = Layer.succeed(Interceptor, (method, call) => {
      methods.push(method)
      if (method !== "recordStep" || refusals-- <= 0) return call
      return Effect.fail(new StoreError({ method, retryable: true, detail: "not now" })) as never
    })
    const body = Order.toLayer((id) => Step.run("charge", Effect.succeed(id)))
    return Effect.gen(function*() {
      assert.strictEqual(yield* Testing.until(Order.execute("1")), "1")
      assert.strictEqual(methods.filter((method) => method === "recordStep").length, 3)
      assert.include(methods, "start")
    }).pipe(Effect.provide(body.pipe(Layer.provideMerge(Testing.layer()), Layer.provideMerge(trouble))))
  })
})
