/** SQL errors: the server's own words, and what can be done about them. */
import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../Errors.ts"

/**
 * What to do about a failed statement.
 *
 * - `absent`: there is no database just now, or the connection to it is lost; whether the statement was committed is unknown.
 * - `again`: this time it did not work out among others (deadlock, serialization), another time it can.
 * - `slow`: it waited for somebody's lock, or ran, for too long.
 * - `refused`: it will be refused every time.
 */
export type Fate = "absent" | "again" | "slow" | "refused"

interface ServerError {
  readonly code?: string
  readonly severity?: string
}

/** The server is shutting down, starting up, promoting a replica, or out of connections, memory or disk. */
const absence = /^(57P|53|25006)/

export const fateOf = ({ reason }: SqlError): Fate => {
  const { code, severity } = (reason.cause ?? {}) as ServerError
  if (reason._tag === "ConnectionError" || absence.test(code ?? "")) return "absent"
  if (reason._tag === "LockTimeoutError" || reason._tag === "StatementTimeoutError") return "slow"
  if (reason.isRetryable) return "again"
  // The server ended the connection, and not for what it was asked.
  return reason.operation !== "connect" && (severity === "FATAL" || severity === "PANIC") ? "absent" : "refused"
}

/** Whether the connection still serves after this error: only an ordinary answer of the server says so. */
export const survives = (error: SqlError): boolean => {
  const { code, severity } = (error.reason.cause ?? {}) as ServerError
  return code !== undefined && severity === "ERROR"
}

const detailOf = (error: SqlError): string => {
  const cause: unknown = error.reason.cause
  return cause instanceof Error && cause.message.length > 0 ? cause.message : error.message
}

export const storeError = (method: string) => (error: SqlError): StoreError =>
  new StoreError({ method, retryable: fateOf(error) !== "refused", detail: detailOf(error), cause: error })
