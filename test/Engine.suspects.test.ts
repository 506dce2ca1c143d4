/** Suspects: runs whose workers die again and again are executed alone, and the one that is to blame is given up. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { hold, letGo } from "../src/internal/memory/faults.ts"
import { crash } from "../src/internal/memory/store.ts"
import * as Step from "../src/Step.ts"
import type { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { away, cluster, elapse, eventually, freeSlots, single } from "./support/engine.ts"

const Bad = Workflow.make("bad")
const Good = Workflow.make("good")
const Child = Workflow.make("child")
const options = { maxAttempts: 3 } as const

const draft = (id: string, workflow: string) => ({
  id,
  workflow,
  payload: "null",
  owner: null,
  delayMillis: null,
  timeoutMillis: null,
  parent: null
})

/** Enqueues a run whose workers have died so often. */
const enqueueSuspect = (db: SystemDb["Service"], id: string, deaths = options.maxAttempts) =>
  Effect.gen(function*() {
    yield* db.start(draft(id, "bad"))
    for (let n = 0; n < deaths; n++) {
      const [dying, other] = [
        yield* db.registerWorker({ application: "dying", leaseMillis: 1_000 }),
        yield* db.registerWorker({ application: "other", leaseMillis: 1_000 })
      ]
      yield* db.claim({ worker: dying, limit: 1, workflows: ["bad"] })
      yield* crash(db, dying)
      const { suspects } = yield* db.pulse({ worker: other, leaseMillis: 1_000, suspects: [] })
      yield* db.pulse({ worker: other, leaseMillis: 1_000, suspects })
    }
  }).pipe(Effect.scoped, Effect.orDie)

const ended = { Succeeded: true, Failed: true, Dead: true, Cancelled: true } as Record<string, boolean>

describe("a suspect", () => {
  it.effect("is executed alone, and what was under way before begins again after it", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      const open = yield* Deferred.make<void>()
      let together = 0
      let others = 0
      const bodies = Layer.mergeAll(
        Bad.toLayer(() => Step.run("s", Effect.andThen(Effect.sync(() => together += others), Deferred.await(open)))),
        Good.toLayer(() =>
          Step.run(
            "g",
            Effect.ensuring(
              Effect.andThen(Effect.sync(() => void others++), Effect.sleep("20 seconds")),
              Effect.sync(() => void others--)
            )
          )
        )
      )
      const worker = yield* node({ bodies, ...options })
      yield* worker.run(Good.start(undefined, { runId: "good" }))
      yield* elapse("1 second")
      yield* enqueueSuspect(db, "s")
      yield* eventually(find("s"), (run) => run.isolated)
      yield* elapse("5 seconds")
      assert.deepStrictEqual([together, others], [0, 0])
      assert.strictEqual((yield* find("good")).status, "Enqueued")
      yield* Deferred.succeed(open, undefined)
      yield* eventually(find("good"), (run) => run.status === "Succeeded")
      assert.strictEqual((yield* find("s")).status, "Succeeded")
    }))

  const killers = {
    "at once": Step.run("kill", Effect.never),
    "after a wait that is over": Effect.andThen(
      Effect.orDie(Child.handle("c").await),
      Step.run("kill", Effect.never)
    )
  }
  for (const [when, body] of Object.entries(killers)) {
    it.effect(`that kills its worker ${when} is given up after one death alone`, () =>
      Effect.gen(function*() {
        const { db, find, node } = yield* cluster()
        yield* db.start(draft("c", "child"))
        yield* enqueueSuspect(db, "s")
        const bodies = Layer.merge(Bad.toLayer(() => body), Child.toLayer(() => Effect.void))
        const first = yield* node({ bodies, ...options })
        yield* eventually(find("s"), (run) => run.isolated)
        yield* elapse("5 seconds")
        yield* first.crash
        yield* node({ bodies, ...options })
        yield* eventually(find("s"), (run) => ended[run.status] === true)
        assert.strictEqual((yield* find("s")).status, "Dead")
      }))
  }

  it.effect(
    "that gets further between its deaths, also before a wait, is never given up",
    () =>
      Effect.gen(function*() {
        const { find, node } = yield* cluster()
        const bodies = Bad.toLayer(() =>
          Effect.forEach([0, 1, 2, 3, 4, 5], (n) =>
            Effect.andThen(
              Step.run(`work ${n}`, Effect.suspend(() => n < working ? Effect.void : Effect.never)),
              Workflow.sleep("1 hour")
            ), { discard: true })
        )
        let working = 1
        let worker = yield* node({ bodies, ...options })
        yield* worker.run(Bad.start(undefined, { runId: "s" }))
        while (working < 6) {
          yield* eventually(find("s"), (run) => run.status === "Suspended", "1 second")
          for (let death = 0; death < options.maxAttempts - 1; death++) {
            yield* eventually(find("s"), (run) => run.status === "Running", "1 minute")
            yield* elapse("1 second")
            yield* worker.crash
            if (death > 0) working++
            worker = yield* node({ bodies, ...options })
          }
        }
        yield* eventually(find("s"), (run) => ended[run.status] === true, "1 minute")
        assert.strictEqual((yield* find("s")).status, "Succeeded")
      }),
    60_000
  )

  it.effect("that only waits lets other suspects have their turn, and the rest go on", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      for (const id of ["a", "b"]) yield* enqueueSuspect(db, id)
      yield* db.start(draft("good", "good"))
      const bodies = Layer.merge(Bad.toLayer(() => Workflow.sleep("1 minute")), Good.toLayer(() => Effect.void))
      const worker = yield* node({ bodies, concurrency: 1, ...options })
      for (const id of ["a", "b", "good"]) {
        yield* eventually(find(id), (run) => run.status === "Succeeded", "1 second")
      }
      assert.strictEqual(yield* freeSlots(worker, "good"), 1)
    }))

  it.effect("that was cancelled without a hint keeps nothing else waiting", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster({ hints: false })
      yield* enqueueSuspect(db, "s")
      const bodies = Layer.merge(Bad.toLayer(() => Step.run("s", Effect.never)), Good.toLayer(() => Effect.void))
      yield* node({ bodies, ...options })
      yield* eventually(find("s"), (run) => run.isolated)
      yield* db.cancel("s", "it hangs")
      yield* db.start(draft("good", "good"))
      yield* eventually(find("good"), (run) => run.status === "Succeeded", "1 second")
    }))

  it.effect("that waits for what it has started in a step is not waited for without end", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      yield* enqueueSuspect(db, "s")
      const bodies = Layer.merge(
        Bad.toLayer(() => Step.run("delegate", Effect.orDie(Child.execute()))),
        Child.toLayer(() => Effect.void)
      )
      yield* node({ bodies, ...options })
      yield* eventually(find("s"), (run) => run.status === "Succeeded", "1 second")
    }))

  it.effect("has nobody make room for it whose claim does not get it, since somebody holds it", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      yield* enqueueSuspect(db, "s")
      yield* hold(db, { of: "run", key: "s" })
      let begun = 0
      const bodies = Layer.merge(
        Bad.toLayer(() => Effect.void),
        Good.toLayer(() =>
          Step.run("long", Effect.andThen(Effect.sync(() => void begun++), Effect.sleep("30 seconds")))
        )
      )
      const worker = yield* node({ bodies, ...options })
      yield* worker.run(Good.start(undefined, { runId: "good" }))
      yield* eventually(find("good"), (run) => run.status === "Succeeded", "1 second")
      assert.strictEqual(begun, 1)
      yield* letGo(db, { of: "run", key: "s" })
      yield* eventually(find("s"), (run) => run.status === "Succeeded", "1 second")
    }))

  it.effect("has one worker of several make room for it", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      let begun = 0
      const bodies = Layer.merge(
        Bad.toLayer(() => Effect.void),
        Good.toLayer(() =>
          Step.run("work", Effect.andThen(Effect.sync(() => void begun++), Effect.sleep("30 seconds")))
        )
      )
      const ids = ["0", "1", "2", "3"]
      for (const id of ids) {
        const worker = yield* node({ bodies, concurrency: 1, ...options })
        yield* worker.run(Good.start(undefined, { runId: id }))
      }
      yield* elapse("1 second")
      yield* enqueueSuspect(db, "s")
      for (const id of [...ids, "s"]) yield* eventually(find(id), (run) => run.status === "Succeeded", "1 second")
      assert.isAtMost(begun, ids.length + 1)
    }))

  it.effect("is left alone by a worker that has a body which does not stop", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      const open = yield* Deferred.make<void>()
      let begun = 0
      const bodies = Layer.mergeAll(
        Bad.toLayer(() => Effect.void),
        Child.toLayer(() => Effect.uninterruptible(Deferred.await(open))),
        Good.toLayer(() =>
          Step.run("work", Effect.andThen(Effect.sync(() => void begun++), Effect.sleep("30 seconds")))
        )
      )
      const worker = yield* node({ bodies, ...options })
      yield* worker.run(Child.start(undefined, { runId: "stuck" }))
      yield* worker.run(Good.start(undefined, { runId: "good" }))
      yield* enqueueSuspect(db, "s")
      yield* eventually(find("good"), (run) => run.status === "Succeeded", "1 second")
      assert.isAtMost(begun, 2)
      yield* Deferred.succeed(open, undefined)
      yield* eventually(find("s"), (run) => run.status === "Succeeded", "1 second")
    }))

  it.effect("is not executed beside others when the store refuses to be told that it is not alone any more", () =>
    Effect.gen(function*() {
      const node = yield* single(
        Layer.merge(Bad.toLayer(() => Workflow.sleep("1 hour")), Good.toLayer(() => Effect.void)),
        {
          ...options,
          pollInterval: "1 second"
        }
      )
      yield* enqueueSuspect(node.db, "s")
      let refused = 0
      node.intercept = (method, call) =>
        Effect.suspend(() => method === "isolate" && refused++ > 0 && refused < 9 ? away(method) : call)
      yield* node.db.start(draft("good", "good"))
      yield* eventually(node.find("good"), (run) => run.status === "Succeeded", "1 second")
      assert.isFalse((yield* node.find("s")).isolated)
    }))
})
