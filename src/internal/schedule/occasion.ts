/** What a body may ask about the tick it was started for, and about the runs before it. */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { InvalidInput, type RunDead, type RunTimedOut, Undecodable } from "../../Errors.ts"
import type { Run } from "../../SystemDb.ts"
import type { Workflow } from "../../Workflow.ts"
import * as Codec from "../codec.ts"
import * as Endings from "../endings.ts"
import { CurrentRun, type Execution } from "../execution.ts"
import { once } from "../once.ts"
import * as Outcome from "../outcome.ts"
import { type Cause as StartCause, originOf } from "./history.ts"

/**
 * The occasion of a scheduled run, the same on every replay.
 *
 * @category models
 * @since 0.1.0
 */
export interface Occasion {
  readonly schedule: string
  readonly scheduledAt: DateTime.Utc
  readonly cause: StartCause
  /** The tick before this one that no calendar excludes, as the timing was when the run was created. */
  readonly previousTick: Option.Option<DateTime.Utc>
  /** The tick after this one that no calendar excludes. */
  readonly nextTick: Option.Option<DateTime.Utc>
  /** From the tick to the run's first start. */
  readonly lateBy: Duration.Duration
}

const instant = (millis: number | null): Option.Option<DateTime.Utc> =>
  Option.map(Option.fromNullOr(millis), DateTime.makeUnsafe)

/**
 * Why the run that executes was started: its schedule, the ticks around its own, how late it began and because of what. None in a
 * run that no schedule started.
 *
 * @category body
 * @since 0.1.0
 */
export const current: Effect.Effect<Option.Option<Occasion>, never, CurrentRun> = CurrentRun.use(({ run }) => {
  if (run.schedule === null || run.tick === null) return Effect.succeed(Option.none())
  const { cause, next, previous } = originOf(run)
  return Effect.succeed(Option.some({
    schedule: run.schedule,
    scheduledAt: DateTime.makeUnsafe(run.tick),
    cause,
    previousTick: instant(previous),
    nextTick: instant(next),
    lateBy: Duration.millis(Math.max(0, (run.startedAt ?? run.createdAt) - run.tick))
  }))
})

// ── the runs before ─────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What the runs of a schedule before this one came to, the same on every replay. Another version of the code may have written it:
 * a success that cannot be read any more is an `Undecodable` in its place, and so is such an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface Previous<out A, out E> {
  /** The last run that succeeded. */
  readonly lastSuccess: Option.Option<{
    readonly runId: string
    readonly scheduledAt: DateTime.Utc
    readonly value: Result.Result<A, Undecodable>
  }>
  /** The last run that failed, timed out or was given up, and why. */
  readonly lastFailure: Option.Option<{
    readonly runId: string
    readonly scheduledAt: DateTime.Utc
    readonly cause: Cause.Cause<E | RunTimedOut | RunDead | Undecodable>
  }>
}

/** A run as far as what it came to is recorded in the runs after it. */
type Came = Pick<Run, "id" | "tick" | "status" | "outcome" | "attempt">

const came = (run: Run | null): Came | null =>
  run && { id: run.id, tick: run.tick, status: run.status, outcome: run.outcome, attempt: run.attempt }

const look = ({ db, run }: Execution) =>
  Effect.map(db.findPrevious(run.id), ({ failure, success }) => ({ success: came(success), failure: came(failure) }))

const about = ({ id, tick }: Came) => ({ runId: id, scheduledAt: DateTime.makeUnsafe(tick!) })

const valueOf = <A>({ id, outcome }: Came, success: Codec.Codec<A>): Result.Result<A, Undecodable> => {
  const { value } = Outcome.parse(outcome!) as { readonly value: string | undefined }
  return Result.mapError(
    success.decode(value),
    (reason) => new Undecodable({ subject: `outcome of run ${id}`, reason })
  )
}

/** As the run ends for who awaits it; it was not cancelled. */
const causeOf = <E>(run: Came, workflow: Pick<Workflow<string, any, any, E>, "success" | "error">) =>
  Effect.map(
    Effect.exit(Endings.replay(run.id, run, workflow, Effect.fail)),
    (exit) => (Exit.isFailure(exit) ? exit.cause : Cause.empty) as Cause.Cause<E | RunTimedOut | RunDead | Undecodable>
  )

/**
 * What the runs of this run's schedule before it came to: the last one that succeeded with what it gave, and the last one that
 * failed with its cause. Given the workflow of the run, both are typed.
 *
 * *Before* is by tick, so that a backfill sees what came before its own instant; runs started by hand count as of theirs. Runs that
 * are live or were cancelled when it is asked first are passed over, as are those of another workflow and those of an earlier
 * schedule of the name. Both are none in a run that no schedule started, when the schedule was deleted, and of runs that
 * retention has deleted.
 *
 * What it finds is recorded, so that a replay finds the same: both outcomes together must not be larger than a value may be. A
 * workflow that is not the run's own is a defect, `InvalidInput`.
 *
 * Cost:    1 round trip and one durable write; none in a run that no schedule started
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 * import * as Result from "effect/Result"
 * import * as Schema from "effect/Schema"
 *
 * const Import = Workflow.make("import", { payload: Schedule.Tick(), success: Schema.Int })
 *
 * // Each run goes on where the last one that succeeded came to.
 * export const ImportLive = Import.toLayer(Effect.fn("import")(function*() {
 *   const { lastSuccess } = yield* Schedule.previous(Import)
 *   const from = Option.flatMap(lastSuccess, ({ value }) => Result.getSuccess(value))
 *   return Option.getOrElse(from, () => 0) + 100
 * }))
 * ```
 *
 * @category body
 * @since 0.1.0
 */
export const previous = <P, A, E>(
  workflow: Workflow<string, P, A, E>
): Effect.Effect<Previous<A, E>, never, CurrentRun> =>
  CurrentRun.use(({ run }) => {
    if (workflow.name !== run.workflow) {
      const reason = `the run is one of ${run.workflow}, and so are those before it; give that one`
      return Effect.die(new InvalidInput({ field: "workflow", reason }))
    }
    if (run.schedule === null) return Effect.succeed({ lastSuccess: Option.none(), lastFailure: Option.none() })
    return Effect.flatMap(
      once("previous", (execution) => Effect.orDie(execution.ask(look(execution)))),
      ({ failure, success }) =>
        Effect.map(failure === null ? Effect.succeed(Cause.empty) : causeOf(failure, workflow), (cause) => ({
          lastSuccess: Option.map(Option.fromNullOr(success), (run) => ({
            ...about(run),
            value: valueOf(run, Codec.fromSchema(workflow.success))
          })),
          lastFailure: Option.map(Option.fromNullOr(failure), (run) => ({ ...about(run), cause }))
        }))
    )
  })
