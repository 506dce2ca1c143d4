import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import { SystemDb } from "../src/SystemDb.ts"
import { answers, day, hour, hourly, hours, info, Job, Told, world } from "./support/hourly.ts"

// ── overlap ─────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("skip drops a tick while a run is live, suspended ones too, and names that run", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 90, overlap: "skip" }))
      yield* TestClock.adjust("6 hours")
      assert.deepStrictEqual(yield* answers(6.5), [
        "1 Started Succeeded",
        "2 Overlapped Live",
        "3 Started Succeeded",
        "4 Overlapped Live",
        "5 Started Suspended",
        "6 Overlapped Live"
      ])
      const { text } = yield* Schedule.explain("hourly", day + 2 * hour)
      assert.strictEqual(
        text,
        "It did not start: run sched-hourly-2030-01-01T01:00:00.000Z was live, and the overlap policy starts none beside it."
      )
    })
  ))

it.effect("bufferOne lets one tick wait and starts it when the run has ended", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 150, overlap: "bufferOne" }))
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual((yield* info()).buffered.map(hours), [2])
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(begun, [[1, 1], [2, 3.5], [4, 6]])
      assert.deepStrictEqual(yield* answers(6.5), [
        "1 Started Succeeded",
        "2 Started Succeeded",
        "3 Overlapped BufferFull",
        "4 Started Suspended",
        "5 Overlapped BufferFull",
        // It came at the instant at which the run ended that 4 had waited for.
        "6 Overlapped BufferFull"
      ])
    })
  ))

it.effect("bufferAll keeps the order of the ticks, and what waits can be dropped", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 150, overlap: { mode: "bufferAll", max: 3 } }))
      yield* TestClock.adjust("4 hours")
      assert.deepStrictEqual((yield* info()).buffered.map(hours), [3, 4])
      yield* Schedule.dropBuffered("hourly", day + 3 * hour, { reason: "not needed" })
      yield* TestClock.adjust("150 minutes")
      assert.deepStrictEqual(begun, [[1, 1], [2, 3.5], [4, 6]])
      assert.include(yield* answers(4), "3 Overlapped Dropped")
    })
  ))

it.effect("cancelOther cancels the run that is live and says why", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 90, overlap: "cancelOther" }))
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* answers(3), ["1 Started Cancelled", "2 Started Suspended"])
      const { reason } = yield* Effect.map(
        Run.get("sched-hourly-2030-01-01T01:00:00.000Z"),
        Option.getOrThrow
      )
      assert.strictEqual(reason, "Replaced by run sched-hourly-2030-01-01T02:00:00.000Z")
    })
  ))

it.effect("allow with a bound lets that many runs be live at once", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 170, overlap: { mode: "allow", max: 2 } }))
      yield* TestClock.adjust("5 hours")
      assert.deepStrictEqual(begun, [[1, 1], [2, 2], [4, 4], [5, 5]])
    })
  ))

it.effect("schedules with the same key do not run beside each other", () =>
  world(() =>
    Effect.gen(function*() {
      const overlap = { mode: "skip", key: "warehouse" } as const
      yield* Schedule.create(hourly({ minutes: 45, overlap }))
      yield* Schedule.create(Schedule.make("half past", {
        workflow: Job,
        cron: "0 30 * * * *",
        context: { minutes: 10 },
        overlap
      }))
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(yield* answers(3), ["1 Started Succeeded", "2 Started Succeeded"])
      assert.deepStrictEqual(yield* answers(3, "half past"), [
        "0.5 Started Succeeded",
        "1.5 Overlapped Live",
        "2.5 Overlapped Live"
      ])
    })
  ))

it.effect("two schedules of one scope that are due at one instant start one run", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      const overlap = { mode: "skip", key: "warehouse" } as const
      yield* Schedule.create(hourly({ minutes: 30, overlap }))
      yield* Schedule.create({ ...hourly({ minutes: 30, overlap }), name: "other" })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(begun.length, 1)
      const both = [...(yield* answers(2)), ...(yield* answers(2, "other"))].sort()
      assert.deepStrictEqual(both, ["1 Overlapped Live", "1 Started Suspended"])
    })
  ))

// ── when ────────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("jitter starts a run later within its bound, the same on every process, and the tick stays the nominal one", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ jitter: "20 minutes" }))
      const planned = yield* Schedule.upcoming("hourly", 5)
      yield* TestClock.adjust("6 hours")
      assert.deepStrictEqual(begun.map(([tick]) => tick).slice(0, 5), [1, 2, 3, 4, 5])
      for (const [index, { startsAt }] of planned.entries()) {
        // Timers are rounded up to whole milliseconds.
        const late = begun[index]![1] * hour - hours(startsAt) * hour
        assert.isTrue(late > -0.5 && late < 1.5, String(late))
      }
      for (const [tick, at] of begun) assert.isTrue(at >= tick && at < tick + 1 / 3)
      assert.isAbove(new Set(begun.map(([tick, at]) => at - tick)).size, 1)
    })
  ))

it.effect("bounds say when a schedule begins and ends, and how many runs it starts", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ from: day + 3 * hour, until: day + 6 * hour }))
      yield* Schedule.create({ ...hourly({ maxRuns: 2 }), name: "twice" })
      yield* TestClock.adjust("10 hours")
      assert.deepStrictEqual(begun.map(([tick]) => tick), [1, 2, 3, 4, 5])
      assert.deepStrictEqual((yield* info()).nextTick, Option.none())
      assert.deepStrictEqual((yield* info("twice")).nextTick, Option.none())
    })
  ))

it.effect("a tick that could not start before its deadline is dropped, also one that waited in the buffer", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 150, overlap: "bufferOne", startDeadline: "1 hour" }))
      yield* TestClock.adjust("4 hours")
      assert.deepStrictEqual(begun, [[1, 1], [4, 4]])
      assert.deepStrictEqual(yield* answers(5), [
        "1 Started Succeeded",
        "2 Missed Late",
        "3 Overlapped BufferFull",
        "4 Started Suspended"
      ])
    })
  ))

it.effect("a run that waits for a worker until its deadline has passed is dropped and says so", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const db = yield* SystemDb
    yield* Schedule.create(hourly({ startDeadline: "10 minutes" }))
    const scheduler = Engine.layer({ name: "app", worker: false })
    yield* TestClock.adjust("75 minutes").pipe(Effect.provide(scheduler))
    const begun: Array<number> = []
    const worker = Job.toLayer(({ scheduledAt }) => Effect.sync(() => void begun.push(hours(scheduledAt)))).pipe(
      Layer.provideMerge(Engine.layer({ name: "app", scheduler: false }))
    )
    yield* TestClock.adjust("1 minute").pipe(Effect.provide(worker))
    assert.deepStrictEqual(begun, [])
    assert.deepStrictEqual(yield* answers(2), ["1 Started Cancelled"])
    const [run] = yield* db.listRuns({}, { limit: 1, after: null })
    assert.strictEqual(run!.reason, "It could not start before its deadline")
  }).pipe(Effect.provide(Memory.layer)))

it.effect("a time-out of the schedule ends its runs", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 30, timeout: "10 minutes" }))
      yield* TestClock.adjust("90 minutes")
      assert.deepStrictEqual(yield* answers(2), ["1 Started Failed"])
    })
  ))

// ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("failures in a row pause the schedule, each is told once, and so is the recovery", () =>
  world(({ beats, fail, told }) =>
    Effect.gen(function*() {
      fail.current = true
      yield* Schedule.create(
        hourly({ pauseAfterFailures: 3, onFailure: Told, onRecovered: Told, heartbeat: "https://example.com/beat" })
      )
      yield* TestClock.adjust("6 hours")
      const { failures, pauseReason, status } = yield* info()
      assert.deepStrictEqual([status, failures], ["Paused", 3])
      assert.strictEqual(
        Option.getOrThrow(pauseReason),
        "3 failures in a row, the last one in run sched-hourly-2030-01-01T03:00:00.000Z"
      )
      assert.deepStrictEqual(told.map(({ event, failures, tick }) => [event, hours(tick), failures]), [
        ["failure", 1, 1],
        ["failure", 2, 2],
        ["failure", 3, 3]
      ])
      const [audit] = yield* Schedule.audit("hourly")
      assert.deepStrictEqual([audit!.action, audit!.actor], ["pause", "effect-durable"])

      fail.current = false
      yield* Schedule.resume("hourly")
      yield* TestClock.adjust("2 hours")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told.slice(3).map(({ event, failures, tick }) => [event, hours(tick), failures]), [
        ["recovered", 7, 3]
      ])
      assert.strictEqual((yield* info()).failures, 0)
      assert.deepStrictEqual(beats, ["https://example.com/beat", "https://example.com/beat"])
    })
  ))

it.effect("ticks that were dropped because they were late are told once for each stretch", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    yield* Schedule.create(hourly({ catchUp: "none", onMissed: Told }))
    yield* TestClock.adjust("5 hours")
    const told: Array<Schedule.Event> = []
    const bodies = Told.toLayer((event) => Effect.sync(() => void told.push(event)))
    const up = TestClock.adjust("1 minute").pipe(
      Effect.provide(Layer.provideMerge(bodies, Engine.layer({ name: "app" })))
    )
    yield* up
    yield* up
    assert.deepStrictEqual(
      told.map(({ count, event, lastTick, tick }) => [event, hours(tick), hours(lastTick), count]),
      [
        ["missed", 1, 4, 4]
      ]
    )
  }).pipe(Effect.provide(Memory.layer)))
