import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import * as Backfill from "../src/Backfill.ts"
import * as Engine from "../src/Engine.ts"
import { StoreError } from "../src/Errors.ts"
import * as Memory from "../src/Memory.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import { type Backfill as Stored, type BackfillAdvance, SystemDb } from "../src/SystemDb.ts"
import {
  Beat,
  day,
  ended,
  hour,
  minute,
  minutes,
  recorder,
  schedule,
  second,
  start,
  stored,
  window
} from "./support/backfill.ts"
import { away, cluster, elapse, eventually, inTime, single } from "./support/engine.ts"

it.effect("the schedule goes on to fire at its instants while it is backfilled", () =>
  Effect.gen(function*() {
    yield* start
    const { body, ticks } = recorder(10 * second)
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Backfill.start(schedule, { from: day - 24 * hour, to: day, id: "b1", concurrency: 5 })
      yield* elapse(5 * minute, 300)
      const live = ticks.filter((tick) => tick > day)
      assert.deepStrictEqual(live, minutes(day + minute, day + 6 * minute))
      const { status } = yield* stored("b1")
      assert.strictEqual(status, "Active")
      const runs = yield* Effect.forEach(live, (tick) =>
        Effect.map(Run.get(`sched-beat-${new Date(tick).toISOString()}`), Option.getOrThrow))
      assert.deepStrictEqual(
        runs.map(({ createdAt, tick }) =>
          createdAt - tick!
        ),
        live.map(() => 0)
      )
    }))
  }))

it.effect("an engine that starts in the middle of a backfill carries it on, and no tick runs twice", () =>
  Effect.gen(function*() {
    yield* start
    const { db, node } = yield* cluster()
    const { body, ticks } = recorder(100)
    const first = yield* node({ bodies: body })
    yield* first.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 4 })
      yield* eventually(stored("b1"), ({ started }) => started >= 20)
    }))
    yield* inTime(first.stop)
    const left = Option.getOrThrow(yield* db.findBackfill("b1"))
    assert.isBelow(left.started, 60)
    const second = yield* node({ bodies: body })
    const done = yield* second.run(ended("b1"))
    assert.deepStrictEqual([done.started, done.existing], [60, 0])
    assert.deepStrictEqual([...new Set(ticks)].sort((a, b) => a - b), minutes(window.from, window.to))
    const runs = yield* db.listRuns({}, { limit: 100, after: null })
    assert.strictEqual(runs.length, 60)
  }))

it.effect("of several engines, one of which dies, each tick is started once and not too many at a time", () =>
  Effect.gen(function*() {
    yield* start
    const { db, node } = yield* cluster()
    const live: Array<number> = []
    const { body } = recorder(200)
    const nodes = yield* Effect.forEach([1, 2, 3], () => node({ bodies: body, lease: "2 seconds" }))
    for (const one of nodes) {
      one.intercept = (method, call) =>
        method === "advanceBackfill"
          ? Effect.tap(call, () =>
            Effect.map(Effect.orDie(db.findBackfill("b1")), (found) => live.push(Option.getOrThrow(found).live)))
          : call
    }
    yield* nodes[0]!.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 7 })
      yield* eventually(stored("b1"), ({ started }) => started >= 20)
    }))
    yield* nodes[1]!.crash
    const done = yield* nodes[2]!.run(ended("b1"))
    assert.deepStrictEqual([done.started, done.existing, done.live], [60, 0, 0])
    assert.strictEqual(Math.max(...live), 7)
  }))

it.effect("without hints a backfill goes on with the polls", () =>
  Effect.gen(function*() {
    yield* start
    const { node } = yield* cluster({ hints: false })
    const { body, ticks } = recorder()
    const one = yield* node({ bodies: body })
    yield* one.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 20 })
      yield* ended("b1")
      assert.strictEqual(ticks.length, 60)
    }))
  }))

it.effect("a store that is away for a while delays a backfill and loses nothing of it", () =>
  Effect.gen(function*() {
    yield* start
    const { body, ticks } = recorder(100)
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      let failures = 0
      node.intercept = (method, call) =>
        (method === "advanceBackfill" || method === "dueBackfills") && failures++ % 3 === 1
          ? Effect.andThen(Effect.ignore(call), away(method))
          : call
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 5 })
      const done = yield* ended("b1")
      assert.strictEqual(done.started, 60)
      assert.deepStrictEqual(ticks, minutes(window.from, window.to))
    }))
  }))

it.effect("a backfill that cannot go on does not hold up the others, and goes on when it can", () =>
  Effect.gen(function*() {
    yield* start
    const db = yield* SystemDb
    const bad = Option.getOrThrow(yield* Effect.andThen(Schedule.create(schedule), db.findSchedule("beat")))
    const refusal = new StoreError({ method: "advanceBackfill", retryable: false, detail: "bad value" })
    const refusing = { on: true }
    const watched = SystemDb.of({
      ...db,
      dueBackfills: (limit) =>
        Effect.map(
          db.dueBackfills(limit),
          (due) =>
            due.map((one) =>
              refusing.on && one.backfill.id === "unreadable" ? { ...one, schedule: { ...bad, timing: "?" } } : one
            )
        ),
      advanceBackfill: (advance) =>
        refusing.on && advance.id === "refused" ? Effect.fail(refusal) : db.advanceBackfill(advance)
    })
    const engine = Layer.provideMerge(recorder().body, Engine.layer({ name: "app" }))
    yield* Schedule.pause(schedule)
    yield* Effect.gen(function*() {
      for (const id of ["unreadable", "refused", "good"]) {
        yield* Backfill.start(schedule, { ...window, id, onExisting: "rerun" })
      }
      assert.strictEqual((yield* ended("good")).started, 60)
      assert.strictEqual((yield* stored("refused")).started, 0)
      refusing.on = false
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* ended("refused")).started, 60)
      assert.strictEqual((yield* ended("unreadable")).started, 60)
    }).pipe(Effect.provide(engine), Effect.provideService(SystemDb, watched))
  }).pipe(Effect.provide(Memory.layer)))

it.effect("while there is no backfill, nobody asks for one but at the polls", () =>
  Effect.gen(function*() {
    yield* start
    const node = yield* single(recorder().body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1" })
      yield* ended("b1")
      node.calls.clear()
      yield* elapse("1 hour", 60)
      assert.isAtLeast(node.calls.get("fire")!, 60)
      assert.isAtMost(node.calls.get("dueBackfills")!, 13)
      assert.isUndefined(node.calls.get("findBackfill"))
    }))
  }))

it.effect("a hundred thousand ticks go through in bounded statements", () =>
  Effect.gen(function*() {
    yield* start
    const db = yield* SystemDb
    const sizes: Array<number> = []
    const live: Array<number> = []
    const watched = Layer.succeed(
      SystemDb,
      SystemDb.of({
        ...db,
        dueBackfills: (limit) =>
          Effect.tap(db.dueBackfills(limit), (due) =>
            Effect.sync(() => live.push(...due.map(({ backfill }) => backfill.live)))),
        advanceBackfill: (advance: BackfillAdvance) => {
          sizes.push(advance.ticks.length)
          return db.advanceBackfill(advance)
        }
      })
    )
    let ran = 0
    const body = Beat.toLayer(() =>
      Effect.sync(() => void ran++)
    )
    const engine = Layer.provideMerge(body, Engine.layer({ name: "app" }))
    yield* Schedule.create(Schedule.make("fine", { workflow: Beat, timing: { every: "1 second" }, context: 1 }))
    yield* Schedule.pause("fine")
    yield* Effect.gen(function*() {
      yield* Backfill.start("fine", { from: day - 100_000 * second, to: day, id: "b1", concurrency: 1_000 })
      const done = yield* inTime(Backfill.await("b1"), "1 second")
      assert.deepStrictEqual([done.started, done.existing, ran], [100_000, 0, 100_000])
    }).pipe(Effect.provide(engine), Effect.provide(watched))
    assert.isAtMost(Math.max(...sizes), 500)
    assert.isAtMost(Math.max(...live), 1_000)
    const row: Stored = Option.getOrThrow(yield* db.findBackfill("b1"))
    assert.strictEqual(row.live, 0)
  }).pipe(Effect.provide(Memory.layer)), 120_000)
