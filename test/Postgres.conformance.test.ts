import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Embedded from "../src/Embedded.ts"
import * as Postgres from "../src/Postgres.ts"
import { suite } from "./conformance/suite.ts"
import { freshDatabase } from "./support/postgres.ts"

const onFreshDatabase = (options: Postgres.StoreOptions) =>
  Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url, ...options })))

suite("Postgres", onFreshDatabase({}))
suite("Postgres with every hint of other processes dropped", onFreshDatabase({ listen: false }))
suite("Embedded", Embedded.layer())
