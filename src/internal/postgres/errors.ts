/** SQL errors as store errors: the server's own words, and whether asking again can help. */
import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../Errors.ts"

const detailOf = (error: SqlError): string => {
  const cause: unknown = error.reason.cause
  return cause instanceof Error && cause.message.length > 0 ? cause.message : error.message
}

export const storeError = (method: string) => (error: SqlError): StoreError =>
  new StoreError({ method, retryable: error.isRetryable, detail: detailOf(error), cause: error })
