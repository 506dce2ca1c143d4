/**
 * How an effect ended, as stored for steps and runs.
 *
 * ```text
 * {"_tag":"Success","value":…}   no value: succeeded with undefined
 * {"_tag":"Failure","error":…}   a typed failure, encoded by the error schema; no error: failed with undefined
 * {"_tag":"Defect","defect":…}   a bug: name, message, cause
 * {"_tag":"TimedOut"}            an attempt's timeout, or a run's
 * ```
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Undecodable } from "../Errors.ts"
import { type Codec, describe } from "./codec.ts"

/** An outcome whose values are still JSON text. */
export type Outcome =
  | { readonly _tag: "Success"; readonly value: string | undefined }
  | { readonly _tag: "Failure"; readonly error: string | undefined }
  | { readonly _tag: "Defect"; readonly defect: string }
  | { readonly _tag: "TimedOut" }

export const timedOut: Outcome = { _tag: "TimedOut" }

/** The JSON text of an outcome. */
export const stringify = (outcome: Outcome): string => {
  switch (outcome._tag) {
    case "Success":
      return outcome.value === undefined ? `{"_tag":"Success"}` : `{"_tag":"Success","value":${outcome.value}}`
    case "Failure":
      return outcome.error === undefined ? `{"_tag":"Failure"}` : `{"_tag":"Failure","error":${outcome.error}}`
    case "Defect":
      return `{"_tag":"Defect","defect":${outcome.defect}}`
    case "TimedOut":
      return `{"_tag":"TimedOut"}`
  }
}

const successHead = `{"_tag":"Success","value":`

/** Whether the JSON text of an outcome is that of a success. */
export const isSuccess = (text: string): boolean => text.startsWith(`{"_tag":"Success"`)

/** The outcome of its JSON text. A success, the common case, is not parsed twice. */
export const parse = (text: string): Outcome => {
  if (text.startsWith(successHead)) return { _tag: "Success", value: text.slice(successHead.length, -1) }
  const json = JSON.parse(text)
  switch (json._tag) {
    case "Success":
      return { _tag: "Success", value: json.value === undefined ? undefined : JSON.stringify(json.value) }
    case "Failure":
      return { _tag: "Failure", error: json.error === undefined ? undefined : JSON.stringify(json.error) }
    case "Defect":
      return { _tag: "Defect", defect: JSON.stringify(json.defect) }
    default:
      return timedOut
  }
}

const DefectJson = Schema.Defect({ includeStack: true })
const encodeDefect = Schema.encodeUnknownResult(DefectJson)
const decodeDefect = Schema.decodeUnknownResult(DefectJson)

/** The outcome of a bug. Never fails: what cannot be encoded is described. */
export const fromDefect = (defect: unknown): Outcome => ({
  _tag: "Defect",
  defect: describe(() => JSON.stringify(Result.getOrElse(encodeDefect(defect), () => ({ message: String(defect) }))))
})

const unstorable = (what: string, reason: string): Outcome =>
  fromDefect(new Error(`The ${what} cannot be stored: ${reason}`))

/** The outcome of a success. */
export const fromSuccess = <A>(value: A, codec: Codec<A>): Outcome =>
  Result.match(codec.encode(value), {
    onSuccess: (text): Outcome => ({ _tag: "Success", value: text }),
    onFailure: (reason) => unstorable("success value", reason)
  })

/** The outcome of a typed failure. */
export const fromError = <E>(error: E, codec: Codec<E>): Outcome =>
  Result.match(codec.encode(error), {
    onSuccess: (text): Outcome => ({ _tag: "Failure", error: text }),
    onFailure: (reason) => unstorable("error", reason)
  })

/**
 * The outcome of an exit, or undefined when it was only interrupted, which is no outcome. A typed failure weighs more than
 * a defect beside it.
 */
export const fromExit = <A, E>(
  exit: Exit.Exit<A, E>,
  codecs: { readonly success: Codec<A>; readonly error: Codec<E> }
): Outcome | undefined => {
  if (Exit.isSuccess(exit)) return fromSuccess(exit.value, codecs.success)
  const fail = exit.cause.reasons.find(Cause.isFailReason)
  if (fail !== undefined) return fromError(fail.error, codecs.error)
  const die = exit.cause.reasons.find(Cause.isDieReason)
  return die === undefined ? undefined : fromDefect(die.defect)
}

/** An outcome, and the exit that whoever replays it gets: what the first execution is to go on with as well. */
export interface Settled<A, E> {
  readonly outcome: Outcome
  readonly exit: Exit.Exit<A, E>
}

const settledDefect = (outcome: Outcome): Settled<never, never> => ({
  outcome,
  exit: Exit.die(reviveDefect((outcome as Extract<Outcome, { readonly _tag: "Defect" }>).defect))
})

/** A success as it is stored, or the defect that says why it cannot be. */
export const settleSuccess = <A>(value: A, codec: Codec<A>): Settled<A, never> =>
  Result.match(codec.settle(value), {
    onSuccess: ({ text, value }): Settled<A, never> => ({
      outcome: { _tag: "Success", value: text },
      exit: Exit.succeed(value)
    }),
    onFailure: (reason) => settledDefect(unstorable("success value", reason))
  })

/** The same of any exit; undefined when it was only interrupted. */
export const settle = <A, E>(
  exit: Exit.Exit<A, E>,
  codecs: { readonly success: Codec<A>; readonly error: Codec<E> }
): Settled<A, E> | undefined => {
  if (Exit.isSuccess(exit)) return settleSuccess(exit.value, codecs.success)
  const { reasons } = exit.cause
  const fail = reasons.find(Cause.isFailReason)
  if (fail !== undefined) {
    return Result.match(codecs.error.settle(fail.error), {
      onSuccess: ({ text, value }): Settled<A, E> => ({
        outcome: { _tag: "Failure", error: text },
        // Where it came from is for people to read; what stood beside it is not stored.
        exit: reasons.length === 1 ? Exit.failCause(Cause.map(exit.cause, () => value)) : Exit.fail(value)
      }),
      onFailure: (reason) => settledDefect(unstorable("error", reason))
    })
  }
  const die = reasons.find(Cause.isDieReason)
  return die === undefined ? undefined : settledDefect(fromDefect(die.defect))
}

/** The defect of its JSON text, as an `Error` where it was one. */
export const reviveDefect = (defect: string): unknown => {
  const json: unknown = JSON.parse(defect)
  return Result.getOrElse(decodeDefect(json), () => json)
}

/** Ends as the outcome says: with the value, the typed failure, or the defect. */
export const replay = <A, E, E2, E3>(
  outcome: Outcome,
  options: {
    readonly subject: string
    readonly success: Codec<A>
    readonly error: Codec<E>
    readonly onTimedOut: () => Effect.Effect<never, E2>
    readonly onUndecodable: (error: Undecodable) => Effect.Effect<never, E3>
  }
): Effect.Effect<A, E | E2 | E3> => {
  const undecodable = (reason: string) => options.onUndecodable(new Undecodable({ subject: options.subject, reason }))
  switch (outcome._tag) {
    case "Success":
      return Result.match(options.success.decode(outcome.value), {
        onSuccess: (value): Effect.Effect<A, E3> => Effect.succeed(value),
        onFailure: undecodable
      })
    case "Failure":
      return Result.match(options.error.decode(outcome.error), {
        onSuccess: (error): Effect.Effect<never, E | E3> => Effect.fail(error),
        onFailure: undecodable
      })
    case "Defect":
      return Effect.die(reviveDefect(outcome.defect))
    case "TimedOut":
      return options.onTimedOut()
  }
}
