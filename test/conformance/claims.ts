/** Claiming: how workers get the runs whose time has come. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Run } from "../../src/SystemDb.ts"
import { type Declare, fixture, ids, minute, second, t0 } from "./fixture.ts"

export const claims = (test: Declare) => {
  test(
    "a claimed run is Running, belongs to the worker, and no longer waits",
    Effect.gen(function*() {
      const { claim, db, newRun, run, worker } = yield* fixture
      const owner = yield* worker()
      yield* db.start(newRun("r", { timeoutMillis: minute }))
      const before = yield* run("r")
      yield* TestClock.adjust("1 second")
      const { nextWake, runs } = yield* claim(owner)
      const expected: Run = {
        ...before,
        status: "Running",
        owner,
        epoch: 1,
        wakeAt: null,
        startedAt: t0 + second,
        deadline: t0 + second + minute
      }
      assert.deepStrictEqual(runs, [{ run: expected, steps: [] }])
      assert.strictEqual(nextWake, null)
      assert.deepStrictEqual(yield* run("r"), expected)
    })
  )

  test(
    "a later claim raises the epoch and keeps the first start and the deadline",
    Effect.gen(function*() {
      const { claim, db, owned, run, worker } = yield* fixture
      const [first, next] = [yield* worker(), yield* worker()]
      const held = yield* owned("r", first, { timeoutMillis: minute })
      yield* db.suspend(held, t0 + second)
      yield* TestClock.adjust("5 seconds")
      yield* claim(next)
      const { attempt, deadline, epoch, owner, startedAt } = yield* run("r")
      assert.deepStrictEqual({ attempt, deadline, epoch, owner, startedAt }, {
        attempt: 1,
        deadline: t0 + minute,
        epoch: 2,
        owner: next,
        startedAt: t0
      })
    })
  )

  test(
    "claim takes only runs of the workflows asked for",
    Effect.gen(function*() {
      const { db, name, newRun, worker } = yield* fixture
      const owner = yield* worker()
      for (const flow of ["x", "y", "z"]) yield* db.start(newRun(flow, { workflow: name(flow) }))
      const none = yield* db.claim({ worker: owner, limit: 9, workflows: [] })
      assert.deepStrictEqual(none, { runs: [], nextWake: null, suspects: false })
      const some = yield* db.claim({ worker: owner, limit: 9, workflows: [name("x"), name("z"), name("unknown")] })
      assert.deepStrictEqual(some.runs.map(({ run }) => run.id), [name("x"), name("z")])
    })
  )

  test(
    "claim takes the earliest wake first and breaks ties by id, by code point",
    Effect.gen(function*() {
      const { claim, db, name, newRun, worker } = yield* fixture
      const owner = yield* worker()
      for (const suffix of ["b", "\u{1F600}", "B", "\uFF5E", "a"]) yield* db.start(newRun(suffix))
      yield* db.start(newRun("late", { delayMillis: 2 }))
      yield* db.start(newRun("0", { delayMillis: 1 }))
      yield* TestClock.adjust("1 second")
      const { runs } = yield* claim(owner)
      assert.deepStrictEqual(
        ids(runs.map(({ run }) => run)),
        ["B", "a", "b", "\uFF5E", "\u{1F600}", "0", "late"].map(name)
      )
    })
  )

  test(
    "claim takes at most its limit, and says from when the next run waits",
    Effect.gen(function*() {
      const { claim, db, name, newRun, worker } = yield* fixture
      const owner = yield* worker()
      yield* db.start(newRun("c", { delayMillis: minute }))
      for (const suffix of ["a", "b"]) yield* db.start(newRun(suffix))
      assert.deepStrictEqual(yield* claim(owner, 0), { runs: [], nextWake: t0, suspects: false })
      const one = yield* claim(owner, 1)
      assert.deepStrictEqual([ids(one.runs.map(({ run }) => run)), one.nextWake], [[name("a")], t0])
      const two = yield* claim(owner, 2)
      assert.deepStrictEqual([ids(two.runs.map(({ run }) => run)), two.nextWake], [[name("b")], t0 + minute])
    })
  )

  test(
    "nextWake looks only at runs that wait, and at the workflows asked for",
    Effect.gen(function*() {
      const { claim, db, name, newRun, owned, worker } = yield* fixture
      const owner = yield* worker()
      yield* owned("running", owner)
      yield* db.start(newRun("cancelled", { delayMillis: 1 }))
      yield* db.cancel(name("cancelled"), null)
      yield* db.start(newRun("other", { workflow: name("other"), delayMillis: 2 }))
      assert.deepStrictEqual(yield* claim(owner), { runs: [], nextWake: null, suspects: false })
      yield* db.suspend(yield* owned("suspended", owner), t0 + 3)
      assert.deepStrictEqual(yield* claim(owner), { runs: [], nextWake: t0 + 3, suspects: false })
    })
  )

  test(
    "a run is claimed at its wake time and not a millisecond before",
    Effect.gen(function*() {
      const { claim, db, newRun, owned, worker } = yield* fixture
      const owner = yield* worker()
      yield* db.start(newRun("enqueued", { delayMillis: second }))
      yield* db.suspend(yield* owned("suspended", owner), t0 + second)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual((yield* claim(owner)).runs.length, 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* claim(owner)).runs.length, 2)
    })
  )

  test(
    "workers that claim at the same moment never share a run and leave none behind",
    Effect.gen(function*() {
      const { claim, db, newRun, worker } = yield* fixture
      yield* Effect.forEach(Array.from({ length: 200 }, (_, i) => newRun(`r${i}`)), db.start, {
        concurrency: "unbounded"
      })
      const taken: Array<string> = []
      const claimAll = Effect.gen(function*() {
        const owner = yield* worker()
        while (true) {
          const { nextWake, runs } = yield* claim(owner, 7)
          for (const { run } of runs) {
            assert.strictEqual(run.owner, owner)
            assert.strictEqual(run.epoch, 1)
            taken.push(run.id)
          }
          if (runs.length === 0 && nextWake === null) return
        }
      })
      yield* Effect.all(Array.from({ length: 8 }, () => claimAll), { concurrency: "unbounded" })
      assert.strictEqual(taken.length, 200)
      assert.strictEqual(new Set(taken).size, 200)
    })
  )
}
