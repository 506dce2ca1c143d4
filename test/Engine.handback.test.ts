/** What becomes of a run when the store fails in a way that nobody can tell to pass. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { StoreError } from "../src/Errors.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { elapse, type Intercept, inTime, single } from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.Unknown })

/** While `on.broken`, these methods fail with an error that asking again may or may not mend. */
const full = (methods: ReadonlyArray<string>, on: { broken: boolean }): Intercept => (method, call) =>
  on.broken && methods.includes(method)
    ? Effect.fail(new StoreError({ method, retryable: false, detail: "No space left on device" }))
    : call

const scenario = Effect.gen(function*() {
  const seen = { ran: 0, undone: 0 }
  const node = yield* single(Flow.toLayer(() =>
    Effect.gen(function*() {
      yield* Step.run("reserve", Effect.void).pipe(
        Step.withUndo("release", () => Effect.sync(() => void seen.undone++))
      )
      yield* Step.run("ship", Effect.sync(() => void seen.ran++))
      yield* Workflow.sleep("1 hour")
      return "done"
    })
  ))
  return { node, seen }
})

describe("an error of the store that may or may not pass", () => {
  it.effect("and passes within seconds runs nothing twice and hands nothing back", () =>
    Effect.gen(function*() {
      const { node, seen } = yield* scenario
      const on = { broken: false }
      node.intercept = (method, call) => {
        if (method === "recordStep" && seen.ran === 1 && !on.broken) on.broken = true
        return full(["recordStep"], on)(method, call)
      }
      const handle = yield* node.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("2 seconds")
      node.intercept = (_, call) => call
      assert.strictEqual(yield* inTime(node.run(handle.await), "2 hours"), "done")
      assert.deepStrictEqual(seen, { ran: 1, undone: 0 })
    }))

  for (const method of ["recordStep", "suspend", "finish"]) {
    it.effect(`hands a run back whose ${method} it refuses, which goes on when it has passed and undoes nothing`, () =>
      Effect.gen(function*() {
        const { node, seen } = yield* scenario
        const on = { broken: true }
        node.intercept = full([method], on)
        const handle = yield* node.run(Flow.start(undefined, { runId: "r" }))
        yield* elapse(method === "finish" ? "1 hour" : "1 second")
        yield* elapse("30 seconds")
        const run = yield* node.run(handle.info)
        assert.isNull(run.outcome)
        assert.isAtLeast(run.handbacks, 2)
        assert.include(run.reason ?? "", "No space left on device")
        on.broken = false
        assert.strictEqual(yield* inTime(node.run(handle.await), "2 hours"), "done")
        const ended = yield* node.run(handle.info)
        assert.deepInclude(ended, { status: "Succeeded", handbacks: 0, reason: null })
        assert.strictEqual(seen.undone, 0)
      }))
  }

  it.effect("is waited for when even handing back meets it", () =>
    Effect.gen(function*() {
      const { node } = yield* scenario
      const on = { broken: true }
      node.intercept = full(["recordStep", "release"], on)
      const handle = yield* node.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("1 minute")
      assert.strictEqual((yield* node.run(handle.info)).status, "Running")
      on.broken = false
      assert.strictEqual(yield* inTime(node.run(handle.await), "2 hours"), "done")
    }))
})

describe("a value that the store can never take", () => {
  it.effect("fails the run that has it as its end, shortly, and undoes it", () =>
    Effect.gen(function*() {
      const { node, seen } = yield* scenario
      let refusals = 0
      node.intercept = (method, call) =>
        method === "finish" && refusals++ === 0
          ? Effect.fail(new StoreError({ method, retryable: false, refused: true, detail: "invalid byte sequence" }))
          : call
      const handle = yield* node.run(Flow.start(undefined, { runId: "r" }))
      const exit = yield* inTime(Effect.exit(node.run(handle.await)), "2 hours")
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual((yield* node.run(handle.info)).status, "Failed")
      assert.strictEqual(seen.undone, 1)
    }))
})
