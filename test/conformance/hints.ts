/** Hints: what a store says about changes, to whoever listens from now on. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { Hint } from "../../src/SystemDb.ts"
import { breathe, type Declare, fixture, minute, second, settle, t0 } from "./fixture.ts"

/** A test's fixture with an ear: what it heard, and a way to wait until it hears something. */
const listening = Effect.gen(function*() {
  const f = yield* fixture
  const listen = Effect.gen(function*() {
    const heard: Array<Hint> = []
    yield* Effect.forkScoped(Stream.runForEach(f.db.hints, (hint) => Effect.sync(() => heard.push(hint))), {
      startImmediately: true
    })
    return heard
  })
  const heard = yield* listen
  const owner = yield* f.worker(1_000_000)
  // Listening begins some time after it was asked for. Cancelling owned runs says nothing that the tests wait for.
  let primers = 0
  const primed = (heard: ReadonlyArray<Hint>) =>
    settle(
      Effect.gen(function*() {
        const { runId } = yield* f.owned(`primer${primers++}`, owner)
        yield* f.db.cancel(runId)
        yield* breathe
        return heard
      }),
      (heard) => heard.some((hint) => hint._tag === "RunCancelled" && hint.runId.startsWith(f.name("primer")))
    )
  yield* primed(heard)
  return {
    ...f,
    owner,
    listen,
    primed,
    /** Does it, and waits until a hint that fits is heard, one that was not heard before. */
    hear: <A, E, R>(action: Effect.Effect<A, E, R>, fits: (hint: Hint) => boolean) =>
      Effect.gen(function*() {
        const before = heard.length
        const result = yield* action
        yield* settle(Effect.sync(() => heard.slice(before)), (heard) => heard.some(fits))
        return result
      })
  }
})

const ready = (hint: Hint) => hint._tag === "RunsReady"
const changed = (hint: Hint) => hint._tag === "SchedulesChanged"
const finished = (runId: string) => (hint: Hint) =>
  hint._tag === "RunsFinished" && (hint.runIds.length === 0 || hint.runIds.includes(runId))

export const hints = (test: Declare) => {
  test(
    "a run that is enqueued is hinted at",
    Effect.gen(function*() {
      const { db, hear, name, newRun, newSchedule, tick } = yield* listening
      yield* hear(db.start(newRun("now")), ready)
      yield* hear(db.start(newRun("later", { delayMillis: minute })), ready)
      yield* db.createSchedule(newSchedule("s"))
      yield* hear(db.enqueueTicks(name("s"), [tick("a", t0)]), ready)
      yield* hear(db.triggerSchedule({ name: name("s"), run: tick("b", t0), context: null, owner: null }), ready)
      const ticks = [tick("c", t0)]
      yield* hear(db.fire([{ name: name("s"), revision: 1, cursor: t0, nextAt: null, ticks, owner: null }]), ready)
    })
  )

  test(
    "a run that is handed back, recovered or suspended is hinted at",
    Effect.gen(function*() {
      const { claim, db, hear, owned, owner, pulse, worker } = yield* listening
      const [first, next] = [yield* owned("a", owner), yield* owned("b", owner)]
      yield* hear(db.suspend(first, t0 + minute), ready)
      yield* hear(db.release([next]), ready)
      yield* claim(owner)
      yield* hear(db.reconcile({ worker: owner, held: [] }), ready)

      const scope = yield* Scope.make()
      yield* owned("c", yield* Scope.provide(worker(), scope))
      yield* hear(Scope.close(scope, Exit.void), ready)

      yield* owned("d", yield* worker(second))
      yield* TestClock.adjust("1 minute")
      yield* hear(pulse(owner), ready)
    })
  )

  test(
    "the end of a run is hinted at, and a cancellation by the run's id",
    Effect.gen(function*() {
      const { db, hear, name, newRun, owned, owner, pulse, worker } = yield* listening
      const held = yield* owned("finished", owner)
      yield* hear(db.finish(held, { status: "Failed", outcome: "1" }), finished(held.runId))
      yield* db.start(newRun("a"))
      yield* hear(db.cancel(name("a")), (hint) => hint._tag === "RunCancelled" && hint.runId === name("a"))
      yield* db.start(newRun("b"))
      yield* hear(db.cancel(name("b")), finished(name("b")))
      const dying = yield* worker(second)
      yield* owned("dead", dying)
      yield* TestClock.adjust("1 minute")
      yield* hear(pulse(owner, { maxAttempts: 1 }), finished(name("dead")))
    })
  )

  test(
    "every change of a schedule's definition or status is hinted at",
    Effect.gen(function*() {
      const { db, hear, name, newSchedule } = yield* listening
      const application = name("app")
      yield* hear(db.createSchedule(newSchedule("s")), changed)
      yield* hear(db.applySchedules([newSchedule("a", { application })], { pruneApplication: null }), changed)
      yield* hear(
        db.applySchedules([newSchedule("a", { application, context: "2" })], { pruneApplication: null }),
        changed
      )
      yield* hear(db.applySchedules([], { pruneApplication: application }), changed)
      yield* hear(db.pauseSchedule(name("s")), changed)
      yield* hear(db.resumeSchedule({ name: name("s"), revision: 2, nextAt: t0 }), changed)
      yield* hear(db.deleteSchedule(name("s")), changed)
    })
  )

  test(
    "everyone who listens hears every hint",
    Effect.gen(function*() {
      const { db, listen, name, newRun, primed } = yield* listening
      const ears = yield* Effect.forEach([1, 2, 3], () => listen)
      for (const heard of ears) yield* primed(heard)
      for (let i = 0; i < 50; i++) {
        yield* db.start(newRun(`r${i}`))
        yield* db.cancel(name(`r${i}`))
      }
      for (const heard of ears) {
        const cancelled = () => heard.flatMap((hint) => hint._tag === "RunCancelled" ? [hint.runId] : [])
        yield* settle(Effect.sync(cancelled), (ids) => ids.includes(name("r49")))
        const ids = new Set(cancelled())
        for (let i = 0; i < 50; i++) assert.isTrue(ids.has(name(`r${i}`)))
      }
    })
  )
}
