/** Hints: what a store says about changes, to whoever listens from now on. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { Hint } from "../../src/SystemDb.ts"
import { breathe, type Declare, fixture, minute, noOptions, second, settle, t0 } from "./fixture.ts"

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
        yield* f.db.cancel(runId, null)
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
      const { db, firing, hear, name, newChange, newRun, newSchedule, put, tick, trigger } = yield* listening
      yield* hear(db.start(newRun("now")), ready)
      yield* hear(db.start(newRun("later", { delayMillis: minute })), ready)
      yield* put(newSchedule("s"))
      yield* hear(db.enqueueTicks(name("s"), [tick("a", t0)], noOptions), ready)
      yield* hear(trigger("s", tick("b", t0)), ready)
      const created = {
        schedules: [{ name: name("new"), turn: null, content: newSchedule("new") }],
        triggers: [{ ...noOptions, schedule: name("new"), run: tick("c", t0), context: null }]
      }
      yield* hear(db.changeSchedules(newChange(created)), ready)
      yield* hear(db.fire([yield* firing("s")], null), ready)
      const hooks = [{ id: name("hook"), workflow: name("flow"), payload: "1" }]
      yield* hear(db.fire([yield* firing("s", { ticks: [], hooks })], null), ready)
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
      const { doom, db, hear, name, newRun, owned, owner, pulse } = yield* listening
      const held = yield* owned("finished", owner)
      yield* hear(db.finish(held, { status: "Failed", outcome: "1" }), finished(held.runId))
      yield* db.start(newRun("a"))
      yield* hear(db.cancel(name("a"), null), (hint) => hint._tag === "RunCancelled" && hint.runId === name("a"))
      yield* db.start(newRun("b"))
      yield* hear(db.cancel(name("b"), null), finished(name("b")))
      yield* owned("dead", name("nobody"))
      yield* doom(owner)
      yield* hear(pulse(owner), finished(name("dead")))
    })
  )

  test(
    "every change of a schedule's definition or status is hinted at",
    Effect.gen(function*() {
      const { db, drop, edit, hear, newChange, newSchedule, pause, put } = yield* listening
      yield* hear(put(newSchedule("s")), changed)
      yield* hear(edit("s", { context: "2" }), changed)
      yield* hear(pause("s"), changed)
      yield* hear(drop("s"), changed)
      const controls = [{ key: "test", turn: null, value: "1" }]
      yield* hear(db.changeSchedules(newChange({ controls })), changed)
      const { turn } = Option.getOrThrow(yield* db.findControl("test"))
      yield* hear(db.changeSchedules(newChange({ controls: [{ key: "test", turn, value: null }] })), changed)
    })
  )

  test(
    "a run that a firing cancels is hinted at by its id, and as one that ended",
    Effect.gen(function*() {
      const { db, firing, hear, name, newSchedule, put } = yield* listening
      yield* put(newSchedule("s"))
      yield* db.fire([yield* firing("s")], null)
      const cancels = [{ runId: name("s-tick"), reason: "replaced" }]
      yield* hear(
        db.fire([yield* firing("s", { ticks: [], cancels })], null),
        (hint) => hint._tag === "RunCancelled" && hint.runId === name("s-tick")
      )
    })
  )

  test(
    "a backfill that can go on is hinted at, and so are its runs that are enqueued or cancelled with it",
    Effect.gen(function*() {
      const { db, hear, name, newAudit, newSchedule, put, tick } = yield* listening
      yield* put(newSchedule("s"))
      const id = name("b")
      const turn = Effect.map(db.findBackfill(id), (found) => Option.getOrThrow(found).turn)
      const given = {
        id,
        schedule: name("s"),
        from: 0,
        to: 9,
        newestFirst: false,
        rerun: false,
        context: null,
        planned: null
      }
      yield* hear(db.createBackfill({ ...given, concurrency: 1 }, newAudit()), changed)
      const ticks = [tick("r", 1)]
      yield* hear(
        Effect.flatMap(turn, (turn) => db.advanceBackfill({ id, turn, ticks, cursor: 2, done: false, ...noOptions })),
        ready
      )
      const to = (status: "Active" | "Paused" | "Cancelled") =>
        Effect.flatMap(turn, (turn) => db.changeBackfill({ id, turn, status, audit: newAudit() }))
      yield* to("Paused")
      yield* hear(to("Active"), changed)
      yield* hear(to("Cancelled"), (hint) => hint._tag === "RunCancelled" && hint.runId === name("r"))
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
        yield* db.cancel(name(`r${i}`), null)
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
