/** What stands between this process and its database, found out by asking and without leaving anything behind. */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { answered } from "./deadline.ts"

/**
 * - `direct`: nothing, or something that passes on what it hears;
 * - `session`: a pooler that gives each connection a session of the server's for as long as it is open;
 * - `transaction`: a pooler that gives it one for a transaction, so that nothing can be kept in it.
 */
export type Way = "direct" | "session" | "transaction"

export interface Found {
  readonly way: Way
  /** Such as 170002. */
  readonly version: number
  /** It cannot be written to for now. */
  readonly standby: boolean
}

const answerWithin = "5 seconds"
/** A pooler may happen to give a connection the same session again. */
const rounds = 5

const ask = <Row extends object>(connection: PgConnection.PgConnection, text: string) =>
  Effect.map(
    answered(connection.query(text, [], false), answerWithin),
    ({ rows }) => rows[0] as Row
  )

const sessionOf = (connection: PgConnection.PgConnection) =>
  Effect.map(
    ask<{ readonly pid: number }>(connection, "select pg_catalog.pg_backend_pid() as pid"),
    (row) => row.pid
  )

/** Whether a connection loses its session to another one that holds a transaction. */
const shares = Effect.fnUntraced(function*(one: PgConnection.PgConnection, other: PgConnection.PgConnection) {
  for (let round = 0; round < rounds; round++) {
    const before = yield* sessionOf(one)
    yield* ask(other, "begin")
    const held = yield* sessionOf(other)
    const after = held === before ? held : yield* sessionOf(one)
    yield* ask(other, "rollback")
    if (held === before || after !== before) return true
  }
  return false
})

/**
 * A direct connection tells by itself: the server said at its start which of its processes it is. Whoever wants to keep nothing
 * need not know more.
 */
export const look = (config: PgConnection.Config, keeps: boolean): Effect.Effect<Found, SqlError> =>
  Effect.scoped(Effect.gen(function*() {
    const open = PgConnection.make({ ...config, multiplex: false, prepare: false })
    const one = yield* open
    const { pid, standby, version } = yield* ask<
      { readonly pid: number; readonly version: number; readonly standby: boolean }
    >(
      one,
      `select pg_catalog.pg_backend_pid() as pid, pg_catalog.current_setting('server_version_num')::int as version,
        pg_catalog.pg_is_in_recovery() as standby`
    )
    if (!keeps) return { way: "transaction" as const, version, standby }
    if (pid === one.processId) return { way: "direct" as const, version, standby }
    const other = yield* open
    // Where two connections at once are one too many there is no session to keep.
    const shared = yield* Effect.orElseSucceed(shares(one, other), () => true)
    return { way: shared ? "transaction" as const : "session" as const, version, standby }
  }))

/** Said once, by whoever looked. */
export const warning =
  "A connection pooler in transaction mode (PgBouncer or one of its kind) stands before the database. The store goes on as " +
  "with `listen: false`: it keeps nothing in a session, hears of other processes by polling, and what a process that dies " +
  "leaves behind waits for its lease. Set `listen: false` to say that this is meant, and `prepare: false` on a client of your " +
  "own; or connect to the database itself"
