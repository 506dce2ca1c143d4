/**
 * The connection of the writer: its own, for as long as the layer lives, re-opened when it breaks. It holds the session locks
 * of this process's workers, so that they are gone the moment the process is, and back as soon as it is reconnected.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import { texts } from "./database.ts"
import { isAway } from "./errors.ts"

export interface Session {
  readonly execute: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<object>, SqlError>
  /** Takes the session lock with this key, now and after every reconnect, until `unlock`. */
  readonly lock: (key: number) => Effect.Effect<void, SqlError>
  readonly unlock: (key: number) => Effect.Effect<void>
  /** Takes every lock again, after the server has forgotten them. */
  readonly relock: Effect.Effect<void, SqlError>
}

export interface Statements {
  readonly lock: string
  readonly unlock: string
}

type Execute = Session["execute"]

/**
 * The writer's statements find every row by its primary key. The planner cannot know: it takes the arrays for ten rows and a
 * table that grew since it was last analyzed for a small one.
 */
const planning = `select set_config(name, value, false) from (values ('enable_seqscan', 'off'),
  ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('plan_cache_mode', 'force_generic_plan')) as s(name, value)`

/** That the connection is lost shows at its first use; the second one opens a new one. */
const again = (effect: Effect.Effect<void, SqlError>): Effect.Effect<void, SqlError> =>
  Effect.retry(effect, { times: 1, while: isAway })

const withLocks = (
  execute: Execute,
  keys: Set<number>,
  statements: Statements
): Pick<Session, "lock" | "unlock" | "relock"> => ({
  lock: (key) =>
    Effect.andThen(
      Effect.sync(() => keys.add(key)),
      again(Effect.asVoid(execute(statements.lock, [texts([String(key)])])))
    ),
  unlock: (key) =>
    Effect.andThen(
      Effect.sync(() => keys.delete(key)),
      Effect.ignore(execute(statements.unlock, [key]))
    ),
  relock: again(Effect.suspend(() => Effect.asVoid(execute(statements.lock, [texts(Array.from(keys, String))]))))
})

/** A session over a client that has only one connection: nothing to reserve, nothing to reconnect. */
export const shared = (execute: Execute, statements: Statements): Session => ({
  execute,
  ...withLocks(execute, new Set(), statements)
})

/** A session on a connection of its own. */
export const dedicated = Effect.fnUntraced(function*(
  config: PgConnection.Config,
  statements: Statements
): Effect.fn.Return<Session, never, Scope.Scope> {
  const outer = yield* Effect.scope
  const keys = new Set<number>()
  const connecting = yield* Semaphore.make(1)
  let open: { readonly connection: PgConnection.PgConnection; readonly scope: Scope.Closeable } | undefined

  const close = Effect.suspend(() => {
    const closing = open
    open = undefined
    return closing === undefined ? Effect.void : Scope.close(closing.scope, Exit.void)
  })

  const connect = Effect.gen(function*() {
    if (open !== undefined) return open.connection
    const scope = yield* Scope.fork(outer)
    const connection = yield* Scope.provide(PgConnection.make(config), scope).pipe(
      Effect.tap((connection) => connection.query(planning)),
      Effect.tap((connection) =>
        keys.size === 0 ? Effect.void : connection.query(statements.lock, [texts(Array.from(keys, String))])
      ),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    open = { connection, scope }
    return connection
  }).pipe(connecting.withPermits(1), Effect.uninterruptible)

  const execute: Execute = (sql, params) =>
    Effect.flatMap(connect, (connection) => connection.query(sql, params)).pipe(
      Effect.map((result) => result.rows),
      Effect.tapError((error) => isAway(error) ? close : Effect.void)
    )

  return { execute, ...withLocks(execute, keys, statements) }
})
