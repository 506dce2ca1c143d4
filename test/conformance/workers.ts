/** Workers: their registration, their pulse, and what happens to runs whose worker is gone. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import type { Lease, Pulse, SystemDb } from "../../src/SystemDb.ts"
import { type Declare, fixture, lease, minute, refused, second, t0 } from "./fixture.ts"

const quiet: Pulse = { alive: true, suspects: [], recovered: 0, dead: [] }
const gone: Pulse = { alive: false, suspects: [], recovered: 0, dead: [] }

const registering = (test: Declare) => {
  test(
    "every worker is registered under an id of its own, which begins with its application",
    Effect.gen(function*() {
      const { name, worker } = yield* fixture
      const ids = yield* Effect.forEach(Array.from({ length: 10 }), () => worker(), { concurrency: "unbounded" })
      assert.strictEqual(new Set(ids).size, 10)
      for (const id of ids) assert.isTrue(id.startsWith(`${name("app")}-`))
    })
  )

  test(
    "a worker whose scope closes hands back what it owns, to be claimed at once, attempt unchanged",
    Effect.gen(function*() {
      const { claim, db, owned, run, worker } = yield* fixture
      const scope = yield* Scope.make()
      const [leaving, staying] = [yield* Scope.provide(worker(), scope), yield* worker()]
      yield* owned("own", leaving)
      yield* owned("other", staying)
      yield* db.finish(yield* owned("finished", leaving), { status: "Succeeded", outcome: "1" })
      yield* db.suspend(yield* owned("suspended", leaving), t0 + minute)
      const before = yield* Effect.forEach(["own", "other", "finished", "suspended"], run)
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      const [own, ...others] = before
      assert.deepStrictEqual(yield* run("own"), { ...own, status: "Enqueued", owner: null, wakeAt: t0 + second })
      assert.deepStrictEqual(yield* Effect.forEach(["other", "finished", "suspended"], run), others)
      const { runs } = yield* claim(staying)
      assert.deepStrictEqual(runs.map(({ run }) => [run.id, run.epoch, run.attempt]), [[own?.id, 2, 1]])
    })
  )

  test(
    "a worker whose scope has closed is not alive, and no other worker finds it dead",
    Effect.gen(function*() {
      const { pulse, worker } = yield* fixture
      const scope = yield* Scope.make()
      const [leaving, staying] = [yield* Scope.provide(worker(second), scope), yield* worker(1_000_000)]
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* pulse(leaving), gone)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* pulse(staying), quiet)
    })
  )

  test(
    "a worker declared dead has nothing left to hand back when its scope closes",
    Effect.gen(function*() {
      const { claim, owned, pulse, run, worker } = yield* fixture
      const scope = yield* Scope.make()
      const [dying, next] = [yield* Scope.provide(worker(second), scope), yield* worker(1_000_000)]
      yield* owned("r", dying)
      yield* TestClock.adjust("1 minute")
      yield* pulse(next)
      yield* claim(next)
      const before = yield* run("r")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* run("r"), before)
    })
  )
}

const closingLate = (test: Declare) => {
  test(
    "a worker declared dead hands back, when its scope closes, what it came to own afterwards",
    Effect.gen(function*() {
      const { owned, pulse, run, worker } = yield* fixture
      const scope = yield* Scope.make()
      const [dying, other] = [yield* Scope.provide(worker(second), scope), yield* worker(1_000_000)]
      yield* TestClock.adjust("1 minute")
      yield* pulse(other)
      yield* owned("r", dying)
      yield* Scope.close(scope, Exit.void)
      const { attempt, owner, status } = yield* run("r")
      assert.deepStrictEqual([status, owner, attempt], ["Enqueued", null, 1])
    })
  )
}

const pulsing = (test: Declare) => {
  test(
    "a worker alone is alive, and its pulse finds nothing",
    Effect.gen(function*() {
      const { owned, pulse, run, worker } = yield* fixture
      const owner = yield* worker()
      yield* owned("r", owner)
      const before = yield* run("r")
      assert.deepStrictEqual(yield* pulse(owner), quiet)
      assert.deepStrictEqual(yield* run("r"), before)
    })
  )

  test(
    "a pulse renews the lease, so that no other worker finds this one dead",
    Effect.gen(function*() {
      const { owned, pulse, run, worker } = yield* fixture
      const [beating, other] = [yield* worker(10 * second), yield* worker(1_000_000)]
      yield* owned("r", beating)
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust("8 seconds")
        assert.deepStrictEqual(yield* pulse(beating, { leaseMillis: 10 * second }), quiet)
        assert.deepStrictEqual(yield* pulse(other), quiet)
      }
      assert.strictEqual((yield* run("r")).owner, beating)
    })
  )

  test(
    "a late pulse keeps the worker alive as long as nobody found it dead",
    Effect.gen(function*() {
      const { pulse, worker } = yield* fixture
      const [late, other] = [yield* worker(second), yield* worker(1_000_000)]
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* pulse(late), quiet)
      assert.deepStrictEqual(yield* pulse(other), quiet)
    })
  )

  test(
    "a worker whose own lease had expired takes nobody for dead, nor does one that cannot tell, until its next pulse",
    Effect.gen(function*() {
      const { owned, pulse, run, worker } = yield* fixture
      const [dying, cutOff, other] = [yield* worker(second), yield* worker(second), yield* worker(1_000_000)]
      yield* owned("r", dying)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* pulse(cutOff), quiet)
      assert.deepStrictEqual(yield* pulse(other, { judges: false }), quiet)
      assert.strictEqual((yield* run("r")).owner, dying)
      assert.deepStrictEqual(yield* pulse(cutOff), { ...quiet, recovered: 1 })
    })
  )

  test(
    "a lease holds through its last millisecond and has expired one later",
    Effect.gen(function*() {
      const { owned, pulse, worker } = yield* fixture
      const [dying, other] = [yield* worker(second), yield* worker(1_000_000)]
      yield* owned("r", dying)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* pulse(other), quiet)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* pulse(other), { ...quiet, recovered: 1 })
    })
  )

  test(
    "the runs of a worker whose lease has expired are enqueued again, with one more attempt",
    Effect.gen(function*() {
      const { db, newStep, owned, pulse, run, worker } = yield* fixture
      const [dying, other] = [yield* worker(second), yield* worker(1_000_000)]
      const held = yield* owned("r", dying, { timeoutMillis: minute })
      yield* db.recordStep(held, newStep("s"))
      yield* owned("other", other)
      yield* db.finish(yield* owned("finished", dying), { status: "Failed", outcome: "1" })
      yield* db.suspend(yield* owned("suspended", dying), t0 + minute)
      const [before, ...others] = yield* Effect.forEach(["r", "other", "finished", "suspended"], run)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* pulse(other), { ...quiet, recovered: 1 })
      assert.deepStrictEqual(yield* run("r"), {
        ...before,
        status: "Enqueued",
        owner: null,
        attempt: 2,
        wakeAt: t0 + 10 * second
      })
      assert.deepStrictEqual(yield* Effect.forEach(["other", "finished", "suspended"], run), others)
      assert.strictEqual((yield* db.listSteps(held.runId)).length, 1)
    })
  )

  test(
    "a worker declared dead learns it from its next pulse, and that pulse does nothing else",
    Effect.gen(function*() {
      const { owned, pulse, run, worker } = yield* fixture
      const [first, other, third] = [yield* worker(second), yield* worker(1_000_000), yield* worker(2 * second)]
      yield* TestClock.adjust("1500 millis")
      yield* pulse(other)
      yield* owned("r", third)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* pulse(first), gone)
      assert.strictEqual((yield* run("r")).owner, third)
      assert.deepStrictEqual(yield* pulse(first), gone)
    })
  )

  test(
    "a worker nobody registered is not alive",
    Effect.gen(function*() {
      const { name, pulse } = yield* fixture
      assert.deepStrictEqual(yield* pulse(name("nobody")), gone)
    })
  )

  test(
    "a worker declared dead does not keep what it comes to own afterwards",
    Effect.gen(function*() {
      const { claim, db, fire, name, newRun, newSchedule, pulse, put, run, tick, worker } = yield* fixture
      const [dying, other] = [yield* worker(second), yield* worker(1_000_000)]
      yield* TestClock.adjust("1 minute")
      yield* pulse(other)
      yield* db.start(newRun("claimed"))
      yield* claim(dying)
      yield* db.start(newRun("started", { owner: dying }))
      yield* put(newSchedule("s"))
      yield* fire("s", { ticks: [tick("fired", t0)], owner: dying })
      yield* pulse(other)
      const { runs } = yield* claim(other)
      assert.deepStrictEqual(runs.map(({ run }) => run.id), ["claimed", "fired", "started"].map(name))
      assert.strictEqual((yield* run("claimed")).owner, other)
    })
  )

  test(
    "a run that loses owner after owner is passed over by claims once it has lost so many, and they say that it is due",
    Effect.gen(function*() {
      const { claim, db, isolate, name, owned, pulse, run, worker } = yield* fixture
      const other = yield* worker(1_000_000)
      yield* owned("r", name("nobody"))
      for (const deaths of [1, 2]) {
        assert.deepStrictEqual(yield* pulse(other), { ...quiet, recovered: 1 })
        const { attempt, deaths: counted, isolated, status } = yield* run("r")
        assert.deepStrictEqual([status, attempt, counted, isolated], ["Enqueued", deaths + 1, deaths, false])
        const request = { worker: name("nobody"), limit: 9, workflows: [name("flow")] }
        const none = yield* db.claim({ ...request, maxAttempts: deaths })
        assert.deepStrictEqual(none, { runs: [], nextWake: null, suspects: true })
        assert.deepStrictEqual(
          (yield* db.claim({ ...request, maxAttempts: deaths + 1, suspect: true })).runs,
          [],
          "it is no suspect yet"
        )
        assert.strictEqual((yield* db.claim({ ...request, maxAttempts: deaths + 1 })).runs.length, 1)
      }
      yield* pulse(other)
      const { runs } = yield* isolate(other)
      assert.deepStrictEqual(runs.map(({ run }) => [run.id, run.isolated, run.deaths]), [[name("r"), false, 3]])
      assert.isTrue((yield* run("r")).isolated)
      assert.deepStrictEqual(yield* claim(other), { runs: [], nextWake: null, suspects: false })
    })
  )

  test(
    "a suspect whose owner dies with it alone is given up, and what others of that owner had is recovered",
    Effect.gen(function*() {
      const { db, isolate, name, newRun, newStep, owned, pulse, run, worker } = yield* fixture
      const [other, dying] = [yield* worker(1_000_000), yield* worker(second)]
      yield* owned("r", name("nobody"))
      yield* pulse(other)
      const { runs: [claimed] } = yield* isolate(dying)
      yield* db.start(newRun("young", { owner: dying }))
      const before = yield* run("r")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* pulse(other), { ...quiet, recovered: 1, dead: [name("r")] })
      assert.deepStrictEqual(yield* run("r"), {
        ...before,
        status: "Dead",
        owner: null,
        isolated: false,
        deaths: 2,
        finishedAt: t0 + 2 * second
      })
      assert.deepStrictEqual((yield* run("young")).status, "Enqueued")
      const held = { runId: name("r"), worker: dying, epoch: claimed!.run.epoch }
      yield* refused(db.recordStep(held, newStep("s")), "LeaseLost")
      yield* refused(db.finish(held, { status: "Succeeded", outcome: "1" }), "LeaseLost")
      yield* refused(db.isolate(held, false), "LeaseLost")
    })
  )

  test(
    "a run of which its owner has recorded something begins to count its deaths anew, alone or not",
    Effect.gen(function*() {
      const { db, isolate, name, newStep, owned, pulse, run, worker } = yield* fixture
      const other = yield* worker(1_000_000)
      yield* owned("r", name("nobody"))
      yield* pulse(other)
      yield* isolate(name("nobody"))
      yield* db.recordStep({ runId: name("r"), worker: name("nobody"), epoch: 2 }, newStep("s"))
      assert.deepStrictEqual(yield* pulse(other), { ...quiet, recovered: 1 })
      const { attempt, deaths, isolated, status } = yield* run("r")
      assert.deepStrictEqual([status, attempt, deaths, isolated], ["Enqueued", 3, 0, false])
      assert.strictEqual(
        (yield* db.claim({
          worker: name("nobody"),
          limit: 1,
          workflows: [name("flow")],
          maxAttempts: 1
        })).runs.length,
        1
      )
      yield* pulse(other)
      assert.strictEqual((yield* run("r")).deaths, 1, "what was recorded before that owner counts no more")
    })
  )

  test(
    "a suspect that is not alone any more is not given up with its owner, and stays a suspect",
    Effect.gen(function*() {
      const { db, isolate, name, owned, pulse, run, worker } = yield* fixture
      const other = yield* worker(1_000_000)
      yield* owned("r", name("nobody"))
      yield* pulse(other)
      yield* isolate(name("nobody"))
      yield* db.isolate({ runId: name("r"), worker: name("nobody"), epoch: 2 }, false)
      assert.isFalse((yield* run("r")).isolated)
      assert.deepStrictEqual(yield* pulse(other), { ...quiet, recovered: 1 })
      assert.strictEqual((yield* run("r")).deaths, 2)
    })
  )

  const inGoodOrder = [
    ["suspended", (db: SystemDb["Service"], held: Lease) => db.suspend(held, t0)],
    ["handed back", (db: SystemDb["Service"], held: Lease) => db.release([held])],
    ["handed back by a comparison", (db: SystemDb["Service"], { worker }: Lease) => db.reconcile({ worker, held: [] })]
  ] as const
  for (const [how, giveUp] of inGoodOrder) {
    test(
      `a run that is ${how} has lost its owner no times in a row if that owner recorded something, and as often as before if not`,
      Effect.gen(function*() {
        const { claim, db, name, newStep, owned, pulse, run, worker } = yield* fixture
        const other = yield* worker(1_000_000)
        for (const suffix of ["further", "not"]) yield* owned(suffix, name("nobody"))
        yield* pulse(other)
        const { runs } = yield* claim(name("nobody"))
        const leases = runs.map(({ run }) => lease(run))
        yield* db.recordStep(leases.find(({ runId }) => runId === name("further"))!, newStep("s"))
        for (const held of leases) yield* giveUp(db, held)
        assert.deepStrictEqual([(yield* run("further")).deaths, (yield* run("not")).deaths], [0, 1])
      })
    )
  }

  test(
    "workers that pulse at the same moment recover each run once",
    Effect.gen(function*() {
      const { owned, pulse, runs, worker } = yield* fixture
      const dying = yield* Effect.forEach(Array.from({ length: 5 }), () => worker(second))
      const others = yield* Effect.forEach(Array.from({ length: 5 }), () => worker(1_000_000))
      yield* Effect.forEach(Array.from({ length: 50 }), (_, i) => owned(`r${i}`, dying[i % 5] ?? ""))
      yield* TestClock.adjust("1 minute")
      const pulses = yield* Effect.forEach(others, (worker) => pulse(worker), { concurrency: "unbounded" })
      assert.strictEqual(pulses.reduce((sum, { recovered }) => sum + recovered, 0), 50)
      for (const run of yield* runs()) assert.deepStrictEqual([run.status, run.attempt], ["Enqueued", 2])
    })
  )

  test(
    "a worker that is suspected keeps its runs as long as it holds its session lock",
    Effect.gen(function*() {
      const { name, owned, pulse, run, worker } = yield* fixture
      const [suspected, other] = [yield* worker(), yield* worker()]
      yield* owned("r", suspected)
      const suspects = [suspected, other, name("nobody")].map((worker) => ({ worker, renewedAt: t0 }))
      assert.deepStrictEqual(yield* pulse(other, { suspects }), quiet)
      assert.deepStrictEqual(yield* pulse(other, { suspects }), quiet)
      assert.strictEqual((yield* run("r")).owner, suspected)
      assert.deepStrictEqual(yield* pulse(suspected), quiet)
    })
  )
}

export const workers = (test: Declare) => {
  registering(test)
  closingLate(test)
  pulsing(test)
}
