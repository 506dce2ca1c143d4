/** Starting runs of a schedule by hand: one for now, or one for each tick of a window. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { InvalidInput, ScheduleNotFound, StoreError, Undecodable, ValueTooLarge } from "../../Errors.ts"
import { SystemDb } from "../../SystemDb.ts"
import { door } from "./actor.ts"
import * as Commands from "./commands.ts"
import * as Definition from "./definition.ts"
import * as Policies from "./policies.ts"
import { type Context, type Handle, handleOf, type Ref, subjectOf } from "./schedule.ts"
import { Backfilled } from "./ticks.ts"
import * as Windows from "./window.ts"

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
 * The ticks are those of the schedule's present timing that no calendar excludes, the context is its present one, and it may be
 * Paused. The runs may overlap: for limited concurrency and a job that survives this process, see `Backfill`.
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
    yield* door(undefined)
    const span = yield* Windows.span(window)
    const row = yield* Commands.find(db, subjectOf(schedule))
    const read = yield* Effect.fromResult(Definition.read(row))
    return Stream.map(
      Commands.backfill(db, read, span),
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
  /** How long the run may take, in place of what the schedule says. */
  readonly timeout?: Duration.Input | undefined
  /** A run that has not begun this long from now is dropped. */
  readonly startDeadline?: Duration.Input | undefined
  /** Triggered again under the same key, the schedule gives the same run. */
  readonly idempotencyKey?: string | undefined
  /** Why; it stands in the audit. */
  readonly reason?: string | undefined
}

/** The options of a trigger as the command takes them. */
export const triggerRequest = Effect.fnUntraced(function*(
  { context, idempotencyKey, reason, scheduledAt, startDeadline, timeout }: TriggerOptions
): Effect.fn.Return<Commands.TriggerRequest, InvalidInput> {
  return {
    context,
    at: scheduledAt === undefined ? undefined : yield* Windows.millis("scheduledAt", scheduledAt),
    key: idempotencyKey,
    reason,
    overrides: yield* Effect.fromResult(Policies.fromOptions({ startDeadline, timeout }))
  }
})

/**
 * Starts one run of the schedule now, also while it is Paused. Every call is a run of its own, with an id of its own, unless it
 * has an idempotency key; the schedule's cursor and history stay as they are, and its policy for overlap is not asked. The run
 * executes on this process when it has a free slot for it.
 *
 * Cost:    2 round trips, and one for the time when no instant is given
 *
 * @category operations
 * @since 0.1.0
 */
export const trigger: <R extends Ref>(
  schedule: R,
  options?: TriggerOptions<R>
) => Effect.Effect<Handle<R>, TicksError | ValueTooLarge, SystemDb> = Effect.fn("Schedule.trigger")(
  function*<R extends Ref>(schedule: R, options: TriggerOptions<R> = {}) {
    const db = yield* SystemDb
    const run = yield* Commands.trigger(db, subjectOf(schedule), yield* triggerRequest(options))
    return handleOf(schedule, run.id)
  }
)
