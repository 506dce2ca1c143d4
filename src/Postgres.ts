/**
 * The store on PostgreSQL 14 or newer, through `@effect/sql-pg`.
 *
 * A process holds one connection for its writer, which also holds the session locks of its workers, one for starts of ids that
 * were given, opened at the first of them, one that listens for hints, and up to `maxConnections` in a pool. The layer provides
 * the SQL client too: what you do inside of its `withTransaction` and the runs you start there commit together.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { SqlClient } from "effect/sql/SqlClient"
import type { InvalidInput, SchemaTooNew, StoreError } from "./Errors.ts"
import { bootError } from "./internal/postgres/boot.ts"
import { type Patience, patiently } from "./internal/postgres/database.ts"
import { answered, within } from "./internal/postgres/deadline.ts"
import { defaultSchema, tables } from "./internal/postgres/names.ts"
import * as Pooler from "./internal/postgres/pooler.ts"
import { reach } from "./internal/postgres/reach.ts"
import { ofPool, sinceVersion17 } from "./internal/postgres/settings.ts"
import * as Store from "./internal/postgres/store.ts"
import { described, read } from "./internal/postgres/url.ts"
import * as Waits from "./internal/postgres/waits.ts"
import { defaultMaxValueBytes } from "./internal/seal.ts"
import * as Given from "./internal/storeOptions.ts"
import { SystemDb } from "./SystemDb.ts"

/**
 * How the store behaves, whatever its client.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreOptions {
  /** The schema to keep everything in: lower-case letters, digits and `_`. Default `effect_durable`. */
  readonly schema?: string | undefined
  /** The largest value accepted, in bytes of JSON. Default 8 MB. */
  readonly maxValueBytes?: number | undefined
  /**
   * False behind a pooler in transaction mode, where nothing can be kept in a session. Then this process hears of what others
   * do by polling, and if it dies, others find out when its lease expires. Default true; such a pooler is recognised when the
   * layer is built, warned about, and treated as if this were false.
   */
  readonly listen?: boolean | undefined
  /**
   * How long calls of yours, and building the layer, wait for an absent database before they fail. Workers wait for ever. May be
   * infinite. Default 30 seconds.
   */
  readonly retryFor?: Duration.Input | undefined
}

/**
 * Where the database is, and how the store behaves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends StoreOptions {
  /**
   * As libpq reads it, unix sockets and `sslmode` included. What it says that cannot be done here is refused by name. The
   * environment variables and files that libpq looks at are not looked at.
   */
  readonly url: string | Redacted.Redacted
  /** The most connections in the pool; those of the writer (two) and the listener come on top. Default 10. */
  readonly maxConnections?: number | undefined
}

/**
 * The ways building the store can fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type LayerError = StoreError | SchemaTooNew | InvalidInput

/**
 * The store over the `PgClient` in context, for applications that have one already. Transactions of that client are the ones
 * to start runs in.
 *
 * The client's pool must have a connection to spare: every call but those that write a run's progress takes one. Its sessions
 * keep the settings they have: defaults of the role or the database such as `statement_timeout`, `lock_timeout` and
 * `default_transaction_read_only` hold for the store's statements too. Behind a pooler in transaction mode it needs
 * `prepare: false`.
 *
 * Fails:   as {@link layer}
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (
  options: StoreOptions = {}
): Layer.Layer<SystemDb, LayerError, PgClient.PgClient> =>
  Layer.effect(
    SystemDb,
    Effect.gen(function*() {
      const settings = yield* settled(options)
      const sql = yield* PgClient.PgClient
      const waits = Waits.make(sql.config.url === undefined ? described(sql.config) : "the database")
      if (sql.driver === "pglite") return yield* make(sql, settings, waits, false)
      const way = settings.listen ? yield* wayOf(sql, { ...settings, waits }) : "transaction"
      yield* Effect.ignore(warnOfReadOnly(sql))
      return yield* make(sql, settings, waits, way === "transaction")
    })
  )

/** What the options say, once each of them has been looked at. */
const settled = Effect.fnUntraced(function*(
  { listen = true, maxValueBytes = defaultMaxValueBytes, retryFor = "30 seconds", schema = defaultSchema }: StoreOptions
) {
  yield* tables(schema)
  return {
    schema,
    listen: yield* Effect.fromResult(Given.flag("listen", listen)),
    maxValueBytes: yield* Effect.fromResult(Given.maxValueBytes(maxValueBytes)),
    retryForMillis: yield* Effect.fromResult(Given.retryFor(retryFor))
  }
})

type Settled = Effect.Success<ReturnType<typeof settled>>

const make = (
  sql: PgClient.PgClient,
  { maxValueBytes, retryForMillis, schema }: Settled,
  waits: Waits.Waits,
  pooled: boolean
) => Store.make(sql, { maxValueBytes, pooled, retryForMillis, schema, waits })

const wayOf = (sql: PgClient.PgClient, patience: Patience) =>
  patiently(patience, "connect", Effect.mapError(Pooler.look(sql.config, true), bootError("connect", sql.config))).pipe(
    Effect.map(({ way }) => way),
    Effect.tap(warnOfPooler)
  )

const warnOfPooler = (way: Pooler.Way) => way === "transaction" ? Effect.logWarning(Pooler.warning) : Effect.void

const warnOfReadOnly = Effect.fnUntraced(function*(sql: PgClient.PgClient) {
  const asked = sql.unsafe<{ readonly on: boolean }>(
    "select pg_catalog.current_setting('default_transaction_read_only')::bool as on"
  )
  const [row] = yield* answered(asked.unprepared, "5 seconds")
  if (row?.on === true) {
    yield* Effect.logWarning(
      "default_transaction_read_only is on for the client of the store, which cannot write like this"
    )
  }
})

const mebibyte = 1024 * 1024

/** A row carries two values, and a step's outcome and errors are one each. */
const messageSize = (maxValueBytes: number): number =>
  Math.max(16, 2 * Math.ceil(maxValueBytes / mebibyte) + 1) * mebibyte

/** A pooler in front refuses what it cannot keep apart for each of its clients. */
const startupParameters = ({ version, way }: Pooler.Found): Readonly<Record<string, string>> =>
  way === "direct" ? Object.fromEntries(version >= 170_000 ? [...ofPool, ...sinceVersion17] : ofPool) : {}

/** How long closing waits for what is still done on the pool's connections. */
const closeWithin = "2 seconds"

const client = (config: PgClient.PgPoolConfig, where: string) =>
  PgClient.layerFrom(Effect.gen(function*() {
    const late = Effect.logWarning(`Closing goes on although connections to ${where} do not close`)
    const scope = yield* Effect.acquireRelease(
      Scope.make(),
      (scope, exit) => within(Scope.close(scope, exit), closeWithin, () => late)
    )
    return yield* Scope.provide(PgClient.make(config), scope)
  }))

/**
 * The store at a URL, and its SQL client. Brings the schema up to date first, safely when many processes boot at once.
 *
 * The client's sessions are read committed, may write, and have no time-outs of the server's, whatever the role or the database
 * has as its defaults; transactions of your own can set what they like. Only `search_path` is as you made it. Behind a pooler
 * nothing is set.
 *
 * While the database is away a warning every few seconds says what is waited for. What cannot pass by itself (a wrong password, a
 * missing grant, a certificate that nobody vouches for) fails at once and says what to do.
 *
 * Fails:   StoreError when the database cannot be reached for `retryFor`, or at once, with `retryable: false`, when it will not be
 *          by itself · SchemaTooNew when a newer version of this library was there · InvalidInput, which names the option
 *
 * @example
 * ```ts
 * import * as Postgres from "effect-durable/Postgres"
 * import * as Config from "effect/Config"
 *
 * const Store = Postgres.layerConfig({ url: Config.Redacted("DATABASE_URL") })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<SystemDb | PgClient.PgClient | SqlClient, LayerError> =>
  Layer.unwrap(Effect.gen(function*() {
    const settings = yield* settled(options)
    const { maxConnections = 10 } = options
    yield* Effect.fromResult(Given.maxConnections(maxConnections))
    const address = yield* read(options.url)
    const waits = Waits.make(described(address.config))
    const keeps = settings.listen && !address.pooled
    const found = yield* reach(address, keeps, { retryForMillis: settings.retryForMillis, waits })
    if (keeps) yield* warnOfPooler(found.way)
    const config: PgClient.PgPoolConfig = {
      ...found.config,
      maxConnections,
      maxMessageSize: messageSize(settings.maxValueBytes),
      prepare: found.way !== "transaction",
      startupParameters: startupParameters(found)
    }
    return Layer.provideMerge(
      Layer.effect(
        SystemDb,
        Effect.flatMap(PgClient.PgClient, (sql) => make(sql, settings, waits, found.way === "transaction"))
      ),
      Layer.catch(
        client(config, waits.where),
        (error) => Layer.effectContext(Effect.fail(bootError("connect", config)(error)))
      )
    )
  }))

/**
 * The same, with its options read from `Config` when the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<SystemDb | PgClient.PgClient | SqlClient, LayerError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
