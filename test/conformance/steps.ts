/** What the owner of a run writes: steps, suspension and the end, fenced by the lease. */
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { TestClock } from "effect/testing"
import type { Lease, NewStepRecord } from "../../src/SystemDb.ts"
import { type Declare, fixture, minute, refused, second, t0 } from "./fixture.ts"

/** Leases that give no right to write, each with a run that explains why; and what was recorded before they were lost. */
const lostLeases = Effect.gen(function*() {
  const f = yield* fixture
  const [owner, other, dying] = [yield* f.worker(1_000_000), yield* f.worker(1_000_000), yield* f.worker(second)]
  const own = (suffix: string) => f.owned(suffix, owner)

  const taken = yield* own("taken")
  yield* f.db.release([taken])
  yield* f.claim(other)
  const expired = yield* f.owned("expired", dying)
  yield* TestClock.adjust("2 seconds")
  yield* f.pulse(other)
  const cancelled = yield* own("cancelled")
  yield* f.db.cancel(cancelled.runId, null)
  const released = yield* own("released")
  yield* f.db.release([released])
  const suspended = yield* own("suspended")
  yield* f.db.suspend(suspended, t0 + minute)
  const finished = yield* own("finished")
  yield* f.db.finish(finished, { status: "Succeeded", outcome: "1" })
  const held = yield* own("held")
  yield* f.db.start(f.newRun("enqueued"))

  const leases: Record<string, Lease> = {
    cancelled,
    released,
    suspended,
    finished,
    expired,
    "taken over": taken,
    "another worker's": { ...held, worker: other },
    "of an earlier epoch": { ...held, epoch: 0 },
    "of an epoch to come": { ...held, epoch: 2 },
    "of a run never owned": { runId: f.name("enqueued"), worker: other, epoch: 0 },
    "of no run": { runId: f.name("nowhere"), worker: owner, epoch: 1 }
  }
  return { ...f, owner, other, held, leases }
})

const recording = (test: Declare) => {
  test(
    "a recorded step is listed as it was written, with the instant it was recorded",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      const written: ReadonlyArray<NewStepRecord> = [
        newStep("step", { attempts: 3, errors: "[1,2]", outcome: "{\"a\":1}", startedAt: t0 - 5 }),
        newStep("transaction", { kind: "Transaction", key: "k" }),
        newStep("sleep", { kind: "Sleep", attempts: 0, outcome: null, wakeAt: t0 + minute }),
        newStep("value", { kind: "Value", attempts: 0 }),
        newStep("undo", { kind: "Undo", occurrence: 2 })
      ]
      for (const [i, step] of written.entries()) {
        yield* TestClock.setTime(t0 + i)
        yield* db.recordStep(held, step)
      }
      assert.deepStrictEqual(
        yield* db.listSteps(held.runId),
        written.map((step, i) => ({ ...step, recordedAt: t0 + i }))
      )
    })
  )

  test(
    "steps are told apart by run, name, key and occurrence",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const owner = yield* worker()
      const [one, two] = [yield* owned("one", owner), yield* owned("two", owner)]
      const steps = [
        newStep("a"),
        newStep("a", { occurrence: 2 }),
        newStep("a", { key: "b" }),
        newStep("ab"),
        newStep("b", { key: "a" }),
        newStep("A"),
        newStep("a", { key: "b", occurrence: 11 }),
        newStep("a", { key: "b1", occurrence: 1 }),
        newStep("a\",\"b"),
        newStep("a:b:1")
      ].map((step, i) => ({ ...step, outcome: `${i}` }))
      for (const step of steps) yield* db.recordStep(one, step)
      yield* db.recordStep(two, newStep("a", { outcome: "\"two\"" }))
      assert.deepStrictEqual(
        (yield* db.listSteps(one.runId)).map((step) => step.outcome),
        steps.map((step) => step.outcome)
      )
      assert.strictEqual((yield* db.listSteps(two.runId)).length, 1)
    })
  )

  test(
    "a record with an outcome is never replaced: writing it again succeeds and changes nothing",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      yield* db.recordStep(held, newStep("s"))
      const before = yield* db.listSteps(held.runId)
      yield* TestClock.adjust("1 second")
      yield* db.recordStep(held, newStep("s"))
      yield* db.recordStep(held, newStep("s", { outcome: "2", attempts: 9 }))
      yield* db.recordStep(held, newStep("s", { outcome: null, errors: "[1]", wakeAt: t0 }))
      assert.deepStrictEqual(yield* db.listSteps(held.runId), before)
    })
  )

  test(
    "an open record is replaced by a later write of the same step",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      yield* db.recordStep(held, newStep("s", { kind: "Sleep", outcome: null, errors: "[1]", wakeAt: t0 + 1 }))
      yield* TestClock.adjust("1 second")
      const open = newStep("s", { outcome: null, errors: "[1,2]", attempts: 2, wakeAt: t0 + 2 })
      yield* db.recordStep(held, open)
      assert.deepStrictEqual(yield* db.listSteps(held.runId), [{ ...open, recordedAt: t0 + second }])
      yield* TestClock.adjust("1 second")
      const closed = newStep("s", { errors: "[1,2]", attempts: 3, startedAt: t0 + 3 })
      yield* db.recordStep(held, closed)
      assert.deepStrictEqual(yield* db.listSteps(held.runId), [{ ...closed, recordedAt: t0 + 2 * second }])
    })
  )

  test(
    "steps are listed in the order they were recorded, also those of one instant; one written again keeps its place",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      for (const name of ["c", "a", "b"]) yield* db.recordStep(held, newStep(name, { outcome: null }))
      yield* db.recordStep(held, newStep("a"))
      yield* TestClock.adjust("1 second")
      yield* db.recordStep(held, newStep("0"))
      yield* db.recordStep(held, newStep("c"))
      const names = (yield* db.listSteps(held.runId)).map((step) => step.name)
      assert.deepStrictEqual(names, ["c", "a", "b", "0"])
    })
  )

  test(
    "claim hands over every recorded step, open or not, in the order they were recorded",
    Effect.gen(function*() {
      const { claim, db, newRun, newStep, owned, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      for (const suffix of ["r1", "r2"]) {
        const held = yield* owned(suffix, owner)
        yield* db.recordStep(held, newStep("z", { outcome: `"${suffix}"` }))
        yield* db.recordStep(held, newStep("a", { kind: "Sleep", outcome: null, wakeAt: t0 + 1 }))
        yield* db.suspend(held, t0 + 1)
      }
      yield* db.start(newRun("r3"))
      yield* TestClock.adjust("1 second")
      for (const { run, steps } of (yield* claim(next)).runs) {
        assert.deepStrictEqual(steps, yield* db.listSteps(run.id))
        assert.deepStrictEqual(steps.map((step) => step.name), run.id.endsWith("r3") ? [] : ["z", "a"])
      }
    })
  )

  test(
    "a write is repeated with success after the run has moved on, if the same lease made it before",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const owner = yield* worker()
      for (const end of ["finish", "suspend", "cancel", "release"] as const) {
        const held = yield* owned(end, owner)
        yield* db.recordStep(held, newStep("s"))
        yield* db.recordStep(held, newStep("open", { outcome: null }))
        if (end === "finish") yield* db.finish(held, { status: "Failed", outcome: "0" })
        else if (end === "suspend") yield* db.suspend(held, t0 + minute)
        else if (end === "cancel") yield* db.cancel(held.runId, null)
        else yield* db.release([held])
        const before = yield* db.listSteps(held.runId)
        yield* db.recordStep(held, newStep("s", { outcome: "2" }))
        yield* refused(db.recordStep(held, newStep("open", { outcome: "2" })), "LeaseLost")
        assert.deepStrictEqual(yield* db.listSteps(held.runId), before)
      }
    })
  )

  test(
    "the next owner finds the first owner's records kept, and closes those left open",
    Effect.gen(function*() {
      const { claim, db, newStep, owned, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      const held = yield* owned("r", owner)
      yield* db.recordStep(held, newStep("s"))
      yield* db.recordStep(held, newStep("open", { outcome: null }))
      yield* db.release([held])
      yield* claim(next)
      const later: Lease = { ...held, worker: next, epoch: 2 }
      yield* db.recordStep(later, newStep("s", { outcome: "2" }))
      yield* db.recordStep(later, newStep("open", { outcome: "2" }))
      const outcomes = (yield* db.listSteps(held.runId)).map((step) => step.outcome)
      assert.deepStrictEqual(outcomes, ["1", "2"])
      yield* refused(db.recordStep(held, newStep("open", { outcome: "3" })), "LeaseLost")
    })
  )

  test(
    "a worker whose lease is lost can record nothing, and learns it",
    Effect.gen(function*() {
      const { db, leases, newStep } = yield* lostLeases
      for (const [which, lease] of Object.entries(leases)) {
        const error = yield* refused(db.recordStep(lease, newStep("s")), "LeaseLost")
        assert.deepStrictEqual([error.runId, error.epoch], [lease.runId, lease.epoch], which)
        assert.deepStrictEqual(yield* db.listSteps(lease.runId), [], which)
      }
    })
  )

  test(
    "hundreds of steps written at the same moment are all recorded, and a refused one disturbs no other",
    Effect.gen(function*() {
      const { db, held, leases, newStep, owned, owner } = yield* lostLeases
      const second = yield* owned("second", owner)
      const lost = Object.values(leases)
      const writes = Array.from({ length: 300 }, (_, i) => ({
        lease: i % 10 === 0 ? lost[(i / 10) % lost.length] ?? held : i % 2 === 0 ? held : second,
        step: newStep("s", { occurrence: i + 1 })
      }))
      const answers = yield* Effect.forEach(writes, ({ lease, step }) => Effect.result(db.recordStep(lease, step)), {
        concurrency: "unbounded"
      })
      for (const [i, answer] of answers.entries()) {
        assert.strictEqual(answer._tag, i % 10 === 0 ? "Failure" : "Success")
      }
      assert.strictEqual((yield* db.listSteps(held.runId)).length, 120)
      assert.strictEqual((yield* db.listSteps(second.runId)).length, 150)
    })
  )

  test(
    "of several writes of one step at the same moment one stands",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => newStep("s", { outcome: `${i}` })),
        (step) => db.recordStep(held, step),
        { concurrency: "unbounded" }
      )
      const first = yield* db.listSteps(held.runId)
      assert.strictEqual(first.length, 1)
      yield* db.recordStep(held, newStep("s", { outcome: "99" }))
      assert.deepStrictEqual(yield* db.listSteps(held.runId), first)
    })
  )

  test(
    "recordStepInTransaction dies outside a transaction of the store's own client, and records nothing",
    Effect.gen(function*() {
      const { db, newStep, owned, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      const exit = yield* Effect.exit(db.recordStepInTransaction(held, newStep("s")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepStrictEqual(yield* db.listSteps(held.runId), [])
    })
  )
}

const ending = (test: Declare) => {
  test(
    "finish ends the run with its outcome and keeps who ended it",
    Effect.gen(function*() {
      const { db, owned, run, worker } = yield* fixture
      const owner = yield* worker()
      for (const status of ["Succeeded", "Failed"] as const) {
        const held = yield* owned(status, owner, { timeoutMillis: minute })
        const before = yield* run(status)
        yield* TestClock.adjust("1 second")
        yield* db.finish(held, { status, outcome: "{\"x\":1}" })
        assert.deepStrictEqual(yield* run(status), {
          ...before,
          status,
          outcome: "{\"x\":1}",
          finishedAt: yield* db.now
        })
      }
    })
  )

  test(
    "finish is repeated with success by the lease that ended the run, and changes nothing",
    Effect.gen(function*() {
      const { db, owned, run, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      yield* db.finish(held, { status: "Succeeded", outcome: "1" })
      const before = yield* run("r")
      yield* TestClock.adjust("1 second")
      yield* db.finish(held, { status: "Succeeded", outcome: "1" })
      yield* db.finish(held, { status: "Failed", outcome: "2" })
      assert.deepStrictEqual(yield* run("r"), before)
    })
  )

  test(
    "a worker whose lease is lost cannot finish the run, and learns it",
    Effect.gen(function*() {
      const { db, leases, other } = yield* lostLeases
      const { finished, ...rest } = leases
      if (finished === undefined) return assert.fail()
      for (const [which, lease] of Object.entries({ ...rest, finished: { ...finished, worker: other } })) {
        const before = yield* db.findRun(lease.runId)
        const error = yield* refused(db.finish(lease, { status: "Failed", outcome: "2" }), "LeaseLost")
        assert.deepStrictEqual([error.runId, error.epoch], [lease.runId, lease.epoch], which)
        assert.deepStrictEqual(yield* db.findRun(lease.runId), before, which)
      }
    })
  )

  test(
    "a finish that is refused does not disturb those made at the same moment",
    Effect.gen(function*() {
      const { db, leases, owned, owner, runs } = yield* lostLeases
      const own = yield* Effect.forEach(Array.from({ length: 50 }), (_, i) => owned(`f${i}`, owner))
      const { finished: _, ...lost } = leases
      const answers = yield* Effect.forEach(
        [...own, ...Object.values(lost)],
        (lease) => Effect.result(db.finish(lease, { status: "Failed", outcome: `"${lease.runId}"` })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        answers.map((answer) => answer._tag === "Success"),
        [...own.map(() => true), ...Object.values(lost).map(() => false)]
      )
      const failed = (yield* runs()).filter((run) => run.status === "Failed")
      assert.deepStrictEqual(failed.map((run) => run.outcome), failed.map((run) => `"${run.id}"`))
      assert.strictEqual(failed.length, 50)
    })
  )

  test(
    "suspend gives the run up until its wake time, and then to any worker",
    Effect.gen(function*() {
      const { claim, db, name, owned, run, worker } = yield* fixture
      const [owner, next] = [yield* worker(), yield* worker()]
      const held = yield* owned("r", owner, { timeoutMillis: minute })
      const before = yield* run("r")
      yield* db.suspend(held, t0 + second)
      assert.deepStrictEqual(yield* run("r"), { ...before, status: "Suspended", owner: null, wakeAt: t0 + second })
      yield* TestClock.adjust("1 second")
      const { runs } = yield* claim(next)
      assert.deepStrictEqual(runs.map(({ run }) => [run.id, run.owner, run.epoch]), [[name("r"), next, 2]])
    })
  )

  test(
    "a run suspended until an instant that has passed is claimed at once",
    Effect.gen(function*() {
      const { claim, db, owned, worker } = yield* fixture
      const owner = yield* worker()
      yield* db.suspend(yield* owned("past", owner), t0 - minute)
      yield* db.suspend(yield* owned("zero", owner), 0)
      assert.strictEqual((yield* claim(owner)).runs.length, 2)
    })
  )

  test(
    "suspend is repeated with success under the same epoch, and changes nothing",
    Effect.gen(function*() {
      const { db, owned, run, worker } = yield* fixture
      const held = yield* owned("r", yield* worker())
      yield* db.suspend(held, t0 + second)
      const before = yield* run("r")
      yield* db.suspend(held, t0 + minute)
      assert.deepStrictEqual(yield* run("r"), before)
    })
  )

  test(
    "a worker whose lease is lost cannot suspend the run, and learns it",
    Effect.gen(function*() {
      const { db, leases } = yield* lostLeases
      const { suspended, ...rest } = leases
      if (suspended === undefined) return assert.fail()
      for (const [which, lease] of Object.entries({ ...rest, suspended: { ...suspended, epoch: 2 } })) {
        const before = yield* db.findRun(lease.runId)
        const error = yield* refused(db.suspend(lease, t0), "LeaseLost")
        assert.deepStrictEqual([error.runId, error.epoch], [lease.runId, lease.epoch], which)
        assert.deepStrictEqual(yield* db.findRun(lease.runId), before, which)
      }
    })
  )
}

export const steps = (test: Declare) => {
  recording(test)
  ending(test)
}
