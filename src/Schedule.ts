/**
 * Schedules: timings that start runs of a workflow, in every process and at most once per tick.
 *
 * A schedule is a pure value made by {@link make} and becomes a row in the store: with {@link layer} at start-up, or with
 * {@link create} and {@link apply} at run time. Any engine over the same store fires it. An instant it names is a *tick*; to
 * *fire* is to turn a tick into a run. Every tick has an answer: a run, or an entry in the {@link ledger} that says why not.
 * Everything here but `layer`, `current` and `previous` needs the store alone, no engine.
 *
 * Not in here: the fibers that fire, which are in `Engine`; timings, which are in `Timing` and `Cron`; durable backfills, which
 * are in `Backfill`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Cron from "./Cron.ts"
import { InvalidInput, ScheduleExists, type StoreError, type ValueTooLarge } from "./Errors.ts"
import { Engine } from "./internal/registry.ts"
import { CurrentOperator, door } from "./internal/schedule/actor.ts"
import * as Applying from "./internal/schedule/applying.ts"
import type { StartOptions } from "./internal/schedule/backfillRequest.ts"
import { beginning } from "./internal/schedule/beginning.ts"
import * as Changes from "./internal/schedule/change.ts"
import * as Definition from "./internal/schedule/definition.ts"
import { pausedFrom } from "./internal/schedule/pausing.ts"
import type { Any } from "./internal/schedule/schedule.ts"
import type { TriggerOptions } from "./internal/schedule/starting.ts"
import type { PauseOptions } from "./internal/schedule/verbs.ts"
import { millis } from "./internal/schedule/window.ts"
import { SystemDb } from "./SystemDb.ts"

export { CurrentOperator, type Operator } from "./internal/schedule/actor.ts"
export type { Applied, ApplyError, ApplyOptions } from "./internal/schedule/applying.ts"
export { type Migration, migration } from "./internal/schedule/context.ts"
export type { FieldChange } from "./internal/schedule/editing.ts"
export { Event } from "./internal/schedule/events.ts"
export type { Explanation, Upcoming } from "./internal/schedule/explain.ts"
export type { Answer, Cause, Decision, HistoryEntry } from "./internal/schedule/history.ts"
export type { Dropped, Filter, Info, Policies, Status } from "./internal/schedule/info.ts"
export { current, type Occasion, type Previous, previous } from "./internal/schedule/occasion.ts"
export type { CatchUp, Hook, Overlap, PolicyChanges, PolicyOptions } from "./internal/schedule/policies.ts"
export {
  audit,
  type AuditEntry,
  describe,
  explain,
  get,
  history,
  type HistoryCursor,
  type HistoryOptions,
  type HistoryPage,
  ledger,
  list,
  stream,
  upcoming
} from "./internal/schedule/reading.ts"
export {
  type Any,
  type Context,
  type Handle,
  make,
  type Marks,
  type Ref,
  type Schedule,
  Tick,
  type When
} from "./internal/schedule/schedule.ts"
export {
  backfill,
  backfillStream,
  type TicksError,
  trigger,
  type TriggerOptions
} from "./internal/schedule/starting.ts"
export type { Backfilled } from "./internal/schedule/ticks.ts"
export {
  type Because,
  type ChangeError,
  dropBuffered,
  type Edit,
  edit,
  freeze,
  type Frozen,
  frozen,
  pause,
  pauseAll,
  type PauseOptions,
  remove,
  resume,
  resumeAll,
  type ResumeOptions,
  skip,
  skipNext,
  thaw,
  unskip
} from "./internal/schedule/verbs.ts"
export type { Instant, Window } from "./internal/schedule/window.ts"

/**
 * The ways a schedule can be refused before it is stored.
 *
 * @category errors
 * @since 0.1.0
 */
export type DefinitionError = Cron.CronParseError | InvalidInput | ScheduleExists | ValueTooLarge | StoreError

/**
 * How a schedule is created.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateOptions<S extends Any = Any> {
  /** Whether it begins Paused: with `true` until it is resumed. The reason and the end are those of a pause. */
  readonly paused?: boolean | PauseOptions | undefined
  /** Whether a run is triggered with it: with `true` for now, or as `trigger` takes it. The run is enqueued. */
  readonly trigger?: boolean | TriggerOptions<S> | undefined
  /** A durable backfill that is started with it, as `Backfill.start` takes it. */
  readonly backfill?: StartOptions<S> | undefined
}

/**
 * Stores a new schedule, Active from its first tick after now, or Paused; with a triggered run and a backfill when it is to begin
 * with them. All of it is there afterwards, or nothing, also when the answer is lost.
 *
 * Fails:   `ScheduleExists` when the name is taken · `CronParseError` and `InvalidInput` say what is wrong with it, also with
 *          `trigger.` or `backfill.` before the field, and `backfill.id` when a backfill has that id
 * Cost:    3 round trips, and 1 to see why it was refused
 *
 * @category operations
 * @since 0.1.0
 */
export const create: <S extends Any>(
  schedule: S,
  options?: CreateOptions<S>
) => Effect.Effect<void, DefinitionError, SystemDb> = Effect.fn("Schedule.create")(
  function*<S extends Any>(schedule: S, { backfill, paused = false, trigger = false }: CreateOptions<S> = {}) {
    const db = yield* SystemDb
    const pause: PauseOptions = typeof paused === "boolean" ? {} : paused
    yield* door(pause.reason)
    const until = pause.until === undefined || pause.until === null ? null : yield* millis("until", pause.until)
    const definition = yield* Definition.toDefinition(schedule, null)
    const now = yield* db.now
    const active = yield* Effect.orDie(Effect.fromResult(Definition.fresh(definition, now)))
    const content = paused === false
      ? active
      : yield* Effect.fromResult(pausedFrom(active, now, { reason: pause.reason, until }))
    const begun = yield* Effect.catchTag(
      beginning(content, schedule.workflow, now, {
        trigger: trigger === false ? undefined : trigger === true ? {} : trigger,
        backfill
      }),
      "Undecodable",
      Effect.die
    )
    if (yield* Changes.create(db, content, begun)) return
    const taken = begun.backfills.length > 0 && Option.isNone(yield* db.findSchedule(schedule.name))
    if (!taken) return yield* new ScheduleExists({ schedule: schedule.name })
    return yield* new InvalidInput({ field: "backfill.id", reason: "is that of another backfill" })
  }
)

/**
 * Creates or replaces all of these schedules, or none of them, and says what that changed, field by field.
 *
 * A schedule that exists keeps its status, its history, its cursor, what it remembers and an operator's note; only where another
 * timing or other bounds change which instants are ticks does the cursor move, to the first of the new ones after now. Ticks of
 * the old one that are past and undecided are passed over then. Applying what is stored already changes nothing.
 *
 * Fails:   `ScheduleExists` when the list names one twice · `ScheduleOwned` when another owner declared one of them ·
 *          `InvalidInput` on `prune` or `version` without an owner · as `create`
 * Cost:    4 round trips, 5 with a version; again when something came in between
 *
 * @category operations
 * @since 0.1.0
 */
export const apply: (
  schedules: ReadonlyArray<Any>,
  options?: Applying.ApplyOptions
) => Effect.Effect<Applying.Applied, Applying.ApplyError, SystemDb> = Effect.fn("Schedule.apply")(
  function*(schedules, options = {}) {
    return yield* Applying.apply(yield* SystemDb, schedules, options)
  }
)

/**
 * Applies these schedules in one step when the application starts; they belong to the engine's application, in the engine's
 * version.
 *
 * A list that cannot be applied as a whole fails the layer and changes nothing. With `prune`, schedules this application
 * declared in an earlier version and does not list any more are deleted; those of other applications, and those created at
 * run time, stay. Use one layer per application when pruning or giving the engine a version, with the complete list.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  schedules: ReadonlyArray<Any>,
  options?: { readonly prune?: boolean | undefined }
): Layer.Layer<never, Applying.ApplyError, Engine | SystemDb> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const { application, version } = yield* Engine
    const applied = yield* apply(schedules, {
      owner: application,
      version: Option.getOrUndefined(version),
      prune: options?.prune
    }).pipe(Effect.provideService(CurrentOperator, { name: application, source: "Schedule.layer" }))
    if (Option.isSome(applied.supersededBy)) {
      return yield* Effect.logInfo(`Schedules not applied: version ${applied.supersededBy.value} has applied its own`)
    }
    yield* Effect.logDebug(
      `Schedules applied: ${applied.created.length} created, ${applied.changed.length} changed, ` +
        `${applied.unchanged.length} unchanged, ${applied.pruned.length} pruned`
    )
  }))
