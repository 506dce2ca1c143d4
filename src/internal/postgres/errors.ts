/** SQL errors as store errors: the server's own words, and whether asking again can help. */
import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../Errors.ts"

const detailOf = (error: SqlError): string => {
  const cause: unknown = error.reason.cause
  return cause instanceof Error && cause.message.length > 0 ? cause.message : error.message
}

/** Shutting down, crashed, starting up, and the classes of lost connections and of too many of them. */
const away = /^(57P0[1-5]|08...|53300)$/

const codeOf = (error: SqlError): string => {
  const cause = error.reason.cause as { readonly code?: unknown } | undefined
  return typeof cause?.code === "string" ? cause.code : ""
}

/** Whether the session is gone, or will not come to be for now. */
export const isAway = (error: SqlError): boolean => error.reason._tag === "ConnectionError" || away.test(codeOf(error))

/** Whether the same statement can succeed when asked again: the server was away, or busy with somebody else's locks. */
export const isTransient = (error: SqlError): boolean => error.isRetryable || isAway(error)

export const storeError = (method: string) => (error: SqlError): StoreError =>
  new StoreError({ method, retryable: isTransient(error), detail: detailOf(error), cause: error })
