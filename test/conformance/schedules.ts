/** Schedules as they are kept: what a change writes, and what it leaves as it is. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { ScheduleContent } from "../../src/SystemDb.ts"
import { contentOf, type Declare, fixture, minute, second, t0 } from "./fixture.ts"

const creating = (test: Declare) => {
  test(
    "a created schedule stands as it was given, with a turn and without a history",
    Effect.gen(function*() {
      const { name, newSchedule, put, schedule } = yield* fixture
      const content = newSchedule("s", { owner: name("app"), policies: "{\"overlap\":\"skip\"}", nextAt: t0 + minute })
      yield* put(content)
      const row = yield* schedule("s")
      assert.deepStrictEqual(row, {
        ...content,
        revision: row.turn,
        started: 0,
        incarnation: null,
        turn: row.turn,
        lastTick: null,
        lastRunId: null,
        lastRunStatus: null,
        createdAt: t0,
        updatedAt: t0
      })
      assert.isTrue(Number.isSafeInteger(row.turn))
    })
  )

  test(
    "every part of what is declared can be changed, and a change of one leaves the others",
    Effect.gen(function*() {
      const { name, newSchedule, put, schedule } = yield* fixture
      yield* put(newSchedule("s"))
      let content = contentOf(yield* schedule("s"))
      const changes: ReadonlyArray<Partial<ScheduleContent>> = [
        { workflow: name("other") },
        { timing: "{\"every\":1}" },
        { context: "{\"a\": 1}" },
        { contextSchema: "0123abcd" },
        { jsonSchema: "{}" },
        { policies: "{\"x\":1}" },
        { overlap: name("scope") },
        { owner: name("app") },
        { labels: "{\"team\":\"red\"}" },
        { externalId: name("x") },
        { status: "Paused" },
        { revision: 7 },
        { nextAt: t0 - 5 },
        { wakeAt: t0 + 5 },
        { waitingSince: t0 },
        { state: "{\"skips\":[1]}" },
        { pausedAt: t0 - 1 },
        { pauseReason: "why" },
        { resumeAt: t0 + minute },
        { note: "a note" },
        { contextSchema: null, jsonSchema: null, overlap: null, owner: null, externalId: null },
        { nextAt: null, wakeAt: null, pausedAt: null, pauseReason: null, resumeAt: null, note: null },
        { status: "Active", waitingSince: null, revision: 1 }
      ]
      for (const change of changes) {
        content = { ...content, ...change }
        yield* put(content)
        assert.deepStrictEqual(contentOf(yield* schedule("s")), content)
      }
    })
  )

  test(
    "a replaced schedule keeps when it was created and what became of its last tick",
    Effect.gen(function*() {
      const { fire, name, newSchedule, put, schedule } = yield* fixture
      yield* put(newSchedule("s"))
      yield* fire("s")
      const before = yield* schedule("s")
      yield* TestClock.adjust("1 second")
      const content = newSchedule("s", { timing: "{\"every\":1}", nextAt: t0 + 5, revision: 2 })
      yield* put(content)
      const after = yield* schedule("s")
      assert.deepStrictEqual(after, { ...before, ...content, turn: after.turn, updatedAt: t0 + second })
      assert.deepStrictEqual([after.lastTick, after.lastRunId, after.lastRunStatus, after.createdAt], [
        t0,
        name("s-tick"),
        "Enqueued",
        t0
      ])
    })
  )

  test(
    "every write gives a schedule, a control or an overlap scope a turn that nothing had before",
    Effect.gen(function*() {
      const { db, drop, edit, fire, name, newChange, newSchedule, put, schedule, seen } = yield* fixture
      const overlap = name("scope")
      const turns: Array<number> = []
      const note = Effect.gen(function*() {
        const { overlapTurn, turn } = yield* seen("s")
        turns.push(turn, ...overlapTurn === null ? [] : [overlapTurn])
      })
      yield* put(newSchedule("other"), newSchedule("s", { overlap }))
      turns.push((yield* schedule("other")).turn)
      yield* note
      yield* put(newSchedule("s", { overlap: null }))
      yield* note
      yield* edit("s", {})
      yield* note
      yield* fire("s", { ticks: [] })
      yield* note
      yield* drop("s")
      yield* put(newSchedule("s"))
      yield* note
      yield* edit("s", { overlap })
      yield* fire("s")
      yield* note
      for (const value of ["1", "1"]) {
        const control = yield* db.findControl(name("c"))
        const turn = Option.getOrNull(Option.map(control, ({ turn }) => turn))
        assert.isTrue(yield* db.changeSchedules(newChange({ controls: [{ key: name("c"), turn, value }] })))
        turns.push(Option.getOrThrow(yield* db.findControl(name("c"))).turn)
      }
      assert.strictEqual(turns.length, 11)
      assert.strictEqual(new Set(turns).size, turns.length, turns.join(" "))
    })
  )

  test(
    "reading, and what becomes of a schedule's runs, leave its turn",
    Effect.gen(function*() {
      const { db, fire, name, newSchedule, put, schedule, tick, trigger } = yield* fixture
      yield* put(newSchedule("s"))
      yield* fire("s")
      const { turn } = yield* schedule("s")
      yield* trigger("s", tick("r", t0))
      yield* db.cancel(name("s-tick"), null)
      yield* db.dueSchedules(minute)
      assert.strictEqual((yield* schedule("s")).turn, turn)
    })
  )
}

const deleting = (test: Declare) => {
  test(
    "a deleted schedule is gone and its runs, ledger and audits stay; its name may be used again",
    Effect.gen(function*() {
      const { audits, db, drop, entries, fire, name, newAudit, newEntry, newSchedule, put, run, schedule } =
        yield* fixture
      yield* put(newSchedule("s"))
      yield* fire("s", { entries: [newEntry({ first: 1, last: 2 })], audit: newAudit({ action: "paused" }) })
      yield* drop("s")
      assert.isTrue(Option.isNone(yield* db.findSchedule(name("s"))))
      assert.deepStrictEqual(yield* db.findSchedules([name("s")]), [])
      assert.strictEqual((yield* run("s-tick")).schedule, name("s"))
      assert.deepStrictEqual([(yield* entries("s")).length, (yield* audits("s")).length], [1, 1])
      yield* TestClock.adjust("1 second")
      yield* put(newSchedule("s"))
      const { createdAt, lastRunId, lastTick, status } = yield* schedule("s")
      assert.deepStrictEqual([createdAt, lastRunId, lastTick, status], [t0 + second, null, null, "Active"])
    })
  )

  test(
    "findSchedules finds those that exist, each once, by name by code point",
    Effect.gen(function*() {
      const { db, name, newSchedule, put, schedule } = yield* fixture
      const suffixes = ["b", "\u{1F600}", "a", "\uFF5E"]
      yield* put(...suffixes.map((suffix) => newSchedule(suffix)))
      const found = yield* db.findSchedules([...suffixes, "a", "absent"].map(name))
      const expected = yield* Effect.forEach(["a", "b", "\uFF5E", "\u{1F600}"], schedule)
      assert.deepStrictEqual(found, expected)
      assert.deepStrictEqual(yield* db.findSchedules([]), [])
    })
  )
}

export const schedules = (test: Declare) => {
  creating(test)
  deleting(test)
}
