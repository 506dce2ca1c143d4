/** Crashes at every point there is: nothing is found in what is right, and what is wrong is found. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Step from "../../src/Step.ts"
import * as Testing from "../../src/Testing.ts"
import * as Workflow from "../../src/Workflow.ts"

const Order = Workflow.make("order", { payload: Schema.String, success: Schema.String, error: Schema.String })
const order = Order.execute("42", { runId: "42" })

const Part = Workflow.make("part", { payload: Schema.String, success: Schema.String })
const PartLive = Part.toLayer((name) =>
  Effect.andThen(Workflow.sleep("1 minute"), Step.run("make", Effect.succeed(`${name} made`)))
)

/** Takes the same payment once, as a service with idempotency keys does. */
class Till extends Context.Service<Till, { readonly paid: Set<string> }>()("test/Till") {}
const TillLive = Layer.effect(Till, Effect.sync(() => ({ paid: new Set<string>() })))

/** What is refused, or undefined when nothing is. */
const refusal = <E2>(check: Effect.Effect<unknown, Testing.CrashDiffers | E2>) =>
  Effect.map(Effect.flip(check), (error) => error as Testing.CrashDiffers)

describe("crashing everywhere finds nothing", () => {
  it.effect("in a workflow with sleeps, children, retries, branches and values", () => {
    const OrderLive = Order.toLayer(Effect.fnUntraced(function*(id) {
      const till = yield* Till
      yield* Step.run("charge", Effect.sync(() => void till.paid.add(id)))
      yield* Workflow.sleep("1 hour")
      yield* Workflow.uuid
      yield* Step.run(
        "flaky",
        Effect.flatMap(Step.attempt, (attempt) => attempt < 3 ? Effect.fail("Busy") : Effect.void),
        { retry: Step.backoff({ times: 5 }) }
      )
      const parts = yield* Effect.forEach(
        ["a", "b"],
        (part) => Effect.orDie(Part.execute(part, { runId: `part-${part}` })),
        { concurrency: 2 }
      )
      yield* Effect.forEach([1, 2, 3], (n) => Step.run("pack", Effect.void, { key: String(n) }), { concurrency: 3 })
      yield* Workflow.sleep("1 second")
      return parts.join()
    }))
    const program = Effect.gen(function*() {
      const parts = yield* order
      return { parts, paid: [...(yield* Till).paid] }
    })
    return Effect.gen(function*() {
      const { exit, points } = yield* Testing.crashEverywhere(program, {
        layer: Layer.mergeAll(OrderLive, PartLive).pipe(Layer.provideMerge(TillLive)),
        workers: 2
      })
      assert.deepStrictEqual(exit, Exit.succeed({ parts: "a made,b made", paid: ["42"] }))
      assert.deepStrictEqual(
        [...new Set(points.map(({ fact }) => fact))].sort(),
        ["Attempt", "Child", "Finish", "Sleep", "Start", "Step", "Suspend", "Value"]
      )
    })
  })

  it.effect("in a workflow that fails and undoes what it did", () => {
    const OrderLive = Order.toLayer(Effect.fnUntraced(function*(id) {
      const till = yield* Till
      yield* Step.run("charge", Effect.sync(() => void till.paid.add(id)), {
        undo: () => Effect.sync(() => till.paid.delete(id))
      })
      yield* Workflow.sleep("1 hour")
      yield* Step.run("ship", Effect.fail("Lost"))
      return "shipped"
    }))
    const program = Effect.gen(function*() {
      const error = yield* Effect.flip(order)
      return [error, ...(yield* Till).paid]
    })
    return Effect.gen(function*() {
      const { exit, points } = yield* Testing.crashEverywhere(program, {
        layer: Layer.provideMerge(OrderLive, TillLive)
      })
      assert.deepStrictEqual(exit, Exit.succeed(["Lost"]))
      assert.includeMembers(points.map(({ fact }) => fact), ["Undo", "Failure"])
    })
  })

  it.effect("in runs that the program starts without an id, and does not await", () => {
    const OrderLive = Order.toLayer((id) => Step.run("charge", Effect.succeed(`paid ${id}`)))
    return Effect.gen(function*() {
      const program = Effect.andThen(Order.execute("1"), Order.start("2"))
      const { points } = yield* Testing.crashEverywhere(Effect.asVoid(program), { layer: OrderLive })
      assert.strictEqual(new Set(points.map(({ runId }) => runId)).size, 2)
    })
  })
})

describe("crashing everywhere finds", () => {
  const chance = Order.toLayer(Effect.fnUntraced(function*() {
    yield* Step.run("charge", Effect.void)
    // Between the steps, so it is another one on replay.
    const dice = yield* Random.nextIntBetween(0, 1_000_000)
    yield* Step.run(`ship by ${dice}`, Effect.void)
    return "shipped"
  }))

  it.effect("a path that chance decides, at the first crash behind it", () =>
    Effect.gen(function*() {
      const found = yield* refusal(Testing.crashEverywhere(order, { layer: chance }))
      assert.match(found.crash, /^run 42 of order: before the outcome of ship by \d+ was recorded$/)
      assert.match(found.differences.join("\n"), /did not record ship by .*\n.*also recorded ship by/)
    }))

  it.effect("a number outside of the body that counts executions", () => {
    const counting = Layer.unwrap(Effect.sync(() => {
      let executions = 0
      return Order.toLayer(Effect.fnUntraced(function*() {
        executions++
        yield* Step.run("charge", Effect.void)
        return `executed ${executions} times`
      }))
    }))
    return Effect.gen(function*() {
      const found = yield* refusal(Testing.crashEverywhere(order, { layer: counting }))
      assert.strictEqual(found.crash, "run 42 of order: before the outcome of charge was recorded")
    })
  })

  it.effect("an effect that is not idempotent, when the program returns what it did", () => {
    class Mails extends Context.Service<Mails, Array<string>>()("test/Mails") {}
    const OrderLive = Order.toLayer(Effect.fnUntraced(function*(id) {
      const mails = yield* Mails
      yield* Step.run("mail", Effect.sync(() => void mails.push(id)))
      return id
    }))
    const layer = Layer.provideMerge(OrderLive, Layer.effect(Mails, Effect.sync((): Array<string> => [])))
    return Effect.gen(function*() {
      const found = yield* refusal(Testing.crashEverywhere(Effect.andThen(order, Mails), { layer }))
      assert.strictEqual(found.crash, "run 42 of order: before the outcome of mail was recorded")
      assert.deepStrictEqual(found.differences, [
        `the program ended with success ["42","42"], and not with success ["42"]`
      ])
    })
  })

  it.effect("a world that is another one although nothing crashed", () => {
    let worlds = 0
    const OrderLive = Layer.unwrap(Effect.sync(() => {
      const world = ++worlds
      return Order.toLayer(() => Effect.as(Step.run(`step of world ${world}`, Effect.void), "done"))
    }))
    return Effect.gen(function*() {
      const found = yield* refusal(Testing.crashEverywhere(order, { layer: OrderLive }))
      assert.include(found.message, "run 42 of order did not record step of world 1")
    })
  })

  it.effect("values that differ, unless they are named as varying", () => {
    const OrderLive = Order.toLayer(() =>
      Effect.as(Effect.andThen(Step.run("dice", Random.next), Step.run("ship", Effect.void)), "shipped")
    )
    return Effect.gen(function*() {
      const found = yield* refusal(Testing.crashEverywhere(order, { layer: OrderLive }))
      assert.match(found.differences[0]!, /^run 42 of order recorded .* of dice, and not /)
      yield* Testing.crashEverywhere(order, { layer: OrderLive, varying: ["dice"] })
    })
  })

  it.effect("no fault in a program without runs or that dies: it dies", () => {
    const OrderLive = Order.toLayer(() => Effect.succeed("done"))
    return Effect.gen(function*() {
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Testing.crashEverywhere(Effect.void, { layer: OrderLive }))))
      const dying = Effect.andThen(order, Effect.die("no"))
      const exit = yield* Effect.exit(Testing.crashEverywhere(dying, { layer: OrderLive }))
      assert.isTrue(
        Exit.isFailure(exit) && exit.cause.reasons.some((reason) => Cause.isDieReason(reason) && reason.defect === "no")
      )
    })
  })
})

// ── whatever the workflow ───────────────────────────────────────────────────────────────────────────────────────────

const parts = ["step", "failing", "flaky", "undone", "sleep", "nap", "child", "branches", "uuid", "now"] as const

const execute = (part: typeof parts[number], at: number) => {
  const name = `${at}`
  switch (part) {
    case "step":
      return Step.run(name, Effect.succeed(at))
    case "failing":
      return Effect.ignore(Step.run(name, Effect.fail("no")))
    case "flaky":
      return Step.run(name, Effect.flatMap(Step.attempt, (attempt) => attempt < 2 ? Effect.fail("no") : Effect.void), {
        retry: Step.backoff({ times: 3 })
      })
    case "undone":
      return Step.run(name, Effect.void, { undo: () => Effect.void })
    case "sleep":
      return Workflow.sleep("1 hour")
    case "nap":
      return Workflow.sleep("1 second")
    case "child":
      return Effect.orDie(Part.execute(name))
    case "branches":
      return Effect.forEach(["a", "b"], (key) => Step.run(name, Effect.void, { key }), { concurrency: 2 })
    case "uuid":
      return Workflow.uuid
    case "now":
      return Workflow.now
  }
}

const Body = Schema.Array(Schema.Literals(parts)).check(Schema.isMinLength(1), Schema.isMaxLength(5))

const layerOf = (body: ReadonlyArray<typeof parts[number]>, fails: boolean, planted: number | undefined) =>
  Layer.merge(
    PartLive,
    Order.toLayer(Effect.fnUntraced(function*() {
      for (const [at, part] of body.entries()) {
        if (at === planted) yield* Step.run(`${yield* Random.nextIntBetween(0, 1_000_000_000)}`, Effect.void)
        yield* execute(part, at)
      }
      return yield* fails ? Effect.fail("failed") : Effect.succeed("done")
    }))
  )

it.effect.prop(
  "of any workflow that is deterministic every crash comes to the same",
  { body: Body, fails: Schema.Boolean },
  ({ body, fails }) => Testing.crashEverywhere(Effect.exit(order), { layer: layerOf(body, fails, undefined) }),
  { arbitrary: { runs: 25 }, timeout: 120_000 }
)

it.effect.prop(
  "of any workflow a step that chance names is found",
  { body: Body, fails: Schema.Boolean, at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })) },
  ({ at, body, fails }) => {
    const planted = at % body.length
    return Effect.map(
      refusal(Testing.crashEverywhere(Effect.exit(order), { layer: layerOf(body, fails, planted) })),
      (found) => assert.strictEqual(found._tag, "CrashDiffers")
    )
  },
  { arbitrary: { runs: 25 }, timeout: 120_000 }
)
