/** What operators do to a schedule while its ticks pass, and what becomes of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import * as Backfill from "../src/Backfill.ts"
import * as Engine from "../src/Engine.ts"
import type { InvalidInput } from "../src/Errors.ts"
import * as Memory from "../src/Memory.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import { SystemDb } from "../src/SystemDb.ts"
import { contentOf } from "./conformance/fixture.ts"
import { answers, day, hour, hourly, hours, info, Job, minute, Told, world } from "./support/hourly.ts"

const at = (hours: number) => TestClock.setTime(day + hours * hour)

/** As at the beginning of a day, with nobody who fires. */
const alone = <A, E>(test: Effect.Effect<A, E, SystemDb>) =>
  Effect.andThen(TestClock.setTime(day), Effect.provide(test, Memory.layer))

const refusedField = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => (error as InvalidInput).field)

describe("a pause with an end", () => {
  it.effect("ends at its instant, also when an operator is the first to notice, hours later", () =>
    alone(Effect.gen(function*() {
      yield* Schedule.create(hourly({ catchUp: "all" }))
      yield* Schedule.pause("hourly", { until: day + 2.5 * hour })
      yield* at(6.1)
      yield* Schedule.resume("hourly", { catchUp: "all" })
      assert.deepStrictEqual(yield* answers(7), ["1 Paused", "2 Paused"])
      const { nextTick, status } = yield* info()
      assert.deepStrictEqual([status, hours(Option.getOrThrow(nextTick))], ["Active", 3])
      const [audit] = yield* Schedule.audit("hourly")
      assert.deepStrictEqual([audit!.action, audit!.actor], ["resume", "effect-durable"])
      yield* Schedule.pause("hourly")
      assert.strictEqual(hours(Option.getOrThrow((yield* info()).pausedAt)), 6.1)
    })))

  it.effect("keeps its end when it is paused again for another reason, and loses it when that is asked for", () =>
    alone(Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* Schedule.pause("hourly", { until: day + 3 * hour, reason: "first" })
      yield* at(1)
      yield* Schedule.pause("hourly", { reason: "second" })
      const paused = yield* info()
      assert.deepStrictEqual(
        [Option.map(paused.pausedUntil, hours), Option.map(paused.pausedAt, hours), paused.pauseReason],
        [Option.some(3), Option.some(0), Option.some("second")]
      )
      yield* Schedule.pause("hourly", { until: null })
      assert.deepStrictEqual((yield* info()).pausedUntil, Option.none())
      assert.strictEqual(yield* refusedField(Schedule.pause("hourly", { until: day })), "until")
    })))

  it.effect("does not end by itself when the schedule has failed as often as it may meanwhile", () =>
    world(({ fail }) =>
      Effect.gen(function*() {
        fail.current = true
        yield* Schedule.create(hourly({ minutes: 30, pauseAfterFailures: 1 }))
        yield* TestClock.adjust("70 minutes")
        yield* Schedule.pause("hourly", { until: day + 2.5 * hour })
        yield* TestClock.adjust("3 hours")
        const { pauseReason, pausedUntil, status } = yield* info()
        assert.deepStrictEqual([status, pausedUntil], ["Paused", Option.none()])
        assert.match(Option.getOrThrow(pauseReason), /1 failures? in a row/)
        const [audit] = yield* Schedule.audit("hourly")
        assert.deepStrictEqual(audit!.before, { status: "Paused", reason: null, until: day + 2.5 * hour })
      })
    ))
})

describe("an edit", () => {
  it.effect("of a paused schedule answers what fell in the pause before it, by the timing that was in force", () =>
    alone(Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* Schedule.pause("hourly")
      yield* at(2.25)
      yield* Schedule.edit("hourly", { cron: "0 30 * * * *" })
      yield* at(4)
      yield* Schedule.resume("hourly")
      assert.deepStrictEqual(yield* answers(5), ["1 Paused", "2 Paused", "2.5 Paused", "3.5 Paused"])
    })))

  it.effect("leaves a tick that its jitter has put off to start when it was to start, if it names it still", () =>
    world(({ begun }) =>
      Effect.gen(function*() {
        yield* Schedule.create(hourly({ jitter: "50 minutes" }))
        const [first] = yield* Schedule.upcoming("hourly", 1)
        yield* at(1)
        yield* TestClock.adjust("1 second")
        yield* Schedule.edit("hourly", { cron: "0 0 1,7 * * *" })
        assert.deepStrictEqual((yield* Schedule.upcoming("hourly", 2)).map(({ tick }) => hours(tick)), [1, 7])
        const { text } = yield* Schedule.explain("hourly", day + hour)
        assert.match(text, /starts in/)
        yield* at(2)
        assert.deepStrictEqual(
          begun.map(([tick, at]) => [tick, Math.round(at * hour - hours(first!.startsAt) * hour)]),
          [
            [1, 0]
          ]
        )
      })
    ))
})

describe("a tick that was put off over an edit", () => {
  /** The tick of 1:00 is due some minutes later, when the timing is changed to one that names it too. */
  const putOff = (before: Effect.Effect<void, unknown, SystemDb>, policies: Schedule.PolicyOptions = {}) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ jitter: "50 minutes", ...policies }))
      yield* TestClock.setTime(day + hour + 1_000)
      yield* before
      yield* Schedule.edit("hourly", { cron: "0 0 1,7 * * *" })
    })
  const fire = Effect.provide(TestClock.adjust("1 minute"), Engine.layer({ name: "app" }))

  it.effect("is Paused when it is due in a pause, by whatever way that ends", () =>
    alone(Effect.gen(function*() {
      yield* putOff(Effect.void)
      yield* Schedule.pause("hourly", { until: day + 5 * hour })
      yield* at(5.5)
      yield* fire
      assert.deepStrictEqual(yield* answers(6), ["1 Paused"])
      yield* Schedule.remove("hourly")
      yield* TestClock.setTime(day + 24 * hour)
    })))

  it.effect("is Paused when an operator resumes after it was due, and starts when he asks to catch up", () =>
    Effect.forEach(
      [[{}, "1 Paused"], [{ catchUp: "all" }, "1 Started Enqueued"]] as const,
      ([options, answer]) =>
        alone(Effect.gen(function*() {
          yield* putOff(Effect.void)
          yield* Schedule.pause("hourly")
          yield* at(5)
          yield* Schedule.resume("hourly", options)
          yield* fire
          assert.deepStrictEqual(yield* answers(6), [answer])
        })),
      { discard: true }
    ))

  it.effect("is Skipped when that was asked before or after, and uses up what was asked", () =>
    Effect.forEach(
      [
        [Schedule.skip("hourly", day + hour), Effect.void],
        [Schedule.skipNext("hourly", 1), Effect.void],
        [Effect.void, Schedule.skip("hourly", day + hour)]
      ] as const,
      ([before, after]) =>
        alone(Effect.gen(function*() {
          yield* putOff(before)
          yield* after
          yield* at(2)
          yield* fire
          assert.deepStrictEqual(yield* answers(6), ["1 Skipped"])
          assert.deepStrictEqual((yield* info()).skipping, { next: 0, instants: [] })
        })),
      { discard: true }
    ))

  it.effect("is dropped when it is late and the policy drops late ticks", () =>
    alone(Effect.gen(function*() {
      yield* putOff(Effect.void, { catchUp: "none" })
      yield* at(5.9)
      yield* fire
      assert.deepStrictEqual(yield* answers(6), ["1 Missed Down"])
    })))
})

describe("late ticks", () => {
  /** Fires for a minute what came in six hours without an engine. */
  const afterOutage = (policies: Schedule.PolicyOptions, told: Array<Schedule.Event> = []) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 600, ...policies }))
      yield* at(6.5)
      const bodies = Told.toLayer((event) => Effect.sync(() => void told.push(event)))
      const up = TestClock.adjust("1 minute").pipe(
        Effect.provide(Layer.provideMerge(bodies, Engine.layer({ name: "app" })))
      )
      yield* up
      yield* up
    })

  it.effect("are not coalesced into a run that its start deadline keeps from starting, and each is told of", () => {
    const told: Array<Schedule.Event> = []
    return alone(Effect.gen(function*() {
      yield* afterOutage({ startDeadline: "10 minutes", onMissed: Told }, told)
      assert.deepStrictEqual(yield* answers(6.5), [1, 2, 3, 4, 5, 6].map((tick) => `${tick} Missed Late`))
      assert.strictEqual((yield* info()).dropped.missed, 6)
      assert.deepStrictEqual(told.map(({ count, reason }) => [count, reason]), [
        [6, "6 ticks were dropped because their start deadline had passed"]
      ])
    }))
  })

  it.effect("are not coalesced into a run that a live one keeps from starting", () =>
    alone(Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* Schedule.trigger("hourly")
      yield* Schedule.edit("hourly", { overlap: "skip" })
      yield* at(6.5)
      yield* Effect.provide(TestClock.adjust("1 minute"), Engine.layer({ name: "app" }))
      assert.deepStrictEqual(yield* answers(6.5), [1, 2, 3, 4, 5, 6].map((tick) => `${tick} Overlapped Live`))
    })))
})

describe("maxRuns", () => {
  it.effect("ends the schedule, says so, and can be raised", () =>
    world(() =>
      Effect.gen(function*() {
        yield* Schedule.create(hourly({ maxRuns: 2 }))
        assert.deepStrictEqual((yield* info()).runsLeft, Option.some(2))
        yield* at(1)
        yield* at(2)
        yield* at(3.5)
        const ended = yield* info()
        assert.deepStrictEqual(
          [ended.status, ended.started, ended.runsLeft, ended.nextTick],
          ["Ended", 2, Option.some(0), Option.none()]
        )
        assert.match(Option.getOrThrow(ended.ended), /the 2 runs that maxRuns allows/)
        assert.match((yield* Schedule.explain("hourly", day + 4 * hour)).text, /has ended: it has started the 2 runs/)
        const named = (status: Schedule.Status) =>
          Effect.map(Schedule.list({ status }), (all) => all.map(({ name }) => name))
        assert.deepStrictEqual([yield* named("Ended"), yield* named("Active")], [["hourly"], []])
        yield* Schedule.edit("hourly", { maxRuns: 3 })
        yield* at(4)
        yield* at(6)
        assert.deepStrictEqual(yield* answers(7), ["1 Started Succeeded", "2 Started Succeeded", "4 Started Succeeded"])
      })
    ))
})

describe("schedules under one key", () => {
  it.effect("take turns: what waits is not overtaken, and says for whom it was left out", () =>
    world(() =>
      Effect.gen(function*() {
        const shared = (mode: "allow" | "bufferOne") => ({ mode, key: "warehouse", ...mode === "allow" && { max: 2 } })
        yield* Schedule.create(Schedule.make("sync", {
          workflow: Job,
          cron: "0 */10 * * * *",
          context: { minutes: 15 },
          overlap: shared("allow")
        }))
        yield* Schedule.create(hourly({ minutes: 1, overlap: shared("bufferOne") }))
        yield* TestClock.adjust("5 hours")
        const started = (yield* answers(5)).filter((answer) => answer.includes("Started"))
        assert.isAtLeast(started.length, 3)
        const left = (yield* answers(5, "sync")).filter((answer) => answer.includes("Waiting"))
        assert.isAbove(left.length, 0)
      })
    ))
})

it.effect("a start that waits and becomes too late lets the others of its key go on at once", () =>
  world(() =>
    Effect.gen(function*() {
      const overlap = (mode: "skip" | "bufferOne" | "allow") => ({
        mode,
        key: "warehouse",
        ...mode === "allow" && { max: 20 }
      })
      yield* Schedule.create(hourly({ minutes: 9, overlap: overlap("skip") }))
      yield* Schedule.create(Schedule.make("waits", {
        workflow: Job,
        cron: "0 5 1 * * *",
        context: { minutes: 1 },
        overlap: overlap("bufferOne"),
        startDeadline: "2 minutes"
      }))
      yield* Schedule.create(Schedule.make("often", {
        workflow: Job,
        cron: "30 5-8 1 * * *",
        context: { minutes: 0 },
        overlap: overlap("allow")
      }))
      for (let seconds = 3_599; seconds <= 3_600 + 540; seconds++) yield* at(seconds / 3_600)
      assert.deepStrictEqual((yield* answers(2, "waits")).map((answer) => answer.slice(-11)), ["Missed Late"])
      assert.deepStrictEqual((yield* answers(2, "often")).map((answer) => answer.replace(/^\S+ /, "")), [
        "Overlapped Waiting",
        "Overlapped Waiting",
        "Started Succeeded",
        "Started Succeeded"
      ])
    })
  ))

it.effect("a schedule that waits and cannot be read any more does not keep the others of its key waiting", () =>
  world(() =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      const overlap = (mode: "skip" | "bufferOne") => ({ mode, key: "warehouse" })
      yield* Schedule.create(hourly({ minutes: 90, overlap: overlap("skip") }))
      yield* Schedule.create(Schedule.make("waits", {
        workflow: Job,
        cron: "0 10 1 * * *",
        context: { minutes: 1 },
        overlap: overlap("bufferOne")
      }))
      yield* at(1)
      yield* at(1.25)
      const [row] = yield* db.findSchedules(["waits"])
      assert.isNotNull(row!.waitingSince)
      const content = { ...contentOf(row!), state: "{\"failures\":\"many\"}" }
      yield* db.changeSchedules({
        id: "odd",
        schedules: [{ name: "waits", turn: row!.turn, content }],
        controls: [],
        entries: [],
        audits: [{ schedule: "waits", action: "t", actor: "t", source: null, reason: null, before: null, after: null }]
      })
      for (let hours = 1.5; hours <= 5; hours += 0.5) yield* at(hours)
      assert.deepStrictEqual(yield* answers(3.5), ["1 Started Succeeded", "2 Overlapped Live", "3 Started Succeeded"])
    })
  ))

it.effect("a backfill keeps the ticks it was planned with, whatever becomes of the timing", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* Schedule.pause("hourly")
      const window = { from: day - 5 * hour, to: day }
      yield* Backfill.start("hourly", { ...window, id: "b", concurrency: 1 })
      yield* Schedule.edit("hourly", { cron: "0 30 * * * *" })
      for (let minute = 0; minute < 20; minute++) yield* TestClock.adjust("1 minute")
      const { progress, status } = Option.getOrThrow(yield* Backfill.get("b"))
      assert.deepStrictEqual([status, progress], ["Done", 1])
      const runs = yield* Run.list({ schedule: ["hourly"] })
      assert.deepStrictEqual(runs.map(({ tick }) => hours(tick!)).sort((a, b) => a - b), [-5, -4, -3, -2, -1])
    })
  ))

it.effect("a schedule created anew under an old name is another one: its ticks run though the old one's did", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 600, overlap: "skip" }))
      const { revision } = yield* info()
      yield* TestClock.adjust("1 hour")
      yield* Schedule.remove("hourly")
      yield* TestClock.adjust("30 minutes")
      yield* Schedule.create(hourly({ minutes: 1, overlap: "skip" }))
      assert.isAbove((yield* info()).revision, revision)
      yield* TestClock.adjust("31 minutes")
      assert.deepStrictEqual((yield* answers(2.1)).slice(-1), ["2 Started Succeeded"])
      const [again] = yield* Schedule.backfill("hourly", { from: day + hour, to: day + hour + minute })
      assert.isTrue(again!.created)
      assert.match(again!.runId, /^sched-hourly-2030-01-01T01:00:00\.000Z~[0-9a-z]+$/)
      assert.isAtLeast(begun.length, 2)
    })
  ))

it.effect("a schedule can be created Paused, with a reason and an end", () =>
  alone(Effect.gen(function*() {
    yield* Schedule.create(hourly(), { paused: { reason: "not before the launch", until: day + 2 * hour } })
    const { pauseReason, pausedUntil, status } = yield* info()
    assert.deepStrictEqual([status, pauseReason, Option.map(pausedUntil, hours)], [
      "Paused",
      Option.some("not before the launch"),
      Option.some(2)
    ])
    assert.deepStrictEqual(
      (yield* Schedule.upcoming("hourly", 3)).map(({ skipped, tick }) => [hours(tick), Option.isSome(skipped)]),
      [[1, true], [2, false], [3, false]]
    )
    const past = Schedule.create({ ...hourly(), name: "other" }, { paused: { until: day } })
    assert.strictEqual(yield* refusedField(past), "until")
  })))

it.effect("a schedule can be created with a triggered run and a backfill, which are audited with it", () =>
  alone(Effect.gen(function*() {
    yield* Schedule.create(hourly(), {
      paused: true,
      trigger: { idempotencyKey: "first", startDeadline: "1 minute", reason: "right away" },
      backfill: { from: day - 3 * hour, to: day, id: "before", concurrency: 1, order: "newest" }
    })
    const [run] = yield* Run.list({ schedule: ["hourly"] })
    assert.deepStrictEqual([run?.id, run?.status], ["sched:hourly:first", "Enqueued"])
    const backfill = Option.getOrThrow(yield* Backfill.get("before"))
    assert.deepStrictEqual(
      [backfill.status, backfill.schedule, backfill.order, backfill.concurrency],
      ["Active", "hourly", "newest", 1]
    )
    const audits = yield* Schedule.audit("hourly")
    assert.deepStrictEqual(audits.map(({ action }) => action), ["backfill", "trigger", "create"])
    assert.deepStrictEqual(audits.map(({ reason }) => reason), [
      Option.none(),
      Option.some("right away"),
      Option.none()
    ])
  })))

it.effect("a schedule is not created when what it is to begin with is refused, and the field is named", () =>
  alone(Effect.gen(function*() {
    yield* Schedule.create(hourly(), { trigger: true, backfill: { from: day, to: day + hour, id: "taken" } })
    assert.strictEqual((yield* Run.list({ schedule: ["hourly"] })).length, 1)
    const other = { ...hourly(), name: "other" }
    const window = { from: day - hour, to: day }
    const refused = yield* Effect.forEach([
      { backfill: { from: day, to: day - hour } },
      { trigger: true, backfill: { ...window, concurrency: 0 } },
      { trigger: true, backfill: { ...window, id: "taken" } },
      { trigger: { context: 1n as never }, backfill: window },
      { trigger: { startDeadline: "-1 minute" as const } },
      { trigger: { idempotencyKey: "" } },
      { trigger: { reason: "\u0000" } }
    ], (options) => refusedField(Schedule.create(other, options)))
    assert.deepStrictEqual(refused, [
      "backfill.to",
      "backfill.concurrency",
      "backfill.id",
      "trigger.context",
      "trigger.startDeadline",
      "trigger.idempotencyKey",
      "trigger.reason"
    ])
    assert.deepStrictEqual((yield* Schedule.list()).map(({ name }) => name), ["hourly"])
    assert.deepStrictEqual(yield* Run.list({ schedule: ["other"] }), [])
  })))

it.effect("explain and upcoming say the same of every tick, whatever was asked for", () =>
  alone(Effect.gen(function*() {
    yield* Schedule.create(hourly({ maxRuns: 5 }))
    yield* Schedule.skipNext("hourly", 2, { reason: "migration" })
    yield* Schedule.skip("hourly", day + 5 * hour)
    const ticks = yield* Schedule.upcoming("hourly", 20)
    assert.deepStrictEqual(ticks.map(({ skipped, tick }) => [hours(tick), Option.isSome(skipped)]), [
      [1, true],
      [2, true],
      [3, false],
      [4, false],
      [5, true],
      [6, false],
      [7, false],
      [8, false]
    ])
    for (const { skipped, tick } of ticks) {
      const { text } = yield* Schedule.explain("hourly", tick)
      if (Option.isSome(skipped)) assert.include(text, skipped.value)
      else assert.match(text, /^It has not come yet: it starts in/)
    }
    assert.match((yield* Schedule.explain("hourly", day + 9 * hour)).text, /as many runs as maxRuns allows/)
    assert.match(
      (yield* Schedule.explain("hourly", day + hour)).text,
      /skipped by an operator at .*: migration/
    )
  })))

it.effect("a list without a limit has all there are", () =>
  alone(Effect.gen(function*() {
    const names = Array.from({ length: 620 }, (_, index) => `s${String(index).padStart(4, "0")}`)
    yield* Schedule.apply(names.map((name) => ({ ...hourly(), name })))
    assert.deepStrictEqual((yield* Schedule.list()).map(({ name }) => name), names)
    assert.strictEqual((yield* Schedule.list({}, { limit: 7 })).length, 7)
  })))
