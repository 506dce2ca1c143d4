/** What happens when workers die, are taken for dead, or lose a run. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, flush, freeSlots, inTime, whileTimePasses } from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.Unknown })

describe("a worker that dies", () => {
  it.effect("has its runs continued by another within seconds, by the missing lock", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.andThen(Effect.sleep("1 second"), Clock.currentTimeMillis))
      const first = yield* node({ bodies, lease: "1 hour" })
      yield* node({ bodies })
      yield* elapse("10 seconds")
      first.intercept = (method, call) => method === "finish" ? Effect.never : call
      const handle = yield* first.run(Flow.start())
      yield* flush
      yield* first.crash
      const other = yield* node()
      assert.isBelow((yield* inTime(other.run(handle.await))) as number, 10_000 + 2 * 1000 + 1000 + 500)
    }))

  it.effect("is found dead by a process that starts later, quickly too", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.succeed("done"))
      const first = yield* node({ bodies, lease: "1 hour" })
      first.intercept = (method, call) => method === "finish" ? Effect.never : call
      const handle = yield* first.run(Flow.start())
      yield* first.crash
      yield* elapse("1 minute")
      const second = yield* node({ bodies })
      yield* inTime(second.run(handle.await))
      assert.isBelow(yield* Clock.currentTimeMillis, 60_000 + 1500)
    }))

  it.effect("every time it takes a run makes that run Dead in the end, and awaiting it fails with RunDead", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const attempts: Array<number> = []
      const bodies = Flow.toLayer(() =>
        Effect.gen(function*() {
          attempts.push((yield* Workflow.current).attempt)
          return yield* Effect.never
        })
      )
      let victim = yield* node({ bodies, maxAttempts: 3 })
      const handle = yield* victim.run(Flow.start(undefined, { runId: "r" }))
      for (let n = 1; n <= 4; n++) {
        yield* eventually(Effect.sync(() => attempts.length), (length) => length === n)
        yield* victim.crash
        victim = yield* node({ bodies, maxAttempts: 3 })
      }
      const exit = yield* whileTimePasses(victim.run(handle.await))
      assert(Exit.isFailure(exit))
      const error = Option.getOrThrow(Cause.findErrorOption(exit.cause))
      assert(error._tag === "RunDead")
      assert.deepStrictEqual([error.runId, error.attempts], ["r", 4])
      assert.deepStrictEqual(attempts, [1, 2, 3, 4])
      assert.strictEqual((yield* find("r")).status, "Dead")
      yield* elapse("1 minute")
      assert.deepStrictEqual(attempts, [1, 2, 3, 4])
    }))

  it.effect("in a graceful stop does not use up an attempt, nor does suspending", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const attempts: Array<number> = []
      const bodies = Flow.toLayer(() =>
        Effect.gen(function*() {
          attempts.push((yield* Workflow.current).attempt)
          yield* Workflow.sleep("1 hour")
          attempts.push((yield* Workflow.current).attempt)
          yield* Workflow.sleep("5 seconds")
          return "done"
        })
      )
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* eventually(Effect.sync(() => attempts.length), (length) => length === 3, "1 minute")
      yield* first.stop
      const second = yield* node({ bodies })
      yield* inTime(second.run(handle.await))
      assert.deepStrictEqual(attempts, [1, 1, 1, 1, 1])
    }))
})

describe("a worker that loses its lease", () => {
  /** Cuts a worker off from the store without its knowing, until it is taken for dead. */
  const paused = Effect.gen(function*() {
    const { db, find, node, steps } = yield* cluster()
    const log: Array<string> = []
    const body = (name: string) =>
      Flow.toLayer(() =>
        Effect.gen(function*() {
          yield* Step.run("one", Effect.sync(() => log.push(`${name} one`)))
          yield* Step.run("two", Effect.andThen(Effect.sleep("30 seconds"), Effect.sync(() => log.push(`${name} two`))))
          return name
        }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push(`${name} interrupted`))))
      )
    const stale = yield* node({ bodies: body("stale") })
    const handle = yield* stale.run(Flow.start(undefined, { runId: "r" }))
    yield* elapse("1 second")
    const fresh = yield* node({ bodies: body("fresh") })
    return { db, find, steps, log, stale, fresh, handle }
  })

  it.effect("records nothing, stops its bodies when it learns it, registers anew and works on", () =>
    Effect.gen(function*() {
      const { find, fresh, handle, log, stale, steps } = yield* paused
      let away = true
      stale.intercept = (method, call) =>
        away && method === "pulse" ? Effect.never : away && method === "reconcile" ? Effect.succeed([]) : call
      yield* elapse("15 seconds", 60)
      const taken = yield* find("r")
      assert.deepStrictEqual([taken.owner, taken.epoch, taken.attempt], [fresh.workers[0], 2, 2])
      // Its own step ends while another worker owns the run.
      yield* elapse("20 seconds", 40)
      assert.deepStrictEqual(log, ["stale one", "stale two", "stale interrupted"])
      assert.deepStrictEqual((yield* steps("r")).map(({ name }) => name), ["one"])
      away = false
      assert.strictEqual(yield* inTime(fresh.run(handle.await)), "fresh")
      assert.deepStrictEqual(log, ["stale one", "stale two", "stale interrupted", "fresh two"])
      const { epoch, outcome } = yield* find("r")
      assert.deepStrictEqual([epoch, outcome], [2, "{\"_tag\":\"Success\",\"value\":\"fresh\"}"])
    }))

  it.effect("learns it by its pulse: its bodies are interrupted, and it registers under a new id", () =>
    Effect.gen(function*() {
      const { db, find, fresh, log, stale } = yield* paused
      let held = true
      stale.intercept = (method, call) =>
        held && (method === "pulse" || method === "reconcile")
          ? Effect.sleep("16 seconds").pipe(Effect.andThen(call))
          : call
      yield* elapse("14 seconds", 60)
      assert.strictEqual((yield* find("r")).owner, fresh.workers[0])
      held = false
      yield* elapse("6 seconds", 40)
      assert.include(log, "stale interrupted")
      assert.isFalse(log.includes("stale two"))
      assert.strictEqual(stale.workers.length, 2)
      yield* fresh.stop
      // It is in the ring again.
      yield* elapse("5 seconds")
      assert.strictEqual((yield* find("r")).owner, stale.workers[1])
      const Other = Workflow.make("other")
      assert.strictEqual(yield* freeSlots(stale, Other.name), 0)
      assert.strictEqual(yield* freeSlots(stale, "flow"), 999)
      yield* Effect.orDie(db.cancel("r", null))
    }))

  it.effect("takes no runs while it has been silent for as long as its lease, neither by claims nor by starting them", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.never)
      const silent = yield* node({ bodies })
      silent.intercept = (method, call) => method === "pulse" ? Effect.never : call
      yield* elapse("12 seconds", 60)
      const handle = yield* silent.run(Flow.start(undefined, { runId: "r" }))
      yield* elapse("5 seconds")
      assert.strictEqual(yield* silent.run(handle.status), "Enqueued")
      const other = yield* node({ bodies })
      yield* elapse("2 seconds")
      const { attempt, owner } = yield* find("r")
      assert.deepStrictEqual([attempt, owner], [1, other.workers[0]])
    }))

  it.effect("gets a run back that it has not yet stopped executing, and executes it when it has", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      const log: Array<string> = []
      let begun = 0
      const bodies = Flow.toLayer(() =>
        Effect.suspend(() => {
          const n = ++begun
          const slow = n === 1 ? Effect.sleep("10 seconds") : Effect.void
          return Step.run("one", n === 1 ? Effect.never : Effect.succeed(n)).pipe(
            Effect.ensuring(Effect.andThen(slow, Effect.sync(() => log.push(`finalizer ${n}`))))
          )
        })
      )
      const { calls, run, workers } = yield* node({ bodies })
      const handle = yield* run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      // Somebody hands the run back behind the worker's back; it claims it again while the first execution goes on.
      yield* Effect.orDie(db.release([{ runId: "r", worker: workers[0]!, epoch: 1 }]))
      yield* elapse("5 seconds")
      assert.strictEqual((yield* find("r")).epoch, 2)
      assert.deepStrictEqual([begun, log], [1, []])
      const reconciled = calls.get("reconcile") ?? 0
      assert.strictEqual(yield* inTime(run(handle.await)), 2)
      assert.deepStrictEqual(log, ["finalizer 1", "finalizer 2"])
      assert.isBelow(yield* Clock.currentTimeMillis, 10_500)
      assert.isAtLeast(calls.get("reconcile") ?? 0, reconciled)
      yield* flush
      assert.strictEqual(yield* freeSlots({ run }, "flow"), 1000)
    }))

  it.effect("of one run by a raised epoch stops that run only", () =>
    Effect.gen(function*() {
      const { db, node } = yield* cluster({ hints: false })
      const log: Array<string> = []
      const Named = Workflow.make("named", { payload: Schema.String })
      const bodies = Named.toLayer((name) =>
        Step.run("slow", Effect.sleep("8 seconds")).pipe(
          Effect.andThen(Effect.sync(() => log.push(`${name} ended`))),
          Effect.onInterrupt(() => Effect.sync(() => log.push(`${name} interrupted`))),
          Effect.asVoid
        )
      )
      const { run, workers } = yield* node({ bodies })
      yield* run(Named.start("a", { runId: "a" }))
      yield* run(Named.start("b", { runId: "b" }))
      yield* flush
      yield* Effect.orDie(db.release([{ runId: "a", worker: workers[0]!, epoch: 1 }]))
      yield* Effect.orDie(db.claim({ worker: "somebody", limit: 1, workflows: ["named"] }))
      yield* elapse("9 seconds", 90)
      assert.deepStrictEqual(log, ["a interrupted", "b ended"])
    }))
})
