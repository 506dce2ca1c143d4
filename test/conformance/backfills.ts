/** Backfills: stretches of the past, each going on by itself, a little at a time. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { Backfill, BackfillAdvance, NewBackfill, TickRun } from "../../src/SystemDb.ts"
import { type Declare, fixture, ids, lease, minute, noOptions, refused, second, t0, unscheduled } from "./fixture.ts"

/** A test's fixture with a schedule, and backfills of it. */
export const filling = Effect.gen(function*() {
  const f = yield* fixture
  yield* f.put(f.newSchedule("s"))
  const newBackfill = (suffix: string, changes: Partial<NewBackfill> = {}): NewBackfill => ({
    id: f.name(suffix),
    schedule: f.name("s"),
    from: t0 - 10 * minute,
    to: t0,
    newestFirst: false,
    concurrency: 2,
    rerun: false,
    context: null,
    planned: null,
    ...changes
  })
  const audit = (suffix: string) => f.newAudit({ schedule: f.name("s"), action: "backfill", after: `"${suffix}"` })
  const backfill = (suffix: string) =>
    Effect.map(
      f.db.findBackfill(f.name(suffix)),
      (found): Backfill => Option.getOrThrowWith(found, () => new Error(`there is no backfill ${suffix}`))
    )
  return {
    ...f,
    newBackfill,
    backfill,
    create: (suffix: string, changes: Partial<NewBackfill> = {}) =>
      f.db.createBackfill(newBackfill(suffix, changes), audit(suffix)),
    /** Changes the backfill as it stands. */
    turnTo: (suffix: string, status: "Active" | "Paused" | "Cancelled", turn?: number) =>
      Effect.flatMap(
        backfill(suffix),
        (stands) => f.db.changeBackfill({ id: f.name(suffix), turn: turn ?? stands.turn, status, audit: audit(suffix) })
      ),
    /** Advances the backfill as it stands. */
    advance: (suffix: string, ticks: ReadonlyArray<TickRun>, changes: Partial<BackfillAdvance> = {}) =>
      Effect.flatMap(
        backfill(suffix),
        ({ cursor, turn }) =>
          f.db.advanceBackfill({ id: f.name(suffix), turn, ticks, cursor, done: false, ...noOptions, ...changes })
      ),
    /** Those of the test that can go on, which share the store with others. */
    due: Effect.map(f.db.dueBackfills(10_000), (all) => all.filter(({ backfill }) => backfill.id.startsWith(f.prefix))),
    dueIds: Effect.map(
      f.db.dueBackfills(10_000),
      (all) => all.flatMap(({ backfill: { id } }) => id.startsWith(f.prefix) ? [id.slice(f.prefix.length)] : [])
    )
  }
})

const creating = (test: Declare) => {
  test(
    "a created backfill is Active, and goes on at the end that its direction begins with",
    Effect.gen(function*() {
      const { audits, backfill, create, name, newBackfill, schedule } = yield* filling
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const forwards = yield* create("forwards")
      const backwards = yield* create("backwards", { newestFirst: true, rerun: true, context: " {} ", concurrency: 7 })
      const expected = (given: NewBackfill, stored: Backfill, cursor: number): Backfill => ({
        ...given,
        status: "Active",
        cursor,
        started: 0,
        existing: 0,
        live: 0,
        turn: stored.turn,
        createdAt: t0 + second,
        updatedAt: t0 + second,
        finishedAt: null
      })
      assert.deepStrictEqual(forwards, {
        created: true,
        backfill: expected(newBackfill("forwards"), forwards.backfill, t0 - 10 * minute)
      })
      const given = newBackfill("backwards", { newestFirst: true, rerun: true, context: " {} ", concurrency: 7 })
      assert.deepStrictEqual(backwards, { created: true, backfill: expected(given, backwards.backfill, t0) })
      assert.deepStrictEqual([yield* backfill("forwards"), yield* backfill("backwards")], [
        forwards.backfill,
        backwards.backfill
      ])
      assert.deepStrictEqual((yield* audits("s")).map(({ after, at }) => [after, at]), [
        ["\"backwards\"", t0 + second],
        ["\"forwards\"", t0 + second]
      ])
      assert.deepStrictEqual(yield* schedule("s"), before)
      assert.strictEqual(name("forwards"), forwards.backfill.id)
    })
  )

  test(
    "an id that was used before finds the backfill that has it, and nothing is written",
    Effect.gen(function*() {
      const { audits, create, turnTo } = yield* filling
      yield* create("b")
      yield* turnTo("b", "Paused")
      const again = yield* create("b", { concurrency: 9, newestFirst: true })
      assert.deepStrictEqual(
        [again.created, again.backfill.status, again.backfill.concurrency, again.backfill.newestFirst],
        [false, "Paused", 2, false]
      )
      assert.strictEqual((yield* audits("s")).length, 2)
    })
  )

  test(
    "of many creations of one id at the same moment one creates it, and all find the same",
    Effect.gen(function*() {
      const { audits, create } = yield* filling
      const answers = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, i) => i + 1),
        (concurrency) => create("b", { concurrency }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(answers.filter(({ created }) => created).length, 1)
      assert.strictEqual(new Set(answers.map(({ backfill }) => backfill.concurrency)).size, 1)
      assert.strictEqual((yield* audits("s")).length, 1)
    })
  )

  test(
    "a backfill of a schedule that is not there is refused, unless its id was used before",
    Effect.gen(function*() {
      const { audits, create, db, drop, name } = yield* filling
      yield* create("b")
      yield* drop("s")
      assert.strictEqual((yield* refused(create("new"), "ScheduleNotFound")).schedule, name("s"))
      assert.isTrue(Option.isNone(yield* db.findBackfill(name("new"))))
      assert.isFalse((yield* create("b")).created)
      assert.strictEqual((yield* audits("s")).length, 1)
    })
  )

  test(
    "backfills are listed from the newest to the oldest, ties by id, of one schedule or of all",
    Effect.gen(function*() {
      const { create, db, name, newSchedule, prefix, put } = yield* filling
      yield* put(newSchedule("other"))
      for (const suffix of ["b", "\u{1F600}", "a", "\uFF5E"]) yield* create(suffix)
      yield* TestClock.adjust("1 second")
      yield* create("0")
      yield* create("foreign", { schedule: name("other") })
      const page = (schedule: string | null, limit: number, after: Pick<Backfill, "createdAt" | "id"> | null) =>
        db.listBackfills(schedule, { limit, after })
      const all = yield* page(name("s"), 99, null)
      assert.deepStrictEqual(ids(all), ["0", "\u{1F600}", "\uFF5E", "b", "a"].map(name))
      const seen: Array<Backfill> = []
      while (true) {
        const next = yield* page(name("s"), 2, seen.at(-1) ?? null)
        seen.push(...next)
        if (next.length < 2) break
      }
      assert.deepStrictEqual(seen, all)
      const others = (yield* page(null, 10_000, null)).filter(({ id }) => id.startsWith(prefix))
      assert.deepStrictEqual(ids(others), ["foreign", "0", "\u{1F600}", "\uFF5E", "b", "a"].map(name))
      assert.deepStrictEqual(ids(yield* page(name("s"), 9, { createdAt: t0, id: name("c") })), ["b", "a"].map(name))
      assert.deepStrictEqual(yield* page(name("s"), 0, null), [])
      assert.deepStrictEqual(yield* page(name("absent"), 9, null), [])
    })
  )
}

const advancing = (test: Declare) => {
  test(
    "an advance enqueues runs of the backfill, counts them, and moves its cursor",
    Effect.gen(function*() {
      const { advance, backfill, create, name, newSchedule, put, run, schedule, seen, tick, workflow } = yield* filling
      yield* put(newSchedule("s", { overlap: name("scope"), contextSchema: "0123abcd" }))
      const before = [yield* schedule("s"), yield* seen("s")]
      const { backfill: created } = yield* create("b")
      yield* TestClock.adjust("1 second")
      const ticks = [{ ...tick("r1", 1), startBy: t0 + minute }, tick("r2", 2)]
      assert.isTrue(yield* advance("b", ticks, { cursor: t0 - minute, timeoutMillis: minute }))
      const after = yield* backfill("b")
      assert.notStrictEqual(after.turn, created.turn)
      assert.deepStrictEqual(after, {
        ...created,
        cursor: t0 - minute,
        started: 2,
        live: 2,
        turn: after.turn,
        updatedAt: t0 + second
      })
      assert.deepStrictEqual(yield* run("r1"), {
        id: name("r1"),
        workflow,
        status: "Enqueued",
        payload: `{"scheduledAt":"at 1","context":{"a":1},"contextSchema":"0123abcd"}`,
        outcome: null,
        owner: null,
        epoch: 0,
        attempt: 1,
        deaths: 0,
        isolated: false,
        handbacks: 0,
        wakeAt: t0 + second,
        deadline: null,
        timeoutMillis: minute,
        ...unscheduled,
        schedule: name("s"),
        tick: 1,
        origin: "{\"cause\":\"schedule\"}",
        startBy: t0 + minute,
        backfill: name("b"),
        parent: null,
        trace: null,
        createdAt: t0 + second,
        startedAt: null,
        finishedAt: null
      })
      assert.deepStrictEqual(
        [yield* schedule("s"), yield* seen("s")],
        before,
        "the schedule itself knows nothing of it"
      )
      assert.isTrue(yield* advance("b", [], { cursor: null }))
      assert.deepStrictEqual([(yield* backfill("b")).cursor, (yield* backfill("b")).started], [null, 2])
    })
  )

  test(
    "ticks whose run ids were used before are counted as existing, and are not started again",
    Effect.gen(function*() {
      const { advance, backfill, create, db, name, run, tick } = yield* filling
      yield* db.enqueueTicks(name("s"), [tick("r1", 1)], noOptions)
      const before = yield* run("r1")
      yield* create("b")
      assert.isTrue(yield* advance("b", [tick("r1", 1), tick("r2", 2), tick("r3", 3)]))
      const { existing, live, started } = yield* backfill("b")
      assert.deepStrictEqual({ existing, live, started }, { existing: 1, live: 2, started: 2 })
      assert.deepStrictEqual(yield* run("r1"), before)
    })
  )

  test(
    "the runs of a backfill are given its own context, which no schema wrote",
    Effect.gen(function*() {
      const { advance, create, newSchedule, put, run, tick } = yield* filling
      yield* put(newSchedule("s", { contextSchema: "0123abcd" }))
      yield* create("b", { context: "{\"own\" : 1}" })
      yield* advance("b", [tick("r", 1)])
      assert.strictEqual((yield* run("r")).payload, "{\"scheduledAt\":\"at 1\",\"context\":{\"own\" : 1}}")
    })
  )

  test(
    "runs of a backfill may have to be settled, and the schedule sees their end",
    Effect.gen(function*() {
      const { advance, create, db, name, seen, tick } = yield* filling
      yield* create("b")
      yield* advance("b", [tick("r", 1)], { settle: true })
      yield* db.cancel(name("r"), null)
      assert.deepStrictEqual((yield* seen("s")).ended.map(({ runId }) => runId), [name("r")])
    })
  )

  test(
    "a backfill does not advance at another turn, nor when it is not Active or not there, nor when its schedule is gone",
    Effect.gen(function*() {
      const { advance, backfill, create, db, drop, name, runs, tick, turnTo } = yield* filling
      const suffixes = ["stale", "paused", "cancelled", "done", "orphan"]
      for (const suffix of suffixes) yield* create(suffix)
      const old = (yield* backfill("stale")).turn
      yield* advance("stale", [])
      yield* turnTo("paused", "Paused")
      yield* turnTo("cancelled", "Cancelled")
      yield* advance("done", [], { cursor: null, done: true })
      yield* drop("s")
      const before = yield* Effect.forEach(suffixes, backfill)
      const ticks = [tick("r", 1)]
      assert.isFalse(yield* advance("stale", [], { turn: old }))
      for (const suffix of suffixes) assert.isFalse(yield* advance(suffix, ticks, { cursor: t0 }))
      for (const suffix of ["paused", "cancelled", "done"]) assert.isFalse(yield* advance(suffix, [], { done: true }))
      const absent = { id: name("absent"), turn: 1, ticks: [], cursor: null, done: false, ...noOptions }
      assert.isFalse(yield* db.advanceBackfill(absent))
      assert.deepStrictEqual(yield* Effect.forEach(suffixes, backfill), before)
      assert.deepStrictEqual(yield* runs(), [])
      assert.isTrue(yield* advance("orphan", [], { cursor: null, done: true }), "without ticks it needs no schedule")
    })
  )

  test(
    "of many advances at one turn at the same moment one passes, and its ticks alone are started",
    Effect.gen(function*() {
      const { advance, backfill, create, runs, tick } = yield* filling
      yield* create("b")
      for (let round = 0; round < 5; round++) {
        const { started, turn } = yield* backfill("b")
        const answers = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => i),
          (i) => advance("b", [tick(`${round}-${i}`, i)], { turn, cursor: t0 - i }),
          { concurrency: "unbounded" }
        )
        const made = answers.flatMap((made, i) => made ? [i] : [])
        assert.strictEqual(made.length, 1)
        const after = yield* backfill("b")
        assert.deepStrictEqual([after.cursor, after.started], [t0 - (made[0] ?? 0), started + 1])
      }
      assert.strictEqual((yield* runs()).length, 5)
    })
  )

  test(
    "a backfill that is done is Done, at that instant and for ever",
    Effect.gen(function*() {
      const { advance, backfill, create, due, turnTo } = yield* filling
      yield* create("b")
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* advance("b", [], { cursor: null, done: true }))
      const done = yield* backfill("b")
      assert.deepStrictEqual([done.status, done.cursor, done.finishedAt, done.updatedAt], [
        "Done",
        null,
        t0 + second,
        t0 + second
      ])
      for (const status of ["Active", "Paused", "Cancelled"] as const) assert.isFalse(yield* turnTo("b", status))
      assert.deepStrictEqual([yield* backfill("b"), yield* due], [done, []])
    })
  )
}

const going = (test: Declare) => {
  test(
    "a backfill can go on while fewer of its runs are live than may be, and at its end when none is",
    Effect.gen(function*() {
      const { advance, create, db, dueIds, name, run, tick, worker } = yield* filling
      const owner = yield* worker()
      yield* create("b", { concurrency: 2 })
      assert.deepStrictEqual(yield* dueIds, ["b"])
      yield* advance("b", [tick("r1", 1)])
      assert.deepStrictEqual(yield* dueIds, ["b"])
      yield* advance("b", [tick("r2", 2)])
      assert.deepStrictEqual(yield* dueIds, [])
      yield* db.claim({ worker: owner, limit: 1, workflows: [name("flow")] })
      assert.deepStrictEqual(yield* dueIds, [], "Running is live as well")
      const held = lease(yield* run("r1"))
      yield* db.suspend(held, t0)
      assert.deepStrictEqual(yield* dueIds, [], "and so is Suspended")
      yield* db.cancel(name("r1"), null)
      assert.deepStrictEqual(yield* dueIds, ["b"])
      yield* advance("b", [], { cursor: null })
      assert.deepStrictEqual(yield* dueIds, [], "nothing is left to be looked at, and a run is live")
      yield* db.cancel(name("r2"), null)
      assert.deepStrictEqual(yield* dueIds, ["b"])
    })
  )

  test(
    "backfills that can go on come oldest first, ties by id, with their schedules, or null for one that is gone",
    Effect.gen(function*() {
      const { create, db, drop, due, dueIds, name, newSchedule, put, schedule, turnTo } = yield* filling
      yield* put(newSchedule("gone"))
      for (const suffix of ["b", "a", "paused", "cancelled"]) yield* create(suffix)
      yield* TestClock.adjust("1 second")
      yield* create("0", { schedule: name("gone") })
      yield* drop("gone")
      yield* turnTo("paused", "Paused")
      yield* turnTo("cancelled", "Cancelled")
      assert.deepStrictEqual(yield* dueIds, ["a", "b", "0"])
      assert.deepStrictEqual((yield* due).map(({ schedule }) => schedule), [
        yield* schedule("s"),
        yield* schedule("s"),
        null
      ])
      const [first] = yield* db.dueBackfills(1)
      assert.strictEqual((yield* db.dueBackfills(1)).length, 1)
      assert.deepStrictEqual(first, (yield* db.dueBackfills(10_000))[0])
      yield* turnTo("paused", "Active")
      assert.deepStrictEqual(yield* dueIds, ["a", "b", "paused", "0"])
      for (const suffix of ["a", "b", "paused", "0"]) yield* turnTo(suffix, "Cancelled")
    })
  )
}

const changing = (test: Declare) => {
  test(
    "a backfill is paused and goes on again, each time under another turn, and audited",
    Effect.gen(function*() {
      const { audits, backfill, create, turnTo } = yield* filling
      const { backfill: created } = yield* create("b")
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* turnTo("b", "Paused"))
      const paused = yield* backfill("b")
      assert.deepStrictEqual(paused, { ...created, status: "Paused", turn: paused.turn, updatedAt: t0 + second })
      assert.isFalse(yield* turnTo("b", "Active", created.turn))
      assert.deepStrictEqual(yield* backfill("b"), paused)
      assert.isTrue(yield* turnTo("b", "Active"))
      const active = yield* backfill("b")
      assert.strictEqual(active.status, "Active")
      assert.strictEqual(new Set([created.turn, paused.turn, active.turn]).size, 3)
      assert.strictEqual((yield* audits("s")).length, 3)
    })
  )

  test(
    "a cancelled backfill cancels its runs that are Enqueued, and leaves the others to their workers",
    Effect.gen(function*() {
      const { advance, audits, backfill, claim, create, db, name, newAudit, run, tick, turnTo, worker } = yield* filling
      const owner = yield* worker()
      yield* create("b", { concurrency: 9 })
      yield* create("other")
      yield* advance("b", ["running", "suspended", "ended"].map(tick))
      yield* claim(owner)
      yield* db.suspend(lease(yield* run("suspended")), t0 + minute)
      yield* db.finish(lease(yield* run("ended")), { status: "Succeeded", outcome: "1" })
      yield* advance("b", [tick("enqueued", 4), tick("enqueued 2", 5)])
      yield* advance("other", [tick("foreign", 6)])
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* turnTo("b", "Cancelled"))
      const { finishedAt, live, status } = yield* backfill("b")
      assert.deepStrictEqual([status, finishedAt, live], ["Cancelled", t0 + second, 2])
      const statuses = yield* Effect.forEach(
        ["running", "suspended", "ended", "enqueued", "enqueued 2", "foreign"],
        (suffix) => Effect.map(run(suffix), ({ status }) => status)
      )
      assert.deepStrictEqual(statuses, ["Running", "Suspended", "Succeeded", "Cancelled", "Cancelled", "Enqueued"])
      const cancelled = yield* run("enqueued")
      assert.deepStrictEqual([cancelled.finishedAt, cancelled.wakeAt, cancelled.reason !== null], [
        t0 + second,
        null,
        true
      ])
      for (const status of ["Active", "Paused", "Cancelled"] as const) assert.isFalse(yield* turnTo("b", status))
      const audit = newAudit()
      assert.isFalse(yield* db.changeBackfill({ id: name("absent"), turn: 1, status: "Paused", audit }))
      assert.strictEqual((yield* audits("s")).length, 3)
    })
  )

  test(
    "of several changes and advances of one turn at the same moment one passes",
    Effect.gen(function*() {
      const { advance, backfill, create, runs, tick, turnTo } = yield* filling
      for (let round = 0; round < 10; round++) {
        const suffix = `b${round}`
        const { backfill: { turn } } = yield* create(suffix)
        const answers = yield* Effect.all([
          turnTo(suffix, "Paused", turn),
          advance(suffix, [tick(`r${round}`, round)], { turn }),
          turnTo(suffix, "Cancelled", turn)
        ], { concurrency: "unbounded" })
        assert.strictEqual(answers.filter((made) => made).length, 1)
        const { live, status } = yield* backfill(suffix)
        assert.strictEqual(status, ["Paused", "Active", "Cancelled"][answers.indexOf(true)])
        assert.strictEqual(live, answers[1] ? 1 : 0)
      }
      assert.isTrue((yield* runs()).length <= 10)
    })
  )
}

export const backfills = (test: Declare) => {
  creating(test)
  advancing(test)
  going(test)
  changing(test)
}
