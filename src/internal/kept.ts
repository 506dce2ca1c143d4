/**
 * What is kept of the errors of a step that is retried: the outcomes of the first and of the last attempts that failed, each
 * bounded in size, so that a step may be retried for ever. How many there were in all is the number of attempts.
 */
import * as Result from "effect/Result"
import { type Codec, described } from "./codec.ts"
import * as Outcome from "./outcome.ts"

const first = 3
const last = 5
/** Of an error's JSON in UTF-8. One that is longer is kept as a description, which no schema decodes. */
const maxBytes = 16 * 1024
const maxMessageLength = 1_000

/** The most that all of them together can have, whatever else a store's limit is. */
export const maxKeptBytes = 256 * 1024

const bytesOf = (text: string): number => text.length * 3 <= maxBytes ? 0 : Buffer.byteLength(text)

const shortened = (text: unknown): string | undefined =>
  typeof text === "string" ? text.slice(0, maxMessageLength).toWellFormed() : undefined

/** What people can read of an error that is too long, with the number of bytes it had. */
const describe = (value: unknown, bytes: number) => {
  const { _tag, message } = JSON.parse(Result.getOrThrow(described.encode(value)) as string)
  return { _tag: shortened(_tag), message: shortened(message), bytes }
}

const textOf = (outcome: Outcome.Outcome): string => {
  const text = Outcome.stringify(outcome)
  const bytes = bytesOf(text)
  if (bytes <= maxBytes) return text
  if (outcome._tag === "Failure") {
    return JSON.stringify({ ...outcome, error: describe(JSON.parse(outcome.error!), bytes) })
  }
  if (outcome._tag === "Defect") {
    return JSON.stringify({ ...outcome, defect: describe(JSON.parse(outcome.defect), bytes) })
  }
  return text
}

/** The texts as a record has them. */
export const read = (errors: string | null): Array<string> =>
  errors === null ? [] : (JSON.parse(errors) as ReadonlyArray<unknown>).map((outcome) => JSON.stringify(outcome))

export const write = (texts: ReadonlyArray<string>): string | null => texts.length === 0 ? null : `[${texts.join(",")}]`

/** Adds one more, and drops one in the middle when there are too many. */
export const add = (texts: Array<string>, outcome: Outcome.Outcome): void => {
  texts.push(textOf(outcome))
  if (texts.length > first + last) texts.splice(first, texts.length - first - last)
}

/** Which of the kept ones stands for the error of the n-th attempt, from 0: its own, or the nearest. */
const standIn = (index: number, attempts: number, kept: number): number => {
  if (kept >= attempts || index < first) return Math.min(index, kept - 1)
  const dropped = attempts - kept
  if (index >= first + dropped) return index - dropped
  return index - first < dropped / 2 ? first - 1 : Math.min(first, kept - 1)
}

/**
 * The error of every attempt that failed, as far as it is known: an attempt whose error was dropped, or decodes no more, has
 * that of one near it; where none decodes, what was written of it.
 */
export const errorsOf = <E, T>(
  texts: ReadonlyArray<string>,
  attempts: number,
  codec: Codec<E>,
  timedOut: () => T
): ReadonlyArray<E | T> => {
  const outcomes = texts.map(Outcome.parse)
  const decoded = outcomes.map((outcome): Result.Result<E | T, unknown> =>
    outcome._tag === "TimedOut"
      ? Result.succeed(timedOut())
      : outcome._tag === "Failure"
      ? codec.decode(outcome.error)
      : Result.fail(undefined)
  )
  const known = (index: number): E | T => {
    for (let distance = 0; distance < decoded.length; distance++) {
      for (const near of [decoded[index - distance], decoded[index + distance]]) {
        if (near !== undefined && Result.isSuccess(near)) return near.success
      }
    }
    const outcome = outcomes[index]!
    return (outcome._tag === "Failure" && outcome.error !== undefined ? JSON.parse(outcome.error) : undefined) as E
  }
  if (texts.length === 0) return []
  return Array.from({ length: attempts }, (_, index) => known(standIn(index, attempts, texts.length)))
}
