/**
 * The writer's connection: its own, open for as long as the layer lives, and opened again when it breaks. It holds the session
 * locks of this process's workers, so that they are gone the moment the process is. Decision 0006.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import type { StoreError } from "../../Errors.ts"
import { bootError } from "./boot.ts"
import { live, type Patience, patiently } from "./database.ts"
import { answered, within } from "./deadline.ts"
import { survives } from "./errors.ts"
import type { Tables } from "./names.ts"
import { ints } from "./parameters.ts"
import { reliedOn, setting } from "./settings.ts"

type Execute = (
  sql: string,
  params: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<object>, SqlError>

export interface Session {
  /** One statement. Opens the connection first when there is none. */
  readonly execute: Execute
  /** Takes a session lock under a key that nobody has, now and after every reconnection, until the scope closes. */
  readonly lock: Effect.Effect<number | null, SqlError, Scope.Scope>
  /** Takes again those locks that the connection lost with its predecessor. */
  readonly relock: Effect.Effect<void, SqlError>
  /** The keys of this process's workers: they are alive, whatever the server shows. */
  readonly keys: ReadonlySet<number>
}

/** 0 is the lock of `applySchedules`. */
const anyKey = Random.nextIntBetween(1, 2 ** 31 - 1)

/**
 * The session of a client that has only one, which this process alone can use: there is nothing to reserve, and whoever is
 * not of this process is dead.
 */
export const shared = (sql: PgClient): Session => {
  const keys = new Set<number>()
  return {
    // Planned anew each time: the settings that keep a plan right as the tables grow are not ours to make here.
    execute: (text, params) => Effect.withTracerEnabled(sql.unsafe<object>(text, params).unprepared, false),
    lock: Effect.acquireRelease(
      Effect.tap(anyKey, (key) => Effect.sync(() => keys.add(key))),
      (key) => Effect.sync(() => keys.delete(key))
    ),
    relock: Effect.void,
    keys
  }
}

/**
 * - Every statement here finds its rows by key and is planned once, when the tables may still be empty: only indexes may be
 *   used then, so that the plan stays right as they grow.
 * - Whoever waits for a lock makes all others wait, so nobody does for long.
 */
const settings: ReadonlyArray<readonly [name: string, value: string]> = [
  ["plan_cache_mode", "force_generic_plan"],
  ["enable_seqscan", "off"],
  ["enable_hashjoin", "off"],
  ["enable_mergejoin", "off"],
  ["jit", "off"],
  ["lock_timeout", "200ms"]
]

const set = setting([...reliedOn, ...settings])

/** No answer for so long means that the other side is gone and nobody told us. */
const answerWithin = "10 seconds"

/** A lock that cannot be given back in this time goes with its connection. */
const unlockWithin = "1 second"

interface Open {
  readonly connection: PgConnection.PgConnection
  readonly scope: Scope.Closeable
  /** The locks this connection holds. */
  readonly held: Set<number>
}

/**
 * The session of a connection of its own, opened at its first use when it is `lazy`. Behind a pooler nothing can be kept in it: no
 * setting, no lock.
 */
export const dedicated = Effect.fnUntraced(function*(
  config: PgConnection.Config,
  { lockClass }: Tables,
  options: Patience & { readonly pooled: boolean; readonly lazy?: boolean }
): Effect.fn.Return<Session, StoreError, Scope.Scope> {
  // Of its own: a connection may still be opened while what uses it is being closed.
  const outer = yield* Effect.acquireRelease(Scope.make(), Scope.close)
  const keys = new Set<number>()
  const connecting = yield* Semaphore.make(1)
  let open: Open | undefined

  const close = (broken: Open) =>
    Effect.suspend(() => {
      if (open === broken) open = undefined
      return Scope.close(broken.scope, Exit.void)
    })

  const ask = (current: Open, sql: string, params: ReadonlyArray<unknown>) =>
    Effect.tapError(
      answered(current.connection.query(sql, params, !options.pooled), answerWithin),
      (error) => survives(error) ? Effect.void : close(current)
    )

  /** Takes those of the locks that the connection does not hold, unless somebody else does. */
  const take = Effect.fnUntraced(function*(current: Open, wanted: Iterable<number>) {
    const missing = Array.from(wanted).filter((key) => !current.held.has(key))
    // Asked also when it believes to hold them all: it may be broken.
    const { rows } = yield* ask(
      current,
      `select key from unnest($1::int[]) as i(key) where pg_try_advisory_lock(${lockClass}, key)`,
      [ints(missing)]
    )
    for (const { key } of rows) current.held.add(key as number)
  })

  const connect = Effect.gen(function*() {
    if (open !== undefined) return open
    const scope = yield* Scope.fork(outer)
    const connection = yield* Effect.onError(
      Scope.provide(PgConnection.make({ ...config, multiplex: false }), scope),
      () => Scope.close(scope, Exit.void)
    )
    const current: Open = { connection, scope, held: new Set() }
    yield* Effect.onError(
      Effect.gen(function*() {
        if (!options.pooled) yield* ask(current, set, [])
        if (keys.size > 0) yield* take(current, keys)
      }),
      () => close(current)
    )
    open = current
    return current
  }).pipe(connecting.withPermits(1))

  const use = <A>(f: (current: Open) => Effect.Effect<A, SqlError>) => live(Effect.flatMap(connect, f))

  // That the connection is broken shows at its first use; the second one opens another.
  const relock = Effect.retry(use((current) => take(current, keys)), { times: 1 })

  // Whether the server gave a lock that nobody waits for any more is not known, so it goes with its connection.
  const drop = Effect.suspend(() => open === undefined ? Effect.void : close(open))

  const lock = Effect.acquireRelease(
    Effect.gen(function*() {
      while (true) {
        const key = yield* anyKey
        const taken = use((current) => Effect.map(take(current, [key]), () => current.held.has(key)))
        if (yield* Effect.onInterrupt(taken, () => drop)) {
          keys.add(key)
          return key
        }
      }
    }),
    (key) =>
      Effect.suspend(() => {
        keys.delete(key)
        const current = open
        if (current?.held.delete(key) !== true) return Effect.void
        const unlock = ask(current, `select pg_advisory_unlock(${lockClass}, $1::int)`, [key])
        return Effect.ignore(within(Effect.asVoid(unlock), unlockWithin, () => close(current)))
      }),
    { interruptible: true }
  )

  if (options.lazy !== true) {
    yield* patiently(options, "connect", Effect.mapError(connect, bootError("connect", config)))
  }
  return {
    execute: (sql, params) => use((current) => Effect.map(ask(current, sql, params), (result) => result.rows)),
    lock: options.pooled ? Effect.succeed(null) : lock,
    relock,
    keys
  }
})
