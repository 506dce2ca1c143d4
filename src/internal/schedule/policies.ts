/** What a schedule does when things are not as planned, as data: from the caller's options to stored JSON and back. */
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { InvalidInput } from "../../Errors.ts"
import * as texts from "../texts.ts"
import type { Event } from "./events.ts"
import { toMillis } from "./window.ts"

// ── as stored ───────────────────────────────────────────────────────────────────────────────────────────────────────

const Millis = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const orNull = <S extends Schema.Codec<any, any>>(schema: S) => Schema.NullOr(schema)

const CatchUpRule = Schema.Struct({
  mode: Schema.Literals(["none", "latest", "all"]),
  windowMillis: orNull(Millis),
  cap: orNull(Positive)
})
/** What becomes of ticks that are late. */
export type CatchUpRule = typeof CatchUpRule.Type

const OverlapRule = Schema.Struct({
  mode: Schema.Literals(["allow", "skip", "bufferOne", "bufferAll", "cancelOther"]),
  /** Of `allow` how many live runs there may be, null for any number; of `bufferAll` how many starts may wait. */
  max: orNull(Positive),
  /** The scope that schedules share; null for the schedule's own. */
  key: orNull(Schema.String)
})
/** What becomes of a tick while runs of the scope are live. */
export type OverlapRule = typeof OverlapRule.Type

const Stored = Schema.Struct({
  catchUp: CatchUpRule,
  graceMillis: Millis,
  overlap: OverlapRule,
  jitterMillis: Millis,
  startDeadlineMillis: orNull(Millis),
  from: orNull(Schema.Int),
  until: orNull(Schema.Int),
  maxRuns: orNull(Positive),
  timeoutMillis: orNull(Positive),
  pauseAfterFailures: orNull(Positive),
  onFailure: orNull(Schema.String),
  onMissed: orNull(Schema.String),
  onRecovered: orNull(Schema.String),
  heartbeat: orNull(Schema.String)
})
export type Policies = typeof Stored.Type

/** Stored policies leave out what is so: a default that changes here would move every schedule that did not state it. */
export const defaults: Policies = {
  catchUp: { mode: "latest", windowMillis: null, cap: null },
  graceMillis: 60_000,
  overlap: { mode: "allow", max: null, key: null },
  jitterMillis: 0,
  startDeadlineMillis: null,
  from: null,
  until: null,
  maxRuns: null,
  timeoutMillis: null,
  pauseAfterFailures: null,
  onFailure: null,
  onMissed: null,
  onRecovered: null,
  heartbeat: null
}

const decodeStored = Schema.decodeUnknownResult(
  Schema.fromJsonString(Schema.Struct({
    catchUp: Schema.optionalKey(CatchUpRule),
    graceMillis: Schema.optionalKey(Millis),
    overlap: Schema.optionalKey(OverlapRule),
    jitterMillis: Schema.optionalKey(Millis),
    startDeadlineMillis: Schema.optionalKey(Stored.fields.startDeadlineMillis),
    from: Schema.optionalKey(Stored.fields.from),
    until: Schema.optionalKey(Stored.fields.until),
    maxRuns: Schema.optionalKey(Stored.fields.maxRuns),
    timeoutMillis: Schema.optionalKey(Stored.fields.timeoutMillis),
    pauseAfterFailures: Schema.optionalKey(Stored.fields.pauseAfterFailures),
    onFailure: Schema.optionalKey(Stored.fields.onFailure),
    onMissed: Schema.optionalKey(Stored.fields.onMissed),
    onRecovered: Schema.optionalKey(Stored.fields.onRecovered),
    heartbeat: Schema.optionalKey(Stored.fields.heartbeat)
  }))
)

/** What is not stated has its default; what is stated must be understood. */
export const decode = (text: string): Result.Result<Policies, string> =>
  Result.mapBoth(decodeStored(text), {
    onSuccess: (stored) => ({ ...defaults, ...stored }),
    onFailure: (error) => error.message
  })

/** Whether the scheduler has to take note of the end of its runs. */
export const settles = (policies: Policies): boolean =>
  policies.pauseAfterFailures !== null || policies.onFailure !== null || policies.onRecovered !== null ||
  policies.heartbeat !== null

/** What runs of this schedule must not overlap with; null when that does not matter. */
export const overlapScope = (name: string, { overlap }: Policies): string | null => {
  if (overlap.mode === "allow" && overlap.max === null) return null
  return overlap.key === null ? `schedule:${name}` : `key:${overlap.key}`
}

// ── as the caller writes them ───────────────────────────────────────────────────────────────────────────────────────

/**
 * What becomes of ticks that nobody started in time, whatever the cause: no process up, the store away, a process stopped, a
 * clock set forward.
 *
 * `"none"` drops them, `"latest"` starts the last of them, `"all"` starts each of them, the oldest first. Of those, ticks older
 * than `window` are dropped, and of `"all"` only the newest `cap` are started.
 *
 * @category models
 * @since 0.1.0
 */
export type CatchUp = "none" | "latest" | "all" | {
  readonly mode: "none" | "latest" | "all"
  readonly window?: Duration.Input | undefined
  readonly cap?: number | undefined
}

type OverlapMode = OverlapRule["mode"]

/**
 * What becomes of a tick while runs of the schedule have not ended: enqueued, suspended and retrying ones count too.
 *
 * `"allow"` starts it beside them, up to `max` at once · `"skip"` drops it · `"bufferOne"` lets it wait for them unless one waits
 * already · `"bufferAll"` lets up to `max` wait, 100 unless said otherwise, and drops what is beyond · `"cancelOther"` cancels
 * them. Schedules with the same `key` share one scope: what is live of any of them counts for all.
 *
 * @category models
 * @since 0.1.0
 */
export type Overlap = OverlapMode | {
  readonly mode: OverlapMode
  readonly max?: number | undefined
  readonly key?: string | undefined
}

/**
 * A workflow that an event of a schedule starts: its payload is `Schedule.Event`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hook {
  readonly name: string
  readonly payload: Schema.Codec<Event, any>
}

/**
 * What a schedule does when things are not as planned, stored with the schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  /** For ticks that are late by more than `grace`. Default `"latest"`, with no window and no cap. */
  readonly catchUp?: CatchUp | undefined
  /** A tick late by this much or less is on time. Default 1 minute. */
  readonly grace?: Duration.Input | undefined
  /** For ticks that come while runs are live. Default `"allow"`. */
  readonly overlap?: Overlap | undefined
  /**
   * Spreads starts: each tick starts later by a part of this bound that its name and instant give, and before the next tick.
   * The tick its run sees stays the nominal one. Default none.
   */
  readonly jitter?: Duration.Input | undefined
  /** A run that has not begun this long after its tick is dropped, also one that waits in line. Default none. */
  readonly startDeadline?: Duration.Input | undefined
  /** Ticks before this instant are none. */
  readonly from?: DateTime.DateTime.Input | undefined
  /** Ticks at or after this instant are none. */
  readonly until?: DateTime.DateTime.Input | undefined
  /** The schedule ends after this many runs started by its ticks. */
  readonly maxRuns?: number | undefined
  /** How long each run may take, from its first start. Default none. */
  readonly timeout?: Duration.Input | undefined
  /** Pauses the schedule when this many of its runs failed in a row. Default never. */
  readonly pauseAfterFailures?: number | undefined
  /** Started once for each run that failed. */
  readonly onFailure?: Hook | undefined
  /** Started once for each stretch of ticks that were dropped because they were late. */
  readonly onMissed?: Hook | undefined
  /** Started once for the first run that succeeds after one that failed. */
  readonly onRecovered?: Hook | undefined
  /** A URL that a durable step requests after each success, for services that notice when it stays away. */
  readonly heartbeat?: string | undefined
}

const invalid = (field: string, reason: string) => Result.fail(new InvalidInput({ field, reason }))
const none = Result.succeed(null)

const duration = (field: string, input: Duration.Input): Result.Result<number, InvalidInput> => {
  const duration = Duration.fromInput(input)
  if (Option.isNone(duration)) return invalid(field, "is not a duration; write it as in \"2 hours\"")
  const millis = Math.ceil(Duration.toMillis(duration.value))
  if (millis < 0) return invalid(field, "must not be negative")
  // JSON cannot say Infinity, and nothing lasts longer than this.
  if (millis === Infinity) return Result.succeed(longestMillis)
  return millis <= longestMillis ? Result.succeed(millis) : invalid(field, "must not be longer than 10,000 years")
}

/** Whichever instant of the years up to 9999 it is added to, what comes of it is one that every store can keep. */
const longestMillis = 10_000 * 365 * 86_400_000

/** A bound that may be infinite, which is none. */
const bound = (
  read: (input: Duration.Input) => Result.Result<number, InvalidInput>
) =>
(input: Duration.Input | undefined): Result.Result<number | null, InvalidInput> => {
  const duration = input === undefined ? Option.none() : Duration.fromInput(input)
  const unbounded = Option.isSome(duration) && Duration.toMillis(duration.value) === Infinity
  return input === undefined || unbounded ? none : read(input)
}

const optional = <A, B>(
  input: A | undefined,
  read: (input: A) => Result.Result<B, InvalidInput>
): Result.Result<B | null, InvalidInput> => input === undefined ? none : read(input)

const positive = (field: string) => (input: number): Result.Result<number, InvalidInput> =>
  Number.isSafeInteger(input) && input >= 1 ? Result.succeed(input) : invalid(field, "must be a whole number from 1 up")

const longerThanNothing = (field: string) => (input: Duration.Input): Result.Result<number, InvalidInput> =>
  Result.flatMap(
    duration(field, input),
    (millis) => millis > 0 ? Result.succeed(millis) : invalid(field, "must be longer than nothing")
  )

/** An infinite one is none, which differs from one that is not given: that is the workflow's. */
const timeout = (input: Duration.Input): Result.Result<number, InvalidInput> =>
  Result.map(bound(longerThanNothing("timeout"))(input), (millis) => millis ?? longestMillis)

const instant = (field: string) => (input: DateTime.DateTime.Input): Result.Result<number, InvalidInput> =>
  toMillis(field, input)

const catchUpModes: ReadonlyArray<unknown> = ["none", "latest", "all"]

/** A rule for late ticks. */
export const catchUpRule = (field: string, input: CatchUp): Result.Result<CatchUpRule, InvalidInput> => {
  const { cap, mode, window } = typeof input === "string" ? { mode: input, window: undefined, cap: undefined } : input
  if (!catchUpModes.includes(mode)) return invalid(field, "must be \"none\", \"latest\" or \"all\"")
  return Result.all({
    mode: Result.succeed(mode),
    windowMillis: bound((input) => duration(`${field}.window`, input))(window),
    cap: optional(cap, positive(`${field}.cap`))
  })
}

const overlapModes: ReadonlyArray<unknown> = ["allow", "skip", "bufferOne", "bufferAll", "cancelOther"]
const defaultBuffer = 100
const largestBuffer = 1_000

const overlapRule = (field: string, input: Overlap): Result.Result<OverlapRule, InvalidInput> => {
  const { key, max, mode } = typeof input === "string" ? { mode: input, max: undefined, key: undefined } : input
  if (!overlapModes.includes(mode)) {
    return invalid(field, "must be \"allow\", \"skip\", \"bufferOne\", \"bufferAll\" or \"cancelOther\"")
  }
  if (max !== undefined && mode !== "allow" && mode !== "bufferAll") {
    return invalid(`${field}.max`, "is only for \"allow\" and \"bufferAll\"")
  }
  if (max !== undefined && mode === "bufferAll" && max > largestBuffer) {
    return invalid(`${field}.max`, `must not be larger than ${largestBuffer}`)
  }
  if (key !== undefined && (key.length === 0 || key.length > 200)) {
    return invalid(`${field}.key`, "must have 1 to 200 characters")
  }
  const odd = texts.fault(key ?? "")
  if (odd !== undefined) return invalid(`${field}.key`, odd)
  return Result.map(
    optional(max, positive(`${field}.max`)),
    (max) => ({ mode, max: max ?? (mode === "bufferAll" ? defaultBuffer : null), key: key ?? null })
  )
}

const url = (input: string): Result.Result<string, InvalidInput> =>
  /^https?:\/\/\S+$/.test(input) && URL.canParse(input)
    ? texts.check("heartbeat", input)
    : invalid("heartbeat", "must be an http or https URL")

const hook = (field: string) => (input: Hook): Result.Result<string, InvalidInput> =>
  typeof input.name === "string" && input.name.length > 0
    ? texts.checkShort(field, input.name)
    : invalid(field, "must be a workflow")

/** Refuses policies that contradict each other. */
const consistent = (policies: Policies): Result.Result<Policies, InvalidInput> => {
  const { from, jitterMillis, startDeadlineMillis, until } = policies
  if (from !== null && until !== null && until < from) return invalid("until", "lies before from")
  if (startDeadlineMillis !== null && startDeadlineMillis < jitterMillis) {
    return invalid("startDeadline", "must not be shorter than jitter, which would drop most ticks")
  }
  return Result.succeed(policies)
}

/** The policies that the options state, and the defaults of the others. */
export const fromOptions = (options: PolicyOptions): Result.Result<Policies, InvalidInput> =>
  Result.flatMap(
    Result.all({
      catchUp: options.catchUp === undefined
        ? Result.succeed(defaults.catchUp)
        : catchUpRule("catchUp", options.catchUp),
      graceMillis: options.grace === undefined
        ? Result.succeed(defaults.graceMillis)
        : duration("grace", options.grace),
      overlap: options.overlap === undefined
        ? Result.succeed(defaults.overlap)
        : overlapRule("overlap", options.overlap),
      jitterMillis: options.jitter === undefined ? Result.succeed(0) : duration("jitter", options.jitter),
      startDeadlineMillis: bound((input) => duration("startDeadline", input))(options.startDeadline),
      from: optional(options.from, instant("from")),
      until: optional(options.until, instant("until")),
      maxRuns: optional(options.maxRuns, positive("maxRuns")),
      timeoutMillis: optional(options.timeout, timeout),
      pauseAfterFailures: optional(options.pauseAfterFailures, positive("pauseAfterFailures")),
      onFailure: optional(options.onFailure, hook("onFailure")),
      onMissed: optional(options.onMissed, hook("onMissed")),
      onRecovered: optional(options.onRecovered, hook("onRecovered")),
      heartbeat: optional(options.heartbeat, url)
    }),
    consistent
  )

/** The JSON text of policies. What has its default is left out: every firing writes the schedule's row anew, and short ones faster. */
export const encode = (policies: Policies): string =>
  JSON.stringify(Object.fromEntries(
    Object.entries(policies).filter(([name, value]) =>
      JSON.stringify(value) !== JSON.stringify(defaults[name as keyof Policies])
    )
  ))

/** Options as an edit gives them: null puts back the default, and what is absent stays. */
export type PolicyChanges = { readonly [K in keyof PolicyOptions]?: PolicyOptions[K] | null }

const stored: { readonly [K in keyof Required<PolicyOptions>]: keyof Policies } = {
  catchUp: "catchUp",
  grace: "graceMillis",
  overlap: "overlap",
  jitter: "jitterMillis",
  startDeadline: "startDeadlineMillis",
  from: "from",
  until: "until",
  maxRuns: "maxRuns",
  timeout: "timeoutMillis",
  pauseAfterFailures: "pauseAfterFailures",
  onFailure: "onFailure",
  onMissed: "onMissed",
  onRecovered: "onRecovered",
  heartbeat: "heartbeat"
}

/** The policies with these changes. */
export const merge = (policies: Policies, changes: PolicyChanges): Result.Result<Policies, InvalidInput> => {
  const given = (Object.keys(stored) as Array<keyof PolicyOptions>).filter((option) => changes[option] !== undefined)
  const options = Object.fromEntries(given.map((option) => [option, changes[option] ?? undefined])) as PolicyOptions
  return Result.flatMap(fromOptions(options), (read) => {
    const replaced = Object.fromEntries(given.map((option) => [stored[option], read[stored[option]]]))
    return consistent({ ...policies, ...replaced })
  })
}
