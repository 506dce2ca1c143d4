/** Runs of a schedule that it did not fire itself: backfilled ticks, and triggers. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import { type Declare, fixture, ids, minute, noOptions, refused, second, t0, unscheduled } from "./fixture.ts"

const payload = (at: number, context = "{\"a\":1}") => `{"scheduledAt":"at ${at}","context":${context}}`

export const ticks = (test: Declare) => {
  test(
    "enqueueTicks enqueues a run for each tick and moves neither cursor nor history",
    Effect.gen(function*() {
      const { db, edit, name, newSchedule, pause, put, run, runs, schedule, tick } = yield* fixture
      yield* put(newSchedule("s"))
      yield* edit("s", { context: "\"new\"" })
      yield* pause("s")
      const before = yield* schedule("s")
      const created = yield* db.enqueueTicks(name("s"), [tick("a", 1), tick("b", 2)], noOptions)
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
      assert.deepStrictEqual(yield* db.enqueueTicks(name("s"), [], noOptions), [])
    })
  )

  test(
    "a tick that was fired is not enqueued again, nor one enqueued fired again",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, put, runs, tick } = yield* fixture
      yield* put(newSchedule("s"))
      yield* db.fire([yield* firing("s")], null)
      const ticks = [tick("s-tick", t0), tick("next", t0 + minute)]
      assert.deepStrictEqual(yield* db.enqueueTicks(name("s"), ticks, noOptions), [name("next")])
      assert.deepStrictEqual(yield* db.enqueueTicks(name("s"), ticks, noOptions), [])
      yield* TestClock.adjust("1 minute")
      const { fired } = yield* db.fire([yield* firing("s", { ticks: [tick("next", t0 + minute)] })], null)
      assert.deepStrictEqual(fired[0]?._tag === "Fired" ? fired[0].runs : "not fired", [])
      assert.deepStrictEqual(ids(yield* runs()), [name("s-tick"), name("next")])
    })
  )

  test(
    "ticks that many processes enqueue at the same moment are each enqueued once",
    Effect.gen(function*() {
      const { db, name, newSchedule, put, tick } = yield* fixture
      yield* put(newSchedule("s"))
      const ticks = Array.from({ length: 30 }, (_, i) => tick(`r${i}`, i))
      const answers = yield* Effect.forEach(
        [ticks, [...ticks].reverse(), ticks, [...ticks].reverse()],
        (ticks) => db.enqueueTicks(name("s"), ticks, noOptions),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers.flat().sort(), ticks.map(({ runId }) => runId).sort())
    })
  )

  test(
    "trigger starts one run now, with the schedule's context or the one given, and is not a tick of its history",
    Effect.gen(function*() {
      const { db, name, newSchedule, pause, put, run, schedule, tick, trigger, worker, workflow } = yield* fixture
      const owner = yield* worker()
      yield* put(newSchedule("s"))
      yield* pause("s")
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const own = yield* trigger("s", tick("own", 5), { owner })
      assert.deepStrictEqual(own, {
        created: true,
        run: {
          id: name("own"),
          workflow,
          status: "Running",
          payload: payload(5),
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
          tick: 5,
          origin: "{\"cause\":\"schedule\"}",
          parent: null,
          trace: null,
          createdAt: t0 + second,
          startedAt: t0 + second,
          finishedAt: null
        }
      })
      assert.deepStrictEqual(yield* run("own"), own.run)
      for (const context of ["null", "[]", "{\"b\" : 2}"]) {
        const suffix = `given ${context}`
        const { run: given } = yield* trigger("s", tick(suffix, 6), { context })
        assert.deepStrictEqual([given.payload, given.status, given.wakeAt, given.epoch], [
          payload(6, context),
          "Enqueued",
          t0 + second,
          0
        ])
        assert.deepStrictEqual(yield* run(suffix), given)
      }
      assert.deepStrictEqual(yield* schedule("s"), before)
      assert.strictEqual((yield* db.listAudits(name("s"), { limit: 9, after: null })).length, 4)
    })
  )

  test(
    "triggers of one id at the same moment start one run, audited once, and all find it",
    Effect.gen(function*() {
      const { db, name, newSchedule, put, runs, tick, trigger } = yield* fixture
      yield* put(newSchedule("s"))
      const answers = yield* Effect.forEach(Array.from({ length: 8 }), () => trigger("s", tick("once", 1)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(answers.filter(({ created }) => created).length, 1)
      assert.deepStrictEqual(answers.map(({ run }) => run.id), answers.map(() => name("once")))
      assert.strictEqual((yield* runs()).length, 1)
      assert.strictEqual((yield* db.listAudits(name("s"), { limit: 9, after: null })).length, 1)
    })
  )

  test(
    "a trigger dies when another schedule's run or nobody's has its id, and changes nothing",
    Effect.gen(function*() {
      const { audits, db, name, newRun, newSchedule, put, run, tick, trigger } = yield* fixture
      yield* put(newSchedule("s"), newSchedule("other"))
      yield* db.start(newRun("nobody's"))
      yield* trigger("other", tick("the other's", t0))
      for (const suffix of ["nobody's", "the other's"]) {
        const before = yield* run(suffix)
        const cause = yield* Effect.flip(Effect.sandbox(trigger("s", tick(suffix, t0), { context: "2" })))
        assert.deepStrictEqual(cause.reasons.map(({ _tag }) => _tag), ["Die"])
        assert.deepStrictEqual(yield* run(suffix), before)
      }
      assert.deepStrictEqual([yield* audits("s"), yield* db.findRun(name("s"))], [[], Option.none()])
    })
  )

  test(
    "a run is told by which schema its context was written, unless it was given one of its own",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, put, run, tick, trigger } = yield* fixture
      yield* put(newSchedule("s", { contextSchema: "0123abcd" }))
      yield* db.fire([yield* firing("s")], null)
      yield* db.enqueueTicks(name("s"), [tick("enqueued", t0)], noOptions)
      yield* trigger("s", tick("own", t0))
      yield* trigger("s", tick("given", t0), { context: "2" })
      const told = `{"scheduledAt":"at ${t0}","context":{"a":1},"contextSchema":"0123abcd"}`
      for (const suffix of ["s-tick", "enqueued", "own"]) assert.strictEqual((yield* run(suffix)).payload, told)
      assert.strictEqual((yield* run("given")).payload, payload(t0, "2"))
    })
  )

  test(
    "what needs a schedule is refused when no schedule has the name",
    Effect.gen(function*() {
      const { db, name, tick, trigger } = yield* fixture
      const refusals = [
        yield* refused(db.enqueueTicks(name("s"), [tick("r", t0)], noOptions), "ScheduleNotFound"),
        yield* refused(trigger("s", tick("r", t0)), "ScheduleNotFound")
      ]
      for (const refusal of refusals) assert.strictEqual(refusal.schedule, name("s"))
      assert.isTrue(Option.isNone(yield* db.findRun(name("r"))))
    })
  )
}
