/** Schedules: creating, applying, pausing, resuming and deleting them. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { Applied, NewSchedule } from "../../src/SystemDb.ts"
import { type Declare, fixture, minute, refused, second, t0 } from "./fixture.ts"

/** What was applied, each list in one order. */
const sorted = (applied: Applied): Applied => ({
  created: [...applied.created].sort(),
  changed: [...applied.changed].sort(),
  unchanged: [...applied.unchanged].sort(),
  pruned: [...applied.pruned].sort()
})
const nothing: Applied = { created: [], changed: [], unchanged: [], pruned: [] }
const noPrune = { pruneApplication: null }

const creating = (test: Declare) => {
  test(
    "a created schedule is Active at revision 1, with its cursor and without a history",
    Effect.gen(function*() {
      const { db, newSchedule, schedule } = yield* fixture
      const definition = newSchedule("s", {
        application: "app",
        policies: "{\"overlap\":\"skip\"}",
        nextAt: t0 + minute
      })
      yield* db.createSchedule(definition)
      assert.deepStrictEqual(yield* schedule("s"), {
        ...definition,
        status: "Active",
        revision: 1,
        lastTick: null,
        lastRunId: null,
        lastRunStatus: null,
        createdAt: t0,
        updatedAt: t0
      })
    })
  )

  test(
    "a name that is taken is refused, and the schedule that has it stays as it is",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const again = newSchedule("s", { cron: "1 1 1 1 1 1" })
      assert.strictEqual((yield* refused(db.createSchedule(again), "ScheduleExists")).name, name("s"))
      assert.deepStrictEqual(yield* schedule("s"), before)
    })
  )

  test(
    "of several creations of one name at the same moment one succeeds",
    Effect.gen(function*() {
      const { db, newSchedule, schedule } = yield* fixture
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, i) => newSchedule("s", { context: `${i}` })),
        (schedule) => Effect.result(db.createSchedule(schedule)),
        { concurrency: "unbounded" }
      )
      const winners = outcomes.flatMap((outcome, i) => outcome._tag === "Success" ? [`${i}`] : [])
      assert.deepStrictEqual([(yield* schedule("s")).context], winners)
    })
  )
}

const applying = (test: Declare) => {
  test(
    "apply creates what is missing, changes what differs and leaves the rest as it is",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      const [a, b, c] = [newSchedule("a"), newSchedule("b"), newSchedule("c")]
      assert.deepStrictEqual(sorted(yield* db.applySchedules([b, a], noPrune)), {
        ...nothing,
        created: [name("a"), name("b")]
      })
      const before = yield* schedule("a")
      assert.deepStrictEqual([before.status, before.revision, before.createdAt], ["Active", 1, t0])
      yield* TestClock.adjust("1 second")
      const applied = yield* db.applySchedules([a, { ...b, context: "2" }, c], noPrune)
      assert.deepStrictEqual(applied, {
        ...nothing,
        created: [name("c")],
        changed: [name("b")],
        unchanged: [name("a")]
      })
      assert.deepStrictEqual(yield* schedule("a"), before)
      const changed = yield* schedule("b")
      assert.deepStrictEqual(
        [changed.context, changed.revision, changed.createdAt, changed.updatedAt],
        ["2", 2, t0, t0 + second]
      )
      assert.deepStrictEqual(sorted(yield* db.applySchedules([], noPrune)), nothing)
    })
  )

  test(
    "a change of any part of the definition raises the revision; a cursor given anew does not",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      const changes: ReadonlyArray<Partial<NewSchedule>> = [
        { workflow: name("other") },
        { cron: "0 0 7 * * *" },
        { timeZone: "UTC" },
        { context: "{\"a\": 1}" },
        { policies: "{\"x\":1}" },
        { application: "app" },
        { application: null }
      ]
      let definition = newSchedule("s")
      for (const [i, change] of changes.entries()) {
        definition = { ...definition, ...change }
        assert.deepStrictEqual((yield* db.applySchedules([definition], noPrune)).changed, [name("s")])
        const row = yield* schedule("s")
        assert.deepStrictEqual({ ...row, ...definition }, row)
        assert.strictEqual(row.revision, i + 2)
      }
      const later = { ...definition, nextAt: t0 + minute }
      assert.deepStrictEqual((yield* db.applySchedules([later], noPrune)).unchanged, [name("s")])
      assert.strictEqual((yield* schedule("s")).nextAt, t0)
    })
  )

  test(
    "only a changed cron or time zone moves the cursor",
    Effect.gen(function*() {
      const { db, newSchedule, schedule } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      const cursorAfter = (changes: Partial<NewSchedule>) =>
        db.applySchedules([newSchedule("s", changes)], noPrune).pipe(
          Effect.andThen(schedule("s")),
          Effect.map((row) => row.nextAt)
        )
      assert.strictEqual(yield* cursorAfter({ context: "2", nextAt: t0 + 1 }), t0)
      assert.strictEqual(yield* cursorAfter({ cron: "0 0 7 * * *", nextAt: t0 + 2 }), t0 + 2)
      assert.strictEqual(yield* cursorAfter({ cron: "0 0 7 * * *", timeZone: "UTC", nextAt: t0 + 3 }), t0 + 3)
      assert.strictEqual(yield* cursorAfter({ cron: "0 0 8 * * *", timeZone: "UTC", nextAt: null }), null)
      assert.strictEqual(yield* cursorAfter({ cron: "0 0 8 * * *", timeZone: "UTC", policies: "1" }), null)
    })
  )

  test(
    "a replaced schedule keeps its status and its history",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule, tick } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      const ticks = [tick("r", t0)]
      yield* db.fire([{ name: name("s"), revision: 1, cursor: t0, nextAt: t0 + minute, ticks, owner: null }])
      yield* db.pauseSchedule(name("s"))
      yield* TestClock.adjust("1 second")
      yield* db.applySchedules([newSchedule("s", { cron: "0 0 7 * * *", nextAt: t0 + 5 })], noPrune)
      const { lastRunId, lastRunStatus, lastTick, nextAt, revision, status } = yield* schedule("s")
      assert.deepStrictEqual({ lastRunId, lastRunStatus, lastTick, nextAt, revision, status }, {
        lastRunId: name("r"),
        lastRunStatus: "Enqueued",
        lastTick: t0,
        nextAt: t0 + 5,
        revision: 3,
        status: "Paused"
      })
    })
  )

  test(
    "pruning deletes what the application declared earlier and does not list now, and nothing else",
    Effect.gen(function*() {
      const { db, name, newSchedule, prefix } = yield* fixture
      const [application, other] = [name("app"), name("app2")]
      yield* db.applySchedules([
        newSchedule("kept", { application }),
        newSchedule("dropped1", { application }),
        newSchedule("dropped2", { application }),
        newSchedule("other", { application: other }),
        newSchedule("runtime")
      ], noPrune)
      const names = Effect.map(
        db.listSchedules({ namePrefix: [prefix] }, { limit: 99, after: null }),
        (rows) => rows.map((row) => row.name.slice(prefix.length))
      )
      yield* db.applySchedules([newSchedule("new", { application })], noPrune)
      assert.strictEqual((yield* names).length, 6)
      yield* db.pauseSchedule(name("dropped2"))
      const listed = [newSchedule("kept", { application }), newSchedule("runtime", { application })]
      assert.deepStrictEqual(sorted(yield* db.applySchedules(listed, { pruneApplication: application })), {
        ...nothing,
        changed: [name("runtime")],
        unchanged: [name("kept")],
        pruned: ["dropped1", "dropped2", "new"].map(name)
      })
      assert.deepStrictEqual(yield* names, ["kept", "other", "runtime"])
      const all = yield* db.applySchedules([], { pruneApplication: application })
      assert.deepStrictEqual(sorted(all).pruned, ["kept", "runtime"].map(name))
      assert.deepStrictEqual(yield* names, ["other"])
    })
  )

  test(
    "a schedule that another application listed last is not pruned by the one that declared it first",
    Effect.gen(function*() {
      const { db, name, newSchedule } = yield* fixture
      const [first, next] = [name("app1"), name("app2")]
      yield* db.applySchedules([newSchedule("s", { application: first })], { pruneApplication: first })
      yield* db.applySchedules([newSchedule("s", { application: next })], { pruneApplication: next })
      assert.deepStrictEqual((yield* db.applySchedules([], { pruneApplication: first })).pruned, [])
      assert.deepStrictEqual((yield* db.applySchedules([], { pruneApplication: next })).pruned, [name("s")])
    })
  )

  test(
    "many processes that apply the same list at the same moment create each schedule once",
    Effect.gen(function*() {
      const { db, name, newSchedule, prefix } = yield* fixture
      const application = name("app")
      const list = Array.from({ length: 20 }, (_, i) => newSchedule(`s${i}`, { application }))
      const applied = yield* Effect.forEach(
        [list, [...list].reverse(), list, [...list].reverse(), list],
        (list) => db.applySchedules(list, { pruneApplication: application }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(applied.reduce((sum, { created }) => sum + created.length, 0), 20)
      assert.strictEqual(applied.reduce((sum, { unchanged }) => sum + unchanged.length, 0), 80)
      const rows = yield* db.listSchedules({ namePrefix: [prefix] }, { limit: 99, after: null })
      assert.deepStrictEqual(rows.map((row) => row.revision), list.map(() => 1))
    })
  )

  test(
    "lists applied at the same moment follow one another: the last one stands as a whole",
    Effect.gen(function*() {
      const { db, name, newSchedule } = yield* fixture
      for (let round = 0; round < 10; round++) {
        const application = name(`app${round}`)
        const lists = Array.from({ length: 6 }, (_, i) =>
          Array.from(
            { length: 5 },
            (_, j) => newSchedule(`${round}-s${i + j}`, { application, context: `${i}` })
          ))
        yield* Effect.forEach(lists, (list) => db.applySchedules(list, { pruneApplication: application }), {
          concurrency: "unbounded"
        })
        const rows = yield* db.listSchedules({ namePrefix: [name(`${round}-`)] }, { limit: 99, after: null })
        const last = lists.find((_, i) => rows[0]?.context === `${i}`)
        assert.deepStrictEqual(
          rows.map((row) => [row.name, row.context]),
          (last ?? []).map((schedule) => [schedule.name, schedule.context])
        )
      }
    })
  )
}

const switching = (test: Declare) => {
  test(
    "pausing a schedule raises its revision, and pausing it again does nothing",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      yield* db.pauseSchedule(name("s"))
      const paused = yield* schedule("s")
      assert.deepStrictEqual(paused, { ...before, status: "Paused", revision: 2, updatedAt: t0 + second })
      yield* TestClock.adjust("1 second")
      yield* db.pauseSchedule(name("s"))
      assert.deepStrictEqual(yield* schedule("s"), paused)
    })
  )

  test(
    "resuming a schedule moves its cursor and raises its revision",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.pauseSchedule(name("s"))
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* db.resumeSchedule({ name: name("s"), revision: 2, nextAt: t0 + minute }))
      assert.deepStrictEqual(yield* schedule("s"), {
        ...before,
        status: "Active",
        revision: 3,
        nextAt: t0 + minute,
        updatedAt: t0 + second
      })
    })
  )

  test(
    "resume does nothing when the revision is another one, or the schedule is Active or not there",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      const resume = (revision: number) => db.resumeSchedule({ name: name("s"), revision, nextAt: t0 + minute })
      assert.isFalse(yield* resume(1))
      yield* db.createSchedule(newSchedule("s"))
      const active = yield* schedule("s")
      assert.isFalse(yield* resume(1))
      assert.deepStrictEqual(yield* schedule("s"), active)
      yield* db.pauseSchedule(name("s"))
      const paused = yield* schedule("s")
      assert.isFalse(yield* resume(1))
      assert.isFalse(yield* resume(3))
      assert.deepStrictEqual(yield* schedule("s"), paused)
      yield* db.applySchedules([newSchedule("s", { context: "2" })], noPrune)
      assert.isFalse(yield* resume(2))
      assert.isTrue(yield* resume(3))
    })
  )

  test(
    "of several resumptions at the same moment one succeeds",
    Effect.gen(function*() {
      const { db, name, newSchedule, schedule } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      yield* db.pauseSchedule(name("s"))
      const answers = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, i) => t0 + i),
        (nextAt) => db.resumeSchedule({ name: name("s"), revision: 2, nextAt }),
        { concurrency: "unbounded" }
      )
      const { nextAt, revision } = yield* schedule("s")
      assert.deepStrictEqual(answers.flatMap((answer, i) => answer ? [t0 + i] : []), [nextAt])
      assert.strictEqual(revision, 3)
    })
  )

  test(
    "a deleted schedule is gone and its runs stay; its name may be used again",
    Effect.gen(function*() {
      const { db, name, newSchedule, run, schedule, tick } = yield* fixture
      yield* db.createSchedule(newSchedule("s"))
      const ticks = [tick("r", t0)]
      yield* db.fire([{ name: name("s"), revision: 1, cursor: t0, nextAt: null, ticks, owner: null }])
      yield* db.deleteSchedule(name("s"))
      assert.isTrue(Option.isNone(yield* db.findSchedule(name("s"))))
      assert.strictEqual((yield* run("r")).schedule, name("s"))
      yield* refused(db.deleteSchedule(name("s")), "ScheduleNotFound")
      yield* TestClock.adjust("1 second")
      yield* db.createSchedule(newSchedule("s"))
      const { createdAt, lastRunId, lastTick, status } = yield* schedule("s")
      assert.deepStrictEqual([createdAt, lastRunId, lastTick, status], [t0 + second, null, null, "Active"])
    })
  )

  test(
    "what needs a schedule is refused when no schedule has the name",
    Effect.gen(function*() {
      const { db, name, tick } = yield* fixture
      const absent = name("s")
      const refusals = [
        yield* refused(db.pauseSchedule(absent), "ScheduleNotFound"),
        yield* refused(db.deleteSchedule(absent), "ScheduleNotFound"),
        yield* refused(db.enqueueTicks(absent, [tick("r", t0)]), "ScheduleNotFound"),
        yield* refused(
          db.triggerSchedule({ name: absent, run: tick("r", t0), context: null, owner: null }),
          "ScheduleNotFound"
        )
      ]
      for (const refusal of refusals) assert.strictEqual(refusal.name, absent)
      assert.isTrue(Option.isNone(yield* db.findRun(name("r"))))
    })
  )
}

export const schedules = (test: Declare) => {
  creating(test)
  applying(test)
  switching(test)
}
