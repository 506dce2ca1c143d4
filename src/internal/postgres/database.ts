/** What the parts of the store share: the client, the names, the clock in use, and queries that wait out a short absence. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as EffectSchedule from "effect/Schedule"
import type { StoreError } from "../../Errors.ts"
import { TimeSource } from "../../SystemDb.ts"
import { storeError } from "./errors.ts"
import type { Hints } from "./hints.ts"
import type { Tables } from "./names.ts"
import type { Session } from "./session.ts"

export interface Database {
  readonly sql: PgClient
  readonly tables: Tables
  readonly session: Session
  readonly hints: Hints
  readonly retryForMillis: number
}

const textOid = 25

/** A text array, typed, because an array of nulls or of nothing has no type of its own. */
export const texts = (values: ReadonlyArray<string | null>): unknown =>
  Result.getOrThrow(PgTypes.array(values as never, textOid))

export const isoOf = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** The time to hand to a statement: null lets the database's clock decide. */
export const virtualNow: Effect.Effect<string | null> = Effect.withFiber((fiber) =>
  Effect.succeed(
    fiber.getRef(TimeSource) === "database" ? null : isoOf(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())
  )
)

/** The clock that decides what is due. */
export const now = (db: Database): Effect.Effect<number, StoreError> =>
  Effect.flatMap(virtualNow, (virtual) =>
    Effect.map(
      query<{ readonly now: Date }>(db, "now", "select coalesce($1::timestamptz, now()) as now", [virtual]),
      ([row]) => row!.now.getTime()
    ))

/** Whether the fiber is inside a transaction of the store's own client. */
export const inTransaction = ({ sql }: Database): Effect.Effect<boolean> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.succeed(Context.getOrUndefined(context as Context.Context<any>, sql.transactionService) !== undefined)
  )

const live = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

const backoff = EffectSchedule.min([EffectSchedule.exponential("20 millis"), EffectSchedule.spaced("1 second")]).pipe(
  EffectSchedule.jittered
)

/** One statement on the pool, or on the caller's transaction, tried once: for what must not run twice unnoticed. */
export const queryOnce = <Row extends object>(
  db: Database,
  method: string,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, StoreError> =>
  Effect.mapError(db.sql.unsafe<Row>(text, params), storeError(method))

/** The same, waiting out an absent store for `retryForMillis`; not inside of a transaction, which is lost with its connection. */
export const query = <Row extends object>(
  db: Database,
  method: string,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, StoreError> => {
  const once = queryOnce<Row>(db, method, text, params)
  const patient = Effect.retry(once, {
    schedule: EffectSchedule.upTo(backoff, { duration: `${db.retryForMillis} millis` }),
    while: (error) => error.retryable
  })
  return Effect.flatMap(inTransaction(db), (joined) => joined ? once : live(patient))
}
