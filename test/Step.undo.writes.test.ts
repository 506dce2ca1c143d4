/** Undo steps of what is being written when something else happens. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { away, cluster, elapse, single, whileTimePasses } from "./support/engine.ts"

const Order = Workflow.make("order", { success: Schema.String, error: Schema.String })

/** What was done and undone, in order. */
const journal = () => {
  const log: Array<string> = []
  return { log, note: (text: string) => Effect.sync(() => void log.push(text)) }
}

describe("undo steps", () => {
  it.effect("cover a step whose record is being written when its branch is interrupted, however that comes", () =>
    Effect.gen(function*() {
      const slowly = (
        part: (step: Effect.Effect<void, never, Workflow.CurrentRun>) => Effect.Effect<unknown, unknown, any>
      ) =>
        Effect.gen(function*() {
          const { log, note } = journal()
          const step = Step.run("one", note("one"), { undo: () => note("undo one") })
          const node = yield* single(
            Order.toLayer(() =>
              Effect.andThen(Effect.exit(part(step)) as Effect.Effect<unknown>, Effect.fail("declined"))
            )
          )
          node.intercept = (method, call) => method === "recordStep" ? Effect.delay(call, "1 second") : call
          yield* whileTimePasses(node.run(Order.execute()))
          assert.deepStrictEqual(log, ["one", "undo one"])
        })
      yield* slowly((step) => Effect.timeout(step, "100 millis"))
      yield* slowly((step) => Effect.raceFirst(step, Effect.sleep("100 millis")))
      yield* slowly((step) =>
        Effect.all([step, Effect.andThen(Effect.sleep("100 millis"), Effect.fail("no"))], { concurrency: 2 })
      )
      yield* slowly((step) =>
        Effect.flatMap(
          Effect.forkChild(step),
          (fiber) => Effect.andThen(Effect.sleep("100 millis"), Fiber.interrupt(fiber))
        )
      )
    }))

  it.effect("wait for what is being written when the deadline comes, in all branches", () =>
    Effect.gen(function*() {
      const { log, note } = journal()
      const branches = [1, 2, 3, 4]
      const node = yield* single(Order.toLayer(() =>
        Effect.as(
          Effect.forEach(branches, (n) =>
            Effect.forEach([1, 2, 3], (i) =>
              Step.run(`${n}.${i}`, note(`${n}.${i}`), { undo: () => note(`undo ${n}.${i}`) })), {
            concurrency: "unbounded"
          }),
          ""
        )
      ))
      let writes = 0
      node.intercept = (method, call) =>
        method === "recordStep" ? Effect.delay(call, 300 + 70 * (writes++ % 5)) : call
      const handle = yield* node.run(Order.start(undefined, { runId: "r", timeout: "900 millis" }))
      const exit = yield* whileTimePasses(node.run(handle.await), "10 millis")
      assert.include(String(Exit.isFailure(exit) && exit.cause), "RunTimedOut")
      const done = (yield* node.steps("r")).filter(({ kind }) => kind === "Step").map(({ name }) => name)
      assert.isAbove(done.length, 4)
      assert.deepStrictEqual(
        log.filter((entry) => entry.startsWith("undo")).map((entry) => entry.slice(5)).sort(),
        done.sort()
      )
    }))

  it.effect("do not hold a stop of the engine when the store is away", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const { log, note } = journal()
      const step = Step.run("one", note("one"), { undo: () => note("undo one") })
      const bodies = Order.toLayer(() => Effect.andThen(step, Effect.fail("declined")))
      const first = yield* node({ bodies })
      first.intercept = (method, call) => method === "recordStep" ? away(method) : call
      const handle = yield* first.run(Order.start(undefined, { runId: "r" }))
      yield* elapse("1 second")
      yield* first.stop
      assert.strictEqual((yield* find("r")).status, "Enqueued")
      const second = yield* node({ bodies })
      yield* whileTimePasses(second.run(handle.await))
      assert.deepStrictEqual(log, ["one", "one", "undo one"])
    }))

  it.effect("run for a reason that is short when the run's own failure is too large to be recorded", () =>
    Effect.gen(function*() {
      const Large = Workflow.make("large", { error: Schema.String })
      const told: Array<string> = []
      const { db, node } = yield* cluster({ maxValueBytes: 2_000 })
      const { run } = yield* node({
        bodies: Large.toLayer(() =>
          Step.run("one", Effect.void, {
            undo: (_, cause) => Effect.sync(() => void told.push(String(Cause.squash(cause))))
          }).pipe(Effect.andThen(Effect.fail("x".repeat(3_000))))
        )
      })
      const exit = yield* whileTimePasses(run(Large.execute(undefined, { runId: "r" })))
      assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), "bytes of JSON")
      assert.lengthOf(told, 1)
      assert.include(told[0], "bytes of JSON")
      assert.lengthOf((yield* db.listSteps("r")).filter(({ kind }) => kind === "Failure"), 1)
    }))
})
