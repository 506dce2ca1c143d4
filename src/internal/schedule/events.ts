/** What happens to a schedule that somebody may want to be told, and the runs that tell. */
import * as Schema from "effect/Schema"

/**
 * The payload of a hook: what happened to which schedule, and when.
 *
 * `"failure"`: the run of `tick` failed, the `failures`-th in a row · `"recovered"`: it succeeded after `failures` that did not ·
 * `"missed"`: the ticks from `tick` up to and including `lastTick`, `count` of them, were dropped because they were late.
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.Struct({
  event: Schema.Literals(["failure", "missed", "recovered"]),
  schedule: Schema.String,
  tick: Schema.DateTimeUtc,
  lastTick: Schema.DateTimeUtc,
  count: Schema.Int,
  runId: Schema.NullOr(Schema.String),
  failures: Schema.Int,
  /** Why, in words. */
  reason: Schema.String
})
/**
 * The payload of a hook.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/** An event as it is decided: instants are epoch milliseconds. */
export interface Happened {
  readonly event: Event["event"] | "success"
  readonly tick: number
  readonly lastTick: number
  readonly count: number
  readonly runId: string | null
  readonly failures: number
  readonly reason: string
}
