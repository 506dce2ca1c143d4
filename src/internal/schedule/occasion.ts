/** What a body may ask about the tick it was started for. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CurrentRun } from "../execution.ts"
import { type Cause, originOf } from "./history.ts"

/**
 * The occasion of a scheduled run, the same on every replay.
 *
 * @category models
 * @since 0.1.0
 */
export interface Occasion {
  readonly schedule: string
  readonly scheduledAt: DateTime.Utc
  readonly cause: Cause
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
