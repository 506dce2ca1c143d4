import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Schedule from "../src/Schedule.ts"
import { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { refused } from "./conformance/fixture.ts"

const day = Date.UTC(2030, 0, 1)
const hour = 3_600_000

class NoData extends Schema.TaggedError<NoData>("test/NoData")("NoData", { kind: Schema.String }) {}

const Report = Workflow.make("report", {
  payload: Schedule.Tick({ kind: Schema.String, since: Schema.DateTimeUtc }),
  success: Schema.DateTimeUtc,
  error: NoData,
  shared: true
})
const Other = Workflow.make("other", { payload: Schedule.Tick(), shared: true })

const since = DateTime.makeUnsafe(day - 24 * hour)
const context = { kind: "sales", since }
const hourly = Schedule.make("hourly", { workflow: Report, cron: "0 0 * * * *", context })
const daily = Schedule.make("daily", { workflow: Other, cron: "0 0 6 * * *", timeZone: "Europe/Berlin" })

const ReportLive = Report.toLayer(({ context, scheduledAt }) =>
  context.kind === "none" ? Effect.fail(new NoData({ kind: "none" })) : Effect.succeed(scheduledAt)
)
const OtherLive = Other.toLayer(() => Effect.void)

const engine = (name = "app") => Layer.mergeAll(ReportLive, OtherLive).pipe(Layer.provideMerge(Engine.layer({ name })))

const at = <A, E>(test: Effect.Effect<A, E, SystemDb>) =>
  Effect.andThen(TestClock.setTime(day), test).pipe(Effect.provide(Memory.layer))

const allRuns = SystemDb.use((db) => db.listRuns({}, { limit: 10_000, after: null }))
const infoOf = <R extends Schedule.Ref>(ref: R) => Effect.map(Schedule.get(ref), Option.getOrThrow)
const names = (infos: ReadonlyArray<Schedule.Info>) => infos.map(({ name }) => name)

// ── create, get, list ───────────────────────────────────────────────────────────────────────────────────────────────

it.effect("a schedule that was created is found as it was declared", () =>
  at(Effect.gen(function*() {
    yield* Schedule.create(hourly)
    const info = yield* infoOf(hourly)
    assert.deepStrictEqual(
      [info.name, info.workflow, info.status, info.expression, info.timeZone, info.revision],
      ["hourly", "report", "Active", "0 0 * * * *", "UTC", 1]
    )
    assert.deepStrictEqual(Result.getOrThrow(info.context), context)
    assert.strictEqual(info.contextJson, `{"kind":"sales","since":"2029-12-31T00:00:00.000Z"}`)
    assert.strictEqual(DateTime.toEpochMillis(Option.getOrThrow(info.nextTick)), day + hour)
    assert.deepStrictEqual([info.lastTick, info.lastRunId, info.lastRunStatus, info.owner], [
      Option.none(),
      Option.none(),
      Option.none(),
      Option.none()
    ])
    const { catchUp, graceMillis, overlap } = Result.getOrThrow(info.policies)
    assert.deepStrictEqual([catchUp.mode, overlap.mode, graceMillis], ["latest", "allow", 60_000])
    assert.deepStrictEqual(yield* Schedule.get("unknown"), Option.none())
  })))

it.effect("a name that is taken is refused", () =>
  at(Effect.gen(function*() {
    yield* Schedule.create(hourly)
    const { schedule } = yield* refused(Schedule.create(hourly), "ScheduleExists")
    assert.strictEqual(schedule, "hourly")
  })))

it.effect("what cannot be a schedule is refused by name of the field, and nothing of the list is stored", () =>
  at(Effect.gen(function*() {
    const bad = (changes: Partial<Schedule.Any>): Schedule.Any => ({ ...daily, name: "bad", ...changes })
    const fields: ReadonlyArray<readonly [string, Schedule.Any]> = [
      ["name", bad({ name: "" })],
      ["name", bad({ name: "x".repeat(401) })],
      ["name", bad({ name: "nul\0" })],
      ["timeZone", bad({ timing: { cron: "0 0 6 * * *", timeZone: "Mars/Olympus" } })],
      ["context", { ...hourly, context: { kind: 3 } as never }],
      [
        "workflow",
        bad({
          workflow: Workflow.make("plain", {
            payload: { scheduledAt: Schema.DateTimeUtcFromMillis, context: Schema.Void }
          })
        })
      ],
      ["catchUp", bad({ catchUp: "never" as never })],
      ["catchUp.window", bad({ catchUp: { mode: "all", window: "some time" as never } })],
      ["overlap.max", bad({ overlap: { mode: "skip", max: 2 } })],
      ["startDeadline", bad({ startDeadline: "-1 seconds" })],
      ["until", bad({ from: day, until: day - 1 })],
      ["labels.", bad({ labels: { "": "x" } })],
      ["grace", bad({ grace: "soon" as never })]
    ]
    for (const [field, schedule] of fields) {
      const error = yield* Effect.flip(Schedule.apply([daily, schedule]))
      assert.strictEqual((error as { readonly field?: string }).field, field, JSON.stringify(schedule.name))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Schedule.create(schedule))))
    }
    yield* refused(Schedule.create(bad({ timing: { cron: "0 6 * * *" } })), "CronParseError")
    yield* refused(Schedule.create(bad({ timing: { cron: "every day" } })), "CronParseError")
    assert.deepStrictEqual(yield* Schedule.list(), [])
  })))

it.effect("a list is filtered by status, workflow and literal prefix, in pages by name", () =>
  at(Effect.gen(function*() {
    for (const name of ["a_1", "a_2", "aX3", "b%4"]) yield* Schedule.create({ ...daily, name })
    yield* Schedule.create({ ...hourly, name: "a_5" })
    yield* Schedule.pause("a_2")
    assert.deepStrictEqual(names(yield* Schedule.list()), ["aX3", "a_1", "a_2", "a_5", "b%4"])
    assert.deepStrictEqual(names(yield* Schedule.list({ namePrefix: "a_" })), ["a_1", "a_2", "a_5"])
    assert.deepStrictEqual(names(yield* Schedule.list({ namePrefix: ["%", "b%", "aX"] })), ["aX3", "b%4"])
    assert.deepStrictEqual(names(yield* Schedule.list({ workflow: Report })), ["a_5"])
    assert.deepStrictEqual(names(yield* Schedule.list({ workflow: ["report", Other], namePrefix: "a_" })), [
      "a_1",
      "a_2",
      "a_5"
    ])
    assert.deepStrictEqual(names(yield* Schedule.list({ status: "Paused" })), ["a_2"])
    assert.deepStrictEqual(names(yield* Schedule.list({}, { limit: 2 })), ["aX3", "a_1"])
    assert.deepStrictEqual(names(yield* Schedule.list({}, { limit: 2, after: "a_1" })), ["a_2", "a_5"])
    assert.deepStrictEqual(names(yield* Stream.runCollect(Schedule.stream({ status: "Active" }))), [
      "aX3",
      "a_1",
      "a_5",
      "b%4"
    ])
  })))

it.effect("a row that does not decode is listed with what can be read of it", () =>
  at(Effect.gen(function*() {
    const db = yield* SystemDb
    yield* Schedule.create({ ...hourly, name: "good" })
    const [good] = yield* db.listSchedules({}, { limit: 1, after: null })
    const {
      createdAt: _,
      lastRunId: __,
      lastRunStatus: ___,
      lastTick: ____,
      turn: _____,
      updatedAt: ______,
      ...content
    } = good!
    yield* db.changeSchedules({
      id: "c",
      schedules: [{
        name: "broken",
        turn: null,
        content: { ...content, name: "broken", timing: "gone", context: "{\"kind\":", policies: "{\"catchUp\":1}" }
      }],
      controls: [],
      entries: [],
      audits: [{
        schedule: "broken",
        action: "create",
        actor: "test",
        source: null,
        reason: null,
        before: null,
        after: null
      }]
    })
    const [broken, whole] = yield* Schedule.list()
    assert.isTrue(Result.isSuccess(whole!.context))
    assert.isTrue(Result.isFailure(broken!.context))
    assert.isTrue(Result.isFailure(broken!.policies))
    assert.deepStrictEqual([broken!.expression, broken!.contextJson], ["gone", "{\"kind\":"])
    const typed = yield* infoOf({ ...hourly, name: "broken" })
    assert.isTrue(Result.isFailure(typed.context))
    yield* refused(Schedule.pause("broken"), "Undecodable")
    yield* refused(Schedule.backfill("broken", { from: 0, to: day }), "Undecodable")
    yield* Schedule.remove("broken")
    assert.strictEqual((yield* Schedule.list()).length, 1)
  })))

it.effect("a schedule nobody knows is refused by every command", () =>
  at(Effect.gen(function*() {
    const window = { from: day, to: day + hour }
    const commands = [
      Schedule.pause("x"),
      Schedule.resume("x"),
      Schedule.remove("x"),
      Schedule.trigger("x"),
      Schedule.backfill("x", window),
      Stream.runDrain(Schedule.backfillStream("x", window))
    ]
    for (const command of commands) {
      const { schedule } = yield* refused(command as Effect.Effect<unknown, any, SystemDb>, "ScheduleNotFound")
      assert.strictEqual(schedule, "x")
    }
  })))

// ── apply ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const nothing = { created: [], changed: [], unchanged: [], pruned: [], supersededBy: Option.none() }

it.effect("apply says what it created, changed and left, field by field, and refuses a name that is there twice", () =>
  at(Effect.gen(function*() {
    assert.deepStrictEqual(yield* Schedule.apply([daily, hourly]), { ...nothing, created: ["daily", "hourly"] })
    const changed = { ...hourly, context: { ...context, kind: "other" } }
    const fields = [{
      field: "context",
      before: `{"kind":"sales","since":"2029-12-31T00:00:00.000Z"}`,
      after: `{"kind":"other","since":"2029-12-31T00:00:00.000Z"}`
    }]
    const expected = { ...nothing, changed: [{ name: "hourly", fields }], unchanged: ["daily"] }
    const planned: unknown = yield* Schedule.apply([daily, changed], { dryRun: true })
    assert.deepStrictEqual(planned, expected)
    const done: unknown = yield* Schedule.apply([daily, changed])
    assert.deepStrictEqual(done, expected)
    assert.deepStrictEqual(yield* Schedule.apply([daily, changed]), { ...nothing, unchanged: ["daily", "hourly"] })
    yield* refused(
      Schedule.apply([{ ...daily, timing: { cron: "0 0 0 * * *" } }, hourly, hourly]),
      "ScheduleExists"
    )
    assert.strictEqual((yield* infoOf("daily")).expression, "0 0 6 * * *")
    yield* refused(Schedule.apply([], { prune: true }), "InvalidInput")
    yield* refused(Schedule.apply([], { version: "1" }), "InvalidInput")
  })))

it.effect("applying keeps a Paused schedule Paused", () =>
  at(Effect.gen(function*() {
    yield* Schedule.create(daily)
    yield* Schedule.pause(daily)
    yield* Schedule.apply([{ ...daily, timing: { cron: "0 0 7 * * *" } }])
    const { nextTick, status } = yield* infoOf(daily)
    assert.deepStrictEqual([status, nextTick], ["Paused", Option.none()])
  })))

it.effect("the layer declares schedules for its application, and prunes only what that declared", () =>
  at(Effect.gen(function*() {
    const start = (application: string, schedules: ReadonlyArray<Schedule.Any>, prune = false) =>
      Effect.void.pipe(
        Effect.provide(Schedule.layer(schedules, { prune }).pipe(Layer.provideMerge(engine(application))))
      )
    yield* Schedule.create({ ...daily, name: "by-hand" })
    yield* start("one", [daily, hourly])
    yield* start("two", [{ ...daily, name: "of-two" }])
    assert.deepStrictEqual((yield* infoOf("daily")).owner, Option.some("one"))
    yield* start("one", [hourly])
    assert.strictEqual((yield* Schedule.list()).length, 4)
    yield* start("one", [hourly], true)
    assert.deepStrictEqual(names(yield* Schedule.list()), ["by-hand", "hourly", "of-two"])
  })))

it.effect("a layer with a schedule that cannot be stored fails and stores none", () =>
  at(Effect.gen(function*() {
    const layer = Schedule.layer([daily, {
      ...daily,
      name: "bad",
      timing: { cron: "0 0 6 * * *", timeZone: "Nowhere" }
    }]).pipe(Layer.provide(engine()))
    yield* refused(Effect.provide(Effect.void, layer), "CronParseError")
    assert.deepStrictEqual(yield* Schedule.list(), [])
  })))

// ── pause and resume ────────────────────────────────────────────────────────────────────────────────────────────────

const pausedForAnHour = (policies: Schedule.PolicyOptions, options: Parameters<typeof Schedule.resume>[1]) =>
  Effect.gen(function*() {
    yield* Schedule.create({ ...daily, timing: { cron: "0 */10 * * * *" }, ...policies })
    yield* Schedule.pause("daily")
    yield* Schedule.pause("daily")
    yield* TestClock.adjust("1 hour")
    yield* TestClock.adjust("1 second")
    yield* Schedule.resume("daily", options)
    yield* Schedule.resume("daily", options)
    yield* TestClock.adjust("1 second")
    const info = yield* infoOf("daily")
    assert.deepStrictEqual([info.status, DateTime.toEpochMillis(Option.getOrThrow(info.nextTick))], [
      "Active",
      day + hour + 600_000
    ])
    return (yield* allRuns).map(({ tick }) => (tick! - day) / 60_000).sort((a, b) => a - b)
  }).pipe(Effect.provide(engine()))

it.effect("ticks that fell while paused are passed over by default, whatever the policy for late ones", () =>
  at(
    Effect.map(pausedForAnHour({ catchUp: "all" }, {}), (ticks) => assert.deepStrictEqual(ticks, []))
  ))

it.effect("the last tick that fell while paused starts when the resume asks for the latest", () =>
  at(
    Effect.map(pausedForAnHour({ catchUp: "none" }, { catchUp: "latest" }), (ticks) =>
      assert.deepStrictEqual(ticks, [60]))
  ))

it.effect("ticks that fell while paused start as far back as the window says when the resume asks for all", () =>
  at(
    Effect.map(
      pausedForAnHour({ catchUp: { mode: "none", window: "25 minutes" } }, { catchUp: "all" }),
      (ticks) => assert.deepStrictEqual(ticks, [40, 50, 60])
    )
  ))

it.effect("a pause without a tick leaves the next tick where it was", () =>
  at(Effect.gen(function*() {
    yield* Schedule.create(hourly)
    yield* Schedule.pause(hourly)
    yield* TestClock.adjust("10 minutes")
    yield* Schedule.resume(hourly, { catchUp: "all" })
    assert.strictEqual(DateTime.toEpochMillis(Option.getOrThrow((yield* infoOf(hourly)).nextTick)), day + hour)
    assert.deepStrictEqual(yield* allRuns, [])
  })))

it.effect("a schedule that is edited while it is being resumed is resumed as it is then", () =>
  at(Effect.gen(function*() {
    const db = yield* SystemDb
    yield* Schedule.create(hourly)
    yield* Schedule.pause(hourly)
    yield* TestClock.adjust("90 minutes")
    let edits = 0
    const edited = SystemDb.of({
      ...db,
      changeSchedules: (change) =>
        edits++ > 0 ? db.changeSchedules(change) : Effect.andThen(
          Effect.provideService(Effect.orDie(Schedule.edit(hourly, { cron: "0 45 * * * *" })), SystemDb, db),
          db.changeSchedules(change)
        )
    })
    yield* Effect.provideService(Schedule.resume(hourly), SystemDb, edited)
    const { nextTick, status } = yield* infoOf(hourly)
    assert.deepStrictEqual([status, DateTime.toEpochMillis(Option.getOrThrow(nextTick))], ["Active", day + 1.75 * hour])
  })))

// ── backfill ────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("a backfill enqueues every tick from its beginning up to its end, and reports those that had run", () =>
  at(
    Effect.gen(function*() {
      yield* Schedule.create(hourly)
      yield* TestClock.adjust("2 hours")
      const window = { from: DateTime.makeUnsafe(day), to: DateTime.makeUnsafe(day + 4 * hour) }
      const filled = yield* Schedule.backfill(hourly, window)
      assert.deepStrictEqual(
        filled.map(({ created, runId, tick }) => [runId, (DateTime.toEpochMillis(tick) - day) / hour, created]),
        [
          ["sched-hourly-2030-01-01T00:00:00.000Z", 0, true],
          ["sched-hourly-2030-01-01T01:00:00.000Z", 1, false],
          ["sched-hourly-2030-01-01T02:00:00.000Z", 2, false],
          ["sched-hourly-2030-01-01T03:00:00.000Z", 3, true]
        ]
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual(DateTime.toEpochMillis(yield* filled[3]!.handle.await), day + 3 * hour)
      assert.deepStrictEqual((yield* Schedule.backfill(hourly, window)).map(({ created }) => created), [
        false,
        false,
        false,
        false
      ])
      assert.strictEqual((yield* allRuns).length, 4)
      assert.deepStrictEqual(yield* Schedule.backfill("hourly", { from: day, to: day }), [])
      assert.strictEqual(
        (yield* refused(Schedule.backfill(hourly, { from: day, to: day - 1 }), "InvalidInput")).field,
        "to"
      )
      assert.strictEqual(
        (yield* refused(Schedule.backfill(hourly, { from: "soon", to: day }), "InvalidInput")).field,
        "from"
      )
    }).pipe(Effect.provide(engine()))
  ))

it.effect("a tick that was backfilled ahead of its time does not fire again", () =>
  at(
    Effect.gen(function*() {
      yield* Schedule.create(hourly)
      yield* Schedule.backfill(hourly, { from: day, to: day + 2 * hour })
      yield* TestClock.adjust("3 hours")
      assert.strictEqual((yield* allRuns).length, 4)
    }).pipe(Effect.provide(engine()))
  ))

it.effect("a Paused schedule can be backfilled and triggered", () =>
  at(Effect.gen(function*() {
    yield* Schedule.create(hourly)
    yield* Schedule.pause(hourly)
    assert.strictEqual((yield* Schedule.backfill("hourly", { from: day, to: day + hour })).length, 1)
    yield* Schedule.trigger("hourly")
    assert.strictEqual((yield* allRuns).length, 2)
  })))

it.effect("a large backfill goes in batches, leaves the event loop to others, and streams what it did", () =>
  at(Effect.gen(function*() {
    const db = yield* SystemDb
    yield* Schedule.create({ ...daily, name: "second", timing: { cron: "* * * * * *" } })
    const sizes: Array<number> = []
    const watched = SystemDb.of({
      ...db,
      enqueueTicks: (name, ticks, options) => {
        sizes.push(ticks.length)
        return db.enqueueTicks(name, ticks, options)
      }
    })
    const stream = Schedule.backfillStream("second", { from: day, to: day + 20_000_000 })
    const firstTwo = yield* Effect.provideService(Stream.runCollect(Stream.take(stream, 2)), SystemDb, watched)
    assert.deepStrictEqual([firstTwo.length, sizes], [2, [500]])
    let turns = 0
    yield* Effect.forkChild(Effect.forever(Effect.andThen(Effect.sync(() => turns++), Effect.yieldNow)))
    const count = yield* Effect.provideService(Stream.runCount(stream), SystemDb, watched)
    assert.strictEqual(count, 20_000)
    assert.deepStrictEqual(sizes.slice(1), Array.from({ length: 40 }, () => 500))
    assert.isAtLeast(turns, 10)
    assert.strictEqual((yield* SystemDb.use((db) => db.listRuns({}, { limit: 30_000, after: null }))).length, 20_000)
  })))

// ── trigger ─────────────────────────────────────────────────────────────────────────────────────────────────────────

it.effect("twenty triggers at once are twenty runs, and leave the schedule as it was", () =>
  at(
    Effect.gen(function*() {
      yield* Schedule.create(hourly)
      const before = yield* infoOf(hourly)
      const handles = yield* Effect.all(Array.from({ length: 20 }, () => Schedule.trigger(hourly)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(handles.map(({ id }) => id)).size, 20)
      assert.isTrue(handles.every(({ id }) => /^sched:hourly:[0-9a-f-]{36}$/.test(id)))
      for (const handle of handles) assert.strictEqual(DateTime.toEpochMillis(yield* handle.await), day)
      const after = yield* infoOf(hourly)
      assert.deepStrictEqual([after.lastTick, after.nextTick, after.revision], [
        before.lastTick,
        before.nextTick,
        before.revision
      ])
    }).pipe(Effect.provide(engine()))
  ))

it.effect("a trigger may have a context and an instant of its own, and typed failures come back", () =>
  at(
    Effect.gen(function*() {
      yield* Schedule.create(hourly)
      const earlier = yield* Schedule.trigger(hourly, { scheduledAt: "2020-02-02T00:00:00Z" })
      assert.strictEqual(DateTime.formatIso(yield* earlier.await), "2020-02-02T00:00:00.000Z")
      const failing = yield* Schedule.trigger(hourly, { context: { kind: "none", since } })
      const failure = yield* Effect.flip(failing.await)
      assert.instanceOf(failure, NoData)
      const named = yield* Schedule.trigger("hourly", { context: { kind: "none", since: "2020-01-01T00:00:00.000Z" } })
      assert.strictEqual(
        (yield* named.info).payload.slice(-58),
        `"context":{"kind":"none","since":"2020-01-01T00:00:00.000Z"}}`.slice(-58)
      )
      assert.strictEqual(((yield* Effect.flip(named.await)) as NoData)._tag, "NoData")
      const plain = yield* Schedule.trigger("hourly")
      assert.strictEqual(yield* plain.await, "2030-01-01T00:00:00.000Z")
      assert.strictEqual(
        (yield* refused(Schedule.trigger("hourly", { context: { big: BigInt(1) } }), "InvalidInput")).field,
        "context"
      )
    }).pipe(Effect.provide(engine()))
  ))

it.effect("a triggered run starts at once on this process when it has a free slot", () =>
  at(
    Effect.gen(function*() {
      yield* Schedule.create(daily)
      const handle = yield* Schedule.trigger(daily)
      const run = yield* handle.info
      assert.deepStrictEqual([run.epoch, run.schedule], [1, "daily"])
      assert.isNotNull(run.owner)
      assert.isUndefined(yield* handle.await)
    }).pipe(Effect.provide(engine()))
  ))

it.effect("a value of a schedule that is stored with another workflow is refused", () =>
  at(Effect.gen(function*() {
    yield* Schedule.create(daily)
    const { field } = yield* refused(Schedule.trigger({ ...hourly, name: "daily" }), "InvalidInput")
    assert.strictEqual(field, "workflow")
    assert.deepStrictEqual(yield* allRuns, [])
  })))
