/** Undo steps of transactions, on a real server: commits are cut off by time-outs at any point. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"
import * as Engine from "../src/Engine.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { freshDatabase } from "./support/postgres.ts"

const database = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

const Trip = Workflow.make("trip", { payload: Schema.Finite, error: Schema.String })

const book = (key: string) =>
  Step.transaction("book", SqlClient.use((sql) => Effect.asVoid(sql`select 1`)), { key, undo: () => Effect.void })

const bodies = Trip.toLayer((millis) =>
  Effect.forEach(["a", "b", "c"], book, { concurrency: 3, discard: true }).pipe(
    millis === 0 ? Effect.andThen(Effect.never) : Effect.timeoutOption(millis),
    Effect.andThen(Effect.fail("late"))
  )
)

const app = bodies.pipe(Layer.provideMerge(Engine.layer({ name: "trips" })), Layer.provideMerge(database))

/** Of a run that failed: how many bookings are recorded, and how many are not undone. */
const bookings = (handle: ReturnType<typeof Trip.handle>) =>
  Effect.gen(function*() {
    assert.isTrue(Exit.isFailure(yield* Effect.exit(handle.await)))
    const steps = yield* handle.steps
    const keys = (kind: string) => steps.filter((step) => step.kind === kind).map(({ key }) => key)
    const undone = keys("Undo")
    return keys("Transaction").filter((key) => !undone.includes(key))
  })

layer(app, { excludeTestServices: true, timeout: "1 minute" })(
  "a transaction step is undone when it is recorded",
  (it) => {
    it.effect("and a time-out around it comes while it commits", () =>
      Effect.gen(function*() {
        const left = yield* Effect.forEach(
          Array.from({ length: 60 }, (_, n) => 1 + n % 12),
          (millis) => Effect.flatMap(Trip.start(millis), bookings),
          { concurrency: 8 }
        )
        assert.deepStrictEqual(left.flat(), [])
      }))

    it.effect("and the run times out while it commits", () =>
      Effect.gen(function*() {
        const left = yield* Effect.forEach(
          Array.from({ length: 60 }, (_, n) => 1 + n % 12),
          (millis) => Effect.flatMap(Trip.start(0, { timeout: millis }), bookings),
          { concurrency: 8 }
        )
        assert.deepStrictEqual(left.flat(), [])
      }))
  }
)
