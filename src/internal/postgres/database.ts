/** What the parts of the store share: the client, the names, the clock in use, and queries that wait out a short absence. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as EffectSchedule from "effect/Schedule"
import type { StoreError } from "../../Errors.ts"
import type { Hint } from "../../SystemDb.ts"
import { TimeSource } from "../../SystemDb.ts"
import type { Deadlines } from "./deadline.ts"
import { storeError } from "./errors.ts"
import type { Hints } from "./hints.ts"
import type { Tables } from "./names.ts"
import { instant, isArray, type Parameter } from "./parameters.ts"
import type { Waits } from "./waits.ts"

/** How long an absent database is waited for, and who says so. */
export interface Patience {
  readonly waits: Waits
  readonly retryForMillis: number
}

export interface Database extends Patience {
  /** Without name transforms: the statements name their columns themselves. */
  readonly sql: PgClient
  readonly tables: Tables
  readonly hints: Hints
  /** True when the client has a single connection, which nobody else can use meanwhile. */
  readonly exclusive: boolean
  /** How long a statement may go without an answer. */
  readonly deadlines: Deadlines
}

/** The virtual time of a fiber that a test drives; null lets the database's clock decide. */
export const virtualTime = (fiber: Fiber.Fiber<unknown, unknown>): number | null =>
  fiber.getRef(TimeSource) === "database" ? null : fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()

/** The time to hand to a statement as its first parameter. */
export const now: Effect.Effect<Parameter> = Effect.withFiber((fiber) => Effect.succeed(instant(virtualTime(fiber))))

/** Whether a fiber is inside a transaction of this client. */
export const joins = (sql: PgClient, fiber: Fiber.Fiber<unknown, unknown>): boolean =>
  Context.getOrUndefined(fiber.context as Context.Context<any>, sql.transactionService) !== undefined

export const inTransaction = (db: Database): Effect.Effect<boolean> =>
  Effect.withFiber((fiber) => Effect.succeed(joins(db.sql, fiber)))

/** Runs in real time, whatever clock a test has given the fiber. */
export const live = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

/** Grows to a second, with jitter, so that a database that comes back is not met by everybody at once. */
export const backoff = EffectSchedule.min([
  EffectSchedule.exponential("10 millis"),
  EffectSchedule.spaced("1 second")
]).pipe(EffectSchedule.jittered)

const isStoreError = (error: { readonly _tag: string }): error is StoreError => error._tag === "StoreError"

/** Asks again for a while, as long as it can help, and says that it does. */
export const patiently = <A, E extends { readonly _tag: string }, R>(
  { retryForMillis, waits }: Patience,
  method: string,
  effect: Effect.Effect<A, E, R>,
  often: EffectSchedule.Schedule<unknown> = backoff
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const wait = waits.open(`${waits.where} (${method})`)
    const once = Effect.tapError(
      effect,
      (error) => isStoreError(error) && error.retryable ? wait.failed(error.detail) : Effect.void
    )
    const again = Effect.retry(once, {
      schedule: EffectSchedule.upTo(often, { duration: retryForMillis }),
      while: (error) => isStoreError(error) && error.retryable
    })
    return Effect.ensuring(live(again), wait.over)
  })

/**
 * One statement on the pool or the caller's transaction, tried once: for those who must know that an answer was lost.
 *
 * A statement over arrays is planned each time. A plan that was kept would take every array for a short one, and a table that
 * has grown since for a small one.
 */
export const queryOnce = <Row extends object>(
  db: Database,
  method: string,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, StoreError> => {
  const statement = db.sql.unsafe<Row>(text, params)
  const answer = db.deadlines.statement(method, params.some(isArray) ? statement.unprepared : statement)
  return Effect.mapError(answer, storeError(method))
}

/** The same, waiting out an absent store; but not inside of a transaction, which is lost with its connection. */
export const query = <Row extends object>(
  db: Database,
  method: string,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, StoreError> =>
  Effect.flatMap(inTransaction(db), (joined) => {
    const once = queryOnce<Row>(db, method, text, params)
    return joined ? once : patiently(db, method, once)
  })

/**
 * The same for a statement that refuses when it finds its own work done: `again` says that an earlier try of this call may
 * have been committed although its answer was lost.
 */
export const queryAgain = <Row extends object>(
  db: Database,
  method: string,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<{ readonly rows: ReadonlyArray<Row>; readonly again: boolean }, StoreError> =>
  Effect.suspend(() => {
    let failures = 0
    const once = Effect.tapError(queryOnce<Row>(db, method, text, params), () => Effect.sync(() => void failures++))
    return Effect.flatMap(inTransaction(db), (joined) =>
      Effect.map(joined ? once : patiently(db, method, once), (rows) => ({ rows, again: failures > 0 })))
  })

/** Publishes hints at once, or when the caller's transaction commits. */
export const hint = (db: Database, ...hints: ReadonlyArray<Hint>): Effect.Effect<void> =>
  db.sql.afterCommit(Effect.sync(() => hints.forEach(db.hints.publish)))
