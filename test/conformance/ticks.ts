/** Runs of a schedule that it did not fire itself: backfilled ticks, and triggers. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { firingFixture } from "./firing.ts"
import { type Declare, ids, minute, second, t0 } from "./fixture.ts"

export const ticks = (test: Declare) => {
  test(
    "enqueueTicks enqueues a run for each tick and moves neither cursor nor history",
    Effect.gen(function*() {
      const { db, name, newSchedule, payload, run, runs, schedule, tick } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.applySchedules([newSchedule("s", { context: "\"new\"" })], { pruneApplication: null })
      yield* db.pauseSchedule(name("s"))
      const before = yield* schedule("s")
      const created = yield* db.enqueueTicks(name("s"), [tick("a", 1), tick("b", 2)])
      assert.deepStrictEqual([...created].sort(), [name("a"), name("b")])
      assert.deepStrictEqual(yield* schedule("s"), before)
      const { attempt, epoch, owner, schedule: from, status, tick: at, wakeAt } = yield* run("b")
      assert.deepStrictEqual([status, owner, epoch, attempt, wakeAt, from, at], [
        "Enqueued",
        null,
        0,
        1,
        t0,
        name("s"),
        2
      ])
      assert.deepStrictEqual((yield* runs()).map((run) => run.payload), [2, 1].map((at) => payload(at, "\"new\"")))
      assert.deepStrictEqual(yield* db.enqueueTicks(name("s"), []), [])
    })
  )

  test(
    "a tick that was fired is not enqueued again, nor one enqueued fired again",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, runs, tick } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.fire([firing("s")])
      const ticks = [tick("s-tick", t0), tick("next", t0 + minute)]
      assert.deepStrictEqual(yield* db.enqueueTicks(name("s"), ticks), [name("next")])
      assert.deepStrictEqual(yield* db.enqueueTicks(name("s"), ticks), [])
      yield* TestClock.adjust("1 minute")
      const { fired } = yield* db.fire([
        firing("s", { cursor: t0 + minute, nextAt: null, ticks: [tick("next", t0 + minute)] })
      ])
      assert.deepStrictEqual(fired, [{ _tag: "Fired", name: name("s"), runs: [] }])
      assert.deepStrictEqual(ids(yield* runs()), [name("s-tick"), name("next")])
    })
  )

  test(
    "ticks that many processes enqueue at the same moment are each enqueued once",
    Effect.gen(function*() {
      const { db, name, newSchedule, tick } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      const ticks = Array.from({ length: 30 }, (_, i) => tick(`r${i}`, i))
      const answers = yield* Effect.forEach(
        [ticks, [...ticks].reverse(), ticks, [...ticks].reverse()],
        (ticks) => db.enqueueTicks(name("s"), ticks),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers.flat().sort(), ticks.map(({ runId }) => runId).sort())
    })
  )

  test(
    "trigger starts one run now, with the schedule's context or the one given, and is not a tick of its history",
    Effect.gen(function*() {
      const { db, name, newSchedule, payload, run, schedule, tick, worker, workflow } = yield* firingFixture
      const owner = yield* worker()
      yield* db.createSchedule(newSchedule("s"))
      yield* db.pauseSchedule(name("s"))
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const own = yield* db.triggerSchedule({ name: name("s"), run: tick("own", 5), context: null, owner })
      assert.deepStrictEqual(own, {
        id: name("own"),
        workflow,
        status: "Running",
        payload: payload(5),
        outcome: null,
        owner,
        epoch: 1,
        attempt: 1,
        wakeAt: null,
        deadline: null,
        timeoutMillis: null,
        schedule: name("s"),
        tick: 5,
        parent: null,
        createdAt: t0 + second,
        startedAt: t0 + second,
        finishedAt: null
      })
      assert.deepStrictEqual(yield* run("own"), own)
      for (const context of ["null", "[]", "{\"b\" : 2}"]) {
        const suffix = `given ${context}`
        const given = yield* db.triggerSchedule({ name: name("s"), run: tick(suffix, 6), context, owner: null })
        assert.deepStrictEqual([given.payload, given.status, given.wakeAt, given.epoch], [
          payload(6, context),
          "Enqueued",
          t0 + second,
          0
        ])
        assert.deepStrictEqual(yield* run(suffix), given)
      }
      assert.deepStrictEqual(yield* schedule("s"), before)
    })
  )
}
