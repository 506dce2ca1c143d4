/** Texts that no store can keep: NUL and lone surrogates. Nothing is found by them, and nothing they stand in harms others. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Declare, fixture, noOptions, refused, t0 } from "./fixture.ts"

const odd: ReadonlyArray<string> = ["\0", "\uD83D", "\uDE00"]
const page = { limit: 100, after: null }

export const texts = (it: Declare) => {
  it(
    "nothing is found by a text that cannot be stored, also not what differs from it by that alone",
    Effect.gen(function*() {
      const { db, name, newAudit, newRun, newSchedule, put, tick } = yield* fixture
      // What an encoder would make of a lone surrogate.
      for (const suffix of ["a", "a\uFFFD"]) {
        yield* put(newSchedule(suffix))
        yield* db.start(newRun(suffix))
      }
      for (const unit of odd) {
        const text = name(`a${unit}`)
        const none = [
          yield* db.findRun(text),
          yield* db.findSchedule(text),
          yield* db.findControl(text),
          yield* db.findBackfill(text)
        ]
        assert.isTrue(none.every((found) => Option.isNone(found as Option.Option<unknown>)))
        const { entries, runs } = yield* db.findDecisions(text, t0)
        assert.deepStrictEqual(yield* db.findPrevious(text), { success: null, failure: null })
        const empty = [
          ...yield* db.listSteps(text),
          ...yield* db.listRuns({ workflow: [text] }, page),
          ...yield* db.listRuns({ schedule: [text] }, page),
          ...yield* db.findSchedules([text]),
          ...yield* db.listSchedules({ workflow: [text] }, page),
          ...yield* db.listSchedules({ namePrefix: [text] }, page),
          ...yield* db.listSchedules({ owner: [text] }, page),
          ...yield* db.listSchedules({ externalId: [text] }, page),
          ...yield* db.listSchedules({ labels: { [text]: "x" } }, page),
          ...yield* db.listSchedules({ labels: { team: text } }, page),
          ...yield* db.listAudits(text, page),
          ...yield* db.listHistory({ schedule: text, from: null, to: null, newestFirst: true }, page),
          ...yield* db.listBackfills(text, page),
          ...entries,
          ...runs
        ]
        assert.deepStrictEqual(empty, [])
        yield* refused(db.awaitRun(text), "RunNotFound")
        yield* refused(db.cancel(text, null), "RunNotFound")
        yield* refused(db.enqueueTicks(text, [tick("t", t0)], noOptions), "ScheduleNotFound")
        const trigger = {
          name: text,
          run: tick("x", t0),
          options: noOptions,
          context: null,
          owner: null,
          audit: newAudit()
        }
        yield* refused(db.triggerSchedule(trigger), "ScheduleNotFound")
      }
    })
  )

  it(
    "beside others that can be, such a text is only one more that nothing has",
    Effect.gen(function*() {
      const { db, name, newRun, newSchedule, put, workflow } = yield* fixture
      yield* put(newSchedule("a"), newSchedule("b"))
      yield* db.start(newRun("r"))
      for (const unit of odd) {
        const text = name(`a${unit}`)
        const found = yield* db.findSchedules([text, name("b")])
        assert.deepStrictEqual(found.map((row) => row.name), [name("b")])
        assert.strictEqual((yield* db.listSchedules({ namePrefix: [text, name("b")] }, page)).length, 1)
        assert.strictEqual((yield* db.listRuns({ workflow: [text, workflow] }, page)).length, 1)
        const next = yield* db.listSchedules({ namePrefix: [name("")] }, { limit: 10, after: text })
        assert.deepStrictEqual(next.map((row) => row.name), [name("b")])
      }
    })
  )

  it(
    "labels that were stored with such a text are found by it, and do not stand in the way of listing by others",
    Effect.gen(function*() {
      const { db, name, newSchedule, put } = yield* fixture
      const labelled = (suffix: string, labels: Record<string, string>) =>
        newSchedule(suffix, { labels: JSON.stringify(labels) })
      const team = name("team")
      yield* put(
        labelled("a", { [team]: "web" }),
        labelled("b", { [team]: "a\0b" }),
        labelled("c", { [`${team}\0`]: "web", [`${team}\uD83D`]: "web" }),
        labelled("d", { [team]: "\uDE00web" })
      )
      const list = (labels: Record<string, string>) =>
        Effect.map(
          db.listSchedules({ labels }, page),
          (rows) => rows.map((row) => row.name)
        )
      assert.deepStrictEqual(yield* list({ [team]: "web" }), [name("a")])
      assert.deepStrictEqual(yield* list({ [team]: "a\0b" }), [name("b")])
      assert.deepStrictEqual(yield* list({ [`${team}\uD83D`]: "web" }), [name("c")])
    })
  )

  it(
    "a label is found by its whole name and its whole value, whatever stands in them or in those beside it",
    Effect.gen(function*() {
      const { db, name, newSchedule, put } = yield* fixture
      const own = { own: name("x") }
      const sets: ReadonlyArray<Record<string, string>> = [
        { k: "v" },
        { "a\"k": "v" },
        { "a,\"k": "v" },
        { "{\"k": "v" },
        { k: "v\"" },
        { k: "v\\" },
        { note: "{\"k\":\"v\"" },
        { note: ",\"k\":\"v\"," },
        { a: "1", k: "v", z: "2" },
        { k: "vv" },
        { kk: "v" },
        { "\\": "\\\"k\":\"v" }
      ]
      yield* put(...sets.map((labels, n) =>
        newSchedule(`s${String(n).padStart(2, "0")}`, {
          labels: JSON.stringify({ ...labels, ...own })
        })
      ))
      for (const wanted of sets) {
        const rows = yield* db.listSchedules({ labels: { ...wanted, ...own } }, page)
        const expected = sets.flatMap((labels, n) =>
          Object.entries(wanted).every(([key, value]) => labels[key] === value)
            ? [name(`s${String(n).padStart(2, "0")}`)]
            : []
        )
        assert.deepStrictEqual(rows.map((row) => row.name), expected, JSON.stringify(wanted))
      }
    })
  )
}
