import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, inTime, single, whileTimePasses } from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.String })

const timedOut = (exit: Exit.Exit<unknown, { readonly _tag: string }>): void => {
  assert(Exit.isFailure(exit), "it succeeded")
  assert.strictEqual(Option.getOrUndefined(Cause.findErrorOption(exit.cause))?._tag, "RunTimedOut", String(exit.cause))
}

const journal = () => {
  const log: Array<string> = []
  const note = (text: string) => Effect.sync(() => void log.push(text))
  const undoable = (name: string) =>
    Step.run(name, note(name)).pipe(Step.withUndo(`undo ${name}`, () => note(`undo ${name}`)))
  return { log, note, undoable }
}

describe("a run's timeout", () => {
  it.effect("interrupts the step that is running, with its finalizers, and undoes what was done", () =>
    Effect.gen(function*() {
      const { log, note, undoable } = journal()
      const slow = Effect.onInterrupt(Effect.sleep("1 hour"), () => note("interrupted"))
      const { find, run, steps } = yield* single(
        Flow.toLayer(() => Effect.as(Effect.andThen(undoable("one"), Step.run("slow", slow)), "ended"))
      )
      const handle = yield* run(Flow.start(undefined, { runId: "r", timeout: "5 seconds" }))
      timedOut(yield* whileTimePasses(run(handle.await)))
      assert.deepStrictEqual(log, ["one", "interrupted", "undo one"])
      const { deadline, finishedAt, outcome, status } = yield* find("r")
      assert.deepStrictEqual({ deadline, finishedAt, outcome, status }, {
        deadline: 5000,
        finishedAt: 5000,
        outcome: "{\"_tag\":\"TimedOut\"}",
        status: "Failed"
      })
      assert.deepStrictEqual((yield* steps("r")).map(({ name }) => name), ["one", "Workflow.failure", "undo one"])
    }))

  it.effect("of the workflow is the default for its runs", () =>
    Effect.gen(function*() {
      const Quick = Workflow.make("quick", { timeout: "2 seconds" })
      const { find, run } = yield* single(Quick.toLayer(() => Effect.never))
      const handle = yield* run(Quick.start(undefined, { runId: "r" }))
      timedOut(yield* whileTimePasses(run(handle.await)))
      assert.strictEqual((yield* find("r")).finishedAt, 2000)
    }))

  it.effect("does nothing to a run that ends before", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Effect.as(Effect.sleep("4 seconds"), "ended")))
      const handle = yield* run(Flow.start(undefined, { timeout: "5 seconds" }))
      yield* elapse("10 seconds", 50)
      assert.strictEqual(yield* run(handle.await), "ended")
    }))

  it.effect("counts from when the run begins, not from when it is started", () =>
    Effect.gen(function*() {
      const { find, run } = yield* single(Flow.toLayer(() => Effect.never))
      const handle = yield* run(Flow.start(undefined, { runId: "r", timeout: "5 seconds", delay: "1 minute" }))
      timedOut(yield* whileTimePasses(run(handle.await), "500 millis"))
      assert.strictEqual((yield* find("r")).finishedAt, 65_000)
    }))

  it.effect("survives a crash: the deadline stays where it was", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.andThen(Step.run("one", Effect.void), Effect.never))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r", timeout: "20 seconds" }))
      yield* elapse("10 seconds")
      yield* first.crash
      const second = yield* node({ bodies })
      timedOut(yield* whileTimePasses(second.run(handle.await)))
      assert.strictEqual((yield* find("r")).finishedAt, 20_000)
    }))

  it.effect("that passes while the run is suspended ends it then, and not when it would have woken", () =>
    Effect.gen(function*() {
      const { log, undoable } = journal()
      const { find, run } = yield* single(
        Flow.toLayer(() => Effect.as(Effect.andThen(undoable("one"), Workflow.sleep("10 hours")), "ended"))
      )
      const handle = yield* run(Flow.start(undefined, { runId: "r", timeout: "1 hour" }))
      yield* elapse("1 minute")
      assert.strictEqual((yield* find("r")).status, "Suspended")
      timedOut(yield* whileTimePasses(run(handle.await), "1 minute"))
      assert.strictEqual((yield* find("r")).finishedAt, 3_600_000)
      assert.deepStrictEqual(log, ["one", "undo one"])
    }))

  it.effect("that is a little later than a long wait begins is kept too", () =>
    Effect.gen(function*() {
      const { find, run } = yield* single(Flow.toLayer(() => Effect.as(Workflow.sleep("10 hours"), "ended")))
      const handle = yield* run(Flow.start(undefined, { runId: "r", timeout: "5 seconds" }))
      timedOut(yield* whileTimePasses(run(handle.await)))
      assert.strictEqual((yield* find("r")).finishedAt, 5000)
    }))

  it.effect("that passes while the run waits for its next attempt ends it then", () =>
    Effect.gen(function*() {
      const { find, run } = yield* single(Flow.toLayer(() =>
        Step.run("call", Effect.as(Effect.fail("no"), ""), { retry: EffectSchedule.spaced("10 hours") }).pipe(
          Effect.orDie
        )
      ))
      const handle = yield* run(Flow.start(undefined, { runId: "r", timeout: "1 hour" }))
      timedOut(yield* whileTimePasses(run(handle.await), "1 minute"))
      assert.strictEqual((yield* find("r")).finishedAt, 3_600_000)
    }))

  it.effect("that passes while no worker is alive ends the run when there is one, and undoes what was done", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, note, undoable } = journal()
      const bodies = Flow.toLayer(() =>
        Effect.gen(function*() {
          yield* undoable("one")
          yield* undoable("two")
          yield* Step.run("three", Effect.andThen(note("three"), Effect.sleep("20 seconds")))
          return "ended"
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { timeout: "5 seconds" }))
      yield* elapse("1 second")
      yield* first.crash
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      timedOut(yield* whileTimePasses(second.run(handle.await)))
      assert.deepStrictEqual(log, ["one", "two", "three", "undo two", "undo one"])
    }))

  it.effect("that passed before anything was recorded ends the run at once, without its body", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      let begun = 0
      const bodies = Flow.toLayer(() => Effect.suspend(() => (begun++, Effect.never)))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { runId: "r", timeout: "5 seconds" }))
      yield* elapse("1 second")
      yield* first.crash
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      timedOut(yield* whileTimePasses(second.run(handle.await)))
      assert.strictEqual(begun, 1)
      assert.strictEqual((yield* find("r")).attempt, 2)
    }))

  it.effect("that passed stops a replay which hangs in plain code after its records", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, undoable } = journal()
      const bodies = Flow.toLayer(() => Effect.andThen(undoable("one"), Effect.never))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { timeout: "5 seconds" }))
      yield* elapse("1 second")
      yield* first.crash
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      timedOut(yield* whileTimePasses(second.run(handle.await)))
      assert.deepStrictEqual(log, ["one", "undo one"])
    }))

  it.effect("that passed stops a replay which hangs before it has come to all of its records", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, undoable } = journal()
      let hangs = false
      const bodies = Flow.toLayer(() =>
        Effect.gen(function*() {
          yield* undoable("one")
          if (hangs) yield* Effect.never
          yield* undoable("two")
          return yield* Effect.never
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start(undefined, { timeout: "5 seconds" }))
      yield* elapse("1 second")
      yield* first.crash
      hangs = true
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      timedOut(yield* whileTimePasses(second.run(handle.await)))
      assert.deepStrictEqual(log, ["one", "two", "undo one"])
    }))

  it.effect("that passed lets a run succeed whose every step was recorded before", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Step.run("one", Effect.succeed("ended")))
      const first = yield* node({ bodies })
      first.intercept = (method, call) => method === "finish" ? Effect.never : call
      const handle = yield* first.run(Flow.start(undefined, { timeout: "5 seconds" }))
      yield* elapse("1 second")
      yield* first.crash
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), "ended")
    }))

  it.effect("is measured by the run's own start, not by that of a child it waits for", () =>
    Effect.gen(function*() {
      const Child = Workflow.make("child", { success: Schema.Finite })
      const Parent = Workflow.make("parent", { success: Schema.Finite })
      const bodies = Effect.sync(() =>
        Child.toLayer(() => Effect.andThen(Effect.sleep("30 seconds"), Clock.currentTimeMillis))
      )
      const { node } = yield* cluster()
      const child = yield* bodies
      const { run } = yield* node({ bodies: child })
      const other = yield* node({
        bodies: Parent.toLayer(() => Effect.orDie(Child.execute(undefined, { runId: "child" })))
      })
      const handle = yield* other.run(Parent.start(undefined, { timeout: "10 seconds" }))
      timedOut(yield* whileTimePasses(other.run(handle.await)))
      assert.strictEqual(yield* inTime(run(Child.handle("child").await)), 30_000)
    }))
})
