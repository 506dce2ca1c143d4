/**
 * Deadlines. A connection whose other side is gone and told nobody looks like one whose statement takes long, for as long as
 * TCP keeps trying. So whoever asks stops waiting after a while, and asks again on another connection.
 */
import type { PgClient, PgPoolConfig } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ConnectionError, SqlError } from "effect/sql/SqlError"

export const noAnswer = new SqlError({
  reason: new ConnectionError({ cause: new Error("The server does not answer"), operation: "execute" })
})

/** How long the caller's own interruption waits for the statement to be cancelled, so that what it did is known. */
const cancelWithin = Duration.seconds(1)

/**
 * Runs the effect on a fiber of its own for at most so long, in real time and also where nothing can be interrupted. When the
 * time is up it is interrupted, and nobody waits for that: on a silent connection it takes seconds. What interrupts the
 * caller interrupts the effect.
 */
export const within = <A, E, E2, R>(
  effect: Effect.Effect<A, E, R>,
  duration: Duration.Input,
  late: () => Effect.Effect<A, E2>
): Effect.Effect<A, E | E2, R> => {
  const time = Effect.sleep(duration)
  return Effect.contextWith((context) =>
    Effect.callback<A, E | E2>((resume) => {
      const work = Effect.runForkWith(context)(effect)
      const clock = Effect.runFork(time)
      work.addObserver((exit) => {
        clock.interruptUnsafe()
        resume(exit)
      })
      clock.addObserver((exit) => {
        if (Exit.isFailure(exit)) return
        resume(Effect.suspend(late))
        work.interruptUnsafe()
      })
      return Effect.callback<void>((done) => {
        clock.interruptUnsafe()
        const patience = Effect.runFork(Effect.sleep(cancelWithin))
        patience.addObserver(() => done(Effect.void))
        work.addObserver(() => {
          patience.interruptUnsafe()
          done(Effect.void)
        })
        work.interruptUnsafe()
      })
    })
  )
}

/** As `within`, for a statement. */
export const answered = <A, E>(effect: Effect.Effect<A, E>, duration: Duration.Input): Effect.Effect<A, E | SqlError> =>
  within(effect, duration, () => Effect.fail(noAnswer))

// ── the pool ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Deadlines {
  /** For one statement of the method, also on the connection of the caller's transaction. */
  readonly statement: <A, E, R>(method: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
}

/** There is no connection that could fall silent. */
export const none: Deadlines = { statement: (_, effect) => effect }

const shortMillis = 10_000
const longMillis = 120_000
const defaultPoolSize = 10
const sweepMillis = 2_000

/** What may read or write as much as there is. */
const long: ReadonlySet<string> = new Set([
  "changeSchedules",
  "prune",
  "listRuns",
  "listSteps",
  "listSchedules",
  "listBackfills",
  "listAudits",
  "listHistory",
  "findDecisions",
  "findPrevious"
])

/**
 * A method whose statement found no answer in time gets twice as long the next time, until it has one: a database that is
 * slow and not silent must not be asked the same thing for ever.
 */
export const make = (sql: PgClient): Deadlines => {
  const size = (sql.config as PgPoolConfig).maxConnections ?? defaultPoolSize
  const granted = new Map<string, number>()
  let sweeping = false

  // If one connection is silent, the others are likely to be. Asked all at once, none of them is asked twice.
  const sweep = Effect.suspend(() => {
    sweeping = true
    const ask = Effect.ignore(answered(Effect.withTracerEnabled(sql.unsafe("select 1"), false), sweepMillis))
    return Effect.ensuring(
      Effect.all(Array.from({ length: size }, () => ask), { concurrency: "unbounded", discard: true }),
      Effect.sync(() => {
        sweeping = false
      })
    )
  })

  return {
    statement: (method, effect) =>
      Effect.suspend(() => {
        const most = granted.get(method) ?? (long.has(method) ? longMillis : shortMillis)
        const timely = within(effect, most, () => {
          granted.set(method, Math.min(longMillis, 2 * most))
          // Not of this fiber: it may be in a transaction, and has a connection of its own then.
          if (!sweeping) Effect.runFork(sweep)
          return Effect.fail(noAnswer)
        })
        return granted.has(method) ? Effect.tap(timely, () => Effect.sync(() => granted.delete(method))) : timely
      })
  }
}
