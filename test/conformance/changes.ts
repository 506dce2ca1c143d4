/** Changes of any number of schedules and controls: made as a whole or not at all, once, and audited. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import type { ScheduleChange, ScheduleContent } from "../../src/SystemDb.ts"
import { contentOf, type Declare, fixture, minute, second, t0 } from "./fixture.ts"

/** A test's fixture with its own way to say what is to be changed. */
const changing = Effect.map(fixture, (f) => ({
  ...f,
  to: (turn: number | null, content: ScheduleContent) => ({ name: content.name, turn, content }),
  without: (suffix: string, turn: number | null) => ({ name: f.name(suffix), turn, content: null }),
  turnOf: (suffix: string) => Effect.map(f.schedule(suffix), ({ turn }) => turn),
  control: (suffix: string) => Effect.map(f.db.findControl(f.name(suffix)), Option.getOrNull)
}))

const wholly = (test: Declare) => {
  test(
    "a change creates, replaces and deletes schedules and controls at one instant, with its entries and audits",
    Effect.gen(function*() {
      const f = yield* changing
      const { audits, control, db, entries, name, newAudit, newChange, newEntry, newSchedule, put, schedule } = f
      const { to, turnOf, without } = f
      yield* put(newSchedule("replaced"), newSchedule("deleted"))
      const controls = ["c replaced", "c deleted"].map((key) => ({ key: name(key), turn: null, value: "1" }))
      assert.isTrue(yield* db.changeSchedules(newChange({ controls })))
      yield* TestClock.adjust("1 second")
      const change = newChange({
        schedules: [
          to(null, newSchedule("created")),
          to(yield* turnOf("replaced"), newSchedule("replaced", { context: "2" })),
          without("deleted", yield* turnOf("deleted"))
        ],
        controls: [
          { key: name("c created"), turn: null, value: "[1]" },
          { key: name("c replaced"), turn: (yield* control("c replaced"))?.turn ?? null, value: "[2]" },
          { key: name("c deleted"), turn: (yield* control("c deleted"))?.turn ?? null, value: null }
        ],
        entries: [
          newEntry({ schedule: name("replaced"), decision: "second", first: t0, last: t0 + minute, count: null }),
          newEntry({ schedule: name("replaced"), decision: "first", first: 1, last: 2, timing: "{}", reason: "why" })
        ],
        audits: [
          newAudit({ schedule: name("deleted"), action: "delete", source: "cli", reason: "gone", before: "{}" }),
          newAudit({ schedule: name("replaced"), action: "edit", before: "1", after: "2" })
        ]
      })
      assert.isTrue(yield* db.changeSchedules(change))
      const [created, after] = [yield* schedule("created"), yield* schedule("replaced")]
      assert.deepStrictEqual([created.createdAt, created.updatedAt], [t0 + second, t0 + second])
      assert.deepStrictEqual([after.createdAt, after.updatedAt, after.context], [t0, t0 + second, "2"])
      assert.isTrue(Option.isNone(yield* db.findSchedule(name("deleted"))))
      assert.strictEqual((yield* control("c created"))?.value, "[1]")
      assert.strictEqual((yield* control("c replaced"))?.value, "[2]")
      assert.strictEqual(yield* control("c deleted"), null)
      const recorded = yield* entries("replaced")
      assert.deepStrictEqual(
        recorded,
        [...change.entries].reverse().map((entry, i) => ({
          ...entry,
          position: recorded[i]?.position ?? 0,
          recordedAt: t0 + second
        }))
      )
      const [first, next] = [yield* audits("deleted"), yield* audits("replaced")].flat()
      assert.deepStrictEqual(
        [first, next].map((audit) => ({ ...audit, position: 0 })),
        change.audits.map((audit) => ({
          ...audit,
          position: 0,
          at: t0 + second
        }))
      )
      assert.isTrue((first?.position ?? 0) < (next?.position ?? 0), "they stand in the order given")
    })
  )

  test(
    "when one schedule or control does not stand at the turn given, nothing of the change is made",
    Effect.gen(function*() {
      const f = yield* changing
      const { audits, control, db, edit, entries, name, newAudit, newChange, newEntry, newSchedule, put, schedule } = f
      const { to, turnOf, without } = f
      yield* put(newSchedule("a"), newSchedule("b"))
      assert.isTrue(
        yield* db.changeSchedules(newChange({ controls: [{ key: name("c"), turn: null, value: "1" }] }))
      )
      const old = yield* turnOf("b")
      yield* edit("b", {})
      const [a, b, c] = [yield* turnOf("a"), yield* turnOf("b"), (yield* control("c"))?.turn ?? 0]
      const before = [yield* schedule("a"), yield* schedule("b"), yield* control("c")]
      const good = [to(a, newSchedule("a", { context: "2" })), to(null, newSchedule("new"))]
      const controls = [{ key: name("c"), turn: c, value: "2" }, { key: name("new"), turn: null, value: "2" }]
      const wrong: ReadonlyArray<Partial<ScheduleChange>> = [
        { schedules: [to(old, newSchedule("b"))] },
        { schedules: [to(null, newSchedule("b"))] },
        { schedules: [without("b", old)] },
        { schedules: [without("b", null)] },
        { schedules: [to(b, newSchedule("absent"))] },
        { schedules: [without("absent", b)] },
        { controls: [{ key: name("c 2"), turn: c, value: "2" }] },
        { controls: [{ key: name("c 2"), turn: c, value: null }] }
      ]
      const wrongControls = [
        { key: name("c"), turn: c + 1_000_000, value: "2" },
        { key: name("c"), turn: null, value: "2" },
        { key: name("c"), turn: null, value: null }
      ]
      const rest = { entries: [newEntry({ schedule: name("a") })], audits: [newAudit({ schedule: name("a") })] }
      for (const { controls: more = [], schedules = [] } of wrong) {
        const change = { ...rest, schedules: [...good, ...schedules], controls: [...controls, ...more] }
        assert.isFalse(yield* db.changeSchedules(newChange(change)))
      }
      for (const control of wrongControls) {
        const [, fresh] = controls
        const change = { ...rest, schedules: good, controls: [control, ...fresh === undefined ? [] : [fresh]] }
        assert.isFalse(yield* db.changeSchedules(newChange(change)))
      }
      assert.deepStrictEqual([yield* schedule("a"), yield* schedule("b"), yield* control("c")], before)
      assert.deepStrictEqual([yield* control("new"), Option.isNone(yield* db.findSchedule(name("new")))], [null, true])
      assert.deepStrictEqual([yield* entries("a"), yield* audits("a")], [[], []])
      assert.isTrue(yield* db.changeSchedules(newChange({ ...rest, schedules: good, controls })))
    })
  )

  test(
    "a change may require that something is not there, and change nothing else",
    Effect.gen(function*() {
      const { db, name, newChange, newSchedule, put, without } = yield* changing
      const absent = { schedules: [without("s", null)], controls: [{ key: name("c"), turn: null, value: null }] }
      assert.isTrue(yield* db.changeSchedules(newChange(absent)))
      assert.isTrue(Option.isNone(yield* db.findSchedule(name("s"))))
      yield* put(newSchedule("s"))
      assert.isFalse(yield* db.changeSchedules(newChange(absent)))
      assert.isTrue(yield* db.changeSchedules(newChange()), "nor need it be about anything")
    })
  )

  test(
    "a control is kept to the character under its key, and each write gives it another turn",
    Effect.gen(function*() {
      const { control, db, name, newChange } = yield* changing
      const put = (key: string, turn: number | null, value: string | null) =>
        db.changeSchedules(newChange({ controls: [{ key: name(key), turn, value }] }))
      assert.strictEqual(yield* control("c"), null)
      assert.isTrue(yield* put("c", null, " {\"b\": 1, \"a\" : 1e400} "))
      assert.isTrue(yield* put("C", null, "1"))
      const first = yield* control("c")
      assert.deepStrictEqual(first, { key: name("c"), value: " {\"b\": 1, \"a\" : 1e400} ", turn: first?.turn ?? 0 })
      assert.isTrue(yield* put("c", first?.turn ?? null, "2"))
      assert.isFalse(yield* put("c", first?.turn ?? null, "3"))
      const next = yield* control("c")
      assert.deepStrictEqual([next?.value, next?.turn === first?.turn], ["2", false])
      assert.isTrue(yield* put("c", next?.turn ?? null, null))
      assert.deepStrictEqual([yield* control("c"), (yield* control("C"))?.value], [null, "1"])
    })
  )
}

const once = (test: Declare) => {
  test(
    "a change that was made before is true, and is not made again",
    Effect.gen(function*() {
      const { audits, control, db, edit, entries, name, newAudit, newChange, newEntry, newSchedule, schedule, to } =
        yield* changing
      const change = newChange({
        schedules: [to(null, newSchedule("s"))],
        controls: [{ key: name("c"), turn: null, value: "1" }],
        entries: [newEntry()],
        audits: [newAudit(), newAudit()]
      })
      assert.isTrue(yield* db.changeSchedules(change))
      const before = [yield* schedule("s"), yield* control("c")]
      assert.isTrue(yield* db.changeSchedules(change))
      assert.deepStrictEqual([yield* schedule("s"), yield* control("c")], before)
      yield* edit("s", { context: "\"later\"" })
      assert.isTrue(yield* db.changeSchedules(change), "also when others changed it since")
      assert.strictEqual((yield* schedule("s")).context, "\"later\"")
      assert.deepStrictEqual([(yield* entries("s")).length, (yield* audits("s")).length], [1, 2])
    })
  )

  test(
    "a change that was refused may be tried again under its id",
    Effect.gen(function*() {
      const { db, newChange, newSchedule, put, schedule, to, turnOf } = yield* changing
      const { id } = newChange()
      yield* put(newSchedule("s"))
      const edited = newSchedule("s", { context: "2" })
      assert.isFalse(yield* db.changeSchedules(newChange({ id, schedules: [to(null, edited)] })))
      assert.isTrue(yield* db.changeSchedules(newChange({ id, schedules: [to(yield* turnOf("s"), edited)] })))
      assert.deepStrictEqual(contentOf(yield* schedule("s")), edited)
    })
  )

  test(
    "a change that is sent many times at the same moment is made once, and all are told so",
    Effect.gen(function*() {
      const { audits, db, entries, newAudit, newChange, newEntry, newSchedule, to } = yield* changing
      const change = newChange({
        schedules: [to(null, newSchedule("s"))],
        entries: [newEntry()],
        audits: [newAudit()]
      })
      const answers = yield* Effect.forEach(Array.from({ length: 10 }), () => db.changeSchedules(change), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(answers, answers.map(() => true))
      assert.deepStrictEqual([(yield* entries("s")).length, (yield* audits("s")).length], [1, 1])
    })
  )
}

const racing = (test: Declare) => {
  test(
    "of several changes of one schedule at the same moment exactly one is made",
    Effect.gen(function*() {
      const { audits, db, name, newAudit, newChange, newSchedule, schedule, to, turnOf, without } = yield* changing
      const race = (turn: number | null) =>
        Effect.forEach(
          Array.from({ length: 10 }, (_, i) => to(turn, newSchedule("s", { context: `${i}` }))),
          (schedule) => db.changeSchedules(newChange({ schedules: [schedule], audits: [newAudit()] })),
          { concurrency: "unbounded" }
        )
      for (let round = 0; round < 5; round++) {
        for (const creating of [true, false]) {
          const answers = yield* race(creating ? null : yield* turnOf("s"))
          assert.deepStrictEqual(
            answers.flatMap((made, i) => made ? [`${i}`] : []),
            [(yield* schedule("s")).context]
          )
        }
        const turn = yield* turnOf("s")
        const answers = yield* Effect.forEach(
          Array.from({ length: 5 }),
          () => db.changeSchedules(newChange({ schedules: [without("s", turn)], audits: [newAudit()] })),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(answers.filter((made) => made).length, 1)
        assert.isTrue(Option.isNone(yield* db.findSchedule(name("s"))))
      }
      assert.strictEqual((yield* audits("s")).length, 15)
    })
  )

  test(
    "of several changes of one control at the same moment exactly one is made",
    Effect.gen(function*() {
      const { control, db, name, newChange } = yield* changing
      for (let round = 0; round < 10; round++) {
        const turn = (yield* control("c"))?.turn ?? null
        const answers = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => ({ key: name("c"), turn, value: `${round * 8 + i}` })),
          (control) => db.changeSchedules(newChange({ controls: [control] })),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          answers.flatMap((made, i) => made ? [`${round * 8 + i}`] : []),
          [(yield* control("c"))?.value]
        )
      }
    })
  )

  test(
    "changes of overlapping lists at the same moment, in any order, leave the whole of one and nothing of the others",
    Effect.gen(function*() {
      const { db, name, newChange, newSchedule, prefix, put, to } = yield* changing
      for (let round = 0; round < 10; round++) {
        const suffixes = Array.from({ length: 10 }, (_, i) => `${round}-s${i}`)
        yield* put(...suffixes.map((suffix) => newSchedule(suffix)))
        const rows = yield* db.listSchedules({ namePrefix: [name(`${round}-`)] }, { limit: 99, after: null })
        const turns = new Map(rows.map((row) => [row.name.slice(prefix.length), row.turn]))
        const lists = Array.from(
          { length: 6 },
          (_, i) =>
            [...suffixes.slice(i), ...suffixes.slice(0, i)].slice(0, 6).map((suffix) =>
              to(turns.get(suffix) ?? null, newSchedule(suffix, { context: `${i}` }))
            )
        )
        const answers = yield* Effect.forEach(
          lists.map((list, i) => i % 2 === 0 ? list : [...list].reverse()),
          (schedules) => db.changeSchedules(newChange({ schedules })),
          { concurrency: "unbounded" }
        )
        const after = yield* db.listSchedules({ namePrefix: [name(`${round}-`)] }, { limit: 99, after: null })
        const made = answers.flatMap((made, i) => made ? [i] : [])
        // Of ten schedules each list has six, so that any two have one in common.
        assert.strictEqual(made.length, 1)
        const [list = []] = made.map((i) => lists[i])
        const expected = new Map(list.map(({ content, name }) => [name, content.context]))
        assert.deepStrictEqual(
          after.map((row) => [row.name, row.context]),
          after.map((row) => [row.name, expected.get(row.name) ?? "{\"a\":1}"])
        )
      }
    })
  )
}

export const changes = (test: Declare) => {
  wholly(test)
  once(test)
  racing(test)
}
