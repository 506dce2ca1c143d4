/** What a schedule has to remember from one decision to the next, as data. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Cause = Schema.Literals(["schedule", "catch-up"])

const Pending = Schema.Struct({ tick: Schema.Int, cause: Cause })
/** A tick whose start waits for runs to end. */
export type Pending = typeof Pending.Type

const Stretch = Schema.Struct({
  /** Ticks whose start was due before this instant belong to it. */
  edge: Schema.Int,
  mode: Schema.Literals(["none", "latest", "all"]),
  /** The one tick to start, of `latest`. */
  target: Schema.NullOr(Schema.Int),
  /** Ticks before this instant are older than the window. */
  windowFrom: Schema.NullOr(Schema.Int),
  /** Ticks before this instant are beyond the cap. */
  capFrom: Schema.NullOr(Schema.Int)
})
/**
 * Late ticks that are decided together, perhaps in several decisions: what is said about them must not change between two.
 */
export type Stretch = typeof Stretch.Type

const fields = {
  /** How many runs its ticks started. */
  started: Schema.Int,
  /** How many of the ticks to come an operator wants skipped. */
  skipNext: Schema.Int,
  /** Instants an operator wants skipped, ascending. */
  skips: Schema.Array(Schema.Int),
  /** Starts that wait, oldest first. */
  buffered: Schema.Array(Pending),
  /** How many of its runs failed in a row. */
  failures: Schema.Int,
  stretch: Schema.NullOr(Stretch),
  /** Asked for when it was resumed: how ticks up to `at` are caught up. */
  resumed: Schema.NullOr(Schema.Struct({ at: Schema.Int, mode: Schema.Literals(["latest", "all"]) }))
}
export type State = Schema.Struct.Type<typeof fields>

export const initial: State = {
  started: 0,
  skipNext: 0,
  skips: [],
  buffered: [],
  failures: 0,
  stretch: null,
  resumed: null
}

const decodeStored = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Struct({
  started: Schema.optionalKey(fields.started),
  skipNext: Schema.optionalKey(fields.skipNext),
  skips: Schema.optionalKey(fields.skips),
  buffered: Schema.optionalKey(fields.buffered),
  failures: Schema.optionalKey(fields.failures),
  stretch: Schema.optionalKey(fields.stretch),
  resumed: Schema.optionalKey(fields.resumed)
})))

export const decode = (text: string): Result.Result<State, string> =>
  // By far most schedules remember nothing but how often they started a run.
  text === "{}" ? Result.succeed(initial) : Result.mapBoth(decodeStored(text), {
    onSuccess: (stored) => ({ ...initial, ...stored }),
    onFailure: (error) => error.message
  })

/** What is as it was in the beginning is left out. */
export const encode = (state: State): string =>
  JSON.stringify({
    ...state.started > 0 && { started: state.started },
    ...state.skipNext > 0 && { skipNext: state.skipNext },
    ...state.skips.length > 0 && { skips: state.skips },
    ...state.buffered.length > 0 && { buffered: state.buffered },
    ...state.failures > 0 && { failures: state.failures },
    ...state.stretch !== null && { stretch: state.stretch },
    ...state.resumed !== null && { resumed: state.resumed }
  })
