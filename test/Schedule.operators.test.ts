import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Timing from "../src/Timing.ts"
import * as Workflow from "../src/Workflow.ts"
import { answers, day, hour, hourly, hours, info, minute, world } from "./support/hourly.ts"

// ── what a body sees ────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("a body may ask why it runs, how late, and for the ticks around its own", () =>
  world(({ occasions }) =>
    Effect.gen(function*() {
      const timing = Timing.except(Timing.cron("0 0 * * * *"), { cron: "0 0 3 * * *" })
      yield* Schedule.create({ ...hourly(), timing })
      yield* TestClock.adjust("2 hours")
      yield* Schedule.trigger("hourly")
      yield* Schedule.backfill("hourly", { from: day - 2 * hour, to: day - hour })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        occasions.map(({ cause, lateBy, nextTick, previousTick, scheduledAt }) => [
          cause,
          hours(scheduledAt),
          Option.getOrNull(Option.map(previousTick, hours)),
          Option.getOrNull(Option.map(nextTick, hours)),
          Duration.toHours(lateBy)
        ]),
        [
          ["schedule", 1, 0, 2, 0],
          ["schedule", 2, 1, 4, 0],
          ["trigger", 2, 1, 4, 0],
          ["backfill", -2, -3, -1, 4]
        ]
      )
      assert.deepStrictEqual(yield* answers(4), ["1 Started Succeeded", "2 Started Succeeded"])
    })
  ))

const Old = Schema.Struct({ hours: Schema.Int })
const New = Schema.Struct({ lookback: Schema.Int })

it.effect("a context written under an earlier schema is migrated by the code that has another one", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const Before = Workflow.make("report", { payload: Schedule.Tick(Old) })
    const After = Workflow.make("report", {
      payload: Schedule.Tick(New, { migrations: [Schedule.migration(Old, ({ hours }) => ({ lookback: hours * 60 }))] }),
      success: Schema.Int
    })
    yield* Schedule.create(Schedule.make("report", { workflow: Before, cron: "0 0 * * * *", context: { hours: 2 } }))
    const body = After.toLayer(({ context }) => Effect.succeed(context.lookback))
    yield* Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* After.handle("sched-report-2030-01-01T01:00:00.000Z").await, 120)
      yield* Schedule.edit("report", { context: { hours: 3 } })
      const refused = yield* Effect.flip(Schedule.edit("report", { context: { hours: "3" } }))
      assert.strictEqual((refused as { readonly field?: string }).field, "context")
      const untriggered = yield* Effect.flip(Schedule.trigger("report", { context: { days: 3 } }))
      assert.strictEqual((untriggered as { readonly field?: string }).field, "context")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* After.handle("sched-report-2030-01-01T02:00:00.000Z").await, 180)
    }).pipe(Effect.provide(Layer.provideMerge(body, Engine.layer({ name: "app" }))))
  }).pipe(Effect.provide(Memory.layer)))

// ── operators ───────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("a context that the present schema reads is not migrated because its identity is unknown", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(day)
    const Loose = Schema.Struct({ hours: Schema.Int, unit: Schema.String })
    const First = Workflow.make("report", { payload: Schedule.Tick(Loose) })
    const Now = Workflow.make("report", {
      payload: Schedule.Tick(Schema.Struct({ hours: Schema.Int, unit: Schema.Literals(["days", "none"]) }), {
        migrations: [Schedule.migration(Old, ({ hours }) => ({ hours, unit: "none" as const }))]
      }),
      success: Schema.String
    })
    const written = { hours: 1, unit: "days" }
    yield* Schedule.create(Schedule.make("report", { workflow: First, cron: "0 0 * * * *", context: written }))
    const body = Now.toLayer(({ context }) => Effect.succeed(context.unit))
    yield* Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Now.handle("sched-report-2030-01-01T01:00:00.000Z").await, "days")
    }).pipe(Effect.provide(Layer.provideMerge(body, Engine.layer({ name: "app" }))))
  }).pipe(Effect.provide(Memory.layer)))

it.effect("skipped ticks do not start, and what was asked can be taken back", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* Schedule.skipNext("hourly", 2)
      yield* Schedule.skip("hourly", day + 4 * hour)
      yield* Schedule.skip("hourly", day + 5 * hour)
      yield* Schedule.unskip("hourly", day + 5 * hour)
      const no = yield* Effect.flip(Schedule.skip("hourly", day + 4.5 * hour))
      assert.strictEqual(no._tag, "InvalidInput")
      const upcoming = yield* Schedule.upcoming("hourly", 5)
      assert.deepStrictEqual(upcoming.map(({ skipped }) => Option.isSome(skipped)), [true, true, false, true, false])
      yield* TestClock.adjust("5 hours")
      assert.deepStrictEqual(begun.map(([tick]) => tick), [3, 5])
      assert.deepStrictEqual(yield* answers(4.5), ["1 Skipped", "2 Skipped", "3 Started Succeeded", "4 Skipped"])
    })
  ))

it.effect("a pause with an end resumes by itself at that instant", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* TestClock.adjust("90 minutes")
      yield* Schedule.pause("hourly", { reason: "upgrade", until: day + 4.5 * hour })
      yield* TestClock.adjust("4 hours")
      assert.deepStrictEqual(begun.map(([tick]) => tick), [1, 5])
      assert.deepStrictEqual((yield* info()).status, "Active")
      assert.deepStrictEqual(yield* answers(5), ["1 Started Succeeded", "2 Paused", "3 Paused", "4 Paused"])
      const page = yield* Schedule.history("hourly", { order: "oldest" })
      assert.deepStrictEqual(page.entries.map(({ decision }) => decision._tag), ["Started", "Paused", "Started"])
    })
  ))

it.effect("of two editors at once one gets the conflict", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      const { revision } = yield* info()
      yield* Schedule.edit("hourly", { cron: "0 30 * * * *" }, { revision, reason: "moved" })
      const conflict = yield* Effect.flip(Schedule.edit("hourly", { jitter: "1 minute" }, { revision }))
      assert.strictEqual(conflict._tag, "ScheduleConflict")
      yield* Schedule.edit("hourly", { jitter: "1 minute", note: "see the runbook" })
      const after = yield* info()
      assert.deepStrictEqual([after.expression, after.note], ["0 30 * * * *", Option.some("see the runbook")])
    })
  ))

it.effect("an edit of the cron keeps the zone, the rules for clock changes and the exclusions", () =>
  world(() =>
    Effect.gen(function*() {
      const cron = Timing.cron("0 0 6 * * *", { timeZone: "Europe/Berlin", gap: "skip" })
      yield* Schedule.create({ ...hourly(), timing: Timing.except(cron, { weekdays: ["SUN"] }) })
      yield* Schedule.edit("hourly", { cron: "0 30 6 * * *" })
      const [audited] = yield* Schedule.audit("hourly", { limit: 1 })
      const rest = { timeZone: "Europe/Berlin", gap: "skip", except: { weekdays: ["SUN"] } }
      assert.deepStrictEqual(audited!.before, { timing: { cron: "0 0 6 * * *", ...rest } })
      assert.deepStrictEqual(audited!.after, { timing: { cron: "0 30 6 * * *", ...rest } })
    })
  ))

it.effect("a pause answers no instant outside of the bounds, and what is to come ends with the last run", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ from: day + 2.5 * hour, until: day + 5 * hour, maxRuns: 1 }))
      assert.deepStrictEqual((yield* Schedule.upcoming("hourly")).map(({ tick }) => hours(tick)), [3])
      yield* Schedule.pause("hourly")
      yield* TestClock.adjust("7 hours")
      yield* Schedule.resume("hourly")
      assert.deepStrictEqual(yield* answers(9), ["3 Paused", "4 Paused"])
      assert.strictEqual((yield* Schedule.explain("hourly", day + 8 * hour)).isTick, false)
    })
  ))

it.effect("editing never fires the past", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* TestClock.adjust("210 minutes")
      yield* Schedule.edit("hourly", { cron: "0 15 * * * *" })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(begun.map(([tick]) => tick), [1, 2, 3, 4.25])
    })
  ))

it.effect("every change is audited with who, from where, why, and what was before and after", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* Schedule.pause("hourly", { reason: "upgrade" })
      yield* Schedule.resume("hourly")
      yield* Schedule.skipNext("hourly", 1, { reason: "holiday" })
      yield* Schedule.edit("hourly", { grace: "2 minutes" })
      yield* Schedule.trigger("hourly", { reason: "try" })
      yield* Schedule.remove("hourly", { reason: "moved" })
      const audit = yield* Schedule.audit("hourly")
      assert.deepStrictEqual(audit.map(({ action, reason }) => [action, Option.getOrNull(reason)]), [
        ["delete", "moved"],
        ["trigger", "try"],
        ["edit", null],
        ["skipNext", "holiday"],
        ["resume", null],
        ["pause", "upgrade"],
        ["create", null]
      ])
      assert.isTrue(audit.every(({ actor, source }) => actor === "mia" && Option.getOrNull(source) === "10.0.0.7"))
      assert.deepStrictEqual(audit[5]!.before, { status: "Active", reason: null, until: null })
      assert.deepStrictEqual(audit[5]!.after, { status: "Paused", reason: "upgrade", until: null })
    }).pipe(Effect.provideService(Schedule.CurrentOperator, { name: "mia", source: "10.0.0.7" }))
  ))

it.effect("a trigger under an idempotency key starts one run", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      const handles = yield* Effect.all(
        Array.from({ length: 5 }, () => Schedule.trigger("hourly", { idempotencyKey: "order-7" })),
        { concurrency: "unbounded" }
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([new Set(handles.map(({ id }) => id)).size, begun.length], [1, 1])
    })
  ))

it.effect("a trigger may have a time-out and a start deadline of its own", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly({ minutes: 30, timeout: "1 hour" }))
      const short = yield* Schedule.trigger("hourly", { timeout: "10 minutes" })
      const long = yield* Schedule.trigger("hourly")
      yield* TestClock.adjust("20 minutes")
      assert.deepStrictEqual([yield* short.status, yield* long.status], ["Failed", "Suspended"])
      const error = yield* Effect.flip(Schedule.trigger("hourly", { timeout: 0 }))
      assert.strictEqual((error as { readonly field?: string }).field, "timeout")
      const { startBy } = yield* (yield* Schedule.trigger("hourly", { startDeadline: "1 minute" })).info
      assert.strictEqual(startBy, day + 21 * minute)
    })
  ))

it.effect("a freeze stops every schedule until it is thawed, and is visible", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      yield* Schedule.create(hourly())
      yield* TestClock.adjust("90 minutes")
      assert.isTrue(yield* Schedule.freeze({ reason: "incident 12" }))
      assert.isFalse(yield* Schedule.freeze())
      assert.strictEqual(hours(Option.getOrThrow(yield* Schedule.frozen).since), 1.5)
      yield* TestClock.adjust("2 hours")
      assert.include((yield* Schedule.explain("hourly", day + 2 * hour)).text, "all schedules are frozen")
      assert.isTrue(yield* Schedule.thaw())
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(begun.map(([tick]) => tick), [1, 4])
      assert.deepStrictEqual(yield* answers(5), [
        "1 Started Succeeded",
        "2 Frozen",
        "3 Frozen",
        "4 Started Succeeded"
      ])
      assert.deepStrictEqual((yield* Schedule.audit()).map(({ action }) => action), ["thaw", "freeze"])
    })
  ))

it.effect("schedules are paused and resumed by label", () =>
  world(() =>
    Effect.gen(function*() {
      for (const [name, team] of [["a", "red"], ["b", "blue"], ["c", "red"]] as const) {
        yield* Schedule.create({ ...hourly(), name, labels: { team, tier: "1" }, externalId: `x-${name}` })
      }
      assert.deepStrictEqual(yield* Schedule.pauseAll({ labels: { team: "red" } }, { reason: "quiet" }), ["a", "c"])
      const paused = yield* Schedule.list({ status: "Paused" })
      assert.deepStrictEqual(paused.map(({ name }) => name), ["a", "c"])
      assert.deepStrictEqual(yield* Schedule.resumeAll({ labels: { team: "red", tier: "1" } }), ["a", "c"])
      const found = yield* Schedule.list({ externalId: ["x-b"] })
      assert.deepStrictEqual(found.map(({ name }) => name), ["b"])
    })
  ))

// ── owners ──────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("an older version that starts late undoes nothing that a newer one declared", () =>
  world(() =>
    Effect.gen(function*() {
      const old = [hourly(), { ...hourly(), name: "gone" }]
      const next = [{ ...hourly(), timing: Timing.cron("0 30 * * * *") }, { ...hourly(), name: "new" }]
      const apply = (version: string, list: ReadonlyArray<Schedule.Any>) =>
        Schedule.apply(list, { owner: "app", version, prune: true })
      yield* apply("1.9.0", old)
      const newer = yield* apply("1.10.0", next)
      assert.deepStrictEqual([newer.created, newer.changed.map(({ name }) => name), newer.pruned], [
        ["new"],
        ["hourly"],
        ["gone"]
      ])
      const late = yield* apply("1.9.0", old)
      assert.deepStrictEqual(late.supersededBy, Option.some("1.10.0"))
      assert.deepStrictEqual((yield* Schedule.list()).map(({ expression, name }) => [name, expression]), [
        ["hourly", "0 30 * * * *"],
        ["new", "0 0 * * * *"]
      ])
    })
  ))

it.effect("a schedule that another owner declared is refused, and a prune leaves it alone", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.apply([hourly()], { owner: "one" })
      const refused = yield* Effect.flip(Schedule.apply([hourly()], { owner: "two" }))
      assert.strictEqual(refused._tag, "ScheduleOwned")
      yield* Schedule.apply([], { owner: "two", prune: true })
      assert.strictEqual((yield* Schedule.list()).length, 1)
    })
  ))

it.effect("applying resets neither a pause, nor what an operator asked for, nor a note", () =>
  world(() =>
    Effect.gen(function*() {
      yield* Schedule.apply([hourly()], { owner: "app" })
      yield* Schedule.edit("hourly", { note: "ask mia" })
      yield* Schedule.skipNext("hourly", 3)
      yield* Schedule.pause("hourly", { reason: "quiet" })
      yield* Schedule.apply([{ ...hourly(), timing: Timing.cron("0 30 * * * *") }], { owner: "app" })
      const { expression, note, pauseReason, skipping, status } = yield* info()
      assert.deepStrictEqual([expression, status, note, pauseReason, skipping.next], [
        "0 30 * * * *",
        "Paused",
        Option.some("ask mia"),
        Option.some("quiet"),
        3
      ])
    })
  ))

// ── timings ─────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("a one-off, an interval, a calendar interval and several crons tick at their instants", () =>
  world(({ begun }) =>
    Effect.gen(function*() {
      const ticks = (name: string, timing: Timing.Timing) => Schedule.create({ ...hourly(), name, timing })
      yield* ticks("once", Timing.at(day + 100 * minute))
      yield* ticks("interval", Timing.every("5 hours", { anchor: day + hour }))
      yield* ticks(
        "daily",
        Timing.calendar({ every: 2, unit: "days", at: "09:00", from: "2030-01-01", timeZone: "Europe/Lisbon" })
      )
      yield* ticks("crons", Timing.cron(["0 0 2 * * *", "0 30 3 * * *"]))
      yield* TestClock.adjust("11 hours")
      assert.deepStrictEqual(begun.map(([tick]) => Math.round(tick * 60)).sort((a, b) => a - b), [
        60,
        100,
        120,
        210,
        360,
        540,
        660
      ])
    })
  ))
