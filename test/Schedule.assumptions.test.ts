/** What an engine assumes about the work of others, or about a call whose answer it did not get, is dropped at its next look. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Backfill from "../src/Backfill.ts"
import { type Fault, Faults, hold, letGo } from "../src/internal/memory/faults.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import type { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, type Node } from "./support/engine.ts"

type Store = SystemDb["Service"]

const day = Date.UTC(2030, 0, 1)
const second = 1_000
const minute = 60 * second

const Beat = Workflow.make("beat", { payload: Schedule.Tick() })
const Told = Workflow.make("told", { payload: Schedule.Event })

const row = { of: "schedule", key: "beat" } as const

/** Engines over one memory store, which polls so rarely that nothing below is seen by a poll. */
const engines = Effect.fnUntraced(function*(
  count: number,
  options: Schedule.PolicyOptions & { readonly body?: Effect.Effect<void>; readonly cron?: string } = {}
) {
  const { body = Effect.void, cron = "0 * * * * *", ...policies } = options
  yield* TestClock.setTime(day)
  const { db, node } = yield* cluster()
  const nodes = yield* Effect.forEach(
    Array.from({ length: count }, (_, n) => n),
    () => node({ bodies: Beat.toLayer(() => body), pollInterval: "1 hour" })
  )
  const schedule = Schedule.make("beat", { workflow: Beat, cron, catchUp: "all", ...policies })
  yield* nodes[0]!.run(Schedule.create(schedule))
  yield* elapse("1 second")
  return { db, nodes, node: nodes[0]!, schedule }
})

/** Lets time pass until this instant after the beginning. */
const passTo = (after: number) =>
  Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => elapse(day + after - now, Math.max(20, Math.ceil((day + after - now) / 100)))
  )

/** The ticks with an answer, and when each run was created, as millis after the beginning; other answers by their name. */
const answers = (node: Node) =>
  node.run(Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const found = yield* Schedule.ledger("beat", { from: day, to: now + 1 })
    return found.map(({ decision, tick }) => {
      const after = DateTime.toEpochMillis(tick) - day
      return [after, decision._tag === "Started" ? after + decision.lateBy : decision._tag] as const
    })
  }))

const runsOf = (db: Store) => db.listRuns({ workflow: ["beat"] }, { limit: 1000, after: null })

describe("a schedule that somebody holds when its tick comes, and lets go as it was", () => {
  it.effect("fires within a second, also where polls are rare", () =>
    Effect.gen(function*() {
      const { db, node } = yield* engines(1)
      yield* hold(db, row)
      yield* passTo(minute + 5 * second)
      assert.deepStrictEqual(yield* answers(node), [])
      yield* letGo(db, row)
      yield* passTo(minute + 7 * second)
      const [[tick, started]] = (yield* answers(node)) as unknown as [[number, number]]
      assert.strictEqual(tick, minute)
      assert.isAtMost(started, minute + 6 * second)
      yield* passTo(2 * minute + 500)
      assert.deepStrictEqual((yield* answers(node)).at(-1), [2 * minute, 2 * minute])
    }))

  it.effect("has lost none of the ticks that came meanwhile", () =>
    Effect.gen(function*() {
      const { db, node } = yield* engines(2, { cron: "* * * * * *" })
      yield* passTo(2_500)
      yield* hold(db, row)
      yield* passTo(7_500)
      yield* letGo(db, row)
      yield* passTo(10_500)
      const ticks = (yield* answers(node)).map(([tick]) => tick)
      assert.deepStrictEqual(ticks, Array.from({ length: ticks.length }, (_, n) => ticks[0]! + n * second))
      assert.deepStrictEqual(ticks.at(-1), 10_000)
      assert.strictEqual((yield* runsOf(db)).length, ticks.length)
    }))

  it.effect("is asked for once a second and not more, whatever waits", () =>
    Effect.gen(function*() {
      const { db, node } = yield* engines(1, {
        cron: "* * * * * *",
        overlap: "bufferAll",
        body: Effect.sleep("3 hours")
      })
      yield* passTo(2_500)
      yield* hold(db, row)
      const before = node.calls.get("fire") ?? 0
      yield* passTo(12_500)
      // Each second its tick comes and a look finds it as it was: a firing for either.
      assert.isAtMost((node.calls.get("fire") ?? 0) - before, 22)
      yield* letGo(db, row)
    }))

  it.effect("starts what waited for a run that ended meanwhile", () =>
    Effect.gen(function*() {
      const { db, node } = yield* engines(1, { overlap: "bufferOne", body: Effect.sleep("90 seconds") })
      yield* passTo(2 * minute + 10 * second)
      yield* hold(db, row)
      yield* passTo(2 * minute + 50 * second)
      assert.strictEqual((yield* runsOf(db)).length, 1)
      yield* letGo(db, row)
      yield* passTo(2 * minute + 52 * second)
      assert.strictEqual((yield* runsOf(db)).length, 2)
      assert.deepStrictEqual((yield* answers(node)).map(([tick]) => tick), [minute, 2 * minute])
    }))

  it.effect("tells of a failure that it could not take note of", () =>
    Effect.gen(function*() {
      const { db } = yield* engines(1, {
        onFailure: Told,
        body: Effect.andThen(Effect.sleep("2 seconds"), Effect.die("no"))
      })
      yield* passTo(minute + second)
      yield* hold(db, row)
      yield* passTo(minute + 10 * second)
      yield* letGo(db, row)
      const told = yield* eventually(db.listRuns({ workflow: ["told"] }, { limit: 10, after: null }), (runs) =>
        runs.length > 0)
      assert.strictEqual(told.length, 1)
      assert.isAtMost(told[0]!.createdAt, day + minute + 12 * second)
    }))

  it.effect("makes up a long outage that was interrupted by it", () =>
    Effect.gen(function*() {
      const { db, node } = yield* engines(1, { cron: "* * * * * *" })
      yield* node.run(Schedule.freeze())
      yield* elapse(10 * minute)
      yield* node.run(Schedule.thaw({ catchUp: true }))
      yield* hold(db, row)
      yield* passTo(10 * minute + 4 * second)
      yield* letGo(db, row)
      yield* passTo(10 * minute + 10 * second)
      const ticks = (yield* answers(node)).map(([tick]) => tick)
      assert.deepStrictEqual(ticks, Array.from({ length: 600 + 10 }, (_, n) => (n + 1) * second))
    }))
})

it.effect("a schedule under a shared key whose scope moved while it was fired is decided again within a second", () =>
  Effect.gen(function*() {
    const { db, node } = yield* engines(1, { overlap: { mode: "allow", max: 5, key: "shared" } })
    // What the statement waited for is newer than what it says about how the schedule stands, which is as it was.
    const stale = Effect.map(db.dueSchedules(minute), ({ freeze, now, schedules: [current] }) => {
      return { freeze, now, fired: [{ _tag: "Stale", name: "beat", current }] }
    })
    let fires = 0
    node.intercept = (method, call) => method === "fire" && fires++ === 0 ? stale : call
    yield* passTo(minute + 2 * second)
    assert.deepStrictEqual((yield* answers(node)).map(([tick]) => tick), [minute])
  }))

it.effect("when another process fires the tick, this one learns it with its next look and goes on with the next tick", () =>
  Effect.gen(function*() {
    const { db, nodes } = yield* engines(3)
    yield* passTo(5 * minute + second)
    const runs = yield* runsOf(db)
    assert.deepStrictEqual(runs.map(({ createdAt, tick }) => createdAt - tick!), [0, 0, 0, 0, 0])
    // A statement of each for each tick, and one more of those that found it moved.
    const fires = nodes.reduce((sum, { calls }) => sum + (calls.get("fire") ?? 0), 0)
    assert.isAtMost(fires, 5 * 3 * 2)
  }))

describe("a firing that gets no answer", () => {
  for (const fault of ["lost", "rolledBack"] as ReadonlyArray<Fault>) {
    it.effect(`leaves the tick one run that is executed, when it was ${fault}`, () =>
      Effect.gen(function*() {
        const { db, node } = yield* engines(1)
        const faults = new Faults()
        faults.plan(fault, "fire")
        node.intercept = faults.intercept
        yield* passTo(2 * minute + second)
        assert.strictEqual(faults.planned, 0)
        assert.deepStrictEqual((yield* answers(node)).map(([tick]) => tick), [minute, 2 * minute])
        const runs = yield* eventually(runsOf(db), (runs) => runs.every(({ status }) => status === "Succeeded"))
        assert.strictEqual(runs.length, 2)
      }))
  }
})

it.effect("a store whose clock was set back has ticks fired when it shows them, and not before", () =>
  Effect.gen(function*() {
    const { db, node } = yield* engines(1)
    const ahead = 30 * second
    // The last look before the clock is set back.
    node.intercept = (method, call) =>
      method === "dueSchedules" ? Effect.map(call, (due: { now: number }) => ({ ...due, now: due.now + ahead })) : call
    yield* node.run(Schedule.edit("beat", { note: "seen under the old clock" }))
    yield* elapse("1 second")
    node.intercept = (_, call) => call
    yield* passTo(2 * minute + second)
    const runs = yield* runsOf(db)
    assert.deepStrictEqual(runs.map(({ createdAt, tick }) => [tick! - day, createdAt - tick!]), [
      [2 * minute, 0],
      [minute, 0]
    ])
  }))

describe("a freeze", () => {
  it.effect("that this process has not heard of fires nothing, and its end is seen at the next poll", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(day)
      const { db, node } = yield* cluster({ hints: false })
      const one = yield* node({ bodies: Beat.toLayer(() => Effect.void), pollInterval: "5 seconds" })
      yield* one.run(Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "* * * * * *", catchUp: "all" })))
      yield* passTo(6_500)
      yield* one.run(Schedule.freeze())
      const frozen = (yield* runsOf(db)).length
      yield* passTo(16_500)
      assert.strictEqual((yield* runsOf(db)).length, frozen)
      yield* one.run(Schedule.thaw({ catchUp: true }))
      yield* passTo(22_500)
      const ticks = (yield* answers(one)).map(([tick]) => tick)
      assert.deepStrictEqual(ticks, Array.from({ length: ticks.length }, (_, n) => ticks[0]! + n * second))
      assert.strictEqual(ticks.at(-1), 22_000)
    }))
})

describe("a backfill that did not stand as it was read", () => {
  it.effect("is carried on within a second, also where polls are rare and whoever moved it does nothing more", () =>
    Effect.gen(function*() {
      const { db, node, schedule } = yield* engines(1)
      let refused = 0
      node.intercept = (method, call) => method === "advanceBackfill" && refused++ === 0 ? Effect.succeed(false) : call
      yield* node.run(Backfill.start(schedule, { from: day - 10 * minute, to: day, id: "b", concurrency: 100 }))
      yield* elapse("3 seconds")
      const { started } = yield* node.run(Effect.map(Backfill.list(schedule), ([found]) => found!))
      assert.strictEqual(started, 10)
      assert.isAbove(refused, 1)
      assert.strictEqual((yield* runsOf(db)).length, 10)
    }))

  for (const fault of ["lost", "rolledBack"] as ReadonlyArray<Fault>) {
    it.effect(`starts each tick once, when the answer to a stretch was missing (${fault})`, () =>
      Effect.gen(function*() {
        const { db, node, schedule } = yield* engines(1)
        const faults = new Faults()
        faults.plan(fault, "advanceBackfill")
        node.intercept = faults.intercept
        yield* node.run(Backfill.start(schedule, { from: day - 10 * minute, to: day, id: "b", concurrency: 4 }))
        yield* elapse("10 seconds")
        const [found] = yield* node.run(Backfill.list(schedule))
        assert.deepStrictEqual([found!.status, found!.started, faults.planned], ["Done", 10, 0])
        assert.strictEqual((yield* runsOf(db)).length, 10)
      }))
  }
})

it.effect("a run that somebody holds when it is due is claimed once it is let go, and others are claimed meanwhile", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const { db, find, node } = yield* cluster()
    const start = (id: string) =>
      db.start({
        id,
        workflow: "flow",
        payload: "null",
        owner: null,
        delayMillis: null,
        timeoutMillis: null,
        parent: null
      })
    const Flow = Workflow.make("flow")
    yield* start("held")
    yield* hold(db, { of: "run", key: "held" })
    const one = yield* node({ bodies: Flow.toLayer(() => Effect.void) })
    yield* start("free")
    yield* eventually(find("free"), ({ status }) => status === "Succeeded")
    assert.strictEqual((yield* find("held")).status, "Enqueued")
    yield* letGo(db, { of: "run", key: "held" })
    yield* eventually(find("held"), ({ status }) => status === "Succeeded")
    assert.strictEqual((yield* one.run(Run.list({ status: ["Succeeded"] }))).length, 2)
  }))
