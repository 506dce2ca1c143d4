/** The ledger: what became of every tick, who changed what, and when both are forgotten. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { Audit, Entry, HistoryFilter, HistoryRow, Prune } from "../../src/SystemDb.ts"
import { type Declare, fixture, minute, noOptions, second, t0 } from "./fixture.ts"

/** A test's fixture with a schedule, and with what is recorded about it. */
const recording = Effect.gen(function*() {
  const f = yield* fixture
  yield* f.put(f.newSchedule("s"))
  return {
    ...f,
    /** A run of the schedule for each of these ticks, enqueued now. */
    enqueue: (ticks: Readonly<Record<string, number>>, suffix = "s") =>
      f.db.enqueueTicks(f.name(suffix), Object.entries(ticks).map(([id, at]) => f.tick(id, at)), noOptions),
    /** Entries of the schedule, from the first instant to the last of each. */
    record: (spans: ReadonlyArray<readonly [decision: string, first: number, last: number]>, suffix = "s") =>
      Effect.map(
        f.db.changeSchedules(f.newChange({
          entries: spans.map(([decision, first, last]) =>
            f.newEntry({ schedule: f.name(suffix), decision, first, last })
          )
        })),
        (made) => assert.isTrue(made)
      ),
    history: (
      filter: Partial<HistoryFilter> = {},
      page: { readonly limit?: number; readonly after?: Pick<HistoryRow, "at" | "key"> | null } = {}
    ) =>
      f.db.listHistory(
        { schedule: f.name("s"), from: null, to: null, newestFirst: false, ...filter },
        { limit: 1000, after: null, ...page }
      ),
    /** A history in short: the suffix of a run's id, or an entry's decision. */
    short: (rows: ReadonlyArray<HistoryRow>) =>
      rows.map(({ entry, run }) => entry?.decision ?? run?.id.slice(f.prefix.length))
  }
})

const remembering = (test: Declare) => {
  test(
    "a history has the runs and the entries of a schedule, each by its tick and then by its key",
    Effect.gen(function*() {
      const { enqueue, entries, history, name, newSchedule, put, record, run, short } = yield* recording
      yield* put(newSchedule("other"))
      yield* enqueue({ "late": 9, "b": 5, "\u{1F600}": 5, "a": 5, "\uFF5E": 5, "before 1970": -3 })
      yield* enqueue({ foreign: 5 }, "other")
      yield* record([["first", 5, 7], ["second", 5, 5], ["long ago", -4, 99]])
      yield* record([["foreign", 5, 5]], "other")
      const rows = yield* history()
      const order = ["long ago", "before 1970", "first", "second", "a", "b", "\uFF5E", "\u{1F600}", "late"]
      assert.deepStrictEqual(short(rows), order)
      const backwards = yield* history({ newestFirst: true })
      assert.deepStrictEqual(backwards, [...rows].reverse())
      const stored = yield* entries("s")
      const position = String(stored[1]?.position).padStart(19, "0")
      assert.deepStrictEqual(rows[2], { at: 5, key: `e${position}`, run: null, entry: stored[1] ?? null })
      assert.deepStrictEqual(rows[4], { at: 5, key: `r${name("a")}`, run: yield* run("a"), entry: null })
      assert.deepStrictEqual(yield* history({ schedule: name("absent") }), [])
    })
  )

  test(
    "pages of a history follow each other without a gap or a repetition, in both directions and through ties",
    Effect.gen(function*() {
      const { enqueue, history, record } = yield* recording
      yield* enqueue(Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`r${i}`, i % 4])))
      yield* record(Array.from({ length: 13 }, (_, i) => [`e${i}`, i % 3, i] as const))
      for (const newestFirst of [false, true]) {
        for (const bounds of [{}, { from: 1, to: 3 }]) {
          const all = yield* history({ newestFirst, ...bounds })
          assert.strictEqual(all.length, Object.keys(bounds).length === 0 ? 30 : 16)
          for (const limit of [1, 3, 4]) {
            const seen: Array<HistoryRow> = []
            while (true) {
              const page = yield* history({ newestFirst, ...bounds }, { limit, after: seen.at(-1) ?? null })
              seen.push(...page)
              if (page.length < limit) break
            }
            assert.deepStrictEqual(seen, all)
          }
        }
      }
      assert.deepStrictEqual(yield* history({}, { limit: 0 }), [])
    })
  )

  test(
    "a page of a history begins where the given row stands, also when that row is not there",
    Effect.gen(function*() {
      const { enqueue, history, name, record, short } = yield* recording
      yield* enqueue({ a: 5, c: 5, d: 6 })
      yield* record([["entry", 5, 5]])
      const after = (at: number, key: string, newestFirst = false) =>
        Effect.map(history({ newestFirst }, { after: { at, key } }), short)
      assert.deepStrictEqual(yield* after(5, `r${name("b")}`), ["c", "d"])
      assert.deepStrictEqual(yield* after(5, `r${name("b")}`, true), ["a", "entry"])
      assert.deepStrictEqual(yield* after(5, "e"), ["entry", "a", "c", "d"])
      assert.deepStrictEqual(yield* after(5, "z"), ["d"])
      assert.deepStrictEqual(yield* after(5, "z", true), ["c", "a", "entry"])
      assert.deepStrictEqual(yield* after(4, "z", true), [])
    })
  )

  test(
    "the beginning of the part of a history to read is in it, and its end is not",
    Effect.gen(function*() {
      const { enqueue, history, record, short } = yield* recording
      yield* enqueue({ a: 1, b: 2, c: 3 })
      yield* record([["e0", 0, 9], ["e2", 2, 2], ["e3", 3, 3]])
      const part = (from: number | null, to: number | null) => Effect.map(history({ from, to }), short)
      assert.deepStrictEqual(yield* part(2, 3), ["e2", "b"])
      assert.deepStrictEqual(yield* part(null, 2), ["e0", "a"])
      assert.deepStrictEqual(yield* part(3, null), ["e3", "c"])
      assert.deepStrictEqual(yield* part(2, 2), [])
    })
  )

  test(
    "what is recorded about an instant are its runs, oldest first, and the entries that cover it, newest first",
    Effect.gen(function*() {
      const { db, enqueue, entries, name, newSchedule, put, record, run } = yield* recording
      yield* put(newSchedule("other"))
      yield* enqueue({ z: 5, "other tick": 6 })
      yield* TestClock.adjust("1 second")
      yield* enqueue({ "\u{1F600}": 5, "\uFF5E": 5, a: 5 })
      yield* enqueue({ foreign: 5 }, "other")
      yield* record([["until", 1, 5], ["from", 5, 6], ["whole", 1, 9], ["only", 5, 5], ["before", 1, 4], [
        "after",
        6,
        9
      ]])
      yield* record([["foreign", 5, 5]], "other")
      const found = yield* db.findDecisions(name("s"), 5)
      const runs = yield* Effect.forEach(["z", "a", "\uFF5E", "\u{1F600}"], run)
      const byDecision = new Map((yield* entries("s")).map((entry) => [entry.decision, entry]))
      assert.deepStrictEqual(found, {
        runs,
        entries: ["only", "whole", "from", "until"].map((decision) => byDecision.get(decision) as Entry)
      })
      assert.deepStrictEqual(yield* db.findDecisions(name("s"), 100), { runs: [], entries: [] })
      assert.deepStrictEqual(yield* db.findDecisions(name("absent"), 5), { runs: [], entries: [] })
    })
  )

  test(
    "before a run come those of its schedule and workflow for earlier instants, the last by tick of each kind of end",
    Effect.gen(function*() {
      const { db, enqueue, name, newSchedule, put, run, worker } = yield* recording
      yield* put(newSchedule("other"))
      yield* enqueue({ asks: 50, old: 10, "tie a": 30, "tie b": 30, failed: 20, cancelled: 35, later: 60 })
      yield* enqueue({ foreign: 45 }, "other")
      const owner = yield* worker()
      const claimed = yield* db.claim({ worker: owner, limit: 100, workflows: [(yield* run("asks")).workflow] })
      const leases = new Map(
        claimed.runs.map(({ run }) => [run.id, { runId: run.id, worker: owner, epoch: run.epoch }])
      )
      const finish = (id: string, status: "Succeeded" | "Failed") =>
        db.finish(leases.get(name(id))!, { status, outcome: JSON.stringify({ _tag: "Success", value: id }) })
      assert.deepStrictEqual(yield* db.findPrevious(name("asks")), { success: null, failure: null })
      for (const id of ["later", "tie b", "old", "tie a", "foreign"]) yield* finish(id, "Succeeded")
      yield* finish("failed", "Failed")
      yield* db.cancel(name("cancelled"), null)
      yield* enqueue({ live: 40 })
      const found = { success: yield* run("tie b"), failure: yield* run("failed") }
      assert.deepStrictEqual(yield* db.findPrevious(name("asks")), found)
      assert.deepStrictEqual(yield* db.findPrevious(name("old")), { success: null, failure: null })
      assert.deepStrictEqual(yield* db.findPrevious(name("absent")), { success: null, failure: null })
    })
  )

  test(
    "entries that cover an instant are looked for among the hundred that begin last before it",
    Effect.gen(function*() {
      const { db, name, record } = yield* recording
      const covering = (instant: number) =>
        Effect.map(db.findDecisions(name("s"), instant), ({ entries }) => entries.map(({ decision }) => decision))
      yield* record([["long", 0, 1_000]])
      yield* record(Array.from({ length: 99 }, (_, i) => ["short", i + 1, i + 1] as const))
      yield* record([["later", 600, 600], ["later", 700, 700]])
      assert.deepStrictEqual(yield* covering(500), ["long"])
      yield* record([["one more", 0, 0]])
      assert.deepStrictEqual(yield* covering(500), [])
      assert.deepStrictEqual(yield* covering(50), ["short", "long"])
    })
  )

  test(
    "audits are listed from the newest to the oldest, page by page, of one schedule or of what concerns all",
    Effect.gen(function*() {
      const { audits, db, name, newAudit, newChange } = yield* recording
      const about = (schedule: string | null, action: string) =>
        newAudit({ schedule, action, actor: " me ", source: "cli", reason: "why", before: " {} ", after: "[1]" })
      const written = [["1", "2"], ["3"], ["4", "5", "6"]].map((actions) =>
        actions.map((action) => about(name("s"), action))
      )
      for (const audits of written) {
        yield* TestClock.adjust("1 second")
        yield* db.changeSchedules(
          newChange({ audits: [about(name("other"), "x"), ...audits, about(null, name("all"))] })
        )
      }
      const all = yield* audits("s")
      assert.deepStrictEqual(
        all.map(({ position: _, ...audit }) => audit),
        written.flatMap((audits, i) => audits.map((audit) => ({ ...audit, at: t0 + (i + 1) * second }))).reverse()
      )
      const positions = all.map(({ position }) => position)
      assert.deepStrictEqual(positions, [...positions].sort((a, b) => b - a))
      assert.strictEqual(new Set(positions).size, 6)
      const seen: Array<Audit> = []
      while (true) {
        const page = yield* db.listAudits(name("s"), { limit: 2, after: seen.at(-1)?.position ?? null })
        seen.push(...page)
        if (page.length < 2) break
      }
      assert.deepStrictEqual(seen, all)
      const global = yield* db.listAudits(null, { limit: 3, after: null })
      assert.deepStrictEqual(
        global.map(({ action, schedule }) => [action, schedule]),
        [1, 2, 3].map(() => [
          name("all"),
          null
        ])
      )
      assert.deepStrictEqual(yield* audits("absent"), [])
    })
  )
}

const day = 24 * 60 * minute

const nothing: Prune = { runsBefore: null, runsKept: null, entriesBefore: null, entriesKept: null, limit: 1000 }

/** A test's fixture for pruning: what other tests left that is too old as well is gone, and the clock stands long before them. */
export const pruning = Effect.gen(function*() {
  const f = yield* recording
  const all = (request: Partial<Prune>) =>
    Effect.gen(function*() {
      const sum = { runs: 0, entries: 0 }
      while (true) {
        const { entries, runs } = yield* f.db.prune({ ...nothing, ...request })
        if (runs + entries === 0) return sum
        sum.runs += runs
        sum.entries += entries
      }
    })
  yield* TestClock.setTime(t0 - 10 * day)
  const old = t0 - 9 * day
  yield* all({ runsBefore: old, runsKept: 2, entriesBefore: old, entriesKept: 2 })
  return {
    ...f,
    prune: (request: Partial<Prune>) => f.db.prune({ ...nothing, ...request }),
    pruneAll: all,
    suffixes: Effect.map(f.runs(), (runs) => runs.map(({ id }) => id.slice(f.prefix.length)).sort()),
    decisions: Effect.map(f.entries("s"), (entries) => entries.map(({ decision }) => decision))
  }
})

const forgetting = (test: Declare) => {
  test(
    "runs created before an instant are pruned with their steps, unless they have not ended or are not settled",
    Effect.gen(function*() {
      const { db, fire, name, newRun, newStep, owned, prune, suffixes, tick, worker } = yield* pruning
      const owner = yield* worker(30 * day)
      const held = yield* owned("ended", owner)
      yield* db.recordStep(held, newStep("step"))
      yield* db.finish(held, { status: "Succeeded", outcome: "1" })
      yield* owned("running", owner)
      yield* db.suspend(yield* owned("suspended", owner), t0)
      yield* db.start(newRun("enqueued"))
      yield* fire("s", { at: 0, ticks: [tick("unsettled", 1), tick("settled", 2)], settle: true })
      for (const suffix of ["unsettled", "settled"]) yield* db.cancel(name(suffix), null)
      yield* fire("s", { at: 0, ticks: [], settled: [name("settled")] })
      yield* TestClock.adjust("1 second")
      yield* db.start(newRun("young"))
      yield* db.cancel(name("young"), null)
      yield* TestClock.adjust("1 day")
      const runsBefore = t0 - 10 * day + second
      assert.deepStrictEqual(yield* prune({ runsBefore: runsBefore - second }), { runs: 0, entries: 0 })
      assert.strictEqual((yield* suffixes).length, 7)
      assert.deepStrictEqual(yield* prune({ runsBefore }), { runs: 2, entries: 0 })
      const left = ["enqueued", "running", "suspended", "unsettled", "young"]
      assert.deepStrictEqual(yield* suffixes, left)
      assert.deepStrictEqual(yield* db.listSteps(name("ended")), [])
      assert.deepStrictEqual(yield* prune({ runsBefore }), { runs: 0, entries: 0 })
      yield* fire("s", { at: 0, ticks: [], settled: [name("unsettled")] })
      assert.deepStrictEqual(yield* prune({ runsBefore }), { runs: 1, entries: 0 })
      assert.isTrue((yield* db.start(newRun("ended"))).created, "its id may be used again")
      assert.deepStrictEqual(yield* db.listSteps(name("ended")), [])
    })
  )

  test(
    "of each schedule the ended runs of the newest ticks are kept, and what has not ended does not count",
    Effect.gen(function*() {
      const { db, enqueue, fire, name, newRun, newSchedule, prune, put, suffixes, tick } = yield* pruning
      yield* put(newSchedule("other"))
      yield* db.start(newRun("unscheduled"))
      yield* enqueue({ a5: 5, a1: 1, a3: 3, a2: 2, a4: 4, "a4 too": 4, live: 0, "live 9": 9 })
      yield* enqueue({ b1: 1, b2: 2, b3: 3 }, "other")
      yield* fire("s", { at: 0, ticks: [tick("unsettled", 0)], settle: true })
      for (const suffix of yield* suffixes) if (!suffix.startsWith("live")) yield* db.cancel(name(suffix), null)
      assert.deepStrictEqual(yield* prune({ runsKept: 100 }), { runs: 0, entries: 0 })
      assert.deepStrictEqual(yield* prune({ runsKept: 3 }), { runs: 3, entries: 0 })
      const left = ["a4", "a4 too", "a5", "b1", "b2", "b3", "live", "live 9", "unscheduled", "unsettled"]
      assert.deepStrictEqual(yield* suffixes, left)
      assert.deepStrictEqual(yield* prune({ runsKept: 3 }), { runs: 0, entries: 0 })
    })
  )

  test(
    "runs that are not settled count among the newest of their schedule",
    Effect.gen(function*() {
      const { db, enqueue, fire, name, prune, suffixes, tick } = yield* pruning
      yield* enqueue({ a1: 1, a2: 2, a3: 3 })
      yield* fire("s", { at: 0, ticks: [tick("u4", 4), tick("u5", 5)], settle: true })
      for (const suffix of yield* suffixes) yield* db.cancel(name(suffix), null)
      assert.deepStrictEqual(yield* prune({ runsKept: 3 }), { runs: 2, entries: 0 })
      assert.deepStrictEqual(yield* suffixes, ["a3", "u4", "u5"])
    })
  )

  test(
    "runs of a deleted schedule are pruned although nobody settled them, and are not seen when its name is used again",
    Effect.gen(function*() {
      const { db, drop, fire, name, newSchedule, prune, put, seen, suffixes, tick } = yield* pruning
      yield* fire("s", { at: 0, ticks: [tick("a", 1), tick("b", 2)], settle: true })
      for (const suffix of ["a", "b"]) yield* db.cancel(name(suffix), null)
      const request = { runsBefore: t0 - 10 * day + second, limit: 1 }
      assert.deepStrictEqual(yield* prune(request), { runs: 0, entries: 0 })
      yield* drop("s")
      assert.deepStrictEqual(yield* prune(request), { runs: 1, entries: 0 })
      const left = yield* suffixes
      assert.strictEqual(left.length, 1)
      yield* put(newSchedule("s"))
      assert.deepStrictEqual((yield* seen("s")).ended.map(({ runId }) => runId), left.map(name))
    })
  )

  test(
    "a schedule of which every run is pruned stands, and its last run has no status any more",
    Effect.gen(function*() {
      const { db, fire, name, pruneAll, schedule, suffixes } = yield* pruning
      yield* fire("s", { at: 0 })
      yield* db.cancel(name("s-tick"), null)
      yield* pruneAll({ runsBefore: t0 - 9 * day })
      assert.deepStrictEqual(yield* suffixes, [])
      const { lastRunId, lastRunStatus, lastTick } = yield* schedule("s")
      assert.deepStrictEqual([lastRunId, lastRunStatus, lastTick], [name("s-tick"), null, t0])
    })
  )

  test(
    "entries and audits recorded before an instant are pruned together",
    Effect.gen(function*() {
      const { audits, db, decisions, name, newAudit, newChange, newEntry, prune } = yield* pruning
      const change = (decision: string) =>
        newChange({ entries: [newEntry({ decision })], audits: [newAudit({ action: decision }), newAudit()] })
      yield* db.changeSchedules(change("old"))
      yield* TestClock.adjust("1 second")
      yield* db.changeSchedules(change("young"))
      const entriesBefore = t0 - 10 * day + second
      // The audit of the schedule itself is older, and was written under the fixture's own name.
      const fixtures = (yield* audits("fixture")).filter(({ at }) => at < entriesBefore).length
      assert.deepStrictEqual(yield* prune({ entriesBefore: entriesBefore - second }), { runs: 0, entries: 0 })
      assert.deepStrictEqual(yield* prune({ entriesBefore }), { runs: 0, entries: 3 + fixtures })
      assert.deepStrictEqual(yield* decisions, ["young"])
      assert.strictEqual((yield* db.listAudits(name("s"), { limit: 9, after: null })).length, 2)
    })
  )

  test(
    "of each schedule the newest entries are kept, by their first ticks and then by when they were recorded",
    Effect.gen(function*() {
      const { audits, decisions, entries, newSchedule, prune, put, record } = yield* pruning
      yield* put(newSchedule("other"))
      yield* record([["5", 5, 5], ["1", 1, 99], ["4 first", 4, 4], ["4 second", 4, 4], ["2", 2, 2]])
      yield* record([["a", 1, 1], ["b", 2, 2], ["c", 3, 3]], "other")
      const before = (yield* audits("fixture")).length
      assert.deepStrictEqual(yield* prune({ entriesKept: 3 }), { runs: 0, entries: 2 })
      assert.deepStrictEqual(yield* decisions, ["4 first", "4 second", "5"])
      assert.strictEqual((yield* entries("other")).length, 3)
      assert.strictEqual((yield* audits("fixture")).length, before, "audits are kept by age alone")
      assert.deepStrictEqual(yield* prune({ entriesKept: 3 }), { runs: 0, entries: 0 })
      assert.deepStrictEqual(yield* prune({ entriesKept: 2 }), { runs: 0, entries: 2 })
      assert.deepStrictEqual(yield* decisions, ["4 second", "5"])
    })
  )

  test(
    "a change is recognised for as long as an audit of it is kept",
    Effect.gen(function*() {
      const { db, name, newAudit, newChange, newSchedule, prune, pruneAll } = yield* pruning
      const old = t0 - 9 * day
      yield* pruneAll({ entriesBefore: old })
      const change = newChange({
        schedules: [{ name: name("new"), turn: null, content: newSchedule("new") }],
        audits: [newAudit(), newAudit()]
      })
      assert.isTrue(yield* db.changeSchedules(change))
      assert.deepStrictEqual(yield* prune({ entriesBefore: old, limit: 1 }), { runs: 0, entries: 1 })
      assert.isTrue(yield* db.changeSchedules(change))
      assert.deepStrictEqual(yield* prune({ entriesBefore: old, limit: 1 }), { runs: 0, entries: 1 })
      assert.isFalse(yield* db.changeSchedules(change), "it is taken for another one now")
    })
  )

  test(
    "one call deletes no more rows of each kind than its limit, and calls until none is deleted all",
    Effect.gen(function*() {
      const { audits, db, decisions, enqueue, entries, name, prune, pruneAll, record, suffixes } = yield* pruning
      yield* enqueue(Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`r${i}`, i])))
      for (const suffix of yield* suffixes) yield* db.cancel(name(suffix), null)
      yield* record(Array.from({ length: 7 }, (_, i) => [`e${i}`, i, i] as const))
      const old = t0 - 9 * day
      const request = { runsBefore: old, runsKept: 3, entriesBefore: old, entriesKept: 3, limit: 2 }
      for (let i = 1; i <= 3; i++) {
        assert.deepStrictEqual(yield* prune(request), { runs: 2, entries: 2 })
        assert.deepStrictEqual([(yield* suffixes).length, (yield* entries("s")).length], [9 - 2 * i, 7 - 2 * i])
      }
      const left = (yield* audits("fixture")).filter(({ at }) => at < old).length
      assert.deepStrictEqual(yield* pruneAll(request), { runs: 3, entries: 1 + left })
      assert.deepStrictEqual([yield* suffixes, yield* decisions], [[], []])
    })
  )

  test(
    "a prune that is asked for nothing deletes nothing",
    Effect.gen(function*() {
      const { db, enqueue, entries, name, prune, record, suffixes } = yield* pruning
      yield* enqueue({ a: 1 })
      yield* db.cancel(name("a"), null)
      yield* record([["e", 1, 1]])
      yield* TestClock.adjust("365 days")
      assert.deepStrictEqual(yield* prune({}), { runs: 0, entries: 0 })
      assert.deepStrictEqual([yield* suffixes, (yield* entries("s")).length], [["a"], 1])
      assert.isTrue(Option.isSome(yield* db.findRun(name("a"))))
    })
  )
}

export const ledgers = (test: Declare) => {
  remembering(test)
  forgetting(test)
}
