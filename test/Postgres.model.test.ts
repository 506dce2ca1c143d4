import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Memory from "../src/Memory.ts"
import * as Postgres from "../src/Postgres.ts"
import { compare } from "./conformance/model.ts"
import { freshDatabase } from "./support/postgres.ts"

const postgres = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

compare("Memory and Postgres", Memory.layer, postgres, { runs: 150 })
