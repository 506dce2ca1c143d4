import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Run from "../src/Run.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, flush, inTime, single, whileTimePasses } from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.String })

/** The tag of the typed failure that the exit is. */
const tagOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string => {
  assert(Exit.isFailure(exit))
  return Option.getOrThrow(Cause.findErrorOption(exit.cause))._tag
}

/** A body's log, and a body that notes when it is interrupted. */
const interruptible = () => {
  const log: Array<string> = []
  const note = (text: string) => Effect.sync(() => void log.push(text))
  const noting = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.onInterrupt(() => note("interrupted")),
      Effect.catchCause(() => note("handled")),
      Effect.andThen(note("went on")),
      Effect.as("ended")
    )
  return { log, note, noting }
}

describe("what no store could keep", () => {
  it.effect("is refused as a reason to cancel, which then does nothing; no run is found by it", () =>
    Effect.gen(function*() {
      const { find, run } = yield* single(Layer.empty)
      yield* run(Workflow.make("waiting").start(undefined, { runId: "r" }))
      for (const odd of ["why\0not", "\ud800"]) {
        const error = yield* Effect.flip(run(Run.cancel("r", { reason: odd })))
        assert(error._tag === "InvalidInput")
        assert.strictEqual(error.field, "reason")
        assert.isTrue(Option.isNone(yield* run(Run.get(odd))))
        const handle = Workflow.make("waiting").handle(odd)
        for (const asked of [handle.info, handle.status, handle.await, handle.cancel] as const) {
          assert.strictEqual((yield* Effect.flip(run(Effect.asVoid(asked as typeof handle.info))))._tag, "RunNotFound")
        }
        assert.deepStrictEqual(yield* run(handle.steps), [])
        assert.deepStrictEqual(yield* run(Run.list({ workflow: [odd] })), [])
      }
      assert.strictEqual((yield* find("r")).status, "Enqueued")
    }))
})

describe("cancelling a run", () => {
  it.effect("that is in a step interrupts it now; finalizers run, handlers do not, and nothing is recorded", () =>
    Effect.gen(function*() {
      const { log, noting } = interruptible()
      const { run, steps } = yield* single(Flow.toLayer(() => noting(Step.run("slow", Effect.sleep("1 hour")))))
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      yield* run(handle.cancel)
      yield* flush
      assert.deepStrictEqual(log, ["interrupted"])
      assert.strictEqual(yield* run(handle.status), "Cancelled")
      yield* elapse("2 hours")
      assert.deepStrictEqual(yield* steps("r"), [])
      assert.strictEqual(yield* run(handle.status), "Cancelled")
    }))

  it.effect("that is in a short sleep or in plain code interrupts it now", () =>
    Effect.gen(function*() {
      for (const body of [Workflow.sleep("5 seconds"), Effect.sleep("5 seconds"), Effect.never]) {
        const { log, noting } = interruptible()
        const { run } = yield* single(Flow.toLayer(() => noting(body)))
        const handle = yield* run(Flow.start())
        yield* flush
        yield* run(handle.cancel)
        yield* flush
        assert.deepStrictEqual(log, ["interrupted"])
      }
    }))

  it.effect("that is in concurrent branches interrupts all of them", () =>
    Effect.gen(function*() {
      const { log, note } = interruptible()
      const branch = (n: number) =>
        Effect.onInterrupt(Step.run("slow", Effect.sleep("1 hour"), { key: `${n}` }), () => note(`interrupted ${n}`))
      const { run } = yield* single(
        Flow.toLayer(() => Effect.as(Effect.forEach([1, 2, 3], branch, { concurrency: "unbounded" }), "ended"))
      )
      const handle = yield* run(Flow.start())
      yield* flush
      yield* run(handle.cancel)
      yield* flush
      assert.deepStrictEqual([...log].sort(), ["interrupted 1", "interrupted 2", "interrupted 3"])
    }))

  it.effect("that is in an uninterruptible region interrupts it after the region, and records nothing more", () =>
    Effect.gen(function*() {
      const { log, note } = interruptible()
      const region = Effect.uninterruptible(
        Effect.sleep("5 seconds").pipe(Effect.andThen(note("region")), Effect.andThen(Step.run("late", note("late"))))
      )
      const { run, steps } = yield* single(
        Flow.toLayer(() =>
          region.pipe(Effect.andThen(note("went on")), Effect.as("ended"), Effect.ensuring(note("finalizer")))
        )
      )
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      yield* run(handle.cancel)
      yield* elapse("10 seconds")
      assert.deepStrictEqual(log, ["region", "finalizer"])
      assert.deepStrictEqual(yield* steps("r"), [])
    }))

  it.effect("that is suspended ends it, and it does not wake", () =>
    Effect.gen(function*() {
      let begun = 0
      const { run } = yield* single(
        Flow.toLayer(() => Effect.suspend(() => (begun++, Effect.as(Workflow.sleep("1 hour"), "ended"))))
      )
      const handle = yield* run(Flow.start())
      yield* flush
      assert.strictEqual(yield* run(handle.status), "Suspended")
      yield* run(handle.cancel)
      yield* elapse("2 hours", 50)
      assert.deepStrictEqual([yield* run(handle.status), begun], ["Cancelled", 1])
    }))

  it.effect("that has not begun means that it never does", () =>
    Effect.gen(function*() {
      let begun = 0
      const { run } = yield* single(Flow.toLayer(() => Effect.sync(() => (begun++, "ended"))))
      const handle = yield* run(Flow.start(undefined, { delay: "1 minute" }))
      yield* run(handle.cancel)
      yield* elapse("10 minutes", 50)
      assert.deepStrictEqual([yield* run(handle.status), begun], ["Cancelled", 0])
    }))

  it.effect("that executes in another process interrupts it there", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { log, noting } = interruptible()
      const worker = yield* node({ bodies: Flow.toLayer(() => noting(Step.run("slow", Effect.sleep("1 hour")))) })
      const client = yield* node()
      const handle = yield* worker.run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      yield* client.run(Run.cancel("r"))
      yield* flush
      assert.deepStrictEqual(log, ["interrupted"])
      assert.strictEqual(yield* client.run(handle.status), "Cancelled")
    }))

  it.effect("whose hint is lost is learned by comparing what the worker holds with what it owns, within five polls", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster({ hints: false })
      const { log, noting } = interruptible()
      const worker = yield* node({ bodies: Flow.toLayer(() => noting(Step.run("slow", Effect.sleep("1 hour")))) })
      const handle = yield* worker.run(Flow.start())
      yield* flush
      yield* worker.run(handle.cancel)
      yield* elapse("6 seconds", 60)
      assert.deepStrictEqual(log, ["interrupted"])
    }))

  it.effect("whose hint is lost is learned by the next write, which is refused", () =>
    Effect.gen(function*() {
      const { node, steps } = yield* cluster({ hints: false })
      const { log, note, noting } = interruptible()
      const body = Effect.andThen(Step.run("one", Effect.sleep("1 second")), Step.run("two", note("two")))
      const worker = yield* node({ bodies: Flow.toLayer(() => noting(body)) })
      const handle = yield* worker.run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      yield* worker.run(handle.cancel)
      yield* elapse("2 seconds")
      assert.deepStrictEqual(log, ["interrupted"])
      assert.deepStrictEqual(yield* steps("r"), [])
    }))

  it.effect("in the very moment between its insertion and its execution ends it before its first record", () =>
    Effect.gen(function*() {
      const { find, node, steps } = yield* cluster()
      const worker = yield* node({ bodies: Flow.toLayer(() => Effect.as(Step.run("one", Effect.void), "ended")) })
      worker.intercept = (method, call) =>
        method === "start" ? Effect.tap(call, () => worker.run(Effect.orDie(Run.cancel("r")))) : call
      yield* worker.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("1 second")
      assert.strictEqual((yield* find("r")).status, "Cancelled")
      assert.deepStrictEqual(yield* steps("r"), [])
    }))

  it.effect("is refused when there is no such run, and when it has ended", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Effect.succeed("ended")))
      assert.strictEqual((yield* Effect.flip(run(Run.cancel("absent"))))._tag, "RunNotFound")
      yield* run(Flow.execute(undefined, { runId: "r" }))
      const error = yield* Effect.flip(run(Run.cancel("r")))
      assert(error._tag === "IllegalTransition")
      assert.deepStrictEqual([error.command, error.status], ["cancel", "Succeeded"])
    }))

  it.effect("by its own body ends it", () =>
    Effect.gen(function*() {
      const { log, noting } = interruptible()
      const { run } = yield* single(Flow.toLayer(() =>
        noting(Effect.andThen(Effect.flatMap(Workflow.current, ({ id }) => Effect.orDie(Run.cancel(id))), Effect.never))
      ))
      const handle = yield* run(Flow.start())
      yield* flush
      assert.strictEqual(yield* run(handle.status), "Cancelled")
      assert.deepStrictEqual(log, ["interrupted"])
    }))
})

describe("awaiting a run", () => {
  it.effect("that is cancelled fails with RunCancelled, also in another process, and before its finalizers are done", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.ensuring(Effect.never, Effect.sleep("1 hour")))
      const worker = yield* node({ bodies })
      const client = yield* node()
      const handle = yield* worker.run(Flow.start())
      yield* flush
      const awaiting = Effect.all([worker.run(Effect.exit(handle.await)), client.run(Effect.exit(handle.await))], {
        concurrency: 2
      })
      const [here, there] = yield* inTime(
        Effect.raceFirst(
          awaiting,
          Effect.andThen(Effect.andThen(Effect.sleep("1 second"), worker.run(handle.cancel)), Effect.never)
        ) as typeof awaiting
      )
      assert.deepStrictEqual([tagOf(here), tagOf(there)], ["RunCancelled", "RunCancelled"])
      yield* elapse("2 hours")
    }))

  it.effect("that timed out fails with RunTimedOut, from its own process and from another", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const worker = yield* node({ bodies: Flow.toLayer(() => Effect.never) })
      const client = yield* node()
      const handle = yield* worker.run(Flow.start(undefined, { timeout: "3 seconds" }))
      assert.strictEqual(tagOf(yield* whileTimePasses(worker.run(handle.await))), "RunTimedOut")
      assert.strictEqual(tagOf(yield* whileTimePasses(client.run(handle.await))), "RunTimedOut")
    }))

  it.effect("that does not exist fails with RunNotFound, as do its status and its row", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Effect.succeed("")))
      const handle = Flow.handle("absent")
      assert.strictEqual(tagOf(yield* Effect.exit(run(handle.await))), "RunNotFound")
      assert.strictEqual(tagOf(yield* Effect.exit(run(handle.status))), "RunNotFound")
      assert.strictEqual(tagOf(yield* Effect.exit(run(handle.info))), "RunNotFound")
      assert.deepStrictEqual(yield* run(handle.steps), [])
      assert.isTrue(Option.isNone(yield* run(Run.get("absent"))))
    }))

  it.effect("may be given up and taken up again without disturbing the run", () =>
    Effect.gen(function*() {
      let begun = 0
      const { run } = yield* single(
        Flow.toLayer(() => Effect.suspend(() => (begun++, Effect.as(Effect.sleep("1 minute"), "ended"))))
      )
      const handle = yield* run(Flow.start())
      for (let i = 0; i < 10; i++) {
        assert.isTrue(Option.isNone(yield* inTime(run(Effect.timeoutOption(handle.await, "1 second")))))
      }
      assert.strictEqual(yield* inTime(run(handle.await), "1 second"), "ended")
      assert.strictEqual(begun, 1)
    }))

  it.effect("goes on when the run moves to another process meanwhile", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.as(Workflow.sleep("8 seconds"), "ended"))
      const first = yield* node({ bodies })
      yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* flush
      const awaiting = yield* Effect.forkChild(first.run(handle.await), { startImmediately: true })
      yield* elapse("1 second")
      yield* first.stop
      yield* eventually(Effect.sync(() => awaiting.pollUnsafe()), (exit) => exit !== undefined)
      assert.deepStrictEqual(awaiting.pollUnsafe(), Exit.succeed("ended"))
    }))

  it.effect("interrupted, as by a caller of execute, leaves the run alone", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Effect.as(Effect.sleep("5 seconds"), "ended")))
      const given = yield* inTime(run(Effect.timeoutOption(Flow.execute(undefined, { runId: "r" }), "1 second")))
      assert.isTrue(Option.isNone(given))
      assert.strictEqual(yield* inTime(run(Flow.handle("r").await)), "ended")
    }))
})

describe("listing runs", () => {
  it.effect("gives the newest first, filtered, a page at a time", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Flow.toLayer(() => Effect.succeed("ended")))
      for (let n = 0; n < 5; n++) {
        yield* run(Flow.start(undefined, { runId: `r${n}`, delay: n === 4 ? "1 hour" : undefined }))
        yield* elapse("1 second")
      }
      const ids = (runs: ReadonlyArray<{ readonly id: string }>) => runs.map(({ id }) => id)
      assert.deepStrictEqual(ids(yield* run(Run.list())), ["r4", "r3", "r2", "r1", "r0"])
      assert.deepStrictEqual(ids(yield* run(Run.list({ status: ["Enqueued"] }))), ["r4"])
      assert.deepStrictEqual(ids(yield* run(Run.list({ workflow: ["other"] }))), [])
      const page = yield* run(Run.list({}, { limit: 2 }))
      assert.deepStrictEqual(ids(page), ["r4", "r3"])
      assert.deepStrictEqual(ids(yield* run(Run.list({}, { limit: 2, after: page[1]! }))), ["r2", "r1"])
    }))
})
