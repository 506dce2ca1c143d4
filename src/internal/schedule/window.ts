/** The instants and windows that callers give, as epoch milliseconds. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { InvalidInput } from "../../Errors.ts"
import * as Reading from "../timing/reading.ts"

/**
 * An instant, as anything `DateTime.make` understands.
 *
 * @category models
 * @since 0.1.0
 */
export type Instant = DateTime.DateTime.Input

/**
 * The part of the past to backfill: `from` is in it, `to` is not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Window {
  readonly from: Instant
  readonly to: Instant
}

/** A window as it is used. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** The first whole millisecond that is not before the instant. */
export const toMillis = (field: string, input: unknown): Result.Result<number, InvalidInput> =>
  Result.map(
    Reading.instant(field, input),
    () => Math.ceil(DateTime.toEpochMillis(DateTime.makeUnsafe(input as Instant)))
  )

export const millis = (field: string, input: Instant): Effect.Effect<number, InvalidInput> =>
  Effect.fromResult(toMillis(field, input))

export const span = Effect.fnUntraced(function*(window: Window): Effect.fn.Return<Span, InvalidInput> {
  const from = yield* millis("from", window.from)
  const to = yield* millis("to", window.to)
  if (to < from) return yield* new InvalidInput({ field: "to", reason: "lies before from" })
  return { from, to }
})
