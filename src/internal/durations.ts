/** What a wait or a time-out may be: not negative, a number, and not beyond the dates that can be written. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { InvalidInput } from "../Errors.ts"

/** About 126,000 years: a delay and a time-out of that length from now on still lead to a date. */
export const longestMillis = 4e15

// Effect takes what is not a number for no time at all.
const isNaNInput = (input: unknown): boolean =>
  typeof input === "object" && input !== null
    ? !Duration.isDuration(input) && Object.values(input).some(Number.isNaN)
    : Number.isNaN(input)

const invalid = (field: string, reason: string) => Result.fail(new InvalidInput({ field, reason }))

/** The milliseconds of a duration, Infinity among them, or the refusal that names the field. */
const read = (field: string, input: Duration.Input): Result.Result<number, InvalidInput> => {
  const duration = Duration.fromInput(input)
  if (Option.isNone(duration) || isNaNInput(input)) return invalid(field, "is not a duration")
  const millis = Duration.toMillis(duration.value)
  if (millis < 0) return invalid(field, `must not be negative, and this one is ${millis} milliseconds`)
  return millis > longestMillis && millis !== Number.POSITIVE_INFINITY
    ? invalid(field, `must not be longer than ${longestMillis} milliseconds`)
    : Result.succeed(millis)
}

/** How long to wait, in milliseconds. */
export const wait = (field: string, input: Duration.Input): Result.Result<number, InvalidInput> =>
  Result.flatMap(
    read(field, input),
    (millis) => millis === Number.POSITIVE_INFINITY ? invalid(field, "must not be infinite") : Result.succeed(millis)
  )

/** A time-out in milliseconds, or null when there is none, as an infinite one is. */
export const timeout = (
  field: string,
  input: Duration.Input | undefined
): Result.Result<number | null, InvalidInput> =>
  input === undefined
    ? Result.succeed(null)
    : Result.map(read(field, input), (millis) => millis === Number.POSITIVE_INFINITY ? null : millis)
