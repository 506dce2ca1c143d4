import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Memory from "../src/Memory.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Schedule from "../src/Schedule.ts"
import { type Firing, SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { virtual } from "./conformance/fixture.ts"
import { freshDatabase } from "./support/postgres.ts"
import { decideAll, type Look, look, pass } from "./support/scheduler.ts"

const day = Date.UTC(2030, 0, 1)
const minute = 60_000

const Beat = Workflow.make("beat", { payload: Schedule.Tick() })

const policies: ReadonlyArray<readonly [string, Schedule.PolicyOptions]> = [
  ["plain", {}],
  ["all", { catchUp: "all" }],
  ["none", { catchUp: { mode: "none", window: "3 minutes" } }],
  ["capped", { catchUp: { mode: "all", cap: 2 } }],
  ["skip", { overlap: "skip", catchUp: "all" }],
  ["in turn", { overlap: { mode: "bufferAll", max: 2 }, catchUp: "all" }],
  ["one waits", { overlap: "bufferOne" }],
  ["two at once", { overlap: { mode: "allow", max: 2 } }],
  ["newest", { overlap: "cancelOther" }],
  ["shared a", { overlap: { mode: "skip", key: "shared" } }],
  ["shared b", { overlap: { mode: "bufferOne", key: "shared" } }],
  ["spread", { jitter: "50 seconds" }],
  ["soon", { overlap: "bufferOne", startDeadline: "90 seconds" }]
]

/** How many runs of a scope may be live at once. */
const bounds: ReadonlyArray<readonly [string, number]> = [
  ["schedule:skip", 1],
  ["schedule:in turn", 1],
  ["schedule:one waits", 1],
  ["schedule:two at once", 2],
  ["schedule:newest", 1],
  ["key:shared", 1],
  ["schedule:soon", 1]
]

const upTo = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const worker = upTo(0, 2)

const Look = Schema.TaggedStruct("Look", { worker })
const Decide = Schema.TaggedStruct("Decide", { worker, starts: upTo(1, 3) })
const Record = Schema.TaggedStruct("Record", { worker })

/** What one of three workers does next: each looks, and decides and records later, on what it saw then. */
const Command = Schema.Union([
  Look,
  Decide,
  Record,
  Schema.TaggedStruct("Crash", { worker }),
  Schema.TaggedStruct("Wait", { seconds: upTo(1, 200) }),
  Schema.TaggedStruct("Finish", { count: upTo(1, 6) }),
  // Twice, to be drawn twice as often.
  Look,
  Decide,
  Record
])
type Command = typeof Command.Type

const commands = (minimum: number, maximum: number) =>
  Schema.Array(Command).check(Schema.isMinLength(minimum), Schema.isMaxLength(maximum))

/** Ends some of the runs that wait, oldest first. */
const finish = Effect.fnUntraced(function*(db: SystemDb["Service"], count: number) {
  const { runs } = yield* db.claim({ worker: "w", limit: count, workflows: ["beat"] })
  for (const { run } of runs) {
    yield* db.finish({ runId: run.id, worker: "w", epoch: run.epoch }, { status: "Succeeded", outcome: "{}" })
  }
})

const boundsHold = Effect.fnUntraced(function*(db: SystemDb["Service"]) {
  const live = yield* db.listRuns({ status: ["Enqueued", "Running", "Suspended"] }, { limit: 1000, after: null })
  for (const [scope, max] of bounds) {
    assert.isAtMost(live.filter(({ overlap }) => overlap === scope).length, max, scope)
  }
})

const play = Effect.fnUntraced(function*(commands: ReadonlyArray<Command>) {
  const db = yield* SystemDb
  yield* TestClock.setTime(day)
  yield* Schedule.apply(
    policies.map(([name, options]) => Schedule.make(name, { workflow: Beat, cron: "0 * * * * *", ...options }))
  )
  let elapsed = 0
  const seen: Array<Look | undefined> = [undefined, undefined, undefined]
  const decided: Array<{ readonly look: Look; readonly firings: ReadonlyArray<Firing> } | undefined> = []
  for (const command of commands) {
    switch (command._tag) {
      case "Look":
        seen[command.worker] = yield* look(db)
        break
      case "Decide": {
        const known = seen[command.worker]
        if (known === undefined) break
        const now = day + elapsed * 1000
        decided[command.worker] = { look: known, firings: decideAll(known, now, { starts: command.starts }) }
        break
      }
      case "Record": {
        const known = decided[command.worker]
        if (known !== undefined) yield* db.fire(known.firings, known.look.freeze?.turn ?? null)
        break
      }
      case "Crash":
        seen[command.worker] = undefined
        decided[command.worker] = undefined
        break
      case "Wait":
        elapsed += command.seconds
        yield* TestClock.setTime(day + elapsed * 1000)
        break
      case "Finish":
        yield* finish(db, command.count)
    }
    yield* boundsHold(db)
  }
  // Jittered starts of the last tick come within a minute.
  elapsed += 60
  yield* TestClock.setTime(day + elapsed * 1000)
  for (let round = 0; round < 5; round++) {
    yield* pass(db)
    yield* boundsHold(db)
    yield* finish(db, 1000)
  }
  yield* pass(db)

  const last = Math.floor((elapsed - 60) / 60)
  const instants = Array.from({ length: last }, (_, index) => day + (index + 1) * minute)
  for (const [name] of policies) {
    const answers = yield* Schedule.ledger(name, { from: day, to: day + last * minute + 1 })
    assert.deepStrictEqual(answers.map(({ tick }) => DateTime.toEpochMillis(tick)), instants, name)
  }
  const runs = yield* db.listRuns({}, { limit: 10_000, after: null })
  assert.deepStrictEqual(runs.filter(({ createdAt, tick }) => createdAt < tick!), [])
  // As many ticks are recorded as have an answer, so none has two.
  for (const [name] of policies) {
    const answers = yield* Schedule.ledger(name, { from: day, to: day + (elapsed + 1) * 1000 })
    const { entries } = yield* Schedule.history(name, { limit: 10_000 })
    const recorded = entries.reduce((sum, { count }) => sum + Option.getOrThrow(count), 0)
    assert.strictEqual(recorded, answers.length, name)
  }
})

const onPostgres = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

describe("Three workers that see, decide and record at different times", () => {
  it.live.prop(
    "leave one answer for each tick, and never more live runs than the policy lets, in memory",
    [commands(20, 150)],
    ([commands]) => virtual(play(commands)).pipe(Effect.provide(Memory.layer)),
    { timeout: 120_000, arbitrary: { runs: 60 } }
  )

  it.live.prop(
    "leave one answer for each tick, and never more live runs than the policy lets, on Postgres",
    [commands(40, 80)],
    ([commands]) => virtual(play(commands)).pipe(Effect.provide(onPostgres)),
    { timeout: 120_000, arbitrary: { runs: 4 } }
  )
})
