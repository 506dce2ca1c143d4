/** Runs: starting, awaiting and cancelling them. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import { SystemDb } from "../../src/SystemDb.ts"
import { type Declare, fixture, joinAsTimePasses, lease, minute, refused, second, t0, unscheduled } from "./fixture.ts"

const starting = (test: Declare) => {
  test(
    "a run started without an owner is Enqueued and may be claimed from now on",
    Effect.gen(function*() {
      const { db, name, newRun, run, workflow } = yield* fixture
      const started = yield* db.start(newRun("r", { payload: "[1]", timeoutMillis: minute, parent: name("parent") }))
      assert.deepStrictEqual(started, { created: true, status: "Enqueued", owner: null, epoch: 0, deadline: null })
      assert.deepStrictEqual(yield* run("r"), {
        id: name("r"),
        workflow,
        status: "Enqueued",
        payload: "[1]",
        outcome: null,
        owner: null,
        epoch: 0,
        attempt: 1,
        deaths: 0,
        isolated: false,
        handbacks: 0,
        wakeAt: t0,
        deadline: null,
        timeoutMillis: minute,
        ...unscheduled,
        parent: name("parent"),
        trace: null,
        createdAt: t0,
        startedAt: null,
        finishedAt: null
      })
    })
  )

  test(
    "a run started with an owner is Running under epoch 1, and its deadline counts from now",
    Effect.gen(function*() {
      const { db, name, newRun, run, worker, workflow } = yield* fixture
      const owner = yield* worker()
      const started = yield* db.start(newRun("r", { owner, timeoutMillis: minute }))
      assert.deepStrictEqual(started, { created: true, status: "Running", owner, epoch: 1, deadline: t0 + minute })
      assert.deepStrictEqual(yield* run("r"), {
        id: name("r"),
        workflow,
        status: "Running",
        payload: "{}",
        outcome: null,
        owner,
        epoch: 1,
        attempt: 1,
        deaths: 0,
        isolated: false,
        handbacks: 0,
        wakeAt: null,
        deadline: t0 + minute,
        timeoutMillis: minute,
        ...unscheduled,
        parent: null,
        trace: null,
        createdAt: t0,
        startedAt: t0,
        finishedAt: null
      })
    })
  )

  test(
    "the span that a run was started in is kept; one it was given up in only when there is none",
    Effect.gen(function*() {
      const { claim, db, newRun, owned, run, worker } = yield* fixture
      const owner = yield* worker()
      yield* db.start(newRun("traced", { trace: "{\"traceId\":\"1\"}" }))
      assert.strictEqual((yield* run("traced")).trace, "{\"traceId\":\"1\"}")
      const [claimed] = (yield* claim(owner)).runs
      yield* db.suspend(lease(claimed!.run), t0 + minute, "2")
      assert.strictEqual((yield* run("traced")).trace, "{\"traceId\":\"1\"}")
      for (const [id, trace] of [["silent", null], ["own", "3"]] as const) {
        yield* db.suspend(yield* owned(id, owner), t0 + minute, trace)
        assert.strictEqual((yield* run(id)).trace, trace)
      }
    })
  )

  test(
    "a run without a timeout has no deadline",
    Effect.gen(function*() {
      const { db, newRun, run, worker } = yield* fixture
      const owner = yield* worker()
      assert.strictEqual((yield* db.start(newRun("r", { owner }))).deadline, null)
      assert.strictEqual((yield* run("r")).deadline, null)
    })
  )

  test(
    "a delay postpones the wake time, also when an owner is named",
    Effect.gen(function*() {
      const { db, newRun, run, worker } = yield* fixture
      const owner = yield* worker()
      for (const delayed of [newRun("a", { delayMillis: 5 }), newRun("b", { delayMillis: 5, owner })]) {
        const started = yield* db.start(delayed)
        assert.deepStrictEqual(started, { created: true, status: "Enqueued", owner: null, epoch: 0, deadline: null })
      }
      for (const suffix of ["a", "b"]) {
        const { owner, startedAt, status, wakeAt } = yield* run(suffix)
        assert.deepStrictEqual({ owner, startedAt, status, wakeAt }, {
          owner: null,
          startedAt: null,
          status: "Enqueued",
          wakeAt: t0 + 5
        })
      }
    })
  )

  test(
    "a run started again is found as it stands, and nothing about it changes",
    Effect.gen(function*() {
      const { db, name, newRun, owned, run, worker } = yield* fixture
      const owner = yield* worker()
      yield* owned("r", owner, { timeoutMillis: minute })
      const before = yield* run("r")
      yield* TestClock.adjust("1 second")
      const again = newRun("r", { payload: "[2]", delayMillis: 9, timeoutMillis: 1, parent: name("parent") })
      assert.deepStrictEqual(yield* db.start(again), {
        created: false,
        status: "Running",
        owner,
        epoch: 1,
        deadline: t0 + minute
      })
      assert.deepStrictEqual(yield* run("r"), before)

      yield* db.finish(lease(before), { status: "Failed", outcome: "0" })
      assert.deepStrictEqual(yield* db.start(again), {
        created: false,
        status: "Failed",
        owner,
        epoch: 1,
        deadline: t0 + minute
      })
    })
  )

  test(
    "a run id that belongs to another workflow is refused, and the error names both",
    Effect.gen(function*() {
      const { db, name, newRun, run, workflow } = yield* fixture
      yield* db.start(newRun("r"))
      const before = yield* run("r")
      const conflict = yield* refused(db.start(newRun("r", { workflow: name("other") })), "RunConflict")
      assert.strictEqual(conflict.runId, name("r"))
      assert.strictEqual(conflict.workflow, name("other"))
      assert.strictEqual(conflict.existing, workflow)
      assert.deepStrictEqual(yield* run("r"), before)
    })
  )

  test(
    "many starts of one id at once create one run, and all agree about it",
    Effect.gen(function*() {
      const { db, newRun, runs, worker } = yield* fixture
      const owners = yield* Effect.forEach([1, 2, 3], () => worker())
      const answers = yield* Effect.forEach(
        Array.from({ length: 30 }, (_, i) => newRun("r", { owner: owners[i % 3] ?? null, payload: `${i}` })),
        db.start,
        { concurrency: "unbounded" }
      )
      assert.strictEqual(answers.filter((answer) => answer.created).length, 1)
      const [only, ...others] = yield* runs()
      assert.strictEqual(others.length, 0)
      for (const answer of answers) {
        assert.deepStrictEqual([answer.status, answer.owner, answer.epoch], ["Running", only?.owner, 1])
      }
    })
  )

  test(
    "a start that is refused does not disturb those made at the same moment",
    Effect.gen(function*() {
      const { db, name, newRun, runs } = yield* fixture
      yield* db.start(newRun("taken", { workflow: name("other") }))
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, i) => newRun(i % 10 === 0 ? "taken" : `r${i}`)),
        (run) => Effect.result(db.start(run)),
        { concurrency: "unbounded" }
      )
      for (const [i, outcome] of outcomes.entries()) {
        assert.strictEqual(outcome._tag, i % 10 === 0 ? "Failure" : "Success")
      }
      assert.strictEqual((yield* runs()).length, 180)
    })
  )
}

const ending = (test: Declare) => {
  test(
    "cancel ends a run that is Enqueued, Running or Suspended",
    Effect.gen(function*() {
      const { claim, db, name, newRun, owned, run, worker } = yield* fixture
      const owner = yield* worker()
      yield* db.start(newRun("enqueued", { delayMillis: minute }))
      yield* owned("running", owner)
      yield* db.suspend(yield* owned("suspended", owner), t0 + minute)
      yield* TestClock.adjust("1 second")
      for (const suffix of ["enqueued", "running", "suspended"]) {
        const before = yield* run(suffix)
        yield* db.cancel(name(suffix), null)
        assert.deepStrictEqual(yield* run(suffix), {
          ...before,
          status: "Cancelled",
          owner: null,
          wakeAt: null,
          finishedAt: t0 + second
        })
      }
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* claim(owner), { runs: [], nextWake: null, suspects: false })
    })
  )

  test(
    "cancel refuses a run that has ended, and says how it stands",
    Effect.gen(function*() {
      const { db, doom, name, newRun, owned, pulse, run, worker } = yield* fixture
      const owner = yield* worker(1_000_000)
      yield* owned("dead", name("nobody"))
      yield* doom(owner)
      yield* db.finish(yield* owned("succeeded", owner), { status: "Succeeded", outcome: "1" })
      yield* db.finish(yield* owned("failed", owner), { status: "Failed", outcome: "1" })
      yield* db.start(newRun("cancelled"))
      yield* db.cancel(name("cancelled"), null)
      yield* pulse(owner)
      for (const status of ["Succeeded", "Failed", "Cancelled", "Dead"]) {
        const before = yield* run(status.toLowerCase())
        const refusal = yield* refused(db.cancel(before.id, null), "IllegalTransition")
        assert.deepStrictEqual([refusal.runId, refusal.command, refusal.status], [before.id, "cancel", status])
        assert.deepStrictEqual(yield* run(status.toLowerCase()), before)
      }
    })
  )

  test(
    "cancel refuses an id that no run has",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      assert.strictEqual((yield* refused(db.cancel(name("r"), null), "RunNotFound")).runId, name("r"))
    })
  )

  test(
    "of a cancel and a finish at the same moment one wins, and the other is told",
    Effect.gen(function*() {
      const { db, name, owned, run, worker } = yield* fixture
      const owner = yield* worker()
      for (let i = 0; i < 10; i++) {
        const held = yield* owned(`r${i}`, owner)
        const [cancelled, finished] = yield* Effect.all([
          Effect.result(db.cancel(name(`r${i}`), null)),
          Effect.result(db.finish(held, { status: "Succeeded", outcome: "1" }))
        ], { concurrency: "unbounded" })
        assert.notStrictEqual(cancelled._tag, finished._tag)
        assert.strictEqual((yield* run(`r${i}`)).status, cancelled._tag === "Success" ? "Cancelled" : "Succeeded")
      }
    })
  )

  test(
    "awaitRun answers at once when the run has ended",
    Effect.gen(function*() {
      const { db, name, owned, run, worker } = yield* fixture
      yield* db.finish(yield* owned("r", yield* worker()), { status: "Succeeded", outcome: "[1]" })
      assert.deepStrictEqual(yield* db.awaitRun(name("r")), yield* run("r"))
    })
  )

  test(
    "awaitRun returns the run however it ends, to everyone who waits",
    Effect.gen(function*() {
      const { db, doom, name, newRun, owned, pulse, run, worker } = yield* fixture
      const owner = yield* worker(1_000_000)
      yield* owned("dead", name("nobody"))
      yield* doom(owner)
      const succeeded = yield* owned("succeeded", owner)
      const failed = yield* owned("failed", owner)
      yield* db.start(newRun("cancelled"))
      const suffixes = ["succeeded", "failed", "cancelled", "dead"]
      const waiting = yield* Effect.forEach(
        [...suffixes, ...suffixes, ...suffixes],
        (suffix) => Effect.forkChild(db.awaitRun(name(suffix)), { startImmediately: true })
      )
      yield* db.finish(succeeded, { status: "Succeeded", outcome: "1" })
      yield* db.finish(failed, { status: "Failed", outcome: "2" })
      yield* db.cancel(name("cancelled"), null)
      yield* pulse(owner)
      for (const [i, fiber] of waiting.entries()) {
        assert.deepStrictEqual(yield* joinAsTimePasses(fiber), yield* run(suffixes[i % 4] ?? ""))
      }
    })
  )

  test(
    "awaitRun refuses an id that no run has",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      assert.strictEqual((yield* refused(db.awaitRun(name("r")), "RunNotFound")).runId, name("r"))
    })
  )
}

const impossible = (test: Declare) => {
  test(
    "a look-up by what nothing can be called finds nothing",
    Effect.gen(function*() {
      const { db, name, newRun, workflow } = yield* fixture
      // What a server would read instead of a lone surrogate.
      yield* db.start(newRun("\ufffd"))
      const page = { limit: 10, after: null }
      for (const odd of ["\0", "\ud800", "\udc00x"]) {
        const id = name(odd)
        assert.isTrue(Option.isNone(yield* db.findRun(id)))
        assert.deepStrictEqual(yield* db.listSteps(id), [])
        yield* refused(db.awaitRun(id), "RunNotFound")
        yield* refused(db.cancel(id, null), "RunNotFound")
        assert.deepStrictEqual(yield* db.listRuns({ workflow: [id] }, page), [])
        assert.deepStrictEqual(yield* db.listRuns({ workflow: [workflow], schedule: [id] }, page), [])
        assert.lengthOf(yield* db.listRuns({ workflow: [id, workflow] }, page), 1)
      }
    })
  )

  test(
    "the longest ids, names and keys can be kept together",
    Effect.gen(function*() {
      const { db, newRun, newStep, worker } = yield* fixture
      const owner = yield* worker()
      // In an order of chance, so that nothing of it can be compressed.
      let state = 7
      const text = () =>
        Array.from({ length: 170 }, () => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
          return String.fromCharCode(0x4e00 + (state >>> 8) % 20_000)
        }).join("")
      const id = text()
      yield* db.start({ ...newRun("r", { owner, workflow: text(), parent: text() }), id })
      const step = { ...newStep("s"), name: text(), key: text() }
      yield* db.recordStep({ runId: id, worker: owner, epoch: 1 }, step)
      const [recorded] = yield* db.listSteps(id)
      assert.deepStrictEqual([recorded?.name, recorded?.key], [step.name, step.key])
    })
  )
}

export const runs = (test: Declare) => {
  test(
    "now is the clock that decides what is due",
    Effect.gen(function*() {
      const db = yield* SystemDb
      yield* TestClock.setTime(t0)
      assert.strictEqual(yield* db.now, t0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* db.now, t0 + 1)
    })
  )
  starting(test)
  ending(test)
  impossible(test)
}
