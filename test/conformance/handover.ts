/** Handing runs back: release, and reconcile, which finds what a worker and the store disagree about. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { type Declare, fixture, minute, second, t0 } from "./fixture.ts"

export const handover = (test: Declare) => {
  test(
    "released runs are enqueued again, to be claimed at once, attempt unchanged",
    Effect.gen(function*() {
      const { claim, db, name, owned, run, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      const held = yield* Effect.forEach(["a", "b"], (suffix) => owned(suffix, owner, { timeoutMillis: minute }))
      yield* owned("kept", owner)
      const before = yield* Effect.forEach(["a", "b", "kept"], run)
      yield* TestClock.adjust("1 second")
      yield* db.release(held)
      const [a, b, kept] = before
      const enqueued = { status: "Enqueued" as const, owner: null, wakeAt: t0 + second }
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "kept"], run), [
        { ...a, ...enqueued },
        { ...b, ...enqueued },
        kept
      ])
      const { runs } = yield* claim(next)
      assert.deepStrictEqual(
        runs.map(({ run }) => [run.id, run.epoch, run.attempt, run.deadline]),
        ["a", "b"].map((suffix) => [name(suffix), 2, 1, t0 + minute])
      )
    })
  )

  test(
    "a run that is handed back for a reason waits, keeps the reason, and counts it until it is suspended or ends",
    Effect.gen(function*() {
      const { claim, db, name, owned, run, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      const leases = yield* Effect.forEach(["a", "b", "c"], (suffix) => owned(suffix, owner))
      const [a, b, c] = leases
      if (a === undefined || b === undefined || c === undefined) return assert.fail()
      yield* db.release([
        { ...a, handBack: { reason: "the disk is full", delayMillis: 2 * second } },
        { ...b, handBack: { reason: "no permission", delayMillis: second } },
        c
      ])
      const noted = (suffix: string) =>
        Effect.map(run(suffix), ({ handbacks, reason, status, wakeAt }) => ({ handbacks, reason, status, wakeAt }))
      const enqueued = { status: "Enqueued" } as const
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "c"], noted), [
        { ...enqueued, handbacks: 1, reason: "the disk is full", wakeAt: t0 + 2 * second },
        { ...enqueued, handbacks: 1, reason: "no permission", wakeAt: t0 + second },
        { ...enqueued, handbacks: 0, reason: null, wakeAt: t0 }
      ])
      yield* TestClock.adjust("2 seconds")
      const { runs } = yield* claim(next)
      assert.deepStrictEqual(runs.map(({ run }) => run.handbacks).sort(), [0, 1, 1])
      const lease = (suffix: string) => ({ runId: name(suffix), worker: next, epoch: 2 })
      yield* db.release([{ ...lease("a"), handBack: { reason: "an I/O error", delayMillis: 0 } }])
      assert.deepInclude(yield* run("a"), { handbacks: 2, reason: "an I/O error" })
      yield* claim(next)
      yield* db.release([{ ...lease("a"), epoch: 3 }])
      assert.deepInclude(yield* run("a"), { handbacks: 2, reason: "an I/O error" })
      yield* db.suspend(lease("b"), t0 + minute)
      assert.deepInclude(yield* run("b"), { handbacks: 0, reason: "no permission" })
      yield* claim(next)
      yield* db.finish({ ...lease("a"), epoch: 4 }, { status: "Succeeded", outcome: "1" })
      assert.deepInclude(yield* run("a"), { status: "Succeeded", handbacks: 0, reason: null })
    })
  )

  test(
    "release passes over leases that are lost and hands back the others",
    Effect.gen(function*() {
      const { claim, db, name, owned, run, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      const [taken, ended, good] = yield* Effect.forEach(["taken", "ended", "good"], (suffix) => owned(suffix, owner))
      if (taken === undefined || ended === undefined || good === undefined) return assert.fail()
      yield* db.release([taken])
      yield* claim(next)
      yield* db.finish(ended, { status: "Succeeded", outcome: "1" })
      const before = yield* Effect.forEach(["taken", "ended"], run)
      yield* db.release([])
      yield* db.release([taken, ended, { ...good, epoch: 2 }, { ...good, worker: next }])
      assert.strictEqual((yield* run("good")).owner, owner)
      yield* db.release([
        { runId: name("nowhere"), worker: owner, epoch: 1 },
        taken,
        good,
        good,
        { ...good, epoch: 2 },
        ended
      ])
      assert.strictEqual((yield* run("good")).status, "Enqueued")
      assert.deepStrictEqual(yield* Effect.forEach(["taken", "ended"], run), before)
    })
  )

  test(
    "reconcile changes nothing when the worker holds just what it owns",
    Effect.gen(function*() {
      const { db, owned, runs, worker } = yield* fixture
      const [owner, other] = [yield* worker(), yield* worker()]
      const held = yield* Effect.forEach(["a", "b"], (suffix) => owned(suffix, owner))
      yield* owned("other", other)
      const before = yield* runs()
      assert.deepStrictEqual(yield* db.reconcile({ worker: owner, held }), [])
      assert.deepStrictEqual(yield* runs(), before)
    })
  )

  test(
    "reconcile hands back what the worker owns and does not hold, attempt unchanged",
    Effect.gen(function*() {
      const { claim, db, name, newRun, owned, run, worker } = yield* fixture
      const [owner, other] = [yield* worker(), yield* worker()]
      const held = yield* owned("held", owner)
      yield* owned("forgotten", owner)
      yield* db.start(newRun("claimed"))
      yield* claim(owner)
      yield* owned("other", other)
      const [forgotten, claimed, ...others] = yield* Effect.forEach(["forgotten", "claimed", "held", "other"], run)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* db.reconcile({ worker: owner, held: [held] }), [])
      const enqueued = { status: "Enqueued" as const, owner: null, wakeAt: t0 + second }
      assert.deepStrictEqual(yield* run("forgotten"), { ...forgotten, ...enqueued })
      assert.deepStrictEqual(yield* run("claimed"), { ...claimed, ...enqueued })
      assert.deepStrictEqual(yield* Effect.forEach(["held", "other"], run), others)
      const { runs } = yield* claim(other)
      assert.deepStrictEqual(
        runs.map(({ run }) => [run.id, run.epoch, run.attempt]),
        [[name("claimed"), 2, 1], [name("forgotten"), 2, 1]]
      )
    })
  )

  test(
    "reconcile returns the ids the worker holds without owning them",
    Effect.gen(function*() {
      const { claim, db, name, owned, runs, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      const suffixes = ["good", "cancelled", "ended", "taken", "suspended"]
      const held = yield* Effect.forEach(suffixes, (suffix) => owned(suffix, owner))
      const [, cancelled, ended, taken, suspended] = held
      if (cancelled === undefined || ended === undefined || taken === undefined || suspended === undefined) {
        return assert.fail()
      }
      yield* db.cancel(cancelled.runId, null)
      yield* db.finish(ended, { status: "Failed", outcome: "1" })
      yield* db.release([taken])
      yield* claim(next)
      yield* db.suspend(suspended, t0 + minute)
      const before = yield* runs()
      const nowhere = { runId: name("nowhere"), epoch: 1 }
      const lost = yield* db.reconcile({ worker: owner, held: [...held, nowhere] })
      assert.deepStrictEqual([...lost].sort(), ["cancelled", "ended", "nowhere", "suspended", "taken"].map(name))
      assert.deepStrictEqual(yield* runs(), before)
    })
  )

  test(
    "reconcile tells epochs apart: of a run owned under another epoch both sides are wrong",
    Effect.gen(function*() {
      const { claim, db, name, owned, run, worker } = yield* fixture
      const owner = yield* worker()
      const first = yield* owned("r", owner)
      yield* db.release([first])
      yield* claim(owner)
      assert.deepStrictEqual(yield* db.reconcile({ worker: owner, held: [first] }), [name("r")])
      const { epoch, status } = yield* run("r")
      assert.deepStrictEqual([epoch, status], [2, "Enqueued"])
    })
  )
}
