/** The caller's SQL and a step's record in one transaction of the SQL client that the store's layer provides. */
import * as Effect from "effect/Effect"
import * as EffectSchedule from "effect/Schedule"
import { BeginTransaction, SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { isSqlError } from "effect/sql/SqlError"
import { fateOf } from "./postgres/errors.ts"

export type { SqlClient, SqlError }

/** How strictly concurrent transactions are kept apart. */
export type Isolation = "read committed" | "repeatable read" | "serializable"

const backoff = EffectSchedule.min([EffectSchedule.exponential("10 millis"), EffectSchedule.spaced("2 seconds")]).pipe(
  EffectSchedule.jittered
)

/**
 * Runs the effect in a transaction. What can succeed when asked again (serialization failures, deadlocks, lost
 * connections) is asked again from the start, with backoff, for as long as it takes; any other SQL error is a defect.
 */
export const inTransaction = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  isolation: Isolation | undefined
): Effect.Effect<A, Exclude<E, SqlError>, R | SqlClient> =>
  Effect.flatMap(SqlClient, (sql) => {
    const transaction = isolation === undefined
      ? sql.withTransaction(effect)
      : Effect.provideService(
        sql.withTransaction(effect),
        BeginTransaction,
        `BEGIN ISOLATION LEVEL ${isolation.toUpperCase()}`
      )
    return transaction.pipe(
      Effect.retry({ schedule: backoff, while: (error) => isSqlError(error) && fateOf(error) !== "refused" }),
      Effect.catch((error): Effect.Effect<never, Exclude<E, SqlError>> =>
        isSqlError(error) ? Effect.die(error) : Effect.fail(error as Exclude<E, SqlError>)
      )
    )
  })
