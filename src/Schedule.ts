/**
 * Schedules: cron expressions that start runs of a workflow, in every process and at most once per tick.
 *
 * A schedule is a pure value made by {@link make} and becomes a row in the store: with {@link layer} at start-up, or with
 * {@link create} and {@link apply} at run time. Any engine over the same store fires it. An instant it names is a *tick*; to
 * *fire* is to turn a tick into a run. Everything here but `layer` needs the store alone, no engine.
 *
 * Not in here: the fibers that fire, which are in `Engine`; cron expressions, which are in `Cron`.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Cron from "./Cron.ts"
import {
  InvalidInput,
  ScheduleExists,
  type ScheduleNotFound,
  type StoreError,
  type Undecodable,
  type ValueTooLarge
} from "./Errors.ts"
import { Registry } from "./internal/registry.ts"
import * as Commands from "./internal/schedule/commands.ts"
import * as Definition from "./internal/schedule/definition.ts"
import { type Filter, fromRow, type Info, toFilter } from "./internal/schedule/info.ts"
import type { PolicyOptions } from "./internal/schedule/policies.ts"
import { Backfilled } from "./internal/schedule/ticks.ts"
import * as Windows from "./internal/schedule/window.ts"
import * as Run from "./Run.ts"
import { type Applied, type NewSchedule, SystemDb } from "./SystemDb.ts"
import type * as Workflow from "./Workflow.ts"

export type { CatchUp, Filter, Info, Policies } from "./internal/schedule/info.ts"
export type { PolicyOptions } from "./internal/schedule/policies.ts"
export type { Backfilled } from "./internal/schedule/ticks.ts"
export type { Instant, Window } from "./internal/schedule/window.ts"

// ── definitions ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The payload of a scheduled run: the tick it was started for, whenever it executes, and the schedule's context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tick<out C> {
  readonly scheduledAt: DateTime.Utc
  readonly context: C
}

/**
 * The payload schema of a workflow that schedules can start.
 *
 * Shape:   the schema of the context, or the fields of a struct; without one there is no context
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Schema from "effect/Schema"
 *
 * export const Report = Workflow.make("report", {
 *   payload: Schedule.Tick({ kind: Schema.String, lookbackHours: Schema.Finite })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Tick = <C extends Schema.Codec<any, any> | Schema.Struct.Fields = Schema.Void>(context?: C): Schema.Codec<
  Tick<C extends Schema.Codec<infer T, any> ? T : C extends Schema.Struct.Fields ? Schema.Struct<C>["Type"] : never>,
  unknown
> => {
  const given = context ?? Schema.Void
  return Schema.Struct({
    scheduledAt: Schema.DateTimeUtc,
    context: Schema.isSchema(given) ? given as Schema.Codec<any, any> : Schema.Struct(given as Schema.Struct.Fields)
  }) as never
}

/**
 * A schedule: a pure value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Schedule<in out C, in out A, in out E> extends PolicyOptions {
  readonly name: string
  readonly workflow: Workflow.Workflow<string, Tick<C>, A, E>
  readonly cron: string
  readonly timeZone: string
  readonly context: C
}

/**
 * Any schedule at all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends PolicyOptions {
  readonly name: string
  readonly workflow: {
    readonly name: string
    readonly payload: Schema.Codec<any, any>
    readonly handle: (runId: string) => Run.Handle<any, any>
  }
  readonly cron: string
  readonly timeZone: string
  readonly context: unknown
}

/**
 * A schedule by its value, which gives typed handles, or by its name.
 *
 * @category models
 * @since 0.1.0
 */
export type Ref = string | Any

/**
 * What a schedule gives to its runs beside the tick; known where the schedule is given by its value.
 *
 * @category models
 * @since 0.1.0
 */
export type Context<R extends Ref> = R extends Any ? R["workflow"]["payload"]["Type"]["context"] : unknown

/**
 * The handle of a run of this schedule.
 *
 * @category models
 * @since 0.1.0
 */
export type Handle<R extends Ref> = R extends Any ? ReturnType<R["workflow"]["handle"]> : Run.Handle<unknown, unknown>

type ContextOption<C> = undefined extends C ? { readonly context?: C } : { readonly context: C }

/**
 * Makes a schedule. Nothing is stored: pass it to {@link layer}, {@link create} or {@link apply}.
 *
 * A literal cron of five fields, a context of another shape than the workflow's, and a workflow whose payload is not a
 * {@link Tick} do not compile. What the compiler cannot see is checked before the schedule is stored.
 *
 * Shape:   six fields, seconds first, or a macro such as `@daily`; `timeZone` is an IANA name, by default UTC; `context` may
 *          be left out where the workflow's context may be undefined
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Schema from "effect/Schema"
 *
 * const Report = Workflow.make("report", { payload: Schedule.Tick({ kind: Schema.String }) })
 *
 * export const Daily = Schedule.make("daily-summary", {
 *   workflow: Report,
 *   cron: "0 0 6 * * *",
 *   timeZone: "Europe/Berlin",
 *   context: { kind: "summary" }
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <C, A, E, const Expression extends string>(
  name: string,
  options: PolicyOptions & ContextOption<NoInfer<C>> & {
    readonly workflow: Workflow.Workflow<string, Tick<C>, A, E>
    readonly cron: Cron.Expression<Expression>
    readonly timeZone?: string | undefined
  }
): Schedule<C, A, E> => ({
  name,
  workflow: options.workflow,
  cron: options.cron,
  timeZone: options.timeZone ?? "UTC",
  context: options.context as C,
  missed: options.missed,
  whilePaused: options.whilePaused,
  grace: options.grace
})

// ── what is stored ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The ways a schedule can be refused before it is stored.
 *
 * @category errors
 * @since 0.1.0
 */
export type DefinitionError = Cron.CronParseError | InvalidInput | ScheduleExists | ValueTooLarge | StoreError

const nameOf = (ref: Ref): string => typeof ref === "string" ? ref : ref.name
const workflowOf = (ref: Ref) => typeof ref === "string" ? undefined : ref.workflow
const subjectOf = (ref: Ref): Commands.Subject => ({ name: nameOf(ref), workflow: workflowOf(ref) })

/** A handle whose outcome is read as it is stored. */
const untyped = { success: Schema.Any, error: Schema.Any }

const handleOf = <R extends Ref>(ref: R, runId: string): Handle<R> =>
  (workflowOf(ref)?.handle(runId) ?? Run.handle(runId, untyped)) as Handle<R>

/**
 * Stores a new schedule, Active from its first tick after now.
 *
 * Fails:   `ScheduleExists` when the name is taken · `CronParseError` and `InvalidInput` say what is wrong with it
 * Cost:    2 round trips
 *
 * @category operations
 * @since 0.1.0
 */
export const create: (schedule: Any) => Effect.Effect<void, DefinitionError, SystemDb> = Effect.fn("Schedule.create")(
  function*(schedule) {
    const db = yield* SystemDb
    yield* db.createSchedule(yield* Definition.toRow(schedule, null, yield* db.now))
  }
)

/**
 * How a list of schedules is applied. With an `application` they belong to it; `prune` then deletes what that application
 * applied earlier and does not list now.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApplyOptions {
  readonly application?: string | undefined
  readonly prune?: boolean | undefined
}

/**
 * Creates or replaces all of these schedules, or none of them.
 *
 * A schedule that exists keeps its status, its history and its cursor; only a changed cron or time zone moves the cursor, to
 * the first tick of the new one after now. Ticks of the old one that are past and unfired are passed over then. Applying
 * what is stored already changes nothing.
 *
 * Shape:   the names of what was created, changed, left unchanged and pruned
 * Fails:   `ScheduleExists` when the list names one twice · `InvalidInput` on `prune` without an application · as `create`
 * Cost:    2 round trips
 *
 * @category operations
 * @since 0.1.0
 */
export const apply: (
  schedules: ReadonlyArray<Any>,
  options?: ApplyOptions
) => Effect.Effect<Applied, DefinitionError, SystemDb> = Effect.fn("Schedule.apply")(
  function*(schedules, { application, prune } = {}) {
    const db = yield* SystemDb
    if (prune === true && application === undefined) {
      return yield* new InvalidInput({ field: "prune", reason: "needs the application whose schedules to prune" })
    }
    const now = yield* db.now
    const rows = new Map<string, NewSchedule>()
    for (const schedule of schedules) {
      const row = yield* Definition.toRow(schedule, application ?? null, now)
      if (rows.has(row.name)) return yield* new ScheduleExists({ name: row.name })
      rows.set(row.name, row)
    }
    return yield* db.applySchedules([...rows.values()], { pruneApplication: prune === true ? application! : null })
  }
)

/**
 * Applies these schedules in one step when the application starts; they belong to the engine's application.
 *
 * A list that cannot be applied as a whole fails the layer and changes nothing. With `prune`, schedules this application
 * declared in an earlier version and does not list any more are deleted; those of other applications, and those created at
 * run time, stay. Use one layer per application when pruning, with the complete list.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  schedules: ReadonlyArray<Any>,
  options?: { readonly prune?: boolean | undefined }
): Layer.Layer<never, DefinitionError, Registry | SystemDb> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const { application } = yield* Registry
    const applied = yield* apply(schedules, { application, prune: options?.prune })
    yield* Effect.logDebug(
      `Schedules applied: ${applied.created.length} created, ${applied.changed.length} changed, ` +
        `${applied.unchanged.length} unchanged, ${applied.pruned.length} pruned`
    )
  }))

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The schedule as it is stored; none when there is no such schedule. Given the schedule's value, its context is typed.
 *
 * @category operations
 * @since 0.1.0
 */
export const get: <R extends Ref>(
  schedule: R
) => Effect.Effect<
  Option.Option<Info<Context<R>>>,
  StoreError,
  SystemDb
> = Effect.fn("Schedule.get")(function*(ref: Ref) {
  const db = yield* SystemDb
  return Option.map(yield* db.findSchedule(nameOf(ref)), (row) => fromRow(row, workflowOf(ref)))
})

/**
 * Lists schedules, a page at a time: pass the name of a page's last one as `after` to get the next.
 *
 * One whose context, policies or cron cannot be read any more is listed like any other, see {@link Info}.
 *
 * Order:   by name, by code point
 *
 * @category operations
 * @since 0.1.0
 */
export const list: (
  filter?: Filter,
  page?: { readonly limit?: number | undefined; readonly after?: string | undefined }
) => Effect.Effect<ReadonlyArray<Info>, StoreError, SystemDb> = Effect.fn("Schedule.list")(
  function*(filter = {}, page = {}) {
    const db = yield* SystemDb
    const rows = yield* db.listSchedules(toFilter(filter), { limit: page.limit ?? 100, after: page.after ?? null })
    return rows.map((row) => fromRow(row, undefined))
  }
)

const pageSize = 500

/**
 * Every schedule the filter lets through, read a page at a time.
 *
 * Order:   by name, by code point
 *
 * @category operations
 * @since 0.1.0
 */
export const stream = (filter: Filter = {}): Stream.Stream<Info, StoreError, SystemDb> =>
  Stream.paginate(
    undefined as string | undefined,
    (after) =>
      Effect.map(list(filter, { after, limit: pageSize }), (page) => {
        const next = page.length < pageSize ? Option.none() : Option.some(page.at(-1)!.name)
        return [page, next] as const
      })
  )

// ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Stops the schedule from firing until it is resumed. One that is Paused already stays so. Runs it started go on.
 *
 * @category operations
 * @since 0.1.0
 */
export const pause: (schedule: Ref) => Effect.Effect<void, ScheduleNotFound | StoreError, SystemDb> = Effect.fn(
  "Schedule.pause"
)(function*(ref) {
  const db = yield* SystemDb
  yield* db.pauseSchedule(nameOf(ref))
})

/**
 * Makes a Paused schedule Active again. The ticks that fell meanwhile are first treated as its policy `whilePaused` says;
 * it goes on with its first tick after now. One that is Active stays as it is.
 *
 * Fails:   `ScheduleNotFound` · `Undecodable` when the stored cron or policies cannot be read, and it stays Paused
 *
 * @category operations
 * @since 0.1.0
 */
export const resume: (schedule: Ref) => Effect.Effect<void, ScheduleNotFound | Undecodable | StoreError, SystemDb> =
  Effect.fn("Schedule.resume")(function*(ref) {
    const db = yield* SystemDb
    yield* Commands.resume(db, nameOf(ref))
  })

/**
 * Deletes the schedule. Its runs stay.
 *
 * @category operations
 * @since 0.1.0
 */
export const remove: (schedule: Ref) => Effect.Effect<void, ScheduleNotFound | StoreError, SystemDb> = Effect.fn(
  "Schedule.remove"
)(function*(ref) {
  const db = yield* SystemDb
  yield* db.deleteSchedule(nameOf(ref))
})

/**
 * The ways a command about a schedule's ticks can be refused or fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type TicksError = ScheduleNotFound | InvalidInput | Undecodable | StoreError

/**
 * Enqueues a run for every tick of the window, as the stream is pulled: a batch of 500 ticks per statement, so that neither the
 * number of ticks nor that of runs it finds matters to memory. Each tick comes out once it is stored, in order.
 *
 * The run ids are those the scheduler uses, so a tick that ran already is passed over, and reported with `created: false`.
 * The ticks are those of the schedule's present cron, the context is its present one, and it may be Paused.
 *
 * Fails:   `InvalidInput` on a window that ends before it begins, and on a schedule stored with another workflow
 *
 * @category operations
 * @since 0.1.0
 */
export const backfillStream = <R extends Ref>(
  schedule: R,
  window: Windows.Window
): Stream.Stream<Backfilled<Handle<R>>, TicksError, SystemDb> =>
  Stream.unwrap(Effect.gen(function*() {
    const db = yield* SystemDb
    const span = yield* Windows.span(window)
    const row = yield* Commands.find(db, subjectOf(schedule))
    const cron = yield* Effect.fromResult(Definition.parseStored(row))
    return Stream.map(
      Commands.backfill(db, row, cron, span),
      (enqueued) => new Backfilled(enqueued, (runId) => handleOf(schedule, runId))
    )
  }))

/**
 * Enqueues a run for every tick of the window and returns all of them; see {@link backfillStream}. `created` says which are new.
 *
 * @category operations
 * @since 0.1.0
 */
export const backfill: <R extends Ref>(
  schedule: R,
  window: Windows.Window
) => Effect.Effect<ReadonlyArray<Backfilled<Handle<R>>>, TicksError, SystemDb> = Effect.fn("Schedule.backfill")(
  (schedule, window) => Stream.runCollect(backfillStream(schedule, window))
)

/**
 * How a run is triggered: with the schedule's own context unless one is given, and for now unless another instant is.
 *
 * @category models
 * @since 0.1.0
 */
export interface TriggerOptions<R extends Ref = Ref> {
  readonly context?: Context<R> | undefined
  readonly scheduledAt?: Windows.Instant | undefined
}

/**
 * Starts one run of the schedule now, also while it is Paused. Every call is a run of its own, with an id of its own; the
 * schedule's cursor and history stay as they are. The run executes on this process when it has a free slot for it.
 *
 * @category operations
 * @since 0.1.0
 */
export const trigger: <R extends Ref>(
  schedule: R,
  options?: TriggerOptions<R>
) => Effect.Effect<Handle<R>, ScheduleNotFound | InvalidInput | ValueTooLarge | StoreError, SystemDb> = Effect.fn(
  "Schedule.trigger"
)(function*<R extends Ref>(schedule: R, { context, scheduledAt }: TriggerOptions<R> = {}) {
  const db = yield* SystemDb
  const at = scheduledAt === undefined ? undefined : yield* Windows.millis("scheduledAt", scheduledAt)
  const run = yield* Commands.trigger(db, subjectOf(schedule), { context, at })
  return handleOf(schedule, run.id)
})
