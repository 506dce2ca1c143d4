/** What a schedule has to remember from one decision to the next, as data. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Cause = Schema.Literals(["schedule", "catch-up"])

const Pending = Schema.Struct({ tick: Schema.Int, cause: Cause })
/** A tick whose start waits for runs to end. */
export type Pending = typeof Pending.Type

const PutOff = Schema.Struct({ tick: Schema.Int, at: Schema.Int })
/** A tick of an earlier timing that its jitter has put off, and when it starts. */
export type PutOff = typeof PutOff.Type

const Dropped = Schema.Struct({
  missed: Schema.Int,
  overlapped: Schema.Int,
  coalesced: Schema.Int,
  skipped: Schema.Int,
  excluded: Schema.Int,
  frozen: Schema.Int
})
export type Dropped = typeof Dropped.Type

const Stretch = Schema.Struct({
  /** Ticks whose start was due before this instant belong to it. */
  edge: Schema.Int,
  mode: Schema.Literals(["none", "latest", "all"]),
  /** The one tick to start, of `latest`. */
  target: Schema.NullOr(Schema.Int),
  /** Ticks before this instant are older than the window. */
  windowFrom: Schema.NullOr(Schema.Int),
  /** Ticks before this instant are beyond the cap. */
  capFrom: Schema.NullOr(Schema.Int),
  /** Why the target could not start, which goes for those before it too. */
  refused: Schema.optionalKey(Schema.Struct({ reason: Schema.String, by: Schema.NullOr(Schema.String) }))
})
/**
 * Late ticks that are decided together, perhaps in several decisions: what is said about them must not change between two.
 */
export type Stretch = typeof Stretch.Type

const fields = {
  /** How many runs its ticks had started when `maxRuns` was set. */
  countedFrom: Schema.Int,
  /** How many of the ticks to come an operator wants skipped. */
  skipNext: Schema.Int,
  /** Instants an operator wants skipped, ascending. */
  skips: Schema.Array(Schema.Int),
  /** Starts that wait, oldest first. */
  buffered: Schema.Array(Pending),
  /** Behind the cursor, ascending. */
  putOff: Schema.Array(PutOff),
  /** How many of its runs failed in a row. */
  failures: Schema.Int,
  /** How many of its ticks became no run, whatever the ledger still knows of them. */
  dropped: Dropped,
  stretch: Schema.NullOr(Stretch),
  /** Late ticks from the cursor on that were decided before those that lie before them, ascending. */
  ahead: Schema.Array(Schema.Int),
  /** Asked for when it was resumed: how ticks up to `at` are caught up. */
  resumed: Schema.NullOr(Schema.Struct({ at: Schema.Int, mode: Schema.Literals(["latest", "all"]) }))
}
export type State = Schema.Struct.Type<typeof fields>

const noneDropped: Dropped = { missed: 0, overlapped: 0, coalesced: 0, skipped: 0, excluded: 0, frozen: 0 }

export const initial: State = {
  countedFrom: 0,
  skipNext: 0,
  skips: [],
  buffered: [],
  putOff: [],
  failures: 0,
  dropped: noneDropped,
  stretch: null,
  ahead: [],
  resumed: null
}

const decodeStored = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Struct({
  countedFrom: Schema.optionalKey(fields.countedFrom),
  skipNext: Schema.optionalKey(fields.skipNext),
  skips: Schema.optionalKey(fields.skips),
  buffered: Schema.optionalKey(fields.buffered),
  putOff: Schema.optionalKey(fields.putOff),
  failures: Schema.optionalKey(fields.failures),
  dropped: Schema.optionalKey(Dropped),
  stretch: Schema.optionalKey(fields.stretch),
  ahead: Schema.optionalKey(fields.ahead),
  resumed: Schema.optionalKey(fields.resumed)
})))

export const decode = (text: string): Result.Result<State, string> =>
  // By far most schedules remember nothing.
  text === "{}" ? Result.succeed(initial) : Result.mapBoth(decodeStored(text), {
    onSuccess: (stored) => ({ ...initial, ...stored }),
    onFailure: (error) => error.message
  })

/** What is as it was in the beginning is left out. */
export const encode = (state: State): string =>
  JSON.stringify({
    ...state.countedFrom > 0 && { countedFrom: state.countedFrom },
    ...state.skipNext > 0 && { skipNext: state.skipNext },
    ...state.skips.length > 0 && { skips: state.skips },
    ...state.buffered.length > 0 && { buffered: state.buffered },
    ...state.putOff.length > 0 && { putOff: state.putOff },
    ...state.failures > 0 && { failures: state.failures },
    ...Object.values(state.dropped).some((count) => count > 0) && { dropped: state.dropped },
    ...state.stretch !== null && { stretch: state.stretch },
    ...state.ahead.length > 0 && { ahead: state.ahead },
    ...state.resumed !== null && { resumed: state.resumed }
  })

/** What is remembered once the cursor stands there: no tick behind it is ahead of anything. */
export const passing = (state: State, nextAt: number | null): State =>
  state.ahead.length === 0
    ? state
    : { ...state, ahead: state.ahead.filter((tick) => nextAt !== null && tick >= nextAt) }

const kinds = {
  Missed: "missed",
  Overlapped: "overlapped",
  Coalesced: "coalesced",
  Skipped: "skipped",
  Excluded: "excluded",
  Frozen: "frozen"
} as const

/** The counts with what these entries say. Ticks that nobody counted are one at least. */
export const tallied = (
  dropped: Dropped,
  entries: ReadonlyArray<{ readonly decision: string; readonly count: number | null }>
): Dropped => {
  const counts = { ...dropped }
  for (const { count, decision } of entries) {
    if (Object.hasOwn(kinds, decision)) counts[kinds[decision as keyof typeof kinds]] += count ?? 1
  }
  return counts
}
