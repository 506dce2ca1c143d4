/** Overlap scopes: what a decision knows of the runs it must not overlap with, and that no two decide on the same knowledge. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { DueSchedule, Fired } from "../../src/SystemDb.ts"
import { type Declare, fixture, lease, minute, noOptions, second, t0 } from "./fixture.ts"

/** A test's fixture with two schedules of one overlap scope. */
const overlapping = Effect.gen(function*() {
  const f = yield* fixture
  const overlap = f.name("scope")
  yield* f.put(f.newSchedule("a", { overlap }), f.newSchedule("b", { overlap }))
  return { ...f, overlap }
})

/** What a decision relies on, as the schedule was seen. */
const relying = ({ live, overlapTurn, turn }: DueSchedule) => ({
  turn,
  live: live.map(({ runId }) => runId),
  overlapTurn
})

const tagOf = (fired: Fired | undefined) => fired?._tag

const seeing = (test: Declare) => {
  test(
    "a schedule sees every run of its overlap scope that has not ended, by id, whichever schedule started it",
    Effect.gen(function*() {
      const { claim, db, fire, name, newSchedule, put, run, seen, tick, trigger, worker } = yield* overlapping
      yield* put(newSchedule("other", { overlap: name("other scope") }), newSchedule("none"))
      assert.deepStrictEqual((yield* seen("a")).live, [])
      const owner = yield* worker()
      yield* fire("a", { ticks: [tick("\u{1F600}", 1), tick("\uFF5E", 2), tick("ended", 3)], owner })
      yield* TestClock.adjust("1 second")
      yield* fire("b", { ticks: [tick("b", 4)] })
      yield* trigger("b", tick("B", 5))
      yield* fire("other", { ticks: [tick("c", 6)] })
      yield* fire("none", { ticks: [tick("d", 7)] })
      yield* db.finish(lease(yield* run("ended")), { status: "Succeeded", outcome: "1" })
      yield* db.suspend(lease(yield* run("\uFF5E")), t0 + minute)
      const at = (suffix: string, schedule: string, tick: number, createdAt: number) => ({
        runId: name(suffix),
        schedule: name(schedule),
        tick,
        createdAt
      })
      const live = [
        at("B", "b", 5, t0 + second),
        at("b", "b", 4, t0 + second),
        at("\uFF5E", "a", 2, t0),
        at("\u{1F600}", "a", 1, t0)
      ]
      const { schedules } = yield* db.dueSchedules(1e12)
      for (const suffix of ["a", "b"]) {
        assert.deepStrictEqual((yield* seen(suffix)).live, live)
        assert.deepStrictEqual(schedules.find((due) => due.name === name(suffix)), yield* seen(suffix))
      }
      yield* claim(owner)
      assert.deepStrictEqual((yield* seen("a")).live, live)
      assert.deepStrictEqual((yield* seen("other")).live, [at("c", "other", 6, t0 + second)])
      const { live: none, overlapTurn } = yield* seen("none")
      assert.deepStrictEqual([none, overlapTurn], [[], null])
    })
  )

  test(
    "runs that were enqueued for given ticks overlap with nothing, nor do those started elsewhere",
    Effect.gen(function*() {
      const { db, name, newRun, run, seen, tick } = yield* overlapping
      const before = yield* seen("a")
      yield* db.enqueueTicks(name("a"), [tick("r", t0)], noOptions)
      yield* db.start(newRun("other"))
      assert.strictEqual((yield* run("r")).overlap, null)
      assert.deepStrictEqual(yield* seen("a"), before)
    })
  )

  test(
    "a run that is live counts in the scope that its schedule has now, however that was when it started",
    Effect.gen(function*() {
      const { edit, fire, name, newSchedule, overlap, put, seen } = yield* overlapping
      const liveOf = (suffix: string) => Effect.map(seen(suffix), ({ live }) => live.map(({ runId }) => runId))
      yield* put(newSchedule("free"))
      yield* fire("a")
      yield* fire("free")
      assert.deepStrictEqual(yield* liveOf("free"), [], "it overlaps with nothing")
      yield* edit("free", { overlap })
      for (const suffix of ["a", "b", "free"]) {
        assert.deepStrictEqual(yield* liveOf(suffix), [name("a-tick"), name("free-tick")])
      }
      yield* edit("a", { overlap: name("new scope") })
      assert.deepStrictEqual(yield* liveOf("a"), [name("a-tick")])
      assert.deepStrictEqual(yield* liveOf("b"), [name("free-tick")])
    })
  )

  test(
    "runs of a schedule that is gone count for nothing, nor do they for one that is created under its name",
    Effect.gen(function*() {
      const { db, drop, fire, name, newSchedule, overlap, put, run, schedule, seen, tick } = yield* overlapping
      yield* fire("a", { ticks: [tick("old", 1)], settle: true })
      yield* drop("a")
      assert.deepStrictEqual((yield* seen("b")).live, [])
      yield* TestClock.adjust("1 second")
      yield* put(newSchedule("a", { overlap }))
      const { incarnation, revision } = yield* schedule("a")
      assert.strictEqual(incarnation, revision, "it knows that there was another one")
      assert.strictEqual((yield* schedule("b")).incarnation, null)
      yield* fire("a", { ticks: [tick("new", 2)] })
      for (const suffix of ["a", "b"]) {
        assert.deepStrictEqual((yield* seen(suffix)).live.map(({ runId }) => runId), [name("new")])
      }
      yield* db.cancel(name("old"), null)
      const [ended] = (yield* seen("a")).ended
      assert.deepStrictEqual([ended?.runId, ended?.createdAt], [name("old"), (yield* run("old")).createdAt])
    })
  )

  test(
    "a schedule is behind the one of its scope whose starts wait since earlier, and nobody is behind itself",
    Effect.gen(function*() {
      const { edit, newSchedule, name, overlap, put, seen } = yield* overlapping
      const behind = Effect.forEach(
        ["a", "b", "c", "other"],
        (suffix) =>
          Effect.map(seen(suffix), ({ behind }) => behind.map((waiting) => waiting.slice(name("").length)).join(" "))
      )
      yield* put(newSchedule("c", { overlap }), newSchedule("other", { overlap: name("other scope") }))
      assert.deepStrictEqual(yield* behind, ["", "", "", ""])
      yield* edit("b", { waitingSince: t0 + 5 })
      assert.deepStrictEqual(yield* behind, ["b", "", "b", ""])
      yield* edit("c", { waitingSince: t0 + 4 })
      assert.deepStrictEqual(yield* behind, ["c b", "c", "", ""])
      yield* edit("a", { waitingSince: t0 + 4 })
      assert.deepStrictEqual(yield* behind, ["", "a c", "a", ""])
      yield* edit("a", { overlap: null })
      assert.deepStrictEqual(yield* behind, ["", "c", "", ""])
    })
  )

  test(
    "schedules of one overlap scope see the same turn of it, which every start under it raises",
    Effect.gen(function*() {
      const { db, edit, fire, seen, tick, trigger } = yield* overlapping
      const turn = Effect.gen(function*() {
        const [a, b] = [(yield* seen("a")).overlapTurn, (yield* seen("b")).overlapTurn]
        assert.strictEqual(a, b)
        assert.notStrictEqual(a, null)
        return a
      })
      const first = yield* turn
      const fired = yield* fire("a")
      const second = yield* turn
      assert.notStrictEqual(second, first)
      assert.strictEqual(fired._tag === "Fired" ? fired.overlapTurn : "not fired", second)
      yield* trigger("b", tick("r", t0))
      const third = yield* turn
      assert.notStrictEqual(third, second)
      yield* trigger("b", tick("r", t0))
      assert.strictEqual(yield* turn, third, "a trigger that only finds its run starts nothing")
      const idle = yield* fire("b", { ticks: [] })
      assert.strictEqual(idle._tag === "Fired" ? idle.overlapTurn : "not fired", third)
      yield* db.cancel((yield* seen("a")).live[0]?.runId ?? "", null)
      yield* edit("b", { context: "2" })
      assert.strictEqual(yield* turn, third)
      // Who decided on somebody who waits, or on nobody, must look again.
      yield* edit("b", { waitingSince: t0 })
      const fourth = yield* turn
      assert.notStrictEqual(fourth, third)
      yield* edit("b", { waitingSince: null })
      assert.notStrictEqual(yield* turn, fourth)
    })
  )
}

const relyingOn = (test: Declare) => {
  test(
    "a firing that relies on the live runs is Stale when others are live, and says which",
    Effect.gen(function*() {
      const { db, fire, name, runs, seen, tick } = yield* overlapping
      yield* fire("a", { ticks: [tick("1", 1), tick("2", 2)] })
      const before = yield* seen("b")
      for (const live of [[], ["1"], ["2"], ["1", "3"], ["1", "2", "3"]]) {
        const fired = yield* fire("b", { live: live.map(name) })
        assert.deepStrictEqual(fired, { _tag: "Stale", name: name("b"), current: before })
      }
      assert.strictEqual((yield* runs()).length, 2)
      yield* db.cancel(name("1"), null)
      assert.strictEqual(tagOf(yield* fire("b", { ...relying(before), ticks: [] })), "Stale")
      assert.strictEqual(tagOf(yield* fire("b", { live: [name("2")], ticks: [] })), "Fired")
      yield* db.cancel(name("2"), null)
      assert.strictEqual(tagOf(yield* fire("b", { live: [] })), "Fired")
      assert.strictEqual(tagOf(yield* fire("b", { live: null })), "Fired", "unless it relies on none of it")
    })
  )

  test(
    "a schedule without an overlap scope has no live runs to rely on, and no turn",
    Effect.gen(function*() {
      const { fire, newSchedule, put, seen } = yield* overlapping
      yield* put(newSchedule("s"))
      yield* fire("s")
      assert.strictEqual(tagOf(yield* fire("s", { live: [] })), "Fired")
      const { overlapTurn } = yield* seen("a")
      const fired = yield* fire("s", { overlapTurn })
      assert.strictEqual(tagOf(fired), "Stale")
    })
  )

  test(
    "a firing that relies on a turn of the overlap scope is Stale when it has another one",
    Effect.gen(function*() {
      const { fire, name, runs, seen, tick, trigger } = yield* overlapping
      const decided = yield* seen("b")
      yield* fire("a")
      const fired = yield* fire("b", { overlapTurn: decided.overlapTurn })
      assert.deepStrictEqual(fired, { _tag: "Stale", name: name("b"), current: yield* seen("b") })
      const again = yield* seen("b")
      yield* trigger("a", tick("r", t0))
      assert.strictEqual(tagOf(yield* fire("b", { overlapTurn: again.overlapTurn })), "Stale")
      assert.strictEqual((yield* runs()).length, 2)
      assert.strictEqual(tagOf(yield* fire("b", relying(yield* seen("b")))), "Fired")
    })
  )

  test(
    "a firing that relies on its overlap scope raises its turn, also when it starts nothing",
    Effect.gen(function*() {
      const { fire, seen } = yield* overlapping
      const before = yield* seen("b")
      const fired = yield* fire("a", { ...relying(yield* seen("a")), ticks: [] })
      const { overlapTurn } = yield* seen("b")
      assert.notStrictEqual(overlapTurn, before.overlapTurn)
      assert.strictEqual(fired._tag === "Fired" ? fired.overlapTurn : "not fired", overlapTurn)
      assert.strictEqual(tagOf(yield* fire("b", relying(before))), "Stale")
    })
  )

  test(
    "firings of one statement that do not rely on their overlap scope do not hinder each other",
    Effect.gen(function*() {
      const { db, firing, name, seen } = yield* overlapping
      const { fired } = yield* db.fire([yield* firing("a"), yield* firing("b")], null)
      const { overlapTurn } = yield* seen("a")
      assert.deepStrictEqual(
        fired.map((fired) => fired._tag === "Fired" ? fired.overlapTurn : fired._tag),
        [overlapTurn, overlapTurn]
      )
      assert.deepStrictEqual((yield* seen("a")).live.map(({ runId }) => runId), ["a-tick", "b-tick"].map(name))
    })
  )
}

const racing = (test: Declare) => {
  test(
    "of two schedules of one overlap scope that are fired at the same moment, each relying on it, one passes",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, put, runs, seen } = yield* fixture
      for (let round = 0; round < 20; round++) {
        const [a, b, overlap] = [`a${round}`, `b${round}`, name(`scope${round}`)]
        yield* put(newSchedule(a, { overlap }), newSchedule(b, { overlap }))
        const decided = [yield* firing(a, relying(yield* seen(a))), yield* firing(b, relying(yield* seen(b)))]
        const answers = yield* Effect.forEach(
          round % 2 === 0 ? decided : decided.reverse(),
          (firing) => Effect.map(db.fire([firing], null), ({ fired }) => fired[0]),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(answers.map(tagOf).sort(), ["Fired", "Stale"])
        assert.strictEqual((yield* seen(a)).live.length, 1)
      }
      assert.strictEqual((yield* runs()).length, 20)
    })
  )

  test(
    "many schedules of a few overlap scopes, fired together by many processes, start one run for each scope",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, put, runs, seen } = yield* fixture
      const suffixes = Array.from({ length: 24 }, (_, i) => `s${i}`)
      const scope = (i: number) => i % 4
      yield* put(...suffixes.map((suffix, i) => newSchedule(suffix, { overlap: name(`scope${scope(i)}`) })))
      const firings = yield* Effect.forEach(
        suffixes,
        (suffix) => Effect.flatMap(seen(suffix), (seen) => firing(suffix, relying(seen)))
      )
      // Each process has one schedule of each scope, in an order of its own.
      const processes = Array.from({ length: 6 }, (_, i) => {
        const own = firings.slice(4 * i, 4 * i + 4)
        return [...own.slice(i % 4), ...own.slice(0, i % 4)]
      })
      const answers = yield* Effect.forEach(processes, (firings) => db.fire(firings, null), {
        concurrency: "unbounded"
      })
      const fired = answers.flatMap(({ fired }) => fired)
      assert.strictEqual(fired.filter(({ _tag }) => _tag === "Fired").length, 4)
      assert.strictEqual(fired.filter(({ _tag }) => _tag === "Stale").length, 20)
      const started = (yield* runs()).map(({ schedule }) =>
        scope(suffixes.findIndex((suffix) => name(suffix) === schedule))
      )
      assert.deepStrictEqual(started.sort(), [0, 1, 2, 3])
    })
  )

  test(
    "of a trigger and a firing that relies on nothing being live, the firing does not overlook the run",
    Effect.gen(function*() {
      const { db, firing, name, newSchedule, put, run, seen, tick, trigger } = yield* fixture
      for (let round = 0; round < 10; round++) {
        const [suffix, overlap] = [`s${round}`, name(`scope${round}`)]
        yield* put(newSchedule(suffix, { overlap }))
        const before = yield* seen(suffix)
        const decided = yield* firing(suffix, relying(before))
        const [{ run: triggered }, { fired }] = yield* Effect.all([
          trigger(suffix, tick(`r${round}`, t0)),
          db.fire([decided], null)
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* run(`r${round}`), triggered)
        // Either it came first, or it was refused: a run that started before it would have raised the scope's turn.
        const after = yield* seen(suffix)
        assert.strictEqual(after.live.length, tagOf(fired[0]) === "Fired" ? 2 : 1)
        assert.strictEqual(tagOf(fired[0]) === "Fired", after.turn !== before.turn)
        const raised = fired[0]?._tag === "Fired" ? fired[0].overlapTurn : before.overlapTurn
        assert.notStrictEqual(after.overlapTurn, raised, "the trigger came after it and raised the turn once more")
      }
    })
  )
}

export const overlaps = (test: Declare) => {
  seeing(test)
  relyingOn(test)
  racing(test)
}
