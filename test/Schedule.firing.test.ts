import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import { StoreError } from "../src/Errors.ts"
import * as Memory from "../src/Memory.ts"
import * as Schedule from "../src/Schedule.ts"
import { Interceptor, SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { contentOf, settle } from "./conformance/fixture.ts"

const day = Date.UTC(2030, 0, 1)
const second = 1_000
const minute = 60 * second
const hour = 60 * minute

const Beat = Workflow.make("beat", { payload: Schedule.Tick(Schema.Unknown) })

/** Every run of `beat` that executed, in order: which tick, and when. */
const recorder = Effect.sync(() => {
  const beats: Array<{ readonly tick: number; readonly at: number; readonly context: unknown }> = []
  const body = Beat.toLayer(({ context, scheduledAt }) =>
    Effect.map(DateTime.now, (now) => {
      beats.push({ tick: DateTime.toEpochMillis(scheduledAt), at: DateTime.toEpochMillis(now), context })
    })
  )
  return { beats, body, ticks: () => beats.map(({ tick }) => tick) }
})

const engine = () => Engine.layer({ name: "app" })

const every = (from: number, to: number, step: number): ReadonlyArray<number> =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step)

/** Runs a test at the beginning of a day, over an empty store. */
const at = <A, E>(start: number, test: Effect.Effect<A, E, SystemDb>, store = Memory.layer) =>
  Effect.andThen(TestClock.setTime(start), test).pipe(Effect.provide(store))

const down = new StoreError({ method: "fire", retryable: true, detail: "connection refused" })

it.effect("a day that passes fires every tick once, in order, at its very instant", () =>
  at(
    day,
    Effect.gen(function*() {
      const { beats, body, ticks } = yield* recorder
      const schedules = Schedule.layer([
        Schedule.make("ten", { workflow: Beat, cron: "0 */10 * * * *" }),
        Schedule.make("night", { workflow: Beat, cron: "0 0 2 * * *", timeZone: "Europe/Berlin" })
      ])
      yield* TestClock.adjust("1 day").pipe(
        Effect.provide(Layer.mergeAll(body, schedules).pipe(Layer.provideMerge(engine())))
      )
      const tens = every(day + 10 * minute, day + 24 * hour, 10 * minute)
      assert.deepStrictEqual(ticks(), [...tens, day + hour].sort((a, b) => a - b))
      assert.deepStrictEqual(beats.filter(({ at, tick }) => at !== tick), [])
      const info = Option.getOrThrow(yield* Schedule.get("ten"))
      assert.strictEqual(Option.getOrThrow(info.lastRunId), "sched-ten-2030-01-02T00:00:00.000Z")
      assert.strictEqual(Option.getOrThrow(info.lastRunStatus), "Succeeded")
      assert.strictEqual(DateTime.formatIso(Option.getOrThrow(info.nextTick)), "2030-01-02T00:10:00.000Z")
    })
  ))

it.effect("a thousand schedules of every second fire together", () =>
  at(
    day,
    Effect.gen(function*() {
      const { beats, body } = yield* recorder
      const calls: Record<string, number> = {}
      const counting = (method: string, call: Effect.Effect<any, any, any>) =>
        Effect.suspend(() => {
          calls[method] = (calls[method] ?? 0) + 1
          return call
        })
      const schedules = Schedule.layer(
        every(1, 1000, 1).map((n) => Schedule.make(`s${n}`, { workflow: Beat, cron: "* * * * * *", context: n }))
      )
      yield* TestClock.adjust("5 seconds").pipe(
        Effect.provide(Layer.mergeAll(body, schedules).pipe(Layer.provideMerge(engine()))),
        Effect.provideService(Interceptor, counting as never)
      )
      assert.strictEqual(beats.length, 5000)
      assert.strictEqual(new Set(beats.map(({ context, tick }) => `${context} ${tick}`)).size, 5000)
      assert.strictEqual(calls["fire"], 5)
    })
  ))

it.effect("two engines on one store fire each tick once", () =>
  at(
    day,
    Effect.gen(function*() {
      const { body, ticks } = yield* recorder
      yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "*/5 * * * * *" }))
      yield* TestClock.adjust("1 minute").pipe(
        Effect.provide(Layer.provideMerge(body, engine())),
        Effect.provide(Layer.fresh(Layer.provideMerge(body, engine())))
      )
      assert.deepStrictEqual(ticks(), every(day + 5 * second, day + minute, 5 * second))
    })
  ))

it.effect("a store without hints is fired from as well, within its polls", () =>
  at(
    day,
    Effect.gen(function*() {
      const { body, ticks } = yield* recorder
      yield* Effect.gen(function*() {
        yield* TestClock.adjust("10 seconds")
        yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "*/5 * * * * *" }))
        yield* TestClock.adjust("10 seconds")
        yield* Schedule.remove("beat")
        yield* TestClock.adjust("10 seconds")
      }).pipe(Effect.provide(Layer.provideMerge(body, engine())))
      assert.deepStrictEqual(ticks(), [day + 15 * second, day + 20 * second])
    }),
    Memory.layerWith({ hints: false })
  ))

it.effect("a schedule that is created, paused, resumed or deleted while the engine runs acts at once", () =>
  at(
    day,
    Effect.gen(function*() {
      const { body, ticks } = yield* recorder
      yield* Effect.gen(function*() {
        yield* TestClock.adjust("30 seconds")
        yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "* * * * * *" }))
        yield* TestClock.adjust("2500 millis")
        yield* Schedule.pause("beat")
        yield* TestClock.adjust("3 seconds")
        yield* Schedule.resume("beat")
        yield* TestClock.adjust("2 seconds")
        yield* Schedule.remove("beat")
        yield* TestClock.adjust("1 hour")
      }).pipe(Effect.provide(Layer.provideMerge(body, engine())))
      assert.deepStrictEqual(ticks().map((tick) => (tick - day) / second), [31, 32, 36, 37])
    })
  ))

it.effect("a changed cron moves the next tick and keeps the history", () =>
  at(
    day,
    Effect.gen(function*() {
      const { beats, body } = yield* recorder
      yield* Effect.gen(function*() {
        yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "0 * * * * *", context: "old" }))
        yield* TestClock.adjust("90 seconds")
        yield* Schedule.apply([Schedule.make("beat", { workflow: Beat, cron: "0 */5 * * * *", context: "new" })])
        const { lastTick } = Option.getOrThrow(yield* Schedule.get("beat"))
        assert.strictEqual(DateTime.toEpochMillis(Option.getOrThrow(lastTick)), day + minute)
        yield* TestClock.adjust("5 minutes")
      }).pipe(Effect.provide(Layer.provideMerge(body, engine())))
      assert.deepStrictEqual(beats.map(({ context, tick }) => [context, tick]), [["old", day + minute], [
        "new",
        day + 5 * minute
      ]])
    })
  ))

it.effect("a firing that fails is tried again, and nothing is lost", () =>
  at(
    day,
    Effect.gen(function*() {
      const { body, ticks } = yield* recorder
      const failing = (method: string, call: Effect.Effect<any, any, any>) =>
        Effect.flatMap(DateTime.now, (now) => {
          const elapsed = DateTime.toEpochMillis(now) - day
          return method === "fire" && elapsed > 10 * second && elapsed < 30 * second ? Effect.fail(down) : call
        })
      yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "*/5 * * * * *" }))
      yield* TestClock.adjust("1 minute").pipe(
        Effect.provide(Layer.provideMerge(body, engine())),
        Effect.provideService(Interceptor, failing as never)
      )
      assert.deepStrictEqual(ticks(), every(day + 5 * second, day + minute, 5 * second))
    })
  ))

it.effect("a firing whose answer is lost makes no second run, and the run it made is executed", () =>
  at(
    day,
    Effect.gen(function*() {
      const { body, ticks } = yield* recorder
      let losses = 0
      const losing = (method: string, call: Effect.Effect<any, any, any>) =>
        method === "fire" && losses++ < 1 ? Effect.andThen(call, Effect.fail(down)) : call
      yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "*/5 * * * * *" }))
      yield* TestClock.adjust("20 seconds").pipe(
        Effect.provide(Layer.provideMerge(body, engine())),
        Effect.provideService(Interceptor, losing as never)
      )
      assert.deepStrictEqual(ticks(), every(day + 5 * second, day + 20 * second, 5 * second))
    })
  ))

it.effect("a schedule the store refuses to fire does not hold up the others", () =>
  at(
    day,
    Effect.gen(function*() {
      const { beats, body } = yield* recorder
      const refusing = (method: string, call: Effect.Effect<any, any, any>, names: ReadonlyArray<string>) =>
        method === "fire" && names.includes("b")
          ? Effect.fail(new StoreError({ method: "fire", retryable: false, detail: "bad value" }))
          : call
      const sealed = Layer.effect(
        SystemDb,
        Effect.map(SystemDb, (db) =>
          SystemDb.of({
            ...db,
            fire: (firings, freeze) =>
              refusing("fire", db.fire(firings, freeze), firings.map(({ name }) => name)) as any
          }))
      )
      yield* Effect.gen(function*() {
        for (const name of ["a", "b", "c"]) {
          yield* Schedule.create(Schedule.make(name, { workflow: Beat, cron: "*/5 * * * * *", context: name }))
        }
        yield* TestClock.adjust("1 minute").pipe(Effect.provide(Layer.provideMerge(body, engine())))
      }).pipe(Effect.provide(sealed))
      const of = (name: string) => beats.filter(({ context }) => context === name).map(({ at }) => at)
      assert.deepStrictEqual(of("a"), every(day + 5 * second, day + minute, 5 * second))
      assert.deepStrictEqual(of("c"), of("a"))
      assert.deepStrictEqual(of("b"), [])
    })
  ))

it.effect("a row that cannot be read any more does not stop the others", () =>
  at(
    day,
    Effect.gen(function*() {
      const { body, ticks } = yield* recorder
      const db = yield* SystemDb
      yield* Schedule.create(Schedule.make("good", { workflow: Beat, cron: "0 0 0 1 1 *" }))
      const [row] = yield* db.findSchedules(["good"])
      const content = contentOf(row!)
      const bad = (name: string, changes: Partial<typeof content>) => ({
        name,
        turn: null,
        content: { ...content, nextAt: day + second, wakeAt: day + second, ...changes, name }
      })
      yield* db.changeSchedules({
        id: "c",
        schedules: [
          bad("bad-timing", { timing: "nonsense" }),
          bad("bad-policy", { policies: "{\"catchUp\":\"never\"}" }),
          bad("bad-state", { state: "{\"failures\":\"often\"}" })
        ],
        controls: [],
        entries: [],
        audits: [{
          schedule: null,
          action: "test",
          actor: "test",
          source: null,
          reason: null,
          before: null,
          after: null
        }]
      })
      yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "*/5 * * * * *" }))
      yield* TestClock.adjust("10 seconds").pipe(Effect.provide(Layer.provideMerge(body, engine())))
      assert.deepStrictEqual(ticks(), [day + 5 * second, day + 10 * second])
    })
  ))

it.effect("a context that no longer decodes fails that run and pauses its schedule, which an apply and a resume mend", () =>
  at(
    day,
    Effect.gen(function*() {
      const Strict = Workflow.make("beat", { payload: Schedule.Tick({ n: Schema.Int }), success: Schema.Int })
      const body = Strict.toLayer(({ context }) => Effect.succeed(context.n))
      const strict = Schedule.make("beat", { workflow: Strict, cron: "*/5 * * * * *", context: { n: 7 } })
      yield* Effect.gen(function*() {
        yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "*/5 * * * * *", context: "old" }))
        yield* TestClock.adjust("20 seconds")
        const failed = Strict.handle("sched-beat-2030-01-01T00:00:05.000Z")
        assert.strictEqual(yield* failed.status, "Failed")
        const { pauseReason, status } = Option.getOrThrow(yield* Schedule.get("beat"))
        assert.strictEqual(status, "Paused")
        assert.match(Option.getOrThrow(pauseReason), /does not decode/)
        assert.strictEqual((yield* Schedule.history("beat")).entries.length, 1)
        yield* Schedule.apply([strict])
        yield* TestClock.adjust("1 second")
        yield* Schedule.resume("beat")
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(yield* Strict.handle("sched-beat-2030-01-01T00:00:25.000Z").await, 7)
      }).pipe(Effect.provide(Layer.provideMerge(body, engine())))
    })
  ))

const outage = (options: Schedule.PolicyOptions) =>
  Effect.gen(function*() {
    const { body, ticks } = yield* recorder
    yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "0 * * * * *", ...options }))
    const up = TestClock.adjust("90 seconds").pipe(Effect.provide(Layer.provideMerge(body, engine())))
    yield* up
    yield* TestClock.adjust("10 minutes")
    yield* up
    return ticks().map((tick) => (tick - day) / minute)
  })

// Up from 0:00 to 1:30 and from 11:30 to 13:00: ticks 2 to 10 are missed, tick 11 is late by half a minute.
it.effect("of the ticks nobody could fire the last one fires by default, and those within the grace", () =>
  at(day, Effect.map(outage({}), (ticks) => assert.deepStrictEqual(ticks, [1, 10, 11, 12, 13]))))

it.effect("ticks nobody could fire are dropped with \"none\"", () =>
  at(day, Effect.map(outage({ catchUp: "none" }), (ticks) => assert.deepStrictEqual(ticks, [1, 11, 12, 13]))))

it.effect("ticks nobody could fire start as far back as the window says", () =>
  at(
    day,
    Effect.map(outage({ catchUp: { mode: "all", window: "5 minutes" } }), (ticks) =>
      assert.deepStrictEqual(ticks, [1, 7, 8, 9, 10, 11, 12, 13]))
  ))

it.effect("the grace says from when on a tick is missed", () =>
  at(
    day,
    Effect.map(outage({ catchUp: "none", grace: "4 minutes" }), (ticks) =>
      assert.deepStrictEqual(ticks, [1, 8, 9, 10, 11, 12, 13]))
  ))

it.effect("a long outage of a schedule of every second is made up in bounded statements", () =>
  at(
    day,
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const db = yield* SystemDb
      const watched = Layer.succeed(
        SystemDb,
        SystemDb.of({
          ...db,
          fire: (firings, freeze) => {
            sizes.push(...firings.map((firing) => firing.ticks.length))
            return db.fire(firings, freeze)
          }
        })
      )
      yield* Schedule.create(Schedule.make("beat", { workflow: Beat, cron: "* * * * * *", catchUp: "all" }))
      yield* TestClock.adjust("1 hour")
      const all = db.listRuns({}, { limit: 10_000, after: null })
      const runs = yield* Effect.andThen(TestClock.adjust("1 second"), settle(all, ({ length }) => length >= 3601))
        .pipe(
          Effect.provide(engine()),
          Effect.provide(watched)
        )
      const fired = runs.map(({ tick }) => tick!).sort((a, b) => a - b)
      assert.deepStrictEqual(fired, every(day + second, day + hour + second, second))
      assert.isAtMost(Math.max(...sizes), 500)
    })
  ))

it.effect("a run that a schedule started takes its workflow's time-out", () =>
  at(
    day,
    Effect.gen(function*() {
      const Slow = Workflow.make("slow", { payload: Schedule.Tick(), timeout: "1 minute" })
      const body = Slow.toLayer(() => Workflow.sleep("1 hour"))
      const slow = Schedule.make("slow", { workflow: Slow, cron: "0 0 12 * * *" })
      yield* Effect.gen(function*() {
        const handle = yield* Schedule.trigger(slow)
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(yield* handle.status, "Suspended")
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Effect.flip(handle.await))._tag, "RunTimedOut")
      }).pipe(Effect.provide(Layer.mergeAll(body, Schedule.layer([slow])).pipe(Layer.provideMerge(engine()))))
    })
  ))
