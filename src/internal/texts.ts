/** What a text may be that every store is to keep, and to give back as it was. */
import * as Result from "effect/Result"
import { InvalidInput } from "../Errors.ts"
import { maxBytes } from "./ids.ts"

/** Why no store can keep this text, or undefined when all can. */
export const fault = (text: string): string | undefined => {
  if (text.includes("\0")) return "must not contain the NUL character"
  if (!text.isWellFormed()) return "must be well-formed Unicode, and this one has a lone surrogate"
  return undefined
}

export const storable = (text: string): boolean => fault(text) === undefined

/** Whether the text takes more than so many bytes of UTF-8. */
export const longer = (text: string, bytes: number): boolean => text.length > bytes || Buffer.byteLength(text) > bytes

/** The text, or a refusal that names its field. */
export const check = (field: string, text: string): Result.Result<string, InvalidInput> => {
  const reason = fault(text)
  return reason === undefined ? Result.succeed(text) : Result.fail(new InvalidInput({ field, reason }))
}

/** The same for a text that something is found by or named after: not empty, and of a bounded size. */
export const checkShort = (field: string, text: string, bytes = maxBytes): Result.Result<string, InvalidInput> => {
  if (text.length === 0) return Result.fail(new InvalidInput({ field, reason: "must not be empty" }))
  if (!longer(text, bytes)) return check(field, text)
  return Result.fail(new InvalidInput({ field, reason: `must not be longer than ${bytes} bytes of UTF-8` }))
}

/** The text that no store refuses and that is nearest to this one: for what the library says itself about others' values. */
export const clean = (text: string): string => text.replaceAll("\0", "\uFFFD").toWellFormed()
