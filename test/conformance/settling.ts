/** What else a firing records: ends that were taken note of, cancellations, hooks, audits; and the freeze that stops them all. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { EndedRun, Fired } from "../../src/SystemDb.ts"
import { type Declare, fixture, lease, minute, refused, second, t0, unscheduled } from "./fixture.ts"

const settling = (test: Declare) => {
  test(
    "a run that has to be settled is seen once it has ended, however it ended, until a firing settles it",
    Effect.gen(function*() {
      const { db, doom, fire, name, newSchedule, pulse, put, run, seen, tick, worker } = yield* fixture
      const owner = yield* worker(1_000_000)
      yield* put(newSchedule("s"))
      const settle = { settle: true, timeoutMillis: null }
      const idle = { after: { nextAt: null, wakeAt: null } }
      const suffixes = ["succeeded", "failed", "cancelled", "live"]
      yield* fire("s", { ticks: suffixes.map((suffix, i) => tick(suffix, i)), owner, ...settle, ...idle })
      yield* fire("s", { ticks: [tick("dead", 4)], owner: name("nobody"), ...settle, ...idle })
      yield* doom(owner)
      yield* fire("s", { ticks: [tick("unwatched", 5)], owner, ...idle })
      const due = Effect.map(
        db.dueSchedules(0),
        ({ schedules }) => schedules.find((schedule) => schedule.name === name("s"))
      )
      assert.deepStrictEqual([(yield* seen("s")).ended, yield* due], [[], undefined])
      yield* db.finish(lease(yield* run("failed")), { status: "Failed", outcome: "1" })
      yield* db.finish(lease(yield* run("unwatched")), { status: "Failed", outcome: "1" })
      yield* TestClock.adjust("1 second")
      yield* db.finish(lease(yield* run("succeeded")), { status: "Succeeded", outcome: "1" })
      yield* db.cancel(name("cancelled"), null)
      yield* TestClock.adjust("1 minute")
      yield* pulse(owner)
      const ended: ReadonlyArray<EndedRun> = [
        { runId: name("failed"), tick: 1, status: "Failed", createdAt: t0, finishedAt: t0 },
        { runId: name("cancelled"), tick: 2, status: "Cancelled", createdAt: t0, finishedAt: t0 + second },
        { runId: name("succeeded"), tick: 0, status: "Succeeded", createdAt: t0, finishedAt: t0 + second },
        { runId: name("dead"), tick: 4, status: "Dead", createdAt: t0, finishedAt: t0 + second + minute }
      ]
      assert.deepStrictEqual((yield* seen("s")).ended, ended)
      assert.deepStrictEqual(yield* due, yield* seen("s"), "and makes its schedule due")
      yield* fire("s", { ticks: [], settled: [name("failed"), name("dead"), name("unknown")], ...idle })
      assert.deepStrictEqual((yield* seen("s")).ended, ended.slice(1, 3))
      yield* fire("s", { ticks: [], settled: [name("cancelled"), name("succeeded")], ...idle })
      assert.deepStrictEqual([(yield* seen("s")).ended, yield* due], [[], undefined])
      assert.strictEqual((yield* run("failed")).status, "Failed", "the runs stay")
    })
  )

  test(
    "runs that were triggered or enqueued may have to be settled as well",
    Effect.gen(function*() {
      const { db, name, newAudit, newSchedule, put, seen, tick } = yield* fixture
      yield* put(newSchedule("s"))
      const options = { settle: true, timeoutMillis: null }
      const [run, audit] = [tick("triggered", 1), newAudit()]
      yield* db.triggerSchedule({ name: name("s"), run, options, context: null, owner: null, audit })
      yield* db.enqueueTicks(name("s"), [tick("enqueued", 2)], options)
      for (const suffix of ["triggered", "enqueued"]) yield* db.cancel(name(suffix), null)
      assert.deepStrictEqual((yield* seen("s")).ended.map(({ runId }) => runId), ["enqueued", "triggered"].map(name))
    })
  )

  test(
    "of the runs to settle the hundred that ended first are seen",
    Effect.gen(function*() {
      const { db, fire, name, newSchedule, put, seen, tick } = yield* fixture
      yield* put(newSchedule("s"))
      const suffix = (i: number) => `r${String(i).padStart(3, "0")}`
      const ticks = Array.from({ length: 103 }, (_, i) => tick(suffix(i), i))
      yield* fire("s", { ticks, settle: true })
      yield* db.cancel(name(suffix(101)), null)
      yield* TestClock.adjust("1 second")
      for (const { runId } of [...ticks].reverse()) if (runId !== name(suffix(101))) yield* db.cancel(runId, null)
      const expected = [101, ...Array.from({ length: 101 }, (_, i) => i), 102].map((i) => name(suffix(i)))
      const seenIds = Effect.map(seen("s"), ({ ended }) => ended.map(({ runId }) => runId))
      assert.deepStrictEqual(yield* seenIds, expected.slice(0, 100))
      yield* fire("s", { ticks: [], settled: expected.slice(0, 100) })
      assert.deepStrictEqual(yield* seenIds, expected.slice(100))
    })
  )
}

const cancelling = (test: Declare) => {
  test(
    "a cancellation says why, and so does the run afterwards",
    Effect.gen(function*() {
      const { db, name, newRun, run } = yield* fixture
      yield* db.start(newRun("r"))
      yield* db.cancel(name("r"), "no longer wanted")
      assert.strictEqual((yield* run("r")).reason, "no longer wanted")
      yield* db.start(newRun("other"))
      yield* db.cancel(name("other"), null)
      assert.strictEqual((yield* run("other")).reason, null)
    })
  )

  test(
    "a firing cancels runs that have not ended, with its reason, and passes over the others",
    Effect.gen(function*() {
      const { db, fire, name, newSchedule, owned, put, run, tick, worker } = yield* fixture
      const owner = yield* worker()
      yield* put(newSchedule("s"))
      yield* fire("s", { ticks: ["running", "suspended", "ended", "spared"].map(tick), owner })
      yield* fire("s", { ticks: [tick("enqueued", 4)] })
      const held = lease(yield* run("running"))
      yield* db.suspend(lease(yield* run("suspended")), t0 + minute)
      yield* db.finish(lease(yield* run("ended")), { status: "Succeeded", outcome: "1" })
      const foreign = yield* owned("foreign", owner)
      const suffixes = ["enqueued", "running", "suspended", "ended", "foreign", "unknown"]
      const before = new Map<string, unknown>()
      for (const suffix of suffixes.slice(0, -1)) before.set(suffix, yield* run(suffix))
      yield* TestClock.adjust("1 second")
      const cancels = suffixes.map((suffix) => ({ runId: name(suffix), reason: `because of ${suffix}` }))
      assert.strictEqual((yield* fire("s", { ticks: [tick("next", 5)], cancels }))._tag, "Fired")
      for (const suffix of ["enqueued", "running", "suspended", "foreign"]) {
        assert.deepStrictEqual(yield* run(suffix), {
          ...before.get(suffix) as Effect.Success<ReturnType<typeof run>>,
          status: "Cancelled",
          owner: null,
          wakeAt: null,
          finishedAt: t0 + second,
          reason: `because of ${suffix}`
        })
      }
      assert.deepStrictEqual(yield* run("ended"), before.get("ended"))
      assert.deepStrictEqual([(yield* run("spared")).status, (yield* run("next")).status], ["Running", "Enqueued"])
      yield* refused(db.finish(held, { status: "Succeeded", outcome: "1" }), "LeaseLost")
      yield* refused(db.suspend(foreign, t0), "LeaseLost")
      assert.isTrue(Option.isNone(yield* db.findRun(name("unknown"))))
    })
  )

  test(
    "of a firing that cancels a run and its end at the same moment one wins, and the other is told or passes over it",
    Effect.gen(function*() {
      const { db, fire, firing, name, newSchedule, put, run, tick, worker } = yield* fixture
      const owner = yield* worker()
      yield* put(newSchedule("s"))
      for (let round = 0; round < 10; round++) {
        const suffix = `r${round}`
        yield* fire("s", { ticks: [tick(suffix, round)], owner })
        const held = lease(yield* run(suffix))
        const decided = yield* firing("s", { ticks: [], cancels: [{ runId: name(suffix), reason: "why" }] })
        const [{ fired }, finished] = yield* Effect.all([
          db.fire([decided], null),
          Effect.result(db.finish(held, { status: "Succeeded", outcome: "1" }))
        ], { concurrency: "unbounded" })
        assert.strictEqual(fired[0]?._tag, "Fired")
        const { reason, status } = yield* run(suffix)
        assert.deepStrictEqual(
          [status, reason],
          finished._tag === "Success" ? ["Succeeded", null] : ["Cancelled", "why"]
        )
      }
    })
  )
}

const recording = (test: Declare) => {
  test(
    "a firing records its entries and its audit at one instant",
    Effect.gen(function*() {
      const { audits, entries, fire, name, newAudit, newEntry, newSchedule, put } = yield* fixture
      yield* put(newSchedule("s"))
      yield* TestClock.adjust("1 second")
      const recorded = [
        newEntry({ first: 5, last: 9, count: null, decision: "missed", reason: "late", timing: "{\"every\":1}" }),
        newEntry({ first: 7, last: 7, decision: "skipped", runId: name("r") })
      ]
      const audit = newAudit({ action: "pause", actor: "policy", reason: "failing", before: "{}", after: "[]" })
      yield* fire("s", { ticks: [], entries: recorded, audit })
      const stored = yield* entries("s")
      assert.deepStrictEqual(
        stored,
        recorded.map((entry, i) => ({ ...entry, position: stored[i]?.position ?? -1, recordedAt: t0 + second }))
      )
      assert.isTrue((stored[0]?.position ?? 0) < (stored[1]?.position ?? 0))
      const [audited, ...others] = yield* audits("s")
      assert.deepStrictEqual([audited, others], [{ ...audit, position: audited?.position ?? 0, at: t0 + second }, []])
    })
  )

  test(
    "a hook is enqueued with the firing, and an id that a run has starts none",
    Effect.gen(function*() {
      const { db, fire, name, newRun, newSchedule, put, run } = yield* fixture
      yield* put(newSchedule("s"))
      yield* db.start(newRun("used", { workflow: name("other") }))
      const used = yield* run("used")
      yield* TestClock.adjust("1 second")
      const hook = (suffix: string, payload: string) => ({ id: name(suffix), workflow: name("hook"), payload })
      const fired = yield* fire("s", { ticks: [], hooks: [hook("h", " [1] "), hook("used", "2")] })
      assert.deepStrictEqual(fired._tag === "Fired" ? fired.runs : "not fired", [])
      assert.deepStrictEqual(yield* run("h"), {
        id: name("h"),
        workflow: name("hook"),
        status: "Enqueued",
        payload: " [1] ",
        outcome: null,
        owner: null,
        epoch: 0,
        attempt: 1,
        deaths: 0,
        isolated: false,
        handbacks: 0,
        wakeAt: t0 + second,
        deadline: null,
        timeoutMillis: null,
        ...unscheduled,
        parent: null,
        trace: null,
        createdAt: t0 + second,
        startedAt: null,
        finishedAt: null
      })
      assert.deepStrictEqual(yield* run("used"), used)
      const before = yield* run("h")
      assert.strictEqual((yield* fire("s", { ticks: [], hooks: [hook("h", "3"), hook("h2", "4")] }))._tag, "Fired")
      assert.deepStrictEqual([yield* run("h"), (yield* run("h2")).payload], [before, "4"])
    })
  )

  test(
    "what is Stale or Early records nothing at all, and what is fired beside it everything",
    Effect.gen(function*() {
      const {
        audits,
        db,
        entries,
        fire,
        firing,
        name,
        newAudit,
        newEntry,
        newSchedule,
        put,
        run,
        schedule,
        seen,
        tick
      } = yield* fixture
      const suffixes = ["early", "stale", "fired"]
      yield* put(...suffixes.map((suffix) => newSchedule(suffix)))
      for (const suffix of suffixes) {
        yield* fire(suffix, { settle: true })
        yield* db.cancel(name(`${suffix}-tick`), null)
        yield* fire(suffix, { ticks: [tick(`${suffix}-live`, t0)] })
      }
      const before = yield* Effect.forEach(suffixes, schedule)
      const firings = yield* Effect.forEach(suffixes, (suffix) =>
        firing(suffix, {
          ticks: [],
          at: suffix === "early" ? t0 + 1 : t0,
          live: suffix === "stale" ? [name("gone")] : null,
          entries: [newEntry({ schedule: name(suffix) })],
          cancels: [{ runId: name(`${suffix}-live`), reason: "why" }],
          settled: [name(`${suffix}-tick`)],
          hooks: [{ id: name(`${suffix}-hook`), workflow: name("hook"), payload: "1" }],
          audit: newAudit({ schedule: name(suffix) })
        }))
      const { fired } = yield* db.fire(firings, null)
      assert.deepStrictEqual(fired.map(({ _tag }) => _tag), ["Early", "Stale", "Fired"])
      for (const [i, suffix] of suffixes.entries()) {
        const recorded = {
          same: (yield* schedule(suffix)).turn === before[i]?.turn,
          live: (yield* run(`${suffix}-live`)).status,
          ended: (yield* seen(suffix)).ended.length,
          entries: (yield* entries(suffix)).length,
          audits: (yield* audits(suffix)).length,
          hook: Option.isSome(yield* db.findRun(name(`${suffix}-hook`)))
        }
        assert.deepStrictEqual(
          recorded,
          suffix === "fired"
            ? { same: false, live: "Cancelled", ended: 0, entries: 1, audits: 1, hook: true }
            : { same: true, live: "Enqueued", ended: 1, entries: 0, audits: 0, hook: false }
        )
      }
    })
  )
}

const freezing = (test: Declare) => {
  test(
    "when the freeze stands at another turn than the caller knows, every firing is Stale, and the answer says how it stands",
    Effect.gen(function*() {
      const { db, firing, name, newChange, newSchedule, put, runs, seen } = yield* fixture
      yield* put(newSchedule("a"), newSchedule("b"))
      const freeze = Effect.map(db.findControl("freeze"), Option.getOrNull)
      const set = (value: string | null) =>
        Effect.gen(function*() {
          const turn = (yield* freeze)?.turn ?? null
          assert.isTrue(yield* db.changeSchedules(newChange({ controls: [{ key: "freeze", turn, value }] })))
          return yield* freeze
        })
      const firings = [yield* firing("a"), yield* firing("b", { at: t0 + minute }), yield* firing("unknown")]
      const fire = (turn: number | null) => db.fire(firings, turn)
      const stale = Effect.map(Effect.all([seen("a"), seen("b")]), ([a, b]): ReadonlyArray<Fired> => [
        { _tag: "Stale", name: name("a"), current: a },
        { _tag: "Stale", name: name("b"), current: b },
        { _tag: "Stale", name: name("unknown"), current: null }
      ])
      // The other tests of the store know of no freeze.
      yield* Effect.addFinalizer(() => Effect.orDie(set(null)))
      assert.deepStrictEqual(yield* fire(1), { now: t0, freeze: null, fired: yield* stale })
      const first = yield* set("{\"by\":\"me\"}")
      assert.deepStrictEqual(first, { key: "freeze", value: "{\"by\":\"me\"}", turn: first?.turn ?? 0 })
      assert.deepStrictEqual((yield* db.dueSchedules(0)).freeze, first)
      assert.deepStrictEqual(yield* fire(null), { now: t0, freeze: first, fired: yield* stale })
      const second = yield* set("{\"by\":\"you\"}")
      assert.deepStrictEqual(yield* fire(first?.turn ?? 0), { now: t0, freeze: second, fired: yield* stale })
      assert.deepStrictEqual(yield* runs(), [])
      const known = yield* fire(second?.turn ?? 0)
      assert.deepStrictEqual([known.freeze, known.fired.map(({ _tag }) => _tag)], [second, ["Fired", "Early", "Stale"]])
      yield* set(null)
      assert.deepStrictEqual([(yield* fire(second?.turn ?? 0)).freeze, (yield* db.dueSchedules(0)).freeze], [
        null,
        null
      ])
    })
  )
}

export const settlings = (test: Declare) => {
  settling(test)
  cancelling(test)
  recording(test)
  freezing(test)
}
