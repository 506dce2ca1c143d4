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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { SqlClient } from "effect/sql/SqlClient"
import type { InvalidInput, SchemaTooNew, StoreError } from "./Errors.ts"
import { bootError } from "./internal/postgres/errors.ts"
import * as Store from "./internal/postgres/store.ts"
import { defaultMaxValueBytes } from "./internal/seal.ts"
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
   * do by polling, and if it dies, others find out when its lease expires. Default true.
   */
  readonly listen?: boolean | undefined
  /** How long calls of yours wait for an absent database before they fail. Workers wait for ever. Default 30 seconds. */
  readonly retryFor?: Duration.Input | undefined
}

/**
 * Where the database is, and how the store behaves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends StoreOptions {
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
 * The client's pool must have a connection to spare: every call but those that write a run's progress takes one.
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
    Effect.flatMap(PgClient.PgClient, (sql) =>
      Store.make(sql, {
        schema: options.schema,
        maxValueBytes: options.maxValueBytes,
        retryForMillis: Duration.toMillis(Duration.fromInputUnsafe(options.retryFor ?? "30 seconds")),
        pooled: options.listen === false
      }))
  )

const mebibyte = 1024 * 1024

const client = ({ listen, maxConnections, maxValueBytes = defaultMaxValueBytes, url }: Options) =>
  PgClient.layer({
    url: Redacted.isRedacted(url) ? url : Redacted.make(url),
    maxConnections: maxConnections ?? 10,
    prepare: listen !== false,
    keepAlive: "30 seconds",
    // A row carries two values, and a step's outcome and errors are one each.
    maxMessageSize: Math.max(16, 2 * Math.ceil(maxValueBytes / mebibyte) + 1) * mebibyte
  })

/**
 * The store at a URL, and its SQL client. Brings the schema up to date first, safely when many processes boot at once.
 *
 * Fails:   StoreError when the database cannot be reached for `retryFor` · SchemaTooNew when a newer version of this library was
 *          there · InvalidInput for a schema name it does not take
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
  Layer.provideMerge(
    layerFromClient(options),
    Layer.catch(client(options), (error) => Layer.effectContext(Effect.fail(bootError("connect")(error))))
  )

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
