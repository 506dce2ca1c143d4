/** What a schedule does about ticks nobody could fire, as data: from the caller's options to stored JSON and back. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { InvalidInput } from "../../Errors.ts"

/** What becomes of a stretch of ticks that did not fire in time. `allMillis` says how far back they are made up. */
export type Rule = "skip" | "latest" | { readonly allMillis: number }

export interface Policies {
  /** For ticks that nobody could fire. */
  readonly missed: Rule
  /** For ticks that fell while the schedule was Paused. */
  readonly whilePaused: Rule
  /** A tick that is late by this much or less is not missed. */
  readonly graceMillis: number
}

export const defaults: Policies = { missed: "latest", whilePaused: "skip", graceMillis: 60_000 }

/** A rule as the caller writes it. */
export type CatchUp = "skip" | "latest" | { readonly all: Duration.Input }

/**
 * What becomes of the ticks that did not fire, and when a tick counts as missed.
 *
 * `"skip"` passes them over, `"latest"` fires the last of them, `{ all: duration }` fires those no older than the duration.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  /** For ticks that nobody could fire, because no process was up or the store was away. Default `"latest"`. */
  readonly missed?: CatchUp | undefined
  /** For ticks that fell while the schedule was Paused; applied when it is resumed. Default `"skip"`. */
  readonly whilePaused?: CatchUp | undefined
  /** A tick late by this much or less is not missed: it fires. Default 1 minute. */
  readonly grace?: Duration.Input | undefined
}

const Millis = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const StoredRule = Schema.Union([Schema.Literals(["skip", "latest"]), Schema.Struct({ allMillis: Millis })])
const decodeStored = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Struct({
  missed: Schema.optionalKey(StoredRule),
  whilePaused: Schema.optionalKey(StoredRule),
  graceMillis: Schema.optionalKey(Millis)
})))

/** What is not stated has its default; what is stated must be understood. */
export const decode = (text: string): Result.Result<Policies, string> =>
  Result.mapBoth(decodeStored(text), {
    onSuccess: (stored) => ({ ...defaults, ...stored }),
    onFailure: (error) => error.message
  })

const invalid = (field: string, reason: string) => Result.fail(new InvalidInput({ field, reason }))

const millis = (field: string, input: Duration.Input): Result.Result<number, InvalidInput> => {
  const duration = Duration.fromInput(input)
  if (Option.isNone(duration)) return invalid(field, "is not a duration; write it as in \"2 hours\"")
  const millis = Math.ceil(Duration.toMillis(duration.value))
  // JSON cannot say Infinity, and no number of milliseconds a clock can show is larger than this.
  return millis >= 0
    ? Result.succeed(Math.min(millis, Number.MAX_SAFE_INTEGER))
    : invalid(field, "must not be negative")
}

const rule = (field: string, input: unknown): Result.Result<Rule, InvalidInput> => {
  if (input === "skip" || input === "latest") return Result.succeed(input)
  if (typeof input !== "object" || input === null || !("all" in input)) {
    return invalid(field, "must be \"skip\", \"latest\" or { all: duration }")
  }
  return Result.map(millis(field, input.all as Duration.Input), (allMillis) => ({ allMillis }))
}

/** The JSON text of the policies. Every one is written out, so that a later change of a default moves no schedule. */
export const encode = (options: PolicyOptions): Result.Result<string, InvalidInput> =>
  Result.map(
    Result.all({
      missed: options.missed === undefined ? Result.succeed(defaults.missed) : rule("missed", options.missed),
      whilePaused: options.whilePaused === undefined
        ? Result.succeed(defaults.whilePaused)
        : rule("whilePaused", options.whilePaused),
      graceMillis: options.grace === undefined ? Result.succeed(defaults.graceMillis) : millis("grace", options.grace)
    }),
    (policies) => JSON.stringify(policies)
  )
