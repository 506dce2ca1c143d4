/**
 * The store on an embedded PostgreSQL (PGlite): a real Postgres inside the process, with nothing to install.
 *
 * The statements are those of `Postgres`. It has a single session and belongs to a single process: a data folder that is open
 * elsewhere is refused. A transaction has the whole database to itself, so keep transactions short.
 *
 * @since 0.1.0
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import type { InvalidInput, SchemaTooNew, StoreError } from "./Errors.ts"
import * as Pglite from "./internal/pglite.ts"
import { defaultSchema, tables } from "./internal/postgres/names.ts"
import * as Store from "./internal/postgres/store.ts"
import * as Waits from "./internal/postgres/waits.ts"
import { defaultMaxValueBytes } from "./internal/seal.ts"
import * as Given from "./internal/storeOptions.ts"
import { SystemDb } from "./SystemDb.ts"

export {
  /**
   * The data folder is open already, in this process or another one.
   *
   * @category errors
   * @since 0.1.0
   */
  DataFolderInUse,
  /**
   * The embedded Postgres did not start.
   *
   * @category errors
   * @since 0.1.0
   */
  EmbeddedNotStarted
} from "./internal/pglite.ts"

/**
 * Where the data is kept, and how the store behaves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * A folder, created if need be. Without one the data is in memory and ends with the layer; an empty text is refused. A folder with
   * something in it that is not a database of this store is refused and left as it is.
   */
  readonly dataDir?: string | undefined
  /** The schema to keep everything in: lower-case letters, digits and `_`. Default `effect_durable`. */
  readonly schema?: string | undefined
  /** The largest value accepted, in bytes of JSON. Default 8 MB. */
  readonly maxValueBytes?: number | undefined
}

/**
 * The store on an embedded Postgres, and its SQL client.
 *
 * Data is durable once a call returns: it survives `kill -9` of the process.
 *
 * Fails:   DataFolderInUse when the folder is open elsewhere, naming who has it · EmbeddedNotStarted · StoreError ·
 *          SchemaTooNew · InvalidInput, which names the option
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<SystemDb | PgClient | SqlClient, Pglite.EmbeddedError | StoreError | SchemaTooNew | InvalidInput> =>
  Layer.unwrap(Effect.gen(function*() {
    const { dataDir, schema = defaultSchema, maxValueBytes = defaultMaxValueBytes } = options
    if (dataDir !== undefined) yield* Effect.fromResult(Given.dataDir(dataDir))
    yield* tables(schema)
    yield* Effect.fromResult(Given.maxValueBytes(maxValueBytes))
    const waits = Waits.make(`the embedded database${dataDir === undefined ? "" : ` in ${dataDir}`}`)
    return Layer.provideMerge(
      Layer.effect(
        SystemDb,
        Effect.flatMap(
          PgClient,
          (sql) => Store.make(sql, { schema, maxValueBytes, retryForMillis: 0, pooled: false, waits })
        )
      ),
      Pglite.layer({ dataDir })
    )
  }))
