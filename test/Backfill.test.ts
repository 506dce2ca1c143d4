import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Backfill from "../src/Backfill.ts"
import * as Memory from "../src/Memory.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Workflow from "../src/Workflow.ts"
import {
  audits,
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
import { elapse, eventually, single } from "./support/engine.ts"

const Other = Workflow.make("other", { payload: Schedule.Tick(Schema.Unknown) })

it.effect("a backfill runs every tick of its window once, the oldest first, and is then done", () =>
  Effect.gen(function*() {
    yield* start
    const { body, contexts, ticks } = recorder()
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      const begun = yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 1 })
      assert.strictEqual(begun.status, "Active")
      assert.strictEqual(begun.progress, 0)
      const done = yield* ended("b1")
      assert.deepStrictEqual(ticks, minutes(window.from, window.to))
      assert.deepStrictEqual([...new Set(contexts)], ["own"])
      const { createdAt: _, finishedAt, ...rest } = done
      assert.isTrue(Option.isSome(finishedAt))
      assert.deepStrictEqual(rest, {
        id: "b1",
        schedule: "beat",
        from: DateTime.makeUnsafe(window.from),
        to: DateTime.makeUnsafe(window.to),
        order: "oldest",
        concurrency: 1,
        onExisting: "skip",
        status: "Done",
        started: 60,
        existing: 0,
        live: 0,
        cursor: Option.none(),
        progress: 1
      })
      const run = Option.getOrThrow(yield* Run.get("sched-beat-2029-12-31T23:00:00.000Z"))
      assert.strictEqual(run.backfill, "b1")
      assert.strictEqual(JSON.parse(run.origin!).cause, "backfill")
      const info = Option.getOrThrow(yield* Schedule.get(schedule))
      assert.strictEqual(info.status, "Paused")
    }))
  }))

it.effect("a backfill that begins with the newest goes back through its window", () =>
  Effect.gen(function*() {
    yield* start
    const { body, ticks } = recorder()
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 1, order: "newest" })
      yield* ended("b1")
      assert.deepStrictEqual(ticks, minutes(window.from, window.to).reverse())
    }))
  }))

it.effect("no more runs are live at once than the backfill may have, and each that ends is followed by one", () =>
  Effect.gen(function*() {
    yield* start
    const { body, peak, ticks } = recorder(10 * second)
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 6 })
      const before = yield* DateTime.now
      yield* ended("b1", "200 millis")
      const took = DateTime.toEpochMillis(yield* DateTime.now) - DateTime.toEpochMillis(before)
      assert.strictEqual(ticks.length, 60)
      assert.strictEqual(peak.most, 6)
      // Ten rounds of ten seconds: it does not wait for the polls, which are minutes apart.
      assert.isBelow(took, 105 * second)
    }))
  }))

it.effect("ticks that ran already are passed over, or run again when that is asked for", () =>
  Effect.gen(function*() {
    yield* start
    const { body, contexts, ticks } = recorder()
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { from: day - hour / 2, to: day, id: "half" })
      yield* ended("half")
      const skipped = yield* Effect.andThen(
        Backfill.start(schedule, { ...window, id: "skip", concurrency: 2, order: "newest" }),
        ended("skip")
      )
      assert.deepStrictEqual([skipped.started, skipped.existing, ticks.length], [30, 30, 60])
      yield* Backfill.start(schedule, { ...window, id: "again", onExisting: "rerun", context: { n: 7 } })
      const rerun = yield* ended("again")
      assert.deepStrictEqual([rerun.started, rerun.existing, ticks.length], [60, 0, 120])
      assert.deepStrictEqual(contexts.slice(60), Array.from({ length: 60 }, () => ({ n: 7 })))
      const id = `sched-beat-${new Date(window.from).toISOString()}-backfill-again`
      assert.strictEqual(Option.getOrThrow(yield* Run.get(id)).tick, window.from)
    }))
  }))

it.effect("a window that ran already is passed over in long stretches", () =>
  Effect.gen(function*() {
    yield* start
    const { body } = recorder()
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { from: day - 48 * hour, to: day, id: "first", concurrency: 500 })
      assert.strictEqual((yield* ended("first")).started, 2_880)
      node.calls.clear()
      yield* Backfill.start(schedule, { from: day - 48 * hour, to: day, id: "second", concurrency: 1 })
      assert.strictEqual((yield* ended("second")).existing, 2_880)
      assert.isAtMost(node.calls.get("advanceBackfill")!, 10)
    }))
  }))

it.effect("a plan counts the ticks of the window and those that have a run, and does nothing", () =>
  Effect.gen(function*() {
    yield* start
    const { body } = recorder()
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      const except = { cron: "0 30-59 * * * *" }
      yield* Schedule.create(
        Schedule.make("beat", { workflow: Beat, cron: "0 * * * * *", except, context: 1 })
      )
      yield* Schedule.pause("beat")
      assert.deepStrictEqual(yield* Backfill.plan("beat", window), {
        count: 30,
        first: Option.some(DateTime.makeUnsafe(window.from)),
        last: Option.some(DateTime.makeUnsafe(window.from + 29 * minute)),
        existing: 0
      })
      yield* Backfill.start("beat", { from: window.from, to: window.from + 10 * minute, id: "b1" })
      yield* ended("b1")
      yield* Schedule.trigger("beat", { scheduledAt: DateTime.makeUnsafe(window.from + 20 * minute) })
      assert.strictEqual((yield* Backfill.plan("beat", window)).existing, 10)
      const none = { count: 0, first: Option.none(), last: Option.none(), existing: 0 }
      assert.deepStrictEqual(yield* Backfill.plan("beat", { from: day, to: day }), none)
      assert.strictEqual((yield* Backfill.list("beat")).length, 1)
    }))
  }))

it.effect("a plan of very many ticks lets other fibers have their turn", () =>
  Effect.gen(function*() {
    yield* start
    yield* Schedule.create(Schedule.make("fine", { workflow: Beat, timing: { every: "1 second" }, context: 1 }))
    let turns = 0
    const other = yield* Effect.forkChild(
      Effect.forever(Effect.andThen(Effect.sync(() => turns++), Effect.yieldNow)),
      { startImmediately: true }
    )
    const { count } = yield* Backfill.plan("fine", { from: day - 24 * hour, to: day })
    other.interruptUnsafe()
    assert.strictEqual(count, 86_400)
    assert.isAtLeast(turns, 40)
  }).pipe(Effect.provide(Memory.layer)))

it.effect("a backfill that is paused starts no more runs until it is resumed", () =>
  Effect.gen(function*() {
    yield* start
    const { body, ticks } = recorder(second)
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 2, reason: "was down" })
      yield* eventually(stored("b1"), ({ started }) => started >= 10)
      yield* Backfill.pause("b1", { reason: "too much" })
      yield* Backfill.pause("b1")
      const paused = yield* eventually(stored("b1"), ({ live }) => live === 0)
      yield* elapse("1 hour")
      assert.strictEqual((yield* stored("b1")).started, paused.started)
      assert.strictEqual(paused.status, "Paused")
      assert.isBelow(paused.progress, 0.5)
      yield* Backfill.resume("b1")
      const done = yield* ended("b1")
      assert.strictEqual(done.status, "Done")
      assert.deepStrictEqual(ticks, minutes(window.from, window.to))
      assert.deepStrictEqual(yield* audits, [
        ["backfill.resume", "unknown", null],
        ["backfill.pause", "unknown", "too much"],
        ["backfill", "unknown", "was down"]
      ])
    }))
  }))

it.effect("a backfill that is cancelled takes its enqueued runs with it, and those under way go on", () =>
  Effect.gen(function*() {
    yield* start
    const { body, ticks } = recorder(minute)
    const node = yield* single(body, { concurrency: 1 })
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Schedule.pause(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 5 })
      yield* eventually(Effect.sync(() => ticks.length), (count) => count === 1)
      yield* Backfill.cancel("b1").pipe(
        Effect.provideService(Schedule.CurrentOperator, { name: "mia", source: null })
      )
      const cancelled = yield* Backfill.await("b1")
      assert.deepStrictEqual([cancelled.status, cancelled.live], ["Cancelled", 1])
      const runs = yield* eventually(Run.list(), (runs) => runs.every(({ finishedAt }) => finishedAt !== null))
      assert.deepStrictEqual(runs.map(({ status }) => status).sort(), [
        "Cancelled",
        "Cancelled",
        "Cancelled",
        "Cancelled",
        "Succeeded"
      ])
      assert.deepStrictEqual((yield* audits)[0], ["backfill.cancel", "mia", null])
      yield* Backfill.cancel("b1")
      const refused = yield* Effect.flip(Backfill.resume("b1"))
      assert.strictEqual(refused.message, "Backfill b1 is Cancelled; start another one.")
    }))
  }))

it.effect("a backfill whose schedule is deleted is cancelled, and says why", () =>
  Effect.gen(function*() {
    yield* start
    const { body } = recorder(second)
    const node = yield* single(body)
    yield* node.run(Effect.gen(function*() {
      yield* Schedule.create(schedule)
      yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 1 })
      yield* eventually(stored("b1"), ({ started }) => started === 3)
      yield* Schedule.remove(schedule)
      assert.strictEqual((yield* ended("b1")).status, "Cancelled")
      assert.deepStrictEqual((yield* audits)[0], ["backfill.cancel", "effect-durable", "The schedule was deleted"])
      assert.deepStrictEqual((yield* Backfill.list("beat")).map(({ id }) => id), ["b1"])
    }))
  }))

it.effect("the same id is the same job, and the id of another schedule's is refused", () =>
  Effect.gen(function*() {
    yield* start
    yield* Schedule.create(schedule)
    yield* Schedule.create(Schedule.make("two", { workflow: Beat, cron: "0 0 * * * *", context: 1 }))
    const first = yield* Backfill.start(schedule, { ...window, id: "b1" })
    assert.deepStrictEqual(yield* Backfill.start(schedule, { ...window, id: "b1", concurrency: 3 }), first)
    assert.strictEqual(first.concurrency, 10)
    const refused = yield* Effect.flip(Backfill.start("two", { ...window, id: "b1" }))
    assert.strictEqual(refused.message, "id: is that of a backfill of schedule \"beat\"")
    assert.strictEqual((yield* audits).length, 1)
    yield* TestClock.adjust(1)
    const unnamed = yield* Backfill.start("two", window)
    const [newest] = yield* Backfill.list(undefined, { limit: 1 })
    assert.strictEqual(newest!.id, unnamed.id)
    assert.deepStrictEqual(yield* Backfill.list(undefined, { after: newest }), [first])
    assert.deepStrictEqual(yield* Backfill.list("two"), [unnamed])
  }).pipe(Effect.provide(Memory.layer)))

it.effect("what cannot be backfilled is refused, and nothing is stored", () =>
  Effect.gen(function*() {
    yield* start
    yield* Schedule.create(schedule)
    const refusal = (options: Partial<Backfill.StartOptions>, ref: Schedule.Ref = "beat") =>
      Effect.map(Effect.flip(Backfill.start(ref, { ...window, ...options })), ({ message }) => message)
    assert.strictEqual(yield* refusal({ to: window.from - 1 }), "to: lies before from")
    assert.strictEqual(yield* refusal({ concurrency: 0 }), "concurrency: must be a whole number from 1 to 100000")
    assert.strictEqual(yield* refusal({ id: "" }), "id: must not be empty")
    assert.strictEqual(yield* refusal({ id: "x".repeat(65) }), "id: must not be longer than 64 bytes of UTF-8")
    assert.strictEqual(yield* refusal({}, "nobody"), "There is no schedule named \"nobody\".")
    const other = Schedule.make("beat", { workflow: Other, cron: "0 * * * * *", context: 1 })
    assert.include(yield* refusal({}, other), "schedule \"beat\" starts beat, not other")
    assert.deepStrictEqual(yield* Backfill.list(), [])
    assert.deepStrictEqual(yield* Backfill.get("b1"), Option.none())
    assert.strictEqual((yield* Effect.flip(Backfill.pause("b1"))).message, "There is no backfill b1.")
    assert.strictEqual((yield* Effect.flip(Backfill.await("b1")))._tag, "BackfillNotFound")
  }).pipe(Effect.provide(Memory.layer)))

it.effect("an empty window, and one that a calendar excludes altogether, are done at once", () =>
  Effect.gen(function*() {
    yield* start
    const node = yield* single(recorder().body)
    yield* node.run(Effect.gen(function*() {
      const never = { timing: { every: "1 second", except: { cron: "* * * * * *" } }, context: 1 } as const
      yield* Schedule.create(Schedule.make("beat", { workflow: Beat, ...never }))
      yield* Backfill.start("beat", { from: day, to: day, id: "empty" })
      assert.strictEqual((yield* ended("empty")).started, 0)
      yield* Backfill.start("beat", { from: day - 24 * hour, to: day, id: "excluded" })
      const { existing, started, status } = yield* ended("excluded")
      assert.deepStrictEqual([existing, started, status], [0, 0, "Done"])
    }))
  }))
