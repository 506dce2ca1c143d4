/** The law of the ledger, over engines among whom rows are held, answers lost and writes rolled back. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import { type Fault, Faults, hold, letGo } from "../src/internal/memory/faults.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Schedule from "../src/Schedule.ts"
import { Interceptor, SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, inTime, type Node } from "./support/engine.ts"
import { freshDatabase } from "./support/postgres.ts"
import { stranger } from "./support/stranger.ts"

const day = Date.UTC(2030, 0, 1)
const second = 1_000

const Beat = Workflow.make("beat", { payload: Schedule.Tick() })
const body = Beat.toLayer(() => Effect.sleep("700 millis"))

const policies: ReadonlyArray<readonly [string, Schedule.PolicyOptions]> = [
  ["plain", { catchUp: "all" }],
  ["latest", { grace: "2 seconds" }],
  ["none", { catchUp: "none", grace: "3 seconds" }],
  ["skip", { overlap: "skip", catchUp: "all" }],
  ["in turn", { overlap: { mode: "bufferAll", max: 3 }, catchUp: "all" }],
  ["newest", { overlap: "cancelOther" }],
  ["shared a", { overlap: { mode: "skip", key: "shared" } }],
  ["shared b", { overlap: { mode: "bufferOne", key: "shared" }, catchUp: "all" }],
  ["spread", { jitter: "900 millis", catchUp: "all" }]
]
const schedules = policies.map(([name, options]) =>
  Schedule.make(name, { workflow: Beat, cron: "* * * * * *", ...options })
)
const names = policies.map(([name]) => name)

/** Every tick since `from` that was decided has one answer, and nothing is recorded beside them; none waits since long ago. */
const lawHolds = Effect.fnUntraced(function*(from: number, longAgo: number) {
  const db = yield* SystemDb
  for (const { buffered, name, nextTick } of yield* Schedule.list()) {
    const undecided = [...buffered, ...Option.toArray(nextTick)].map((tick) => DateTime.toEpochMillis(tick))
    const to = Math.min(...undecided)
    assert.isAbove(to, longAgo, name)
    const answers = yield* Schedule.ledger(name, { from, to })
    const ticks = answers.map(({ tick }) => DateTime.toEpochMillis(tick))
    assert.deepStrictEqual(ticks, Array.from({ length: (to - from) / second }, (_, n) => from + n * second), name)
    const { entries } = yield* Schedule.history(name, { from, to, limit: 10_000 })
    const recorded = entries.reduce((sum, { count }) => sum + Option.getOrThrow(count), 0)
    assert.strictEqual(recorded, answers.length, name)
  }
  const runs = yield* db.listRuns({ workflow: ["beat"] }, { limit: 100_000, after: null })
  assert.deepStrictEqual(runs.filter(({ createdAt, tick }) => createdAt < tick!).map(({ id }) => id), [])
  assert.deepStrictEqual(runs.filter(({ status }) => status === "Failed" || status === "Dead").map(({ id }) => id), [])
  return runs
})

// ── in memory ───────────────────────────────────────────────────────────────────────────────────────────────────────

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const methods = ["fire", "fire", "dueSchedules", "claim", "finish", "pulse", "reconcile"] as const
const faults: ReadonlyArray<Fault> = ["lost", "rolledBack"]

const Wait = Schema.TaggedStruct("Wait", { tenths: upTo(25) })
const Hold = Schema.TaggedStruct("Hold", { schedule: upTo(policies.length - 1) })

const Command = Schema.Union([
  Wait,
  Hold,
  Schema.TaggedStruct("HoldRun", { which: upTo(3) }),
  Schema.TaggedStruct("LetGo", { which: upTo(3) }),
  Schema.TaggedStruct("Fault", { node: upTo(2), method: upTo(methods.length - 1), fault: upTo(1), nth: upTo(3) }),
  Schema.TaggedStruct("Crash", { node: upTo(2) }),
  Wait,
  Wait,
  Hold
])
const commands = Schema.Array(Command).check(Schema.isMinLength(10), Schema.isMaxLength(60))

const play = Effect.fnUntraced(function*(sequence: typeof commands.Type) {
  yield* TestClock.setTime(day)
  const { db, node } = yield* cluster()
  const options = { bodies: body, pulseInterval: "500 millis", lease: "5 seconds" } as const
  const start = Effect.gen(function*() {
    const one = yield* node(options)
    const planned = new Faults()
    one.intercept = planned.intercept
    return { one, planned }
  })
  const nodes: Array<{ readonly one: Node; readonly planned: Faults }> = []
  for (let n = 0; n < 3; n++) nodes.push(yield* start)
  yield* nodes[0]!.one.run(Schedule.apply(schedules))
  const held: Array<Parameters<typeof hold>[1]> = []
  for (const command of sequence) {
    switch (command._tag) {
      case "Wait":
        yield* elapse(100 * (command.tenths + 1), command.tenths + 1)
        break
      case "Hold": {
        const row = { of: "schedule", key: names[command.schedule]! } as const
        if (yield* hold(db, row)) held.push(row)
        break
      }
      case "HoldRun": {
        const live = yield* db.listRuns({ status: ["Running", "Enqueued"] }, { limit: 10, after: null })
        const row = { of: "run", key: live[command.which]?.id ?? "none" } as const
        if (yield* hold(db, row)) held.push(row)
        break
      }
      case "LetGo": {
        const [row] = held.splice(command.which, 1)
        if (row !== undefined) yield* letGo(db, row)
        break
      }
      case "Fault":
        nodes[command.node]!.planned.plan(faults[command.fault]!, methods[command.method]!, command.nth + 1)
        break
      case "Crash":
        yield* nodes[command.node]!.one.crash
        nodes[command.node] = yield* start
    }
  }
  for (const row of held) yield* letGo(db, row)
  yield* elapse("12 seconds", 120)
  const now = yield* Clock.currentTimeMillis
  yield* nodes[0]!.one.run(lawHolds(day + second, now - 4 * second))
  for (const { one } of nodes) yield* inTime(one.stop)
})

describe("Engines among whom rows are held, answers are lost and writes are rolled back", () => {
  it.effect.prop(
    "leave one answer for each tick, and let no run fail, in memory",
    [commands],
    ([sequence]) => play(sequence),
    { timeout: 120_000, arbitrary: { runs: 25 } }
  )
})

// ── on Postgres ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Calls that are answered late, not at all, or not made, one in so many. */
const unreliable = (one: number) => {
  const kit = new Faults()
  const intercept = <A, E, R>(method: keyof SystemDb["Service"], call: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Random.nextIntBetween(0, one), (n) => {
      const prone = method === "fire" || method === "dueSchedules" || method === "claim" || method === "reconcile"
      if (n === 0 && prone) kit.plan("lost", method)
      if (n === 1 && prone) kit.plan("rolledBack", method)
      return kit.intercept(method, call)
    })
  return Layer.succeed(Interceptor, intercept)
}

describe("Engines among whom rows are held, answers are lost and writes are rolled back", () => {
  it.live("leave one answer for each tick, and let no run fail, on Postgres", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const store = Postgres.layer({ url })
      const process = body.pipe(
        Layer.provideMerge(Engine.layer({ name: "app", pollInterval: "300 millis" })),
        Layer.provide(unreliable(12)),
        Layer.provide(store),
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")),
        Layer.fresh
      )
      yield* Effect.gen(function*() {
        const db = yield* SystemDb
        const other = yield* stranger((yield* PgClient).config)
        yield* Schedule.apply(schedules)
        const from = Math.ceil((yield* db.now) / second + 1) * second
        yield* Layer.build(Layer.mergeAll(process, Layer.fresh(process)))
        for (let rounds = 0; rounds < 12; rounds++) {
          const held = yield* Effect.forEach([1, 2, 3], () => Random.nextIntBetween(0, names.length))
          for (const n of held.sort((a, b) => a - b)) yield* other.hold({ of: "schedule", key: names[n]! })
          yield* Effect.sleep(200 + 100 * rounds)
          yield* other.letGo
        }
        const released = yield* db.now
        const cursors = Effect.map(
          db.listSchedules({}, { limit: 100, after: null }),
          (rows) => Math.min(...rows.map(({ nextAt }) => nextAt ?? Infinity))
        )
        yield* Effect.repeat(cursors, {
          schedule: EffectSchedule.spaced("50 millis"),
          until: (next) => next > released
        })
        const runs = yield* lawHolds(from, 0)
        assert.isAbove(runs.length, 20)
      }).pipe(Effect.scoped, Effect.provide(store))
    }), 60_000)
})
