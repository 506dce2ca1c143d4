import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, inTime, single, whileTimePasses } from "./support/engine.ts"

const Flow = Workflow.make("flow")

type Body = Effect.Effect<unknown, unknown, Workflow.CurrentRun>

/** A step that takes a while and counts how often its effect ran. */
const counting = () => {
  const ran: Array<string> = []
  const step = (name: string, value: string | number, options: { key?: string; takes?: number } = {}) =>
    Step.run(
      name,
      Effect.suspend(() => (ran.push(`${name} ${value}`), Effect.as(Effect.sleep(options.takes ?? 10), value))),
      { key: options.key }
    )
  return { ran, step }
}

/** Executes the body, replays it after a long sleep, and gives what it returned each time. */
const replayed = (body: Body) =>
  Effect.gen(function*() {
    const results: Array<unknown> = []
    const { run } = yield* single(Flow.toLayer(() =>
      Effect.gen(function*() {
        results.push(yield* Effect.orDie(body))
        yield* Workflow.sleep("1 hour", { key: "replay" })
      })
    ))
    const exit = yield* whileTimePasses(run(Flow.execute(undefined, { runId: "r" })), "5 minutes")
    return { exit, results }
  })

/** Executes a body that is accepted, and checks that its replay returns the same without running anything. */
const accepted = (effects: number, make: (c: ReturnType<typeof counting>) => Body) =>
  Effect.gen(function*() {
    const counted = counting()
    const { exit, results } = yield* replayed(make(counted))
    assert(Exit.isSuccess(exit), Exit.isFailure(exit) ? String(exit.cause) : "")
    assert.strictEqual(results.length, 2)
    assert.deepStrictEqual(results[1], results[0])
    assert.strictEqual(counted.ran.length, effects)
  })

/** Executes a body that is refused, and checks that the message names the step and says what to do. */
const refused = (name: string, make: (c: ReturnType<typeof counting>) => Body, remedy = "give it a key") =>
  Effect.gen(function*() {
    const { exit } = yield* replayed(make(counting()))
    assert(Exit.isFailure(exit), "it was accepted")
    const text = String(exit.cause)
    assert.include(text, "NonDeterminism")
    assert.include(text, `Step ${name} of run r`)
    assert.include(text, remedy)
  })

const items = ["a", "b", "c"]

describe("a name needs no key", () => {
  it.effect("in a loop", () => accepted(3, ({ step }) => Effect.forEach(items, (item) => step("one", item))))

  it.effect("under Effect.retry", () =>
    accepted(3, ({ ran, step }) =>
      Effect.retry(
        Effect.flatMap(
          step("one", "x"),
          (value) => ran.length % 3 === 0 ? Effect.succeed(value) : Effect.fail("again")
        ),
        { times: 5 }
      ).pipe(Effect.catch(() => Effect.succeed("x")))))

  it.effect("under Effect.timeout, in a loop and under nested timeouts", () =>
    accepted(6, ({ step }) =>
      Effect.forEach(items, (item) =>
        step("one", item).pipe(
          Effect.timeout("1 second"),
          Effect.andThen(Effect.timeout(step("one", item), "2 seconds")),
          Effect.timeout("5 seconds")
        ))))

  it.effect("in the body after the same name under a timeout, and the other way round", () =>
    accepted(4, ({ step }) =>
      Effect.gen(function*() {
        const first = yield* Effect.timeout(step("one", 1), "1 second")
        const second = yield* step("one", 2)
        const third = yield* Effect.timeout(step("one", 3), "1 second")
        return [first, second, third, yield* step("one", 4)]
      })))

  it.effect("when the first use was under a provided service whose region has ended", () =>
    accepted(3, ({ step }) =>
      Effect.gen(function*() {
        const first = yield* Effect.annotateLogs(step("one", 1), "a", 1)
        const second = yield* Effect.timeout(Effect.annotateLogs(step("one", 2), "a", 2), "1 second")
        return [first, second, yield* step("one", 3)]
      })))

  it.effect("before and after a concurrent section, nor for one branch of it", () =>
    accepted(5, ({ step }) =>
      Effect.gen(function*() {
        const before = yield* step("one", "before")
        const during = yield* Effect.all([step("one", "during"), step("two", 2), step("three", 3)], {
          concurrency: "unbounded"
        })
        return [before, during, yield* step("one", "after")]
      })))

  it.effect("when the branches use different names", () =>
    accepted(3, ({ step }) => Effect.forEach(items, (item) => step(item, item), { concurrency: "unbounded" })))

  it.effect("under a timeout that begins with something else", () =>
    accepted(
      3,
      ({ step }) =>
        Effect.forEach(items, (item) => Effect.timeout(Effect.delay(step("one", item), "5 millis"), "1 second"))
    ))

  it.effect("when a forked fiber has been waited for before the next is forked", () =>
    accepted(
      3,
      ({ step }) => Effect.forEach(items, (item) => Effect.flatMap(Effect.forkChild(step("one", item)), Fiber.join))
    ))
})

describe("concurrent branches that share a name are refused", () => {
  it.effect("in forEach with concurrency", () =>
    refused("one", ({ step }) => Effect.forEach(items, (item) => step("one", item), { concurrency: 2 })))

  it.effect("in Effect.all", () =>
    refused(
      "one",
      ({ step }) => Effect.all([step("one", 1), Effect.delay(step("one", 2), "1 second")], { concurrency: "unbounded" })
    ))

  it.effect("in Effect.all when one of them is late, and even when the other has ended", () =>
    refused(
      "one",
      ({ step }) => Effect.all([Effect.delay(step("one", 1), "1 second"), step("one", 2)], { concurrency: "unbounded" })
    ))

  it.effect("in a race", () => refused("one", ({ step }) => Effect.race(step("one", 1), step("one", 2))))

  it.effect("in a fiber forked beside the body", () =>
    refused("one", ({ step }) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.delay(step("one", 1), "1 second"))
        yield* step("one", 2)
        return yield* Fiber.join(fiber)
      })))

  it.effect("when it is the fiber forked beside the body that is first", () =>
    refused("one", ({ step }) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(step("one", 1, { takes: 5000 }), { startImmediately: true })
        yield* step("one", 2)
        return yield* Fiber.join(fiber)
      })))

  it.effect("for durable sleeps", () =>
    refused(
      "Workflow.sleep",
      () => Effect.all([Workflow.sleep("1 second"), Workflow.sleep("2 seconds")], { concurrency: 2 })
    ))

  it.effect("for times and ids, which are to be taken before the branches fork", () =>
    Effect.gen(function*() {
      yield* refused("Workflow.now", () =>
        Effect.all([Workflow.now, Workflow.now], { concurrency: 2 }), "before the branches fork")
      yield* refused("Workflow.uuid", () =>
        Effect.all([Workflow.uuid, Workflow.uuid], { concurrency: 2 }), "before the branches fork")
    }))

  it.effect("for children that are started", () =>
    Effect.gen(function*() {
      const { db, run } = yield* single(Flow.toLayer(() =>
        Effect.all([Child.start(), Child.start()], { concurrency: 2, discard: true }).pipe(Effect.orDie)
      ))
      const exit = yield* whileTimePasses(run(Flow.execute(undefined, { runId: "r" })))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "give each a runId")
      assert.isAtMost((yield* db.listRuns({ workflow: ["child"] }, { limit: 10, after: null })).length, 1)
    }))

  it.effect("and accepted with a key", () =>
    accepted(4, ({ step }) =>
      Effect.all([
        Effect.forEach(items, (item) => step("one", item, { key: item }), { concurrency: "unbounded" }),
        Effect.race(step("one", 1, { key: "left" }), Effect.delay(step("one", 2, { key: "right" }), "1 second")),
        Workflow.sleep("1 second", { key: "left" }),
        Workflow.sleep("1 second", { key: "right" })
      ], { concurrency: "unbounded" })))

  it.effect("as a defect, which a body's failure handlers do not see", () =>
    refused(
      "one",
      ({ step }) =>
        Effect.forEach(items, (item) => Effect.catch(step("one", item), () => Effect.succeed("caught")), {
          concurrency: 3
        })
    ))
})

const Child = Workflow.make("child")

describe("a body that changed under a run", () => {
  it.effect("is refused when a name stands for another kind of record now", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const before = Flow.toLayer(() =>
        Effect.andThen(Step.run("one", Effect.void), Workflow.sleep("1 hour", { key: "k" }))
      )
      const transaction = Step.transaction("one", Effect.void) as Effect.Effect<void, never, any>
      const after = Flow.toLayer(() =>
        Effect.andThen(transaction as typeof Workflow.uuid, Workflow.sleep("1 hour", { key: "k" }))
      )
      const first = yield* node({ bodies: before })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("1 second")
      yield* first.stop
      const second = yield* node({ bodies: after })
      const exit = yield* whileTimePasses(second.run(handle.await), "1 minute")
      assert.include(String(Exit.isFailure(exit) && exit.cause), "recorded as a Step and now used as a Transaction")
    }))

  it.effect("runs a step that was added, and goes on without one that was removed", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { ran, step } = counting()
      const pause = Workflow.sleep("1 hour")
      const before = Flow.toLayer(() => Effect.asVoid(Effect.all([step("old", 1), step("kept", 2), pause])))
      const after = Flow.toLayer(() => Effect.asVoid(Effect.all([step("new", 3), step("kept", 2), pause])))
      const first = yield* node({ bodies: before })
      const handle = yield* first.run(Flow.start())
      yield* elapse("1 second")
      yield* first.stop
      const second = yield* node({ bodies: after })
      yield* inTime(second.run(handle.await), "1 minute")
      assert.deepStrictEqual(ran, ["old 1", "kept 2", "new 3"])
    }))
})
