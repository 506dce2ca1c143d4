/**
 * The store on PostgreSQL 14 or newer, through `@effect/sql-pg`.
 *
 * A process holds one connection for its writer, which also holds its workers' session locks, one that listens for hints, and
 * up to `maxConnections` in a pool. The layer provides the SQL client too: what you do inside its `withTransaction` and what
 * you start there commit together.
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
import { storeError } from "./internal/postgres/errors.ts"
import * as Store from "./internal/postgres/store.ts"
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
  /** Whether other processes' hints are listened to. Turn it off behind a pooler in transaction mode. Default true. */
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
  /** The most connections in the pool; the writer and the listener come on top. Default 10. */
  readonly maxConnections?: number | undefined
}

/**
 * The ways building the store can fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type LayerError = StoreError | SchemaTooNew | InvalidInput

const storeOptions = (options: StoreOptions): Store.Options => ({
  schema: options.schema,
  maxValueBytes: options.maxValueBytes,
  retryForMillis: Duration.toMillis(Duration.fromInputUnsafe(options.retryFor ?? "30 seconds")),
  hints: options.listen === false ? "local" : "shared",
  exclusive: false
})

/**
 * The store over the `PgClient` in context, for applications that have one already.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (
  options: StoreOptions = {}
): Layer.Layer<SystemDb, LayerError, PgClient.PgClient> =>
  Layer.effect(SystemDb, Effect.flatMap(PgClient.PgClient, (sql) => Store.make(sql, storeOptions(options))))

/**
 * The store at a URL, and its SQL client. Brings the schema up to date first, safely when many processes boot at once.
 *
 * Fails:   StoreError when the database cannot be reached · SchemaTooNew when a newer version of this library was there ·
 *          InvalidInput for a schema name it does not take
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<SystemDb | PgClient.PgClient | SqlClient, LayerError> => {
  const url = Redacted.isRedacted(options.url) ? options.url : Redacted.make(options.url)
  const client = PgClient.layer({
    url,
    maxConnections: options.maxConnections ?? 10,
    applicationName: "effect-durable"
  })
  return Layer.provideMerge(
    layerFromClient(options),
    Layer.catch(client, (error) => Layer.effectContext(Effect.fail(storeError("connect")(error))))
  )
}

/**
 * The same, with its options read from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<SystemDb | PgClient.PgClient | SqlClient, LayerError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
