/**
 * The test kit: workflows and schedules under a virtual clock, with workers that crash when a test says so.
 *
 * {@link layer} stands where `Engine.layer` and a store stand in the application, so a test provides the application's own
 * workflow and schedule layers on it. Nothing in it waits for real time: {@link advance} and {@link setTime} go from one instant
 * at which something is due to the next, and leave each only when everything has come to rest, so that a body sees the very
 * instant it was due at and a year of ticks takes seconds. With the same `seed` a test does the same each time, id for id.
 *
 * Not in here: SQL. `Step.transaction` needs `Embedded.layer`, and the stores behave alike in everything else.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Engine from "./Engine.ts"
import type { InvalidInput, StoreError } from "./Errors.ts"
import type { HeartbeatFailed } from "./internal/engine/heartbeat.ts"
import * as Clocks from "./internal/testing/clock.ts"
import * as Courses from "./internal/testing/course.ts"
import * as Workers from "./internal/testing/workers.ts"
import * as Memory from "./Memory.ts"
import * as Run from "./Run.ts"
import * as Schedule from "./Schedule.ts"
import { type Run as RunRow, SystemDb } from "./SystemDb.ts"

/**
 * How a test's world begins.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends
  Pick<
    Partial<Engine.Options>,
    "name" | "version" | "concurrency" | "suspendAfter" | "maxAttempts"
  >
{
  /** The instant at which time begins. Default `"2026-01-01T00:00:00Z"`. */
  readonly at?: Schedule.Instant | undefined
  /** What everything random follows from: ids, jittered retries, `Random` in bodies. Default `"effect-durable"`. */
  readonly seed?: string | number | undefined
  /** How many workers there are. Default 1. */
  readonly workers?: number | undefined
  /**
   * How long, in real time, the clock stands still for a body that does something real, such as a request or a file. A body that
   * takes longer, or that waits for the test, is passed over from then on. Default 1 second.
   */
  readonly patience?: Duration.Input | undefined
  /** What requests the URL of a heartbeat. By default nothing is requested, and the heartbeat succeeds. */
  readonly heartbeat?: ((url: string) => Effect.Effect<void, HeartbeatFailed>) | undefined
}

/**
 * A worker that crashed, and the step that was the last it recorded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Crash {
  readonly worker: string
  readonly at: DateTime.Utc
  readonly workflow: string
  readonly runId: string
  readonly step: string
}

/**
 * What drives a test. Use the functions of this module instead of its members.
 *
 * @category services
 * @since 0.1.0
 */
export class Testing extends Context.Service<Testing, {
  readonly startedAt: number
  readonly now: () => number
  readonly course: Courses.Course
  readonly traps: Array<Workers.Trap>
  readonly crashes: ReadonlyArray<Workers.Crash>
}>()("effect-durable/Testing") {}

const millisOf = (instant: Schedule.Instant): number => DateTime.toEpochMillis(DateTime.makeUnsafe(instant))

const make = Effect.fnUntraced(function*(options: Options) {
  const db = yield* SystemDb
  const startedAt = millisOf(options.at ?? "2026-01-01T00:00:00Z")
  const dead = new Set<string>()
  const mover: Clocks.Mover = { to: () => Effect.void }
  const clock = yield* Clocks.make(startedAt, mover, (worker) => dead.has(worker))
  const random = yield* Random.Random.use(Effect.succeed).pipe(Random.withSeed(options.seed ?? "effect-durable"))
  const world = Context.add(clock.context, Random.Random, random).pipe(
    Context.add(Engine.HeartbeatRequest, options.heartbeat ?? (() => Effect.void))
  )
  const { at: _at, heartbeat: _heartbeat, name = "testing", patience = "1 second", seed: _seed, ...engine } = options
  const workers = yield* Effect.provideContext(
    Workers.make(db, { ...engine, name, workers: options.workers ?? 1 }, clock.now, dead),
    world
  )
  const course = yield* Courses.make(
    clock,
    workers.executions,
    Duration.toMillis(Duration.fromInputUnsafe(patience))
  )
  mover.to = course.to
  const testing = Testing.of({
    startedAt,
    now: clock.now,
    course,
    traps: workers.traps,
    crashes: workers.crashes
  })
  return Context.make(Testing, testing).pipe(
    Context.add(SystemDb, db),
    Context.add(Engine.Engine, workers.registry),
    Context.merge(world)
  )
})

/**
 * An empty memory store, workers over it, and the virtual clock they and the test live by. `TestClock` is that clock too, and
 * moves the same way.
 *
 * Give it the instant at which the test begins: a schedule's first tick is the first after its layer is built.
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Testing from "effect-durable/Testing"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as DateTime from "effect/DateTime"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Report = Workflow.make("report", { payload: Schedule.Tick() })
 * const ReportLive = Report.toLayer(() => Workflow.sleep("90 minutes"))
 * const Daily = Schedule.make("daily", { workflow: Report, cron: "0 0 6 * * *", timeZone: "Europe/Berlin" })
 *
 * const AppTest = Layer.mergeAll(ReportLive, Schedule.layer([Daily])).pipe(
 *   Layer.provideMerge(Testing.layer({ at: "2026-03-28T00:00:00Z" }))
 * )
 *
 * // Inside it.effect of @effect/vitest:
 * export const test = Effect.gen(function*() {
 *   yield* Testing.advance("2 days")
 *   const ticks = yield* Testing.ledger(Daily)
 *   return ticks.map(({ tick }) => DateTime.formatIso(tick)) // 05:00 on the 28th, 04:00 on the 29th
 * }).pipe(Effect.provide(AppTest))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Testing | SystemDb | Engine.Engine> =>
  Layer.provide(Layer.effectContext(make(options)), Memory.layerWith({}))

// ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Lets time pass: everything that is due meanwhile happens at its instant, in order, and has come to rest when this returns.
 *
 * Due are ticks, jittered starts, the ends of sleeps and of the waits between attempts, time-outs and all that fibers of the test
 * sleep for. At rest is what sleeps, waits for something durable, or has ended; for what takes real time see
 * {@link Options.patience}. A body that races real work against a virtual time-out counts as asleep.
 *
 * Cost:    in proportion to what happens, however long the time: a tick and its run take about 0.15 milliseconds
 *
 * @category time
 * @since 0.1.0
 */
export const advance: (duration: Duration.Input) => Effect.Effect<void, never, Testing> = Effect.fn("Testing.advance")(
  function*(duration) {
    const { course, now } = yield* Testing
    yield* course.to(now() + Duration.toMillis(Duration.fromInputUnsafe(duration)))
  }
)

/**
 * Lets time pass until this instant, as {@link advance} does. Dies when that has passed.
 *
 * @category time
 * @since 0.1.0
 */
export const setTime: (instant: Schedule.Instant) => Effect.Effect<void, never, Testing> = Effect.fn(
  "Testing.setTime"
)(function*(instant) {
  const { course } = yield* Testing
  yield* course.to(millisOf(instant))
})

/**
 * Lets time pass, as {@link advance} does, until the effect has ended, and ends as it does: `Testing.until(handle.await)`. Dies
 * when nothing is due any more and it has not. The effect must not move the clock itself.
 *
 * @category time
 * @since 0.1.0
 */
export const until: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | Testing> = Effect.fn(
  "Testing.until"
)(function*(effect) {
  const { course } = yield* Testing
  return yield* course.until(effect)
})

// ── what happened ───────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What became of every tick of the schedule so far, or in a window: `Schedule.ledger`.
 *
 * Order:   by tick
 *
 * @category results
 * @since 0.1.0
 */
export const ledger: (
  schedule: Schedule.Ref,
  window?: Partial<Schedule.Window>
) => Effect.Effect<ReadonlyArray<Schedule.Answer>, InvalidInput | StoreError, Testing | SystemDb> = Effect.fn(
  "Testing.ledger"
)(function*(schedule, { from, to } = {}) {
  const { now, startedAt } = yield* Testing
  return yield* Schedule.ledger(schedule, { from: from ?? startedAt, to: to ?? now() + 1 })
})

const pageSize = 1_000

/**
 * Every run of the schedule so far, also those that were triggered or backfilled.
 *
 * Order:   as they were created, then by id
 *
 * @category results
 * @since 0.1.0
 */
export const runs: (
  schedule: Schedule.Ref
) => Effect.Effect<ReadonlyArray<RunRow>, StoreError, SystemDb> = Effect.fn("Testing.runs")(function*(schedule) {
  const filter = { schedule: [typeof schedule === "string" ? schedule : schedule.name] }
  const found: Array<RunRow> = []
  for (;;) {
    const page: ReadonlyArray<RunRow> = yield* Run.list(filter, { limit: pageSize, after: found.at(-1) ?? null })
    found.push(...page)
    if (page.length < pageSize) return found.reverse()
  }
})

// ── crashes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Crashes a worker at a step to come: as soon as the n-th step from now on is recorded, of whatever run, or the next one of this
 * workflow and this name, the worker that recorded it is gone, in the middle of everything else it did.
 *
 * Nothing it had under way is written any more, and none of its bodies wakes up again; only a step that is in the middle of real
 * work can still finish that, in vain. Two seconds later, as in production, it is found dead, and another worker
 * continues its runs with the steps that are recorded; when it was the last one, a new one starts in its place. Returns at once:
 * what is to happen happens when time passes.
 *
 * @example
 * ```ts
 * import * as Testing from "effect-durable/Testing"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Order = Workflow.make("order", { payload: Schema.String, success: Schema.String })
 *
 * // With Testing.layer({ workers: 2 }) and the order's layer:
 * export const test = Effect.gen(function*() {
 *   yield* Testing.crashAfterStep({ workflow: Order, step: "charge" })
 *   const order = yield* Order.start("42")
 *   return yield* Testing.until(order.await) // the other worker shipped it, and nobody was charged twice
 * })
 * ```
 *
 * @category crashes
 * @since 0.1.0
 */
export const crashAfterStep: (
  which: number | { readonly workflow: string | { readonly name: string }; readonly step: string }
) => Effect.Effect<void, never, Testing> = Effect.fn("Testing.crashAfterStep")(function*(which) {
  const { traps } = yield* Testing
  if (typeof which === "number") {
    traps.push({ workflow: undefined, step: undefined, left: which })
    return
  }
  const { step, workflow } = which
  traps.push({ workflow: typeof workflow === "string" ? workflow : workflow.name, step, left: 1 })
})

/**
 * The crashes so far.
 *
 * @category crashes
 * @since 0.1.0
 */
export const crashes: Effect.Effect<ReadonlyArray<Crash>, never, Testing> = Effect.map(
  Testing,
  ({ crashes }) => crashes.map((crash) => ({ ...crash, at: DateTime.makeUnsafe(crash.at) }))
)
