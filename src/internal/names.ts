/** What a name or an id may be, in every store. */
import * as Effect from "effect/Effect"
import { InvalidInput } from "../Errors.ts"

const maxLength = 512

/** Why `value` cannot be a name or an id, or undefined when it can. */
export const fault = (value: string): string | undefined => {
  if (value.length === 0) return "must not be empty"
  if (value.length > maxLength) {
    return `must not be longer than ${maxLength} characters, and this one has ${value.length}`
  }
  if (value.includes("\0")) return "must not contain the NUL character"
  if (!value.isWellFormed()) return "must be well-formed Unicode, and this one has a lone surrogate"
  return undefined
}

/** Succeeds with the value, or refuses it and names the field. */
export const check = (field: string, value: string): Effect.Effect<string, InvalidInput> => {
  const reason = fault(value)
  return reason === undefined ? Effect.succeed(value) : Effect.fail(new InvalidInput({ field, reason }))
}
