/**
 * An embedded Postgres: the `PgClient` of @effect/sql-pg on a PGlite in this process.
 *
 * The statements, codecs and errors are those of a server. What differs is that there is one session:
 *
 * - A transaction has the database to itself; statements of other fibers wait until it ends. A transaction that waits
 *   for a fiber which needs the database outside of it waits for ever.
 * - `reserve` and `sql.stream` take the session as a transaction does; in a transaction they use the transaction's.
 * - An advisory lock keeps nobody out, and FOR UPDATE SKIP LOCKED skips nothing: whoever asks is the one session.
 * - A statement runs to its end, and this process does nothing else meanwhile. It cannot be cancelled, and
 *   `statement_timeout` does nothing. A fiber that is interrupted ends when its statement does.
 * - After a panic (the disk failed) every statement fails with a `ConnectionError` until the layer is built anew.
 *
 * Decision 0003.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type { Scope } from "effect/Scope"
import type { SqlClient } from "effect/sql/SqlClient"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { openMemory } from "./pgliteEngine.ts"
import { type EmbeddedError, notStarted } from "./pgliteErrors.ts"
import { openFolder } from "./pgliteFolder.ts"
import { type Notification, Session, type Subscriber } from "./pgliteStream.ts"
import { upkeep } from "./pgliteUpkeep.ts"

export { DataFolderInUse, type EmbeddedError, EmbeddedNotStarted } from "./pgliteErrors.ts"

export interface Options {
  /** A folder to keep the data in, created if need be. Without one the data is in memory and ends with the layer. */
  readonly dataDir?: string | undefined
}

const maxChannelBytes = 63

const refused = (operation: string, message: string, cause: unknown = new Error(message)): SqlError =>
  new SqlError({ reason: new UnknownError({ operation, message, cause }) })

const checkChannel = (channel: string, operation: string): Effect.Effect<void, SqlError> =>
  Buffer.byteLength(channel) <= maxChannelBytes
    ? Effect.void
    : Effect.fail(refused(operation, `PostgreSQL channel names must not exceed ${maxChannelBytes} UTF-8 bytes`))

/**
 * Listens without holding the connection, which the client's own `listen` would do for as long as it listens.
 *
 * Called in a transaction it returns at once and takes effect when the transaction ends, either way it ends.
 */
const listen = (session: Session, inTransaction: Effect.Effect<boolean>) =>
  Effect.fnUntraced(function*(channel: string): Effect.fn.Return<
    Queue.Dequeue<Notification, SqlError>,
    SqlError,
    Scope
  > {
    yield* checkChannel(channel, "listen")
    const queue = yield* Queue.unbounded<Notification, SqlError>()
    const subscriber: Subscriber = {
      onNotification: (notification) => Queue.offerUnsafe(queue, notification),
      onClose: () => Queue.failCauseUnsafe(queue, Cause.interrupt())
    }
    yield* Effect.addFinalizer(() =>
      Effect.andThen(Effect.sync(() => session.unsubscribe(channel, subscriber)), Queue.shutdown(queue))
    )
    const listening = Effect.callback<void, SqlError>((resume) =>
      session.subscribe(
        channel,
        subscriber,
        (failure) =>
          resume(failure === undefined ? Effect.void : Effect.fail(refused("listen", "LISTEN failed", failure)))
      )
    )
    if (yield* inTransaction) yield* Effect.forkDetach(listening, { startImmediately: true })
    else yield* listening
    return queue
  })

/** Joins the caller's transaction, where the client's own `notify` would wait for the connection that it holds. */
const notify = (sql: PgClient.PgClient) => (channel: string, payload: string): Effect.Effect<void, SqlError> =>
  Effect.andThen(checkChannel(channel, "notify"), sql`select pg_notify(${channel}, ${payload})`).pipe(Effect.asVoid)

export const make = Effect.fnUntraced(
  function*({ dataDir }: Options) {
    const engine = yield* dataDir === undefined ? openMemory : openFolder(dataDir)
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => new Session(engine)),
      (session) => Effect.callback<void>((resume) => session.close(() => resume(Effect.void)))
    )
    const sql = yield* PgClient.make({
      stream: session.connect,
      username: "postgres",
      database: "postgres",
      minConnections: 1,
      maxConnections: 1,
      // A connection that takes the place of one just given up gets its turn when that one's transaction has ended.
      connectTimeout: Duration.infinity
    })
    const inTransaction = Effect.map(Effect.serviceOption(sql.transactionService), Option.isSome)
    const client: PgClient.PgClient = Object.assign(sql, {
      driver: "pglite",
      listen: listen(session, inTransaction),
      notify: notify(sql)
    })
    yield* client`select 1`
    yield* Effect.forkScoped(upkeep(client))
    return client
  },
  (effect, { dataDir }) => Effect.catchTag(effect, "SqlError", (error) => Effect.fail(notStarted(dataDir)(error)))
)

export const layer = (options: Options): Layer.Layer<PgClient.PgClient | SqlClient, EmbeddedError> =>
  PgClient.layerFrom(make(options))
