/** Lists: their order, their pages and their filters. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { Run, ScheduleRow, SystemDb } from "../../src/SystemDb.ts"
import { type Declare, fixture, ids, noOptions, t0 } from "./fixture.ts"

const listingRuns = (test: Declare) => {
  test(
    "findRun and listSteps find nothing for an id that no run has",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      assert.isTrue(Option.isNone(yield* db.findRun(name("r"))))
      assert.deepStrictEqual(yield* db.listSteps(name("r")), [])
    })
  )

  test(
    "listRuns goes from the newest to the oldest and breaks ties by id, by code point, descending",
    Effect.gen(function*() {
      const { db, name, newRun, runs } = yield* fixture
      for (const suffix of ["b", "\u{1F600}", "a", "\uFF5E"]) yield* db.start(newRun(suffix))
      yield* TestClock.adjust("1 millis")
      yield* db.start(newRun("0"))
      assert.deepStrictEqual(ids(yield* runs()), ["0", "\u{1F600}", "\uFF5E", "b", "a"].map(name))
    })
  )

  test(
    "pages of listRuns follow each other without a gap or a repetition",
    Effect.gen(function*() {
      const { db, newRun, runs, workflow } = yield* fixture
      for (let i = 0; i < 23; i++) {
        if (i % 4 === 0) yield* TestClock.adjust("1 millis")
        yield* db.start(newRun(`r${i}`))
      }
      const seen: Array<Run> = []
      while (true) {
        const page = yield* db.listRuns({ workflow: [workflow] }, { limit: 5, after: seen.at(-1) ?? null })
        seen.push(...page)
        if (page.length < 5) break
      }
      assert.deepStrictEqual(seen, yield* runs())
      assert.strictEqual(seen.length, 23)
    })
  )

  test(
    "a page of listRuns begins where the given row stands, also when that row is not there",
    Effect.gen(function*() {
      const { db, name, newRun, workflow } = yield* fixture
      for (const suffix of ["a", "c"]) yield* db.start(newRun(suffix))
      const list = (after: Pick<Run, "createdAt" | "id">) =>
        Effect.map(db.listRuns({ workflow: [workflow] }, { limit: 9, after }), ids)
      assert.deepStrictEqual(yield* list({ createdAt: t0, id: name("b") }), [name("a")])
      assert.deepStrictEqual(yield* list({ createdAt: t0 + 1, id: name("a") }), [name("c"), name("a")])
      assert.deepStrictEqual(yield* list({ createdAt: t0 - 1, id: name("z") }), [])
      assert.deepStrictEqual(yield* db.listRuns({ workflow: [workflow] }, { limit: 0, after: null }), [])
    })
  )

  test(
    "filters of listRuns are combined with AND, and the values of one with OR",
    Effect.gen(function*() {
      const { db, name, newRun, newSchedule, owned, put, tick, worker } = yield* fixture
      const owner = yield* worker()
      for (const suffix of ["s1", "s2"]) {
        yield* put(newSchedule(suffix))
        yield* db.enqueueTicks(name(suffix), [tick(`tick-${suffix}`, t0)], noOptions)
      }
      yield* db.start(newRun("enqueued"))
      yield* owned("running", owner)
      yield* db.start(newRun("other", { workflow: name("other") }))
      const workflow = [name("flow"), name("other")]
      const list = (filter: Parameters<SystemDb["Service"]["listRuns"]>[0]) =>
        Effect.map(db.listRuns(filter, { limit: 99, after: null }), ids)
      const expected = (...suffixes: ReadonlyArray<string>) => suffixes.map(name)
      assert.deepStrictEqual(yield* list({ workflow }), expected("tick-s2", "tick-s1", "running", "other", "enqueued"))
      assert.deepStrictEqual(yield* list({ workflow: [name("other")] }), expected("other"))
      assert.deepStrictEqual(yield* list({ workflow, status: ["Running"] }), expected("running"))
      assert.deepStrictEqual(yield* list({ workflow, status: ["Failed"] }), [])
      assert.deepStrictEqual(yield* list({ workflow, status: [] }), [])
      assert.deepStrictEqual(
        yield* list({ workflow: [name("flow")], status: ["Enqueued", "Running"] }),
        expected("tick-s2", "tick-s1", "running", "enqueued")
      )
      assert.deepStrictEqual(yield* list({ schedule: [name("s1"), name("s2")] }), expected("tick-s2", "tick-s1"))
      assert.deepStrictEqual(yield* list({ schedule: [name("s1")], status: undefined }), expected("tick-s1"))
      assert.deepStrictEqual(yield* list({ schedule: [name("s1")], workflow: [name("other")] }), [])
    })
  )
}

const listingSchedules = (test: Declare) => {
  test(
    "findSchedule finds nothing under a name that no schedule has",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      assert.isTrue(Option.isNone(yield* db.findSchedule(name("s"))))
    })
  )

  test(
    "listSchedules goes by name, by code point",
    Effect.gen(function*() {
      const { db, name, newSchedule, prefix, put } = yield* fixture
      const suffixes = ["b", "\u{1F600}", "B", "\uFF5E", "a", "a b", "ab", "\u00E4", "_", "10", "9"]
      for (const suffix of suffixes) yield* put(newSchedule(suffix))
      const listed = yield* db.listSchedules({ namePrefix: [prefix] }, { limit: 99, after: null })
      assert.deepStrictEqual(
        listed.map((schedule) => schedule.name),
        ["10", "9", "B", "_", "a", "a b", "ab", "b", "\u00E4", "\uFF5E", "\u{1F600}"].map(name)
      )
    })
  )

  test(
    "pages of listSchedules follow each other without a gap or a repetition, as findSchedule shows the rows",
    Effect.gen(function*() {
      const { db, name, newSchedule, prefix, put, schedule } = yield* fixture
      for (let i = 0; i < 13; i++) yield* put(newSchedule(`s${i}`, { context: `${i}` }))
      const seen: Array<ScheduleRow> = []
      while (true) {
        const after = seen.at(-1)?.name ?? null
        const page = yield* db.listSchedules({ namePrefix: [prefix] }, { limit: 4, after })
        seen.push(...page)
        if (page.length < 4) break
      }
      const suffixes = Array.from({ length: 13 }, (_, i) => `s${i}`).sort()
      assert.deepStrictEqual(seen, yield* Effect.forEach(suffixes, schedule))
      const between = yield* db.listSchedules({ namePrefix: [prefix] }, { limit: 2, after: name("s1x") })
      assert.deepStrictEqual(between.map((schedule) => schedule.name), [name("s2"), name("s3")])
      assert.deepStrictEqual(yield* db.listSchedules({ namePrefix: [prefix] }, { limit: 0, after: null }), [])
    })
  )

  test(
    "filters of listSchedules are combined with AND, and the values of one with OR",
    Effect.gen(function*() {
      const { db, name, newSchedule, pause, prefix, put } = yield* fixture
      for (const suffix of ["a1", "a2", "b1"]) {
        yield* put(newSchedule(suffix, { workflow: name(`flow${suffix.slice(-1)}`) }))
      }
      yield* pause("a2")
      const list = (filter: Parameters<SystemDb["Service"]["listSchedules"]>[0]) =>
        Effect.map(
          db.listSchedules(filter, { limit: 99, after: null }),
          (rows) => rows.map((row) => row.name.slice(prefix.length))
        )
      const namePrefix = [prefix]
      assert.deepStrictEqual(yield* list({ namePrefix }), ["a1", "a2", "b1"])
      assert.deepStrictEqual(yield* list({ namePrefix, status: "Active" }), ["a1", "b1"])
      assert.deepStrictEqual(yield* list({ namePrefix, status: "Paused" }), ["a2"])
      assert.deepStrictEqual(yield* list({ workflow: [name("flow1")] }), ["a1", "b1"])
      assert.deepStrictEqual(yield* list({ workflow: [name("flow1"), name("flow2"), name("flow3")] }), [
        "a1",
        "a2",
        "b1"
      ])
      assert.deepStrictEqual(yield* list({ workflow: [name("flow1")], namePrefix: [name("b")] }), ["b1"])
      assert.deepStrictEqual(yield* list({ workflow: [name("flow2")], status: "Active" }), [])
      assert.deepStrictEqual(yield* list({ namePrefix: [name("b"), name("a"), name("a1")] }), ["a1", "a2", "b1"])
      assert.deepStrictEqual(yield* list({ workflow: [name("flow1")], namePrefix: [""] }), ["a1", "b1"])
      assert.deepStrictEqual(yield* list({ workflow: [] }), [])
      assert.deepStrictEqual(yield* list({ namePrefix: [] }), [])
      assert.deepStrictEqual(yield* list({ namePrefix, status: undefined, workflow: undefined }), ["a1", "a2", "b1"])
    })
  )

  test(
    "a name prefix is literal: % and _ and backslashes stand for themselves",
    Effect.gen(function*() {
      const { db, name, newSchedule, prefix, put } = yield* fixture
      const suffixes = ["100%", "1000", "a%b", "a\\b", "a_b", "axb"]
      for (const suffix of suffixes) yield* put(newSchedule(suffix))
      const list = (suffix: string) =>
        Effect.map(
          db.listSchedules({ namePrefix: [name(suffix)] }, { limit: 99, after: null }),
          (rows) => rows.map((row) => row.name.slice(prefix.length))
        )
      assert.deepStrictEqual(yield* list("100%"), ["100%"])
      assert.deepStrictEqual(yield* list("100"), ["1000", "100%"].sort())
      assert.deepStrictEqual(yield* list("a_"), ["a_b"])
      assert.deepStrictEqual(yield* list("a%"), ["a%b"])
      assert.deepStrictEqual(yield* list("a\\"), ["a\\b"])
      assert.deepStrictEqual(yield* list("%"), [])
      assert.deepStrictEqual(yield* list("A"), [])
      const inside = yield* db.listSchedules({ namePrefix: [name("a").slice(1)] }, { limit: 99, after: null })
      assert.deepStrictEqual(inside, [])
    })
  )

  test(
    "what a schedule says about timing, state and policies is not judged, so that no row breaks a list",
    Effect.gen(function*() {
      const { db, newSchedule, prefix, put } = yield* fixture
      yield* put(newSchedule("a"))
      yield* put(
        newSchedule("b", { timing: "never", state: "?", policies: "null", labels: "{}", nextAt: null })
      )
      yield* put(newSchedule("c", { context: "null", workflow: "?", nextAt: -1 }))
      const listed = yield* db.listSchedules({ namePrefix: [prefix] }, { limit: 99, after: null })
      assert.deepStrictEqual(listed.map((row) => [row.timing, row.state, row.nextAt]), [
        ["{\"cron\":\"0 0 6 * * *\"}", "{}", t0],
        ["never", "?", null],
        ["{\"cron\":\"0 0 6 * * *\"}", "{}", -1]
      ])
    })
  )
}

const marked = (test: Declare) => {
  test(
    "schedules are listed by owner, by external id, and by all of some labels",
    Effect.gen(function*() {
      const { db, name, newSchedule, prefix, put } = yield* fixture
      yield* put(
        newSchedule("a", { owner: name("one"), labels: "{\"team\":\"red\",\"tier\":\"1\"}", externalId: name("x1") }),
        newSchedule("b", { owner: name("two"), labels: "{\"team\":\"red\"}", externalId: name("x2") }),
        newSchedule("c", { labels: "{\"team\":\"blue\",\"odd \\\" key\":\"1\"}" })
      )
      const list = (filter: Parameters<SystemDb["Service"]["listSchedules"]>[0]) =>
        Effect.map(
          db.listSchedules({ namePrefix: [prefix], ...filter }, { limit: 99, after: null }),
          (rows) => rows.map((row) => row.name.slice(prefix.length))
        )
      assert.deepStrictEqual(yield* list({ owner: [name("one"), name("two")] }), ["a", "b"])
      assert.deepStrictEqual(yield* list({ owner: [name("one")], externalId: [name("x2")] }), [])
      assert.deepStrictEqual(yield* list({ externalId: [name("x1"), name("x2")] }), ["a", "b"])
      assert.deepStrictEqual(yield* list({ owner: [] }), [])
      assert.deepStrictEqual(yield* list({ labels: {} }), ["a", "b", "c"])
      assert.deepStrictEqual(yield* list({ labels: { team: "red" } }), ["a", "b"])
      assert.deepStrictEqual(yield* list({ labels: { team: "red", tier: "1" } }), ["a"])
      assert.deepStrictEqual(yield* list({ labels: { team: "" } }), [])
      assert.deepStrictEqual(yield* list({ labels: { "odd \" key": "1" } }), ["c"])
      const [found] = yield* db.listSchedules({ externalId: [name("x1")] }, { limit: 1, after: null })
      assert.strictEqual(found?.labels, "{\"team\":\"red\",\"tier\":\"1\"}")
    })
  )
}

export const lists = (test: Declare) => {
  listingRuns(test)
  listingSchedules(test)
  marked(test)
}
