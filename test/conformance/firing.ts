/** Firing: what is due, and turning ticks into runs, once. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { DueSchedule, Firing, Run } from "../../src/SystemDb.ts"
import { type Declare, fixture, lease, minute, second, t0 } from "./fixture.ts"

/** A test's fixture with the firing of a schedule that stands as it was created. */
export const firingFixture = Effect.map(fixture, (f) => ({
  ...f,
  firing: (suffix: string, changes: Partial<Firing> = {}): Firing => ({
    name: f.name(suffix),
    revision: 1,
    cursor: t0,
    nextAt: t0 + minute,
    ticks: [f.tick(`${suffix}-tick`, t0)],
    owner: null,
    ...changes
  }),
  due: (suffix: string, changes: Partial<DueSchedule> = {}): DueSchedule => {
    const { cron, name, policies, timeZone, workflow } = f.newSchedule(suffix)
    return { name, workflow, cron, timeZone, policies, revision: 1, nextAt: t0, ...changes }
  },
  payload: (at: number, context = "{\"a\":1}") => `{"scheduledAt":"at ${at}","context":${context}}`
}))

const dueSoon = (test: Declare) => {
  test(
    "the Active schedules whose cursor stands before the horizon are due",
    Effect.gen(function*() {
      const { db, due, name, newSchedule, prefix } = yield* firingFixture
      const create = (suffix: string, nextAt: number | null) => db.createSchedule(newSchedule(suffix, { nextAt }))
      yield* create("past", t0 - minute)
      yield* create("now", t0)
      yield* create("soon", t0 + minute - 1)
      yield* create("at the horizon", t0 + minute)
      yield* create("never", null)
      yield* create("paused", t0)
      yield* db.pauseSchedule(name("paused"))
      const mine = (horizon: number) =>
        Effect.map(db.dueSchedules(horizon), ({ now, schedules }) => ({
          now,
          schedules: schedules.filter((schedule) => schedule.name.startsWith(prefix))
            .sort((a, b) => a.nextAt - b.nextAt)
        }))
      assert.deepStrictEqual(yield* mine(minute), {
        now: t0,
        schedules: [
          due("past", { nextAt: t0 - minute }),
          due("now", { nextAt: t0 }),
          due("soon", { nextAt: t0 + minute - 1 })
        ]
      })
      assert.deepStrictEqual((yield* mine(0)).schedules, [due("past", { nextAt: t0 - minute })])
      yield* TestClock.adjust("1 millis")
      const later = yield* mine(minute)
      assert.deepStrictEqual([later.now, later.schedules.length], [t0 + 1, 4])
    })
  )
}

const firing = (test: Declare) => {
  test(
    "firing moves the cursor, remembers the tick, and gives its run to the owner at once",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, payload, run, schedule, worker, workflow } = yield* firingFixture
      const owner = yield* worker()
      yield* db.createSchedule(newSchedule("s"))
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const { fired, now } = yield* db.fire([firing("s", { owner })])
      const expected: Run = {
        id: name("s-tick"),
        workflow,
        status: "Running",
        payload: payload(t0),
        outcome: null,
        owner,
        epoch: 1,
        attempt: 1,
        wakeAt: null,
        deadline: null,
        timeoutMillis: null,
        schedule: name("s"),
        tick: t0,
        parent: null,
        createdAt: t0 + second,
        startedAt: t0 + second,
        finishedAt: null
      }
      assert.strictEqual(now, t0 + second)
      assert.deepStrictEqual(fired, [{ _tag: "Fired", name: name("s"), runs: [expected] }])
      assert.deepStrictEqual(yield* run("s-tick"), expected)
      assert.deepStrictEqual(yield* schedule("s"), {
        ...before,
        nextAt: t0 + minute,
        lastTick: t0,
        lastRunId: name("s-tick"),
        lastRunStatus: "Running"
      })
    })
  )

  test(
    "firing without an owner enqueues the run",
    Effect.gen(function*() {
      const { claim, db, firing, name, newSchedule, run, worker } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      const { fired } = yield* db.fire([firing("s")])
      const created = yield* run("s-tick")
      assert.deepStrictEqual(fired, [{ _tag: "Fired", name: name("s"), runs: [created] }])
      assert.deepStrictEqual(
        [created.status, created.owner, created.epoch, created.wakeAt, created.startedAt],
        ["Enqueued", null, 0, t0, null]
      )
      assert.strictEqual((yield* claim(yield* worker())).runs.length, 1)
    })
  )

  test(
    "a firing starts a run for each of its ticks and remembers the last",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, payload, schedule, tick } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      const ticks = ["b", "a", "c"].map((suffix, i) => tick(suffix, t0 - 10 + i))
      const { fired } = yield* db.fire([firing("s", { ticks })])
      const runs = fired[0]?._tag === "Fired" ? fired[0].runs : []
      assert.deepStrictEqual(
        [...runs].sort((a, b) => (a.tick ?? 0) - (b.tick ?? 0)).map((run) => [run.id, run.tick, run.payload]),
        ticks.map(({ runId, tick }) => [runId, tick, payload(tick)])
      )
      const { lastRunId, lastTick } = yield* schedule("s")
      assert.deepStrictEqual([lastRunId, lastTick], [name("c"), t0 - 8])
    })
  )

  test(
    "a firing without ticks only moves the cursor",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, runs, schedule } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      const before = yield* schedule("s")
      const { fired } = yield* db.fire([firing("s", { ticks: [] })])
      assert.deepStrictEqual(fired, [{ _tag: "Fired", name: name("s"), runs: [] }])
      assert.deepStrictEqual(yield* schedule("s"), { ...before, nextAt: t0 + minute })
      assert.deepStrictEqual(yield* runs(), [])
    })
  )

  test(
    "a schedule without a next tick stays Active and is not due any more",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, schedule } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.fire([firing("s", { nextAt: null })])
      const { nextAt, status } = yield* schedule("s")
      assert.deepStrictEqual([nextAt, status], [null, "Active"])
      assert.isFalse((yield* db.dueSchedules(1e12)).schedules.some((schedule) => schedule.name === name("s")))
      const { fired } = yield* db.fire([firing("s")])
      assert.deepStrictEqual(fired, [{ _tag: "Stale", name: name("s"), current: null }])
    })
  )

  test(
    "a firing before the store's clock has reached the cursor is Early and changes nothing",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, runs, schedule } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s", { nextAt: t0 + 1 }))
      const before = yield* schedule("s")
      assert.deepStrictEqual((yield* db.fire([firing("s", { cursor: t0 + 1 })])).fired, [
        { _tag: "Early", name: name("s") }
      ])
      assert.deepStrictEqual(yield* schedule("s"), before)
      assert.deepStrictEqual(yield* runs(), [])
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* db.fire([firing("s", { cursor: t0 + 1 })])).fired[0]?._tag, "Fired")
    })
  )

  test(
    "a firing is Stale when somebody fired, edited, paused or deleted the schedule, and says how it stands",
    Effect.gen(function*() {
      const { db, due, firing, name, newSchedule, runs } = yield* firingFixture
      const names = ["fired", "edited", "moved", "future", "paused", "deleted"]
      for (const suffix of names) yield* db.createSchedule(newSchedule(suffix))
      yield* db.fire([firing("fired", { ticks: [] })])
      yield* db.applySchedules([
        newSchedule("edited", { policies: "{\"x\":1}" }),
        newSchedule("moved", { timeZone: "UTC", nextAt: t0 - 1 }),
        newSchedule("future", { cron: "9 9 9 * * *", nextAt: t0 + minute })
      ], { pruneApplication: null })
      yield* db.pauseSchedule(name("paused"))
      yield* db.deleteSchedule(name("deleted"))
      const expected: Record<string, DueSchedule | null> = {
        fired: due("fired", { nextAt: t0 + minute }),
        edited: due("edited", { revision: 2, policies: "{\"x\":1}" }),
        moved: due("moved", { revision: 2, timeZone: "UTC", nextAt: t0 - 1 }),
        future: due("future", { revision: 2, cron: "9 9 9 * * *", nextAt: t0 + minute }),
        paused: null,
        deleted: null,
        unknown: null
      }
      for (const [suffix, current] of Object.entries(expected)) {
        const { fired } = yield* db.fire([firing(suffix)])
        assert.deepStrictEqual(fired, [{ _tag: "Stale", name: name(suffix), current }])
      }
      assert.deepStrictEqual(yield* runs(), [])
    })
  )

  test(
    "a run id that exists already is not started again, and the cursor moves on",
    Effect.gen(function*() {
      const { db, firing, name, newRun, newSchedule, run, schedule, tick } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.start(newRun("used", { workflow: name("other") }))
      const before = yield* run("used")
      const ticks = [tick("fresh", t0 - 1), tick("used", t0)]
      const { fired } = yield* db.fire([firing("s", { ticks })])
      assert.deepStrictEqual(fired, [{ _tag: "Fired", name: name("s"), runs: [yield* run("fresh")] }])
      assert.deepStrictEqual(yield* run("used"), before)
      const { lastRunId, lastTick, nextAt } = yield* schedule("s")
      assert.deepStrictEqual([lastRunId, lastTick, nextAt], [name("used"), t0, t0 + minute])
    })
  )

  test(
    "each of many firings stands or falls by itself",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, runs } = yield* firingFixture
      assert.deepStrictEqual((yield* db.fire([])).fired, [])
      for (let i = 0; i < 100; i++) {
        yield* db.createSchedule(newSchedule(`s${i}`, { nextAt: i % 4 === 1 ? t0 + 1 : t0 }))
        if (i % 4 === 2) yield* db.pauseSchedule(name(`s${i}`))
      }
      const { fired } = yield* db.fire(
        Array.from(
          { length: 100 },
          (_, i) => firing(`s${i}`, { cursor: i % 4 === 1 ? t0 + 1 : t0, revision: i % 4 === 3 ? 7 : 1 })
        )
      )
      const tags = new Map(fired.map((fired) => [fired.name, fired._tag]))
      assert.strictEqual(tags.size, 100)
      for (let i = 0; i < 100; i++) {
        assert.strictEqual(tags.get(name(`s${i}`)), ["Fired", "Early", "Stale", "Stale"][i % 4])
      }
      assert.strictEqual((yield* runs()).length, 25)
    })
  )

  test(
    "a tick that many processes fire at the same moment is fired once",
    Effect.gen(function*() {
      const { db, firing, newSchedule, run, runs, schedule, worker } = yield* firingFixture
      const owners = yield* Effect.forEach(Array.from({ length: 5 }), () => worker())
      for (let round = 0; round < 5; round++) {
        yield* db.createSchedule(newSchedule(`s${round}`))
        const answers = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, i) => firing(`s${round}`, { owner: owners[i % 5] ?? null })),
          (firing) => Effect.map(db.fire([firing]), ({ fired }) => ({ owner: firing.owner, fired: fired[0] })),
          { concurrency: "unbounded" }
        )
        const winners = answers.filter(({ fired }) => fired?._tag === "Fired")
        assert.deepStrictEqual(winners.map(({ owner }) => owner), [(yield* run(`s${round}-tick`)).owner])
        assert.strictEqual(answers.filter(({ fired }) => fired?._tag === "Stale").length, 19)
        assert.strictEqual((yield* schedule(`s${round}`)).nextAt, t0 + minute)
      }
      assert.strictEqual((yield* runs()).length, 5)
    })
  )

  test(
    "processes that fire overlapping sets of schedules in any order fire each tick once",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, runs } = yield* firingFixture
      const suffixes = Array.from({ length: 40 }, (_, i) => `s${i}`)
      for (const suffix of suffixes) yield* db.createSchedule(newSchedule(suffix))
      const rotated = (by: number) => [...suffixes.slice(by), ...suffixes.slice(0, by)]
      const answers = yield* Effect.forEach(
        [0, 13, 27, 35].flatMap((by) => [rotated(by), rotated(by).reverse()]),
        (suffixes) => db.fire(suffixes.map((suffix) => firing(suffix))),
        { concurrency: "unbounded" }
      )
      const fired = answers.flatMap(({ fired }) => fired).filter(({ _tag }) => _tag === "Fired")
      assert.deepStrictEqual(fired.map(({ name }) => name).sort(), suffixes.map(name).sort())
      assert.strictEqual((yield* runs()).length, 40)
    })
  )

  test(
    "a schedule's history shows how its last run stands",
    Effect.gen(function*() {
      const { db, firing, newSchedule, run, schedule, worker } = yield* firingFixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.fire([firing("s", { owner: yield* worker() })])
      assert.strictEqual((yield* schedule("s")).lastRunStatus, "Running")
      yield* db.finish(lease(yield* run("s-tick")), { status: "Failed", outcome: "1" })
      assert.strictEqual((yield* schedule("s")).lastRunStatus, "Failed")
    })
  )
}

export const firings = (test: Declare) => {
  dueSoon(test)
  firing(test)
}
