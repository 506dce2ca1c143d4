/**
 * Transactions that the library begins itself, on the SQL client of the store's layer.
 *
 * They differ from the client's own `withTransaction` in what happens when things go wrong. That one rolls back under `orDie`,
 * so that a connection that breaks becomes a defect in place of what had failed, and waits for BEGIN, COMMIT and ROLLBACK for
 * as long as the server likes, uninterruptibly. And they say what they rely on, whatever the server's settings are.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { BeginTransaction, type SqlClient } from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { live } from "./database.ts"
import { codeOf } from "./errors.ts"

/** How strictly concurrent transactions are kept apart. */
export type Isolation = "read committed" | "repeatable read" | "serializable"

/** How a transaction ended, and what had broken it by then. */
export interface Ended<A, E> {
  readonly exit: Exit.Exit<A, E | SqlError>
  /** The first error after which the server takes no more statements, unless a savepoint was gone back to since. */
  readonly broken: SqlError | undefined
}

const answerWithinMillis = 15_000
/** A commit that does more than others, or waits for a standby, has longer each time it is tried. */
const longestCommitMillis = 120_000

const noAnswer = (statement: string) =>
  new SqlError({
    reason: new ConnectionError({
      cause: new Error(`The server does not answer ${statement}`),
      operation: "transaction"
    })
  })

const begin = (isolation: Isolation): string => `BEGIN ISOLATION LEVEL ${isolation.toUpperCase()} READ WRITE`

/** A statement that is given up in time, also where the fiber itself cannot be interrupted. In real time. */
const bounded = <A>(
  statement: string,
  effect: Effect.Effect<A, SqlError>,
  millis = answerWithinMillis
): Effect.Effect<A, SqlError> =>
  live(Effect.timeoutOrElse(Effect.interruptible(effect), {
    duration: millis,
    orElse: () => Effect.fail(noAnswer(statement))
  }))

/** The connection of one transaction. The statements that control it pass here like any other. */
class Watched implements Connection {
  broken: SqlError | undefined = undefined
  readonly #connection: Connection
  readonly #begin: string
  readonly #commitMillis: number
  /** Gives the connection back. */
  readonly #release: Effect.Effect<void>

  constructor(connection: Connection, begin: string, commitMillis: number, release: Effect.Effect<void>) {
    this.#connection = connection
    this.#begin = begin
    this.#commitMillis = commitMillis
    this.#release = release
  }

  #note(error: SqlError): void {
    // What was never sent has broken nothing.
    if (codeOf(error) !== undefined || error.reason._tag === "ConnectionError") this.broken ??= error
  }

  #watch<A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.tapError(statement, (error) => Effect.sync(() => this.#note(error)))
  }

  /**
   * Never fails: a connection that breaks, or leaves a statement unanswered, is taken out of the pool by the client. What the
   * connection refuses while it still hears the end of an interrupted statement is asked once more.
   */
  readonly #rollback: Effect.Effect<void> = Effect.suspend(() =>
    Effect.ignore(Effect.retry(bounded("ROLLBACK", this.#connection.executeUnprepared("ROLLBACK", [], undefined)), {
      times: 1,
      while: (error) => error.reason._tag !== "ConnectionError"
    }))
  )

  execute(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
  ): Effect.Effect<ReadonlyArray<any>, SqlError> {
    if (sql === "ROLLBACK") return Effect.as(this.#rollback, [])
    const statement = this.#watch(this.#connection.execute(sql, params, transformRows))
    return /^rollback to/i.test(sql)
      ? Effect.tap(statement, () => Effect.sync(() => void (this.broken = undefined)))
      : statement
  }

  executeUnprepared(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
  ): Effect.Effect<ReadonlyArray<any>, SqlError> {
    const statement = this.#watch(this.#connection.executeUnprepared(sql, params, transformRows))
    // Interrupted, it may have begun all the same.
    return sql === this.#begin
      ? Effect.onError(Effect.interruptible(bounded("BEGIN", statement)), () => this.#rollback)
      : statement
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> {
    const statement = this.#watch(this.#connection.executeRaw(sql, params))
    if (sql !== "COMMIT") return statement
    // Given back before anything that waits for the commit, and may need the connection, goes on.
    return Effect.onExit(
      bounded("COMMIT", statement, this.#commitMillis),
      (exit) => Exit.isSuccess(exit) ? this.#release : this.#rollback
    )
  }

  executeStream(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
  ): Stream.Stream<any, SqlError> {
    return Stream.tapError(
      this.#connection.executeStream(sql, params, transformRows),
      (error) => Effect.sync(() => this.#note(error))
    )
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.#watch(this.#connection.executeValues(sql, params))
  }

  executeValuesUnprepared(sql: string, params: ReadonlyArray<unknown>) {
    return this.#watch(this.#connection.executeValuesUnprepared(sql, params))
  }
}

/**
 * Runs the effect in a transaction of its own, once. The client's `withTransaction` inside of it is a savepoint, and its
 * `afterCommit` waits for this commit. `tries` is how often it was tried before.
 */
export const attempt = <A, E, R>(
  sql: SqlClient,
  isolation: Isolation,
  effect: Effect.Effect<A, E, R>,
  tries = 0
): Effect.Effect<Ended<A, E>, never, R> =>
  Effect.acquireUseRelease(
    Scope.make(),
    (scope) =>
      Effect.withFiber((fiber) => {
        const callers = fiber.getRef(BeginTransaction)
        let connection: Watched | undefined
        const transaction = Effect.flatMap(Scope.provide(sql.reserve, scope), (reserved) => {
          const commitMillis = Math.min(answerWithinMillis * 2 ** tries, longestCommitMillis)
          connection = new Watched(reserved, begin(isolation), commitMillis, Scope.close(scope, Exit.void))
          // The client begins a transaction at level 0, on the connection of the level above if there is one: so it begins this
          // one on a connection of our choice, and knows its savepoints and what waits for its commit.
          return Effect.provideService(
            Effect.provideService(
              sql.withTransaction(Effect.provideService(effect, BeginTransaction, callers)),
              BeginTransaction,
              begin(isolation)
            ),
            sql.transactionService,
            [connection, -1]
          )
        })
        return Effect.map(Effect.exit(transaction), (exit) => ({ exit, broken: connection?.broken }))
      }),
    Scope.close
  )

/** The same, ending as it ended. */
export const transact = <A, E, R>(
  sql: SqlClient,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.flatMap(attempt(sql, "read committed", effect), ({ exit }): Effect.Effect<A, E | SqlError> => exit)
