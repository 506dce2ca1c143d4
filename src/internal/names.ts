/** What a name, an id or any other text may be, in every store. */
import * as Effect from "effect/Effect"
import { InvalidInput } from "../Errors.ts"
import { maxBytes, scheduleOfTick } from "./ids.ts"
import { fault as textFault } from "./texts.ts"

/** Why `value` cannot be a name or an id of at most so many bytes, or undefined when it can. */
export const fault = (value: string, limit = maxBytes): string | undefined => {
  if (value.length === 0) return "must not be empty"
  // A UTF-16 unit is at most 3 bytes of UTF-8, so most need no counting.
  if (value.length * 3 > limit) {
    const bytes = Buffer.byteLength(value)
    if (bytes > limit) return `must not be longer than ${limit} bytes in UTF-8, and this one has ${bytes}`
  }
  return textFault(value)
}

/** Succeeds with the value, or refuses it and names the field. */
export const check = (field: string, value: string, limit = maxBytes): Effect.Effect<string, InvalidInput> => {
  const reason = fault(value, limit)
  return reason === undefined ? Effect.succeed(value) : Effect.fail(new InvalidInput({ field, reason }))
}

/** The same for text that is no name: it may be empty, and as long as it likes. */
export const checkText = (field: string, value: string): Effect.Effect<string, InvalidInput> => {
  const reason = textFault(value)
  return reason === undefined ? Effect.succeed(value) : Effect.fail(new InvalidInput({ field, reason }))
}

/** The id that somebody gives a run: not that of a tick, which would be left out if it found its id taken. */
export const checkRunId = (runId: string): Effect.Effect<string, InvalidInput> =>
  scheduleOfTick(runId) === undefined
    ? check("runId", runId)
    : Effect.fail(new InvalidInput({ field: "runId", reason: "is that of a schedule's tick; choose another one" }))
