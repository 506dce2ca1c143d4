/** SQL errors: the server's own words, and what they mean for whoever asked. */
import type { SqlError } from "effect/sql/SqlError"
import { type Fate, StoreError } from "../../Errors.ts"

interface ServerError {
  readonly code?: string
  readonly severity?: string
  readonly severityUnlocalized?: string
  readonly routine?: string
}

const serverError = ({ reason }: SqlError): ServerError => (reason.cause ?? {}) as ServerError

/** What the server calls it. Errors of the socket have codes too, and no severity. */
export const codeOf = (error: SqlError): string | undefined => {
  const { code, severity } = serverError(error)
  return severity === undefined ? undefined : code
}

// ── the classification ──────────────────────────────────────────────────────────────────────────────────────────────

/**
 * It passes: the connection is lost (08), the server goes or comes, is a replica for now, or a person or a limit of time ended
 * the statement or the session (57, 25006, 25P03, 25P04), others were in the way (40, 55P03), there are too many connections
 * (53300, 53400), or the session does not have a statement that was prepared (26000, 42P05), as behind a pooler.
 */
export const passing = /^(08|57P|57014|40(?!002)|55P03|25006|25P0[34]|53300|53400|26000|42P05|72000)/

/** Where a feature is said to be missing because a cached plan is out of date, or because the server is a replica for now. */
const passingRoutines = new Set(["RevalidateCachedQuery", "check_transaction_read_only", "check_transaction_isolation"])

/** What was to be written can never be stored: the data itself (22), or a limit that it exceeds (54). */
const unstorable = /^(22|54)/

/** Trouble of the server that nobody can tell to pass: disk and memory, permissions, files, internal errors. */
const unclear = /^(53|58|F0|XX|42501)/

const passes = (error: SqlError): boolean => {
  const { routine = "" } = serverError(error)
  const code = codeOf(error) ?? ""
  // It had been connected before, so whatever keeps it from connecting now may pass.
  if (error.reason._tag === "ConnectionError" || error.reason.operation === "connect") return true
  if (passing.test(code) || (code === "0A000" && passingRoutines.has(routine))) return true
  // The server ended the connection, and not for what it was asked.
  return isFatal(error)
}

const isFatal = (error: SqlError): boolean => {
  const { severity, severityUnlocalized = severity } = serverError(error)
  return severityUnlocalized === "FATAL" || severityUnlocalized === "PANIC"
}

/** A value that the client itself cannot send. */
const isUnsendable = ({ reason }: SqlError): boolean => reason.message === "PgConnection: Failed to encode query"

/** What an error of one of the library's own statements means for the run on whose behalf it was asked. */
export const fateOfOurs = (error: SqlError): Fate =>
  passes(error) ? "AskAgain" : isUnsendable(error) || unstorable.test(codeOf(error) ?? "") ? "Fail" : "HandBack"

/** The same for the SQL of a user: what is not the server's trouble is theirs. */
export const fateOfUsers = (error: SqlError): Fate =>
  passes(error) ? "AskAgain" : unclear.test(codeOf(error) ?? "") ? "HandBack" : "Fail"

// ── who asks what of it ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What the writer does about a failed statement.
 *
 * - `absent`: there is no database just now, or the connection to it is lost; whether the statement was committed is unknown.
 * - `again`: this time it did not work out among others (deadlock, serialization), another time it can.
 * - `slow`: it waited for somebody's lock, or ran, for too long.
 * - `refused`: it is refused for what is in it, as far as anybody knows.
 */
export type Course = "absent" | "again" | "slow" | "refused"

export const fateOf = (error: SqlError): Course =>
  fateOfOurs(error) !== "AskAgain"
    ? "refused"
    : isSlow(error)
    ? "slow"
    : codeOf(error)?.startsWith("40") === true
    ? "again"
    : "absent"

/** It waited for somebody's lock, or ran, for too long. */
export const isSlow = ({ reason: { _tag } }: SqlError): boolean =>
  _tag === "LockTimeoutError" || _tag === "StatementTimeoutError"

/** Whether the connection still serves after this error: only an ordinary answer of the server says so. */
export const survives = (error: SqlError): boolean => codeOf(error) !== undefined && !isFatal(error)

/** Of a host with several addresses each may have failed for a reason of its own; one will do. */
export const detailOf = (error: SqlError): string => {
  const { cause } = error.reason
  const [one = cause] = cause instanceof AggregateError ? cause.errors : []
  return one instanceof Error && one.message.length > 0 ? one.message : error.message
}

export const storeErrorOf = (method: string, fate: Fate, error: SqlError, detail = detailOf(error)): StoreError =>
  new StoreError({
    method,
    retryable: fate === "AskAgain",
    ...(fate === "Fail" && { refused: true }),
    detail,
    cause: error
  })

export const storeError = (method: string) => (error: SqlError): StoreError =>
  storeErrorOf(method, fateOfOurs(error), error)

/** The same for a statement of a user's. */
export const usersError = (method: string) => (error: SqlError): StoreError =>
  storeErrorOf(method, fateOfUsers(error), error)
