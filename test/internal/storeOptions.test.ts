import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Embedded from "../../src/Embedded.ts"
import { InvalidInput } from "../../src/Errors.ts"
import * as Memory from "../../src/Memory.ts"
import * as Postgres from "../../src/Postgres.ts"

/** What is refused is so before anything is looked for: there is no database here. */
const url = "postgres://127.0.0.1:1/none"

const postgres = (options: object) => Postgres.layer({ url, ...options })
const client = (options: object) =>
  Postgres.layerFromClient(options).pipe(Layer.provide(Layer.succeed(PgClient, undefined as never)))
const embedded = (options: object) => Embedded.layer(options)
const memory = (options: object) => Memory.layerWith(options)

const sizes = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "8", null]
const names = ["", "Upper", "with space", "pg_own", "1st", "x".repeat(60), "a\"b"]

const refused: ReadonlyArray<
  readonly [
    field: string,
    values: ReadonlyArray<unknown>,
    Readonly<Record<string, (options: object) => Layer.Layer<any, any>>>
  ]
> = [
  ["url", ["", "nonsense", undefined, null, 5432], { postgres }],
  ["schema", names, { postgres, client, embedded }],
  ["maxValueBytes", sizes, { postgres, client, embedded, memory }],
  ["maxConnections", sizes, { postgres }],
  ["retryFor", [-1, Number.NaN, "-3 seconds", "soon", Duration.millis(-1), { seconds: Number.NaN }], {
    postgres,
    client
  }],
  ["listen", ["false", 0, null], { postgres, client }],
  ["hints", ["false", 0, null], { memory }],
  ["dataDir", ["", "  ", "memory://", "file:///data", "idb://data", "a\0b", null, 5], { embedded }]
]

const shown = (value: unknown): string =>
  typeof value === "string" || (typeof value === "object" && !Duration.isDuration(value))
    ? JSON.stringify(value)
    : String(value)

const refusal = (built: Layer.Layer<any, any>) =>
  Effect.map(
    Effect.exit(Effect.scoped(Layer.build(built))),
    (exit) => Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  )

describe("an option of a store", () => {
  for (const [field, values, layers] of refused) {
    for (const [name, layer] of Object.entries(layers)) {
      for (const value of values) {
        it.effect(`${field} of ${name} is refused by name when it is ${shown(value)}`, () =>
          Effect.map(refusal(layer({ [field]: value })), (error) => {
            assert.instanceOf(error, InvalidInput)
            assert.strictEqual((error as InvalidInput).field, field)
          }))
      }
    }
  }

  it.live("may be as small as it works with, and retryFor without end", () =>
    Effect.gen(function*() {
      const small = yield* refusal(postgres({ maxValueBytes: 1, maxConnections: 1, retryFor: 0 }))
      assert.deepInclude(small, { _tag: "StoreError", retryable: true })
      const endless = yield* Effect.timeoutOption(refusal(postgres({ retryFor: "Infinity" })), "100 millis")
      assert.isTrue(Option.isNone(endless))
    }))
})
