/** What the verbs of schedules and backfills refuse at their door: naming the field, and with nothing written. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import * as Backfill from "../src/Backfill.ts"
import * as Engine from "../src/Engine.ts"
import type { InvalidInput } from "../src/Errors.ts"
import * as Memory from "../src/Memory.ts"
import * as Schedule from "../src/Schedule.ts"
import { SystemDb } from "../src/SystemDb.ts"
import * as Timing from "../src/Timing.ts"
import * as Workflow from "../src/Workflow.ts"
import { refused } from "./conformance/fixture.ts"

const Tick = Workflow.make("tick", { payload: Schedule.Tick() })
const Told = Workflow.make("told", { payload: Schedule.Event })

const base = { workflow: Tick, timing: Timing.every("1 hour") } as const
const odd = ["a\0b", "a\uD83D", "\uDE00"] as const
const day = Date.UTC(2030, 0, 1)
const window = { from: day, to: day + 86_400_000 }

type Verb = Effect.Effect<unknown, { readonly _tag: string }, SystemDb>

/** Everything that is stored of schedules and their backfills. */
const stored = Effect.gen(function*() {
  const db = yield* SystemDb
  const page = { limit: 1000, after: null }
  return JSON.stringify([
    yield* db.listSchedules({}, page),
    yield* db.listBackfills(null, page),
    yield* db.listAudits(null, page),
    yield* db.listAudits("there", page),
    yield* db.listRuns({}, page),
    yield* db.findControl("freeze")
  ])
})

/** A store with a schedule and a backfill; the verb must be refused for this field and change nothing. */
const refuses = (field: string, verb: Verb) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    yield* Schedule.create(Schedule.make("there", base))
    yield* Backfill.start("there", { ...window, id: "b" })
    const before = yield* stored
    const error = yield* refused(verb, "InvalidInput") as unknown as Effect.Effect<InvalidInput, never, SystemDb>
    assert.strictEqual(error.field, field)
    assert.strictEqual(yield* stored, before)
  }).pipe(Effect.provide(Memory.layer))

const said = (text: string): ReadonlyArray<readonly [verb: string, Verb]> => {
  const reason = { reason: text }
  return [
    ["pause", Schedule.pause("there", reason)],
    ["resume", Schedule.resume("there", reason)],
    ["pauseAll", Schedule.pauseAll({ namePrefix: "nobody" }, reason)],
    ["resumeAll", Schedule.resumeAll({}, reason)],
    ["remove", Schedule.remove("there", reason)],
    ["edit", Schedule.edit("there", { note: "x" }, reason)],
    ["freeze", Schedule.freeze(reason)],
    ["thaw", Schedule.thaw(reason)],
    ["skipNext", Schedule.skipNext("there", 1, reason)],
    ["skip", Schedule.skip("there", day + 3_600_000, reason)],
    ["unskip", Schedule.unskip("there", undefined, reason)],
    ["dropBuffered", Schedule.dropBuffered("there", undefined, reason)],
    ["trigger", Schedule.trigger("there", reason)],
    ["Backfill.start", Backfill.start("there", { ...window, ...reason })],
    ["Backfill.pause", Backfill.pause("b", reason)],
    ["Backfill.resume", Backfill.resume("b", reason)],
    ["Backfill.cancel", Backfill.cancel("b", reason)]
  ]
}

const written: ReadonlyArray<readonly [verb: string, Verb]> = [
  ...said("fine"),
  ["create", Schedule.create(Schedule.make("new", base))],
  ["apply", Schedule.apply([Schedule.make("new", base)])]
]

describe("text that no store can keep is refused", () => {
  for (const [n, text] of odd.entries()) {
    for (const [verb, effect] of said(text)) {
      it.effect(`as the reason of ${verb} (${n})`, () => refuses("reason", effect))
    }
    for (const [verb, effect] of written) {
      it.effect(`as the operator's name and source in ${verb} (${n})`, () =>
        Effect.gen(function*() {
          const by = (operator: Schedule.Operator) => Effect.provideService(effect, Schedule.CurrentOperator, operator)
          yield* refuses("operator.name", by({ name: text, source: null }))
          yield* refuses("operator.source", by({ name: "mia", source: text }))
        }))
    }
    const fields: ReadonlyArray<readonly [field: string, Verb]> = [
      ["name", Schedule.create(Schedule.make(text, base))],
      [
        "workflow",
        Schedule.create(Schedule.make("new", { ...base, workflow: Workflow.make(text, Tick as never) as never }))
      ],
      ["externalId", Schedule.create(Schedule.make("new", { ...base, externalId: text }))],
      ["labels.team", Schedule.create(Schedule.make("new", { ...base, labels: { team: text } }))],
      ["overlap.key", Schedule.create(Schedule.make("new", { ...base, overlap: { mode: "skip", key: text } }))],
      ["heartbeat", Schedule.create(Schedule.make("new", { ...base, heartbeat: `https://x/${text}` }))],
      ["onFailure", Schedule.create(Schedule.make("new", { ...base, onFailure: { ...Told, name: text } as never }))],
      ["name", Schedule.apply([Schedule.make("new", base), Schedule.make(text, base)])],
      ["owner", Schedule.apply([Schedule.make("new", base)], { owner: text })],
      ["version", Schedule.apply([Schedule.make("new", base)], { owner: "app", version: text })],
      ["note", Schedule.edit("there", { note: text })],
      ["externalId", Schedule.edit("there", { externalId: text })],
      ["labels.team", Schedule.edit("there", { labels: { team: text } })],
      ["overlap.key", Schedule.edit("there", { overlap: { mode: "skip", key: text } })],
      ["idempotencyKey", Schedule.trigger("there", { idempotencyKey: text })],
      ["id", Backfill.start("there", { ...window, id: text })]
    ]
    for (const [i, [field, effect]] of fields.entries()) {
      it.effect(`as ${field} (${n}, ${i})`, () => refuses(field, effect))
    }
    it.effect(`as the name of a label (${n})`, () =>
      refuses(
        `labels.${text.replace("\0", "\uFFFD").toWellFormed()}`,
        Schedule.edit("there", { labels: { [text]: "x" } })
      ))
    it.effect(`as the name of an application and as its version (${n})`, () =>
      Effect.gen(function*() {
        for (const options of [{ name: text }, { name: "app", version: text }]) {
          const exit = yield* Effect.exit(Effect.scoped(Effect.provide(Effect.void, Engine.layer(options))))
          assert.isTrue(Exit.isFailure(exit))
        }
      }).pipe(Effect.provide(Memory.layer)))
  }
})

describe("what would become too long an id or an index entry is refused, in bytes", () => {
  const long = (bytes: number) => "\u20AC".repeat(Math.ceil(bytes / 3))
  const fields: ReadonlyArray<readonly [field: string, Verb]> = [
    ["name", Schedule.create(Schedule.make(long(401), base))],
    ["externalId", Schedule.create(Schedule.make("new", { ...base, externalId: long(513) }))],
    ["version", Schedule.apply([], { owner: "app", version: "1".repeat(513) })],
    ["idempotencyKey", Schedule.trigger("there", { idempotencyKey: long(503) })],
    ["id", Backfill.start("there", { ...window, id: long(65) })]
  ]
  for (const [field, effect] of fields) it.effect(field, () => refuses(field, effect))

  it.effect("and the longest that are not make ids of at most 512 bytes, whatever is made of them", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(day)
      const db = yield* SystemDb
      const name = long(397)
      yield* Schedule.create(Schedule.make(name, base))
      yield* Schedule.trigger(name)
      yield* Schedule.trigger(name, { idempotencyKey: "k".repeat(512 - Buffer.byteLength(`sched:${name}:`)) })
      const id = long(62)
      yield* Backfill.start(name, { from: day - 3_600_000, to: day, id, onExisting: "rerun" })
      const runs = yield* db.listRuns({}, { limit: 10, after: null })
      assert.isAtMost(Math.max(...runs.map((run) => Buffer.byteLength(run.id))), 512)
      assert.isTrue(Option.isSome(yield* Schedule.get(name)))
    }).pipe(Effect.provide(Memory.layer)))
})

describe("a duration that no clock can show is refused", () => {
  const beyond = "4000000 days"
  for (const field of ["timeout", "startDeadline", "grace", "jitter"] as const) {
    it.effect(field, () =>
      Effect.gen(function*() {
        yield* refuses(field, Schedule.create(Schedule.make("new", { ...base, [field]: beyond })))
        yield* refuses(field, Schedule.edit("there", { [field]: beyond }))
        yield* refuses(field, Schedule.create(Schedule.make("new", { ...base, [field]: "-1 second" })))
      }))
  }
  it.effect("of a trigger too", () =>
    Effect.gen(function*() {
      yield* refuses("timeout", Schedule.trigger("there", { timeout: beyond }))
      yield* refuses("startDeadline", Schedule.trigger("there", { startDeadline: beyond }))
    }))
  it.effect("and one that never ends is no bound at all", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(day)
      const db = yield* SystemDb
      const never = { timeout: Infinity, startDeadline: Infinity }
      yield* Schedule.create(Schedule.make("new", { ...base, ...never, catchUp: { mode: "all", window: Infinity } }))
      const [row] = yield* db.listSchedules({}, { limit: 1, after: null })
      // As long as anything can be: none at all would be the workflow's.
      const timeoutMillis = 10_000 * 365 * 86_400_000
      assert.strictEqual(
        row?.policies,
        JSON.stringify({ catchUp: { mode: "all", windowMillis: null, cap: null }, timeoutMillis })
      )
      const { id } = yield* Schedule.trigger("new", never)
      const run = Option.getOrThrow(yield* db.findRun(id))
      assert.deepStrictEqual([run.startBy, run.timeoutMillis], [null, timeoutMillis])
    }).pipe(Effect.provide(Memory.layer)))
})

it.effect("verbs about a name that cannot be find no schedule and no backfill", () =>
  Effect.gen(function*() {
    for (const name of odd) {
      yield* refused(Schedule.pause(name), "ScheduleNotFound")
      yield* refused(Schedule.remove(name), "ScheduleNotFound")
      yield* refused(Schedule.trigger(name), "ScheduleNotFound")
      yield* refused(Schedule.edit(name, { note: "x" }), "ScheduleNotFound")
      yield* refused(Schedule.explain(name, day), "ScheduleNotFound")
      yield* refused(Backfill.start(name, window), "ScheduleNotFound")
      yield* refused(Backfill.cancel(name), "BackfillNotFound")
      assert.isTrue(Option.isNone(yield* Schedule.get(name)))
      assert.deepStrictEqual(yield* Schedule.pauseAll({ namePrefix: name }), [])
      assert.deepStrictEqual((yield* Schedule.history(name)).entries, [])
      assert.deepStrictEqual(yield* Schedule.ledger(name, window), [])
      assert.deepStrictEqual(yield* Backfill.list(name), [])
    }
  }).pipe(Effect.provide(Memory.layer)))
