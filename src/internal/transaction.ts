/** The caller's SQL and a step's record in one transaction of the SQL client that the store's layer provides. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { SqlClient } from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { StoreError } from "../Errors.ts"
import { codeOf, isSlow, survives, usersError } from "./postgres/errors.ts"
import { attempt, type Isolation } from "./postgres/transactions.ts"

export type { Isolation, SqlClient, SqlError }

const method = "transaction"
const inFailedTransaction = "25P02"

const sqlErrorOf = (error: unknown): SqlError | undefined =>
  isSqlError(error) ? error : error instanceof StoreError && isSqlError(error.cause) ? error.cause : undefined

/** Whether it only tells that something before it had failed, and was not noticed. */
const isAftermath = (error: unknown): boolean => {
  const sqlError = sqlErrorOf(error)
  return sqlError !== undefined && (codeOf(sqlError) === inFailedTransaction ||
    // What the client says of a COMMIT that the server answers with ROLLBACK.
    (sqlError.reason.operation === "commit" && codeOf(sqlError) === undefined))
}

const storeErrorOf = (error: unknown): StoreError | undefined =>
  error instanceof StoreError ? error : isSqlError(error) ? usersError(method)(error) : undefined

const isPassing = (error: StoreError | undefined): error is StoreError => error !== undefined && error.fate !== "Fail"

/** Of some errors the one that says most about what is to be done: an error that passes, rather than one that may not. */
const gravest = (errors: ReadonlyArray<StoreError>): StoreError | undefined =>
  errors.find(({ fate }) => fate === "AskAgain") ?? errors[0]

const swallowed = (broken: SqlError | undefined): Error =>
  new Error(
    "An SQL statement of this transaction failed or was interrupted, and the effect went on: the transaction cannot commit. " +
      "Handle errors of SQL inside of a nested sql.withTransaction, which is a savepoint.",
    { cause: broken }
  )

/**
 * What stands in the way of the transaction that is not the effect's own doing, if anything: an SQL error that the effect ended
 * with, in whatever way, or one that it made something else of. A lock or a limit of time that it made something else of is
 * taken for expected.
 */
const obstacle = (
  cause: Cause.Cause<unknown>,
  broken: SqlError | undefined
): StoreError | Error | undefined => {
  const errors = cause.reasons.flatMap((reason): ReadonlyArray<unknown> =>
    reason._tag === "Fail" ? [reason.error] : reason._tag === "Die" ? [reason.defect] : []
  )
  const before = broken === undefined ? undefined : usersError(method)(broken)
  if (errors.some(isAftermath)) return isPassing(before) ? before : swallowed(broken)
  const found = gravest(errors.map(storeErrorOf).filter(isPassing))
  return found ?? (isPassing(before) && broken !== undefined && !isSlow(broken) ? before : undefined)
}

/**
 * Runs the effect in a transaction, once. What has nothing to do with the effect is a `StoreError` that says whether to ask
 * again; any other SQL error is a defect.
 */
export const inTransaction = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  isolation: Isolation = "read committed",
  tries = 0
): Effect.Effect<A, Exclude<E, SqlError> | StoreError, R | SqlClient> =>
  Effect.flatMap(
    Effect.flatMap(SqlClient, (sql) => attempt(sql, isolation, effect, tries)),
    ({ broken, exit }): Effect.Effect<A, Exclude<E, SqlError> | StoreError> => {
      if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return exit as Exit.Exit<A, never>
      const found = obstacle(exit.cause, broken)
      if (found instanceof StoreError) return Effect.fail(found)
      if (found !== undefined) return Effect.die(found)
      return Effect.catch(exit, (error) =>
        isSqlError(error) ? Effect.die(error) : Effect.fail(error as Exclude<E, SqlError>))
    }
  )

/** Whether the server has said that the transaction did not commit. */
export const isRolledBack = (error: StoreError): boolean => {
  const sqlError = sqlErrorOf(error)
  return sqlError !== undefined && survives(sqlError)
}
