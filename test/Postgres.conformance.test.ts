import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Embedded from "../src/Embedded.ts"
import * as Store from "../src/internal/postgres/store.ts"
import * as Waits from "../src/internal/postgres/waits.ts"
import * as Postgres from "../src/Postgres.ts"
import { SystemDb } from "../src/SystemDb.ts"
import { suite } from "./conformance/suite.ts"
import { freshDatabase } from "./support/postgres.ts"

const onFreshDatabase = (options: Postgres.StoreOptions) =>
  Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url, ...options })))

/** Neither other processes nor this one hear anything. */
const silent = Layer.effect(
  SystemDb,
  Effect.flatMap(
    PgClient,
    (sql) =>
      Store.make(sql, {
        schema: "silent",
        retryForMillis: 30_000,
        pooled: false,
        silent: true,
        waits: Waits.make("the database")
      })
  )
).pipe(Layer.provide(onFreshDatabase({})))

suite("Postgres", onFreshDatabase({}))
suite("Postgres behind a pooler", onFreshDatabase({ listen: false }))
suite("Postgres without hints", silent, { hints: false })
suite("Embedded", Embedded.layer())
