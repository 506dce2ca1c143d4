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
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Schema from "effect/Schema"
import * as Engine from "./Engine.ts"
import type { InvalidInput, StepTimedOut, StoreError, Undecodable } from "./Errors.ts"
import type { HeartbeatFailed } from "./internal/engine/heartbeat.ts"
import { StepInterceptor } from "./internal/interposed.ts"
import * as Clocks from "./internal/testing/clock.ts"
import * as Courses from "./internal/testing/course.ts"
import * as Everywhere from "./internal/testing/everywhere.ts"
import * as Interposing from "./internal/testing/interposing.ts"
import * as Points from "./internal/testing/points.ts"
import * as Traps from "./internal/testing/traps.ts"
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
 * A worker that crashed, and the point that a run of its had come to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Crash extends Points.Point {
  readonly worker: string
  readonly at: DateTime.Utc
}

export { CrashDiffers } from "./internal/testing/everywhere.ts"
export type { StepFilter } from "./internal/testing/interposing.ts"
export type { Fact, Point } from "./internal/testing/points.ts"
export type { Place } from "./internal/testing/traps.ts"

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
  readonly traps: Set<Workers.Trap>
  readonly stand: Interposing.Stand
  readonly started: ReadonlySet<string>
  readonly crashes: ReadonlyArray<Workers.Crash>
}>()("effect-durable/Testing") {}

const defaultSeed = "effect-durable"

const millisOf = (instant: Schedule.Instant): number => DateTime.toEpochMillis(DateTime.makeUnsafe(instant))

const make = Effect.fnUntraced(function*(options: Options) {
  const db = yield* SystemDb
  const startedAt = millisOf(options.at ?? "2026-01-01T00:00:00Z")
  const dead = new Set<string>()
  const mover: Clocks.Mover = { to: () => Effect.void }
  const isDead = (worker: string) => dead.has(worker)
  const clock = yield* Clocks.make(startedAt, mover, isDead)
  const { seed = defaultSeed } = options
  const random = (seed: string | number) => Random.withSeed(Random.Random.use(Effect.succeed), seed)
  const stand = Interposing.make(isDead)
  const world = Context.add(clock.context, Random.Random, yield* random(seed)).pipe(
    Context.add(StepInterceptor, stand.intercept),
    Context.add(Engine.HeartbeatRequest, options.heartbeat ?? (() => Effect.void))
  )
  const { at: _at, heartbeat: _heartbeat, name = "testing", patience = "1 second", seed: _seed, ...engine } = options
  const workers = yield* Effect.provideContext(
    Workers.make(db, { ...engine, name, workers: options.workers ?? 1 }, clock.now, dead),
    // What the workers draw, such as the id of a new one after a crash, takes nothing from bodies.
    Context.add(world, Random.Random, yield* random(`${seed} of the workers`))
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
    stand,
    started: workers.started,
    crashes: workers.crashes
  })
  return Context.make(Testing, testing).pipe(
    Context.add(SystemDb, workers.db),
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

/**
 * How a step ended, read back from its record; none while it has no outcome.
 *
 * Shape:   a step whose types are not plain JSON needs the schemas that it was given
 * Fails:   Undecodable when the record is none of these schemas' · StoreError
 *
 * @example
 * ```ts
 * import * as Testing from "effect-durable/Testing"
 * import * as Schema from "effect/Schema"
 *
 * export const charged = (runId: string) =>
 *   Testing.outcome(runId, "charge", { success: Schema.DateTimeUtc, error: Schema.Literal("Declined") })
 * ```
 *
 * @category results
 * @since 0.1.0
 */
export const outcome: <A = unknown, E = unknown>(
  run: string | { readonly id: string },
  step: string,
  options?: {
    readonly key?: string | undefined
    /** The how-manieth use of the name and the key in the run. Default 1. */
    readonly occurrence?: number | undefined
    readonly success?: Schema.Codec<A, any> | undefined
    readonly error?: Schema.Codec<E, any> | undefined
  }
) => Effect.Effect<Option.Option<Exit.Exit<A, E | StepTimedOut>>, Undecodable | StoreError, SystemDb> = Effect.fn(
  "Testing.outcome"
)(function*(run, step, { error, key = "", occurrence = 1, success } = {}) {
  const runId = typeof run === "string" ? run : run.id
  const records = yield* SystemDb.use((db) => db.listSteps(runId))
  const record = records.find((record) =>
    record.name === step && record.key === key && record.occurrence === occurrence && record.outcome !== null
  )
  if (record === undefined) return Option.none()
  return Option.some(yield* Interposing.exitOf(record, `outcome of step ${step} in run ${runId}`, { success, error }))
})

// ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Does something else in the place of a step's effect, for every attempt to come or for the n-th: fail it, delay it, replace it.
 *
 * What the function makes of the effect is the attempt: it is bounded by the step's time-out, retried as the step says, and its
 * outcome is recorded. It must end as the step could: the types are not checked, what the step's schemas refuse is a defect. Undo
 * steps are steps as well. Where several apply, the later one gets what the earlier one made.
 *
 * @example
 * ```ts
 * import * as Testing from "effect-durable/Testing"
 * import * as Effect from "effect/Effect"
 *
 * export const test = Effect.gen(function*() {
 *   yield* Testing.replaceStep({ step: "charge", nth: 1 }, () => Effect.fail("Busy")) // the first attempt fails
 *   yield* Testing.replaceStep("ship", Effect.delay("1 hour")) // each takes an hour
 *   yield* Testing.replaceStep("notify", () => Effect.void) // nobody is notified
 * })
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const replaceStep: (
  which: string | Interposing.StepFilter,
  effect: (effect: Effect.Effect<any, any>) => Effect.Effect<unknown, unknown>
) => Effect.Effect<void, never, Testing> = Effect.fn("Testing.replaceStep")(function*(which, effect) {
  const { stand } = yield* Testing
  stand.add(typeof which === "string" ? { step: which } : which, effect)
})

// ── crashes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Crashes a worker at a point to come: the moment one of its runs is there, it is gone, in the middle of everything else it did.
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
 *   yield* Testing.crash({ before: "Step", step: "charge" }) // charged, and not recorded
 *   yield* Testing.crash({ after: "Suspend", workflow: Order }) // nobody is left to wait
 *   const order = yield* Order.start("42")
 *   return yield* Testing.until(order.await)
 * })
 * ```
 *
 * @category crashes
 * @since 0.1.0
 */
export const crash: (place: Traps.Place) => Effect.Effect<void, never, Testing> = Effect.fn("Testing.crash")(
  function*(place) {
    const { traps } = yield* Testing
    Traps.set(traps, Traps.at(place), place.nth)
  }
)

/**
 * Crashes a worker, as {@link crash} does, as soon as the n-th step from now on is recorded, of whatever run, or the next one of
 * this workflow and this name.
 *
 * @category crashes
 * @since 0.1.0
 */
export const crashAfterStep: (
  which: number | { readonly workflow: string | { readonly name: string }; readonly step: string }
) => Effect.Effect<void, never, Testing> = Effect.fn("Testing.crashAfterStep")(function*(which) {
  const { traps } = yield* Testing
  if (typeof which === "number") Traps.set(traps, Traps.recorded, which)
  else Traps.set(traps, (point) => Traps.recorded(point) && Points.isOf(which, point))
})

/**
 * The crashes so far.
 *
 * @category crashes
 * @since 0.1.0
 */
export const crashes: Effect.Effect<ReadonlyArray<Crash>, never, Testing> = Effect.map(
  Testing,
  ({ crashes }) => crashes.map(({ at, point, worker }) => ({ ...point, worker, at: DateTime.makeUnsafe(at) }))
)

/**
 * What {@link crashEverywhere} needs beside the program.
 *
 * @category models
 * @since 0.1.0
 */
export interface CrashOptions<ROut, E> extends Options {
  /** The application's layers, as they would stand on {@link layer}. Built anew for each execution, whatever they share. */
  readonly layer: Layer.Layer<ROut, E, Testing | SystemDb | Engine.Engine>
  /**
   * Names of steps, and of workflows, whose values may differ from one execution to the next: a random number, a time. How they
   * end is compared all the same.
   */
  readonly varying?: ReadonlyArray<string> | undefined
}

/**
 * Executes a program in a world of its own, as often as there are points at which a worker can crash: once without a crash, and
 * then once for every point that the runs came to, with a crash there. Fails with the first crash that makes a difference.
 *
 * The program starts runs and awaits them; what it returns is compared, so let it return whatever else must be the same, such as
 * the mails that were sent. Compared are also the outcomes of all runs, which steps they recorded and with what outcome, and how
 * often the effects of these steps ran: once more than without a crash only where a step was under way in it.
 *
 * An execution takes as long as its runs have to do, some milliseconds; there are two points for every step, sleep, attempt,
 * suspension, child and end. What depends on time by its own doing (a schedule whose tick comes two seconds after the crash, a
 * time-out) can differ rightly.
 *
 * Fails:   CrashDiffers · dies as the program does when it dies without a crash, or when it starts no run
 *
 * @example
 * ```ts
 * import * as Step from "effect-durable/Step"
 * import * as Testing from "effect-durable/Testing"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Order = Workflow.make("order", { payload: Schema.String, success: Schema.String })
 * const OrderLive = Order.toLayer((id) => Step.run("charge", Effect.succeed(`paid ${id}`)))
 *
 * // Inside it.effect of @effect/vitest; needs no layer.
 * export const test = Testing.crashEverywhere(Order.execute("42", { runId: "42" }), { layer: OrderLive })
 * ```
 *
 * @category crashes
 * @since 0.1.0
 */
export const crashEverywhere: <A, E, R, E2>(
  program: Effect.Effect<A, E, R | Testing | SystemDb | Engine.Engine>,
  options: CrashOptions<R, E2>
) => Effect.Effect<
  { readonly exit: Exit.Exit<A, E>; readonly points: ReadonlyArray<Points.Point> },
  Everywhere.CrashDiffers | E2
> = Effect.fn("Testing.crashEverywhere")(function*(program, { layer: application, varying: names = [], ...options }) {
  const varying = new Set(names)
  const seeded = Random.withSeed(program, options.seed ?? defaultSeed)
  const world = (crashAt?: Everywhere.CrashAt) =>
    Effect.gen(function*() {
      const { course, stand, started, traps } = yield* Testing
      const db = yield* SystemDb
      const stage = { course, db, started, traps, watchers: stand.watchers }
      return yield* Effect.orDie(Everywhere.execute(stage, seeded, crashAt))
    }).pipe(Effect.provide(Layer.fresh(Layer.provideMerge(application, layer(options)))))
  const base = yield* world()
  if (Exit.isFailure(base.exit) && Exit.hasDies(base.exit)) {
    return yield* Effect.failCause(base.exit.cause as Cause.Cause<never>)
  }
  if (base.points.length === 0) {
    return yield* Effect.die(new Error("The program came to its end without executing a run"))
  }
  for (const crashAt of Everywhere.crashesOf(base)) {
    const differs = Everywhere.judge(base, yield* world(crashAt), crashAt, varying)
    if (differs !== undefined) return yield* differs
  }
  return { exit: base.exit, points: base.points }
})
