/** Schedules that are created with a run and a backfill: all of it or nothing, once. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Declare, fixture, ids, minute, noOptions, t0 } from "./fixture.ts"

/** A fixture with a change that creates a schedule with a triggered run and a backfill. */
const beginning = Effect.map(fixture, (f) => {
  const backfill = {
    id: f.name("b"),
    schedule: f.name("s"),
    from: t0 - 10 * minute,
    to: t0,
    newestFirst: true,
    concurrency: 2,
    rerun: false,
    context: "{ \"b\": 1 }",
    planned: "{}"
  }
  const trigger = {
    ...noOptions,
    schedule: f.name("s"),
    run: { ...f.tick("run", t0 - minute), startBy: t0 + minute },
    context: null,
    timeoutMillis: 7
  }
  return {
    ...f,
    backfill,
    trigger,
    create: (schedule = f.newSchedule("s", { overlap: f.name("scope"), contextSchema: "identity" })) =>
      f.newChange({
        schedules: [{ name: schedule.name, turn: null, content: schedule }],
        triggers: [trigger],
        backfills: [backfill],
        audits: [f.newAudit(), f.newAudit({ action: "trigger" })]
      })
  }
})

export const beginnings = (test: Declare) => {
  test(
    "a schedule is created with a run that is enqueued and counts as live, and with an Active backfill",
    Effect.gen(function*() {
      const { backfill, claim, create, db, name, run, seen, worker } = yield* beginning
      assert.isTrue(yield* db.changeSchedules(create()))
      const started = yield* run("run")
      assert.deepStrictEqual(
        [started.status, started.owner, started.schedule, started.tick, started.startBy, started.timeoutMillis],
        ["Enqueued", null, name("s"), t0 - minute, t0 + minute, 7]
      )
      assert.strictEqual(
        started.payload,
        `{"scheduledAt":"at ${t0 - minute}","context":{"a":1},"contextSchema":"identity"}`
      )
      assert.deepStrictEqual((yield* seen("s")).live.map(({ runId }) => runId), [name("run")])
      assert.deepStrictEqual(
        ids((yield* claim(yield* worker())).runs.map(({ run }) => run)),
        [name("run")]
      )
      const { turn, ...stored } = Option.getOrThrow(yield* db.findBackfill(backfill.id))
      assert.isTrue(turn > 0)
      assert.deepStrictEqual(stored, {
        ...backfill,
        status: "Active",
        cursor: t0,
        started: 0,
        existing: 0,
        live: 0,
        createdAt: t0,
        updatedAt: t0,
        finishedAt: null
      })
    })
  )

  test(
    "a run that a schedule begins with may be given a context of its own, and one whose id exists is passed over",
    Effect.gen(function*() {
      const { create, db, name, newChange, newSchedule, run, trigger } = yield* beginning
      const given = { ...trigger, context: "[ 2 ]" }
      assert.isTrue(yield* db.changeSchedules({ ...create(), triggers: [given, given] }))
      const before = yield* run("run")
      assert.strictEqual(before.payload, `{"scheduledAt":"at ${t0 - minute}","context":[ 2 ]}`)
      const other = newSchedule("other")
      assert.isTrue(
        yield* db.changeSchedules(newChange({
          schedules: [{ name: other.name, turn: null, content: other }],
          triggers: [{ ...trigger, schedule: name("other") }]
        }))
      )
      assert.deepStrictEqual(yield* run("run"), before)
    })
  )

  test(
    "a schedule that cannot be created, or whose backfill's id is taken, begins with nothing",
    Effect.gen(function*() {
      const { audits, backfill, create, db, edit, name, newAudit, newSchedule, put } = yield* beginning
      yield* put(newSchedule("s"))
      assert.isFalse(yield* db.changeSchedules(create()))
      assert.deepStrictEqual(
        [yield* db.findRun(name("run")), yield* db.findBackfill(backfill.id)],
        [Option.none(), Option.none()]
      )
      yield* db.createBackfill(backfill, newAudit({ schedule: name("fixture") }))
      const other = create(newSchedule("other"))
      assert.isFalse(yield* db.changeSchedules(other))
      assert.isTrue(Option.isNone(yield* db.findSchedule(name("other"))))
      assert.isTrue(Option.isNone(yield* db.findRun(name("run"))))
      assert.deepStrictEqual(yield* audits("s"), [])
      yield* edit("s", { note: "still there" })
    })
  )

  test(
    "a creation that is sent many times at the same moment is made once, with one run and one backfill",
    Effect.gen(function*() {
      const { audits, create, db, name, runs } = yield* beginning
      const change = create()
      const answers = yield* Effect.forEach(Array.from({ length: 8 }), () => db.changeSchedules(change), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(answers, answers.map(() => true))
      assert.deepStrictEqual(ids(yield* runs()), [name("run")])
      assert.strictEqual((yield* db.listBackfills(name("s"), { limit: 9, after: null })).length, 1)
      assert.strictEqual((yield* audits("s")).length, 2)
    })
  )

  test(
    "a run that a schedule begins with raises the turn of a scope that others share",
    Effect.gen(function*() {
      const { create, db, fire, name, newSchedule, put, seen } = yield* beginning
      yield* put(newSchedule("member", { overlap: name("scope") }))
      const { overlapTurn } = yield* seen("member")
      assert.isTrue(yield* db.changeSchedules(create()))
      assert.strictEqual((yield* fire("member", { overlapTurn }))._tag, "Stale")
    })
  )
}
