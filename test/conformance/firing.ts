/** Firing: what is due, and turning ticks into runs, once. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Fired, Run } from "../../src/SystemDb.ts"
import { type Declare, dueOf, fixture, lease, minute, noOptions, second, t0, unscheduled } from "./fixture.ts"

const payload = (at: number, context = "{\"a\":1}") => `{"scheduledAt":"at ${at}","context":${context}}`

const runsOf = (fired: Fired | undefined): ReadonlyArray<Run> => fired?._tag === "Fired" ? fired.runs : []

const dueSoon = (test: Declare) => {
  test(
    "the schedules whose wake time comes before the horizon are due, in the order of their wake times and then names",
    Effect.gen(function*() {
      const { db, newSchedule, prefix, put, schedule } = yield* fixture
      yield* put(
        newSchedule("soon", { wakeAt: t0 + minute - 1 }),
        newSchedule("past", { wakeAt: t0 - minute }),
        newSchedule("now 2", { wakeAt: t0 }),
        newSchedule("now 1", { wakeAt: t0, nextAt: null }),
        newSchedule("at the horizon", { wakeAt: t0 + minute }),
        newSchedule("never", { wakeAt: null }),
        newSchedule("waiting", { wakeAt: null, waitingSince: t0 }),
        newSchedule("waiting until", { wakeAt: t0 + 5 * minute, waitingSince: t0 }),
        newSchedule("paused", { wakeAt: null, status: "Paused", pausedAt: t0, pauseReason: "why", resumeAt: t0 + 1 }),
        newSchedule("paused until", { wakeAt: t0 + 5, status: "Paused", pausedAt: t0, resumeAt: t0 + 5, state: "[1]" })
      )
      const mine = (horizon: number) =>
        Effect.map(db.dueSchedules(horizon), ({ freeze, now, schedules }) => ({
          now,
          freeze,
          schedules: schedules.filter((schedule) => schedule.name.startsWith(prefix))
        }))
      const order = ["past", "now 1", "now 2", "paused until", "soon", "waiting until", "waiting"]
      assert.deepStrictEqual(yield* mine(minute), {
        now: t0,
        freeze: null,
        schedules: (yield* Effect.forEach(order, schedule)).map((row) => dueOf(row))
      })
      const names = Effect.map(
        mine(0),
        ({ schedules }) => schedules.map((schedule) => schedule.name.slice(prefix.length))
      )
      assert.deepStrictEqual(yield* names, ["past", "waiting until", "waiting"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* names, ["past", "now 1", "now 2", "waiting until", "waiting"])
      const later = yield* mine(minute)
      assert.deepStrictEqual([later.now, later.schedules.length], [t0 + 1, 8])
    })
  )
}

const firing = (test: Declare) => {
  test(
    "firing moves the schedule on, remembers the tick, and gives its run to the owner at once",
    Effect.gen(function*() {
      const { fire, name, newSchedule, put, run, schedule, tick, worker, workflow } = yield* fixture
      const owner = yield* worker()
      yield* put(newSchedule("s"))
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const origin = "{\"cause\":\"caught up\"}"
      const ticks = [{ ...tick("s-tick", t0), origin, startBy: t0 + minute }]
      const fired = yield* fire("s", { owner, ticks, after: { state: "[1]", waitingSince: t0 } })
      const expected: Run = {
        id: name("s-tick"),
        workflow,
        status: "Running",
        payload: payload(t0),
        outcome: null,
        owner,
        epoch: 1,
        attempt: 1,
        deaths: 0,
        isolated: false,
        handbacks: 0,
        wakeAt: null,
        deadline: null,
        timeoutMillis: null,
        ...unscheduled,
        schedule: name("s"),
        overlap: `schedule:${name("s")}`,
        tick: t0,
        origin,
        startBy: t0 + minute,
        parent: null,
        trace: null,
        createdAt: t0 + second,
        startedAt: t0 + second,
        finishedAt: null
      }
      const after = yield* schedule("s")
      assert.deepStrictEqual(fired, {
        _tag: "Fired",
        name: name("s"),
        turn: after.turn,
        overlapTurn: null,
        runs: [expected]
      })
      assert.notStrictEqual(after.turn, before.turn)
      assert.deepStrictEqual(yield* run("s-tick"), expected)
      assert.deepStrictEqual(after, {
        ...before,
        turn: after.turn,
        nextAt: t0 + minute,
        wakeAt: t0 + minute,
        waitingSince: t0,
        state: "[1]",
        started: 1,
        lastTick: t0,
        lastRunId: name("s-tick"),
        lastRunStatus: "Running"
      })
    })
  )

  test(
    "firing without an owner enqueues the run",
    Effect.gen(function*() {
      const { claim, fire, newSchedule, put, run, worker } = yield* fixture
      yield* put(newSchedule("s"))
      const fired = yield* fire("s")
      const created = yield* run("s-tick")
      assert.deepStrictEqual(runsOf(fired), [created])
      assert.deepStrictEqual(
        [created.status, created.owner, created.epoch, created.wakeAt, created.startedAt],
        ["Enqueued", null, 0, t0, null]
      )
      assert.strictEqual((yield* claim(yield* worker())).runs.length, 1)
    })
  )

  test(
    "the timeout of a run begins when it is owned",
    Effect.gen(function*() {
      const { claim, fire, newSchedule, put, run, tick, worker } = yield* fixture
      const owner = yield* worker()
      yield* put(newSchedule("s"))
      const timed = { timeoutMillis: minute, settle: false }
      yield* fire("s", { ticks: [tick("owned", t0)], owner, ...timed })
      yield* fire("s", { ticks: [tick("enqueued", t0)], ...timed })
      const times = (suffix: string) =>
        Effect.map(run(suffix), ({ deadline, timeoutMillis }) => [timeoutMillis, deadline])
      assert.deepStrictEqual(yield* times("owned"), [minute, t0 + minute])
      assert.deepStrictEqual(yield* times("enqueued"), [minute, null])
      yield* TestClock.adjust("1 second")
      yield* claim(owner)
      assert.deepStrictEqual(yield* times("enqueued"), [minute, t0 + second + minute])
    })
  )

  test(
    "a firing starts a run for each of its ticks and remembers the last",
    Effect.gen(function*() {
      const { fire, name, newSchedule, put, schedule, tick } = yield* fixture
      yield* put(newSchedule("s"))
      const ticks = ["b", "a", "c"].map((suffix, i) => tick(suffix, t0 - 10 + i))
      const fired = yield* fire("s", { ticks })
      assert.deepStrictEqual(
        runsOf(fired).map((run) => [run.id, run.tick, run.payload]),
        ticks.map(({ runId, tick }) => [runId, tick, payload(tick)])
      )
      const { lastRunId, lastTick } = yield* schedule("s")
      assert.deepStrictEqual([lastRunId, lastTick], [name("c"), t0 - 8])
    })
  )

  test(
    "a firing without ticks only moves the schedule on",
    Effect.gen(function*() {
      const { fire, name, newSchedule, put, runs, schedule } = yield* fixture
      yield* put(newSchedule("s"))
      const before = yield* schedule("s")
      const fired = yield* fire("s", { ticks: [] })
      const after = yield* schedule("s")
      assert.deepStrictEqual(fired, { _tag: "Fired", name: name("s"), turn: after.turn, overlapTurn: null, runs: [] })
      assert.deepStrictEqual(after, { ...before, turn: after.turn, nextAt: t0 + minute, wakeAt: t0 + minute })
      assert.deepStrictEqual(yield* runs(), [])
    })
  )

  test(
    "a change of the status raises the revision and is a change of the schedule; nothing else in a firing is",
    Effect.gen(function*() {
      const { fire, newSchedule, put, schedule } = yield* fixture
      yield* put(newSchedule("s"))
      const { revision } = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const paused = { status: "Paused", pausedAt: t0, pauseReason: "failing", resumeAt: t0 + minute } as const
      const stands = (after: Partial<typeof paused | { readonly status: "Active" }>) =>
        Effect.map(
          Effect.andThen(fire("s", { ticks: [], after }), schedule("s")),
          ({ pauseReason, pausedAt, resumeAt, revision, status, updatedAt }) => [
            status,
            revision,
            updatedAt,
            pausedAt,
            pauseReason,
            resumeAt
          ]
        )
      assert.deepStrictEqual(yield* stands({}), ["Active", revision, t0, null, null, null])
      assert.deepStrictEqual(yield* stands(paused), ["Paused", revision + 1, t0 + second, t0, "failing", t0 + minute])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* stands(paused), ["Paused", revision + 1, t0 + second, t0, "failing", t0 + minute])
      assert.deepStrictEqual(yield* stands({ status: "Active" }), [
        "Active",
        revision + 2,
        t0 + 2 * second,
        null,
        null,
        null
      ])
    })
  )

  test(
    "a schedule without a wake time stays Active and is not due any more",
    Effect.gen(function*() {
      const { db, fire, name, newSchedule, put, schedule } = yield* fixture
      yield* put(newSchedule("s"))
      yield* fire("s", { after: { nextAt: null, wakeAt: null } })
      const { nextAt, status, wakeAt } = yield* schedule("s")
      assert.deepStrictEqual([nextAt, wakeAt, status], [null, null, "Active"])
      assert.isFalse((yield* db.dueSchedules(1e12)).schedules.some((schedule) => schedule.name === name("s")))
    })
  )
}

const refusing = (test: Declare) => {
  test(
    "a firing before the store's clock has reached its instant is Early and changes nothing",
    Effect.gen(function*() {
      const { fire, name, newSchedule, put, runs, schedule } = yield* fixture
      yield* put(newSchedule("s", { nextAt: t0 + 1 }))
      const before = yield* schedule("s")
      assert.deepStrictEqual(yield* fire("s", { at: t0 + 1 }), { _tag: "Early", name: name("s") })
      assert.deepStrictEqual(yield* schedule("s"), before)
      assert.deepStrictEqual(yield* runs(), [])
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* fire("s", { at: t0 + 1 }))._tag, "Fired")
    })
  )

  test(
    "a firing is Stale when somebody fired, changed or deleted the schedule, and says how it stands",
    Effect.gen(function*() {
      const { db, drop, edit, fire, firing, name, newSchedule, pause, put, runs, schedule } = yield* fixture
      const suffixes = ["fired", "edited", "future", "paused", "deleted", "created again"]
      yield* put(...suffixes.map((suffix) => newSchedule(suffix)))
      const decided = yield* Effect.forEach([...suffixes, "unknown"], (suffix) => firing(suffix))
      yield* fire("fired", { ticks: [] })
      yield* edit("edited", { policies: "{\"x\":1}" })
      yield* edit("future", { timing: "{}", nextAt: t0 + minute })
      yield* pause("paused")
      yield* drop("deleted")
      yield* drop("created again")
      yield* put(newSchedule("created again"))
      const { fired } = yield* db.fire(decided, null)
      for (const [i, suffix] of [...suffixes, "unknown"].entries()) {
        const current = ["deleted", "unknown"].includes(suffix) ? null : dueOf(yield* schedule(suffix))
        assert.deepStrictEqual(fired[i], { _tag: "Stale", name: name(suffix), current })
      }
      assert.deepStrictEqual(yield* runs(), [])
      const late = yield* firing("fired", { turn: decided[0]?.turn ?? 0, at: t0 + minute })
      assert.strictEqual(
        (yield* db.fire([late], null)).fired[0]?._tag,
        "Stale",
        "it is not Early, since it does not stand"
      )
    })
  )

  test(
    "a run id that exists already is not started again, and the schedule moves on",
    Effect.gen(function*() {
      const { db, fire, name, newRun, newSchedule, put, run, schedule, tick } = yield* fixture
      yield* put(newSchedule("s"))
      yield* db.start(newRun("used", { workflow: name("other") }))
      const before = yield* run("used")
      const fired = yield* fire("s", { ticks: [tick("fresh", t0 - 1), tick("used", t0)] })
      assert.deepStrictEqual(runsOf(fired), [yield* run("fresh")])
      assert.deepStrictEqual(yield* run("used"), before)
      const { lastRunId, lastTick, nextAt } = yield* schedule("s")
      assert.deepStrictEqual([lastRunId, lastTick, nextAt], [name("used"), t0, t0 + minute])
    })
  )

  test(
    "each of many firings stands or falls by itself, and the answers come in their order",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, put, runs } = yield* fixture
      assert.deepStrictEqual(yield* db.fire([], null), { now: t0, freeze: null, fired: [] })
      const suffixes = Array.from({ length: 100 }, (_, i) => `s${i}`)
      yield* put(...suffixes.filter((_, i) => i % 4 !== 2).map((suffix) => newSchedule(suffix)))
      const firings = yield* Effect.forEach(suffixes, (suffix, i) =>
        Effect.map(firing(suffix), (firing) => ({
          ...firing,
          at: i % 4 === 1 ? t0 + 1 : t0,
          turn: i % 4 === 3 ? firing.turn - 1000 : firing.turn
        })))
      const { fired } = yield* db.fire(firings, null)
      assert.deepStrictEqual(
        fired.map((fired) => [fired.name, fired._tag]),
        suffixes.map((suffix, i) => [name(suffix), ["Fired", "Early", "Stale", "Stale"][i % 4]])
      )
      assert.strictEqual((yield* runs()).length, 25)
    })
  )
}

const racing = (test: Declare) => {
  test(
    "a tick that many processes fire at the same moment is fired once",
    Effect.gen(function*() {
      const { db, firing, newSchedule, put, run, runs, schedule, worker } = yield* fixture
      const owners = yield* Effect.forEach(Array.from({ length: 5 }), () => worker())
      for (let round = 0; round < 5; round++) {
        yield* put(newSchedule(`s${round}`))
        const one = yield* firing(`s${round}`)
        const answers = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, i) => ({ ...one, owner: owners[i % 5] ?? null })),
          (firing) => Effect.map(db.fire([firing], null), ({ fired }) => ({ owner: firing.owner, fired: fired[0] })),
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
      const { db, firing, name, newSchedule, put, runs } = yield* fixture
      const suffixes = Array.from({ length: 40 }, (_, i) => `s${i}`)
      yield* put(...suffixes.map((suffix) => newSchedule(suffix)))
      const firings = yield* Effect.forEach(suffixes, (suffix) => firing(suffix))
      const rotated = (by: number) => [...firings.slice(by), ...firings.slice(0, by)]
      const answers = yield* Effect.forEach(
        [0, 13, 27, 35].flatMap((by) => [rotated(by), rotated(by).reverse()]),
        (firings) => db.fire(firings, null),
        { concurrency: "unbounded" }
      )
      const fired = answers.flatMap(({ fired }) => fired).filter(({ _tag }) => _tag === "Fired")
      assert.deepStrictEqual(fired.map(({ name }) => name).sort(), suffixes.map(name).sort())
      assert.strictEqual((yield* runs()).length, 40)
    })
  )

  test(
    "of a change and a firing of one schedule at the same moment one finds another turn",
    Effect.gen(function*() {
      const { db, firing, name, newChange, newSchedule, put, runs, schedule } = yield* fixture
      let fires = 0
      for (let round = 0; round < 10; round++) {
        const suffix = `s${round}`
        yield* put(newSchedule(suffix))
        const decided = yield* firing(suffix)
        const content = newSchedule(suffix, { context: "\"changed\"" })
        const change = newChange({ schedules: [{ name: name(suffix), turn: decided.turn, content }] })
        const fire = Effect.map(db.fire([decided], null), ({ fired }) => fired[0]?._tag)
        const changing = db.changeSchedules(change)
        const [fired, changed] = yield* Effect.all([fire, changing], { concurrency: "unbounded" })
        assert.deepStrictEqual([fired, changed], changed ? ["Stale", true] : ["Fired", false])
        assert.strictEqual((yield* schedule(suffix)).context, changed ? "\"changed\"" : "{\"a\":1}")
        if (fired === "Fired") fires++
      }
      assert.strictEqual((yield* runs()).length, fires)
    })
  )

  test(
    "a schedule's history shows how its last run stands",
    Effect.gen(function*() {
      const { db, fire, name, newSchedule, put, run, schedule, tick, worker } = yield* fixture
      yield* put(newSchedule("s"))
      yield* fire("s", { owner: yield* worker() })
      assert.strictEqual((yield* schedule("s")).lastRunStatus, "Running")
      yield* db.finish(lease(yield* run("s-tick")), { status: "Failed", outcome: "1" })
      assert.strictEqual((yield* schedule("s")).lastRunStatus, "Failed")
      yield* db.enqueueTicks(name("s"), [tick("other", t0 + 1)], noOptions)
      assert.strictEqual((yield* schedule("s")).lastRunId, name("s-tick"))
    })
  )
}

export const firings = (test: Declare) => {
  dueSoon(test)
  firing(test)
  refusing(test)
  racing(test)
}
