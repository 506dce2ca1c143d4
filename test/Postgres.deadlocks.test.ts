/** The statements lock in one order, so they can wait for each other and never for ever. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Postgres from "../src/Postgres.ts"
import { SystemDb } from "../src/SystemDb.ts"
import { commands } from "./conformance/commands.ts"
import { virtual } from "./conformance/fixture.ts"
import { Course } from "./conformance/model.ts"
import { freshDatabase } from "./support/postgres.ts"

const sessions = 6
const sequences = 8

const deadlocks = PgClient.use((sql) =>
  Effect.andThen(
    sql`select pg_stat_force_next_flush()`,
    Effect.map(
      sql<{ readonly n: number }>`
        select deadlocks::int as n from pg_stat_database where datname = current_database()`,
      ([row]) => row!.n
    )
  )
)

it.live("processes that do everything at once on the same runs and schedules never block each other for good", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    const stores = yield* Effect.forEach(
      Array.from({ length: sessions }),
      () => Effect.map(Layer.build(Layer.fresh(Postgres.layer({ url, listen: false }))), (context) => context)
    )
    let answers = 0
    const course = (store: typeof stores[number]) =>
      Effect.gen(function*() {
        const course = new Course(yield* SystemDb, "shared-")
        yield* Effect.exit(course.begin)
        for (const sequence of yield* Arbitrary.sampleEffect(commands, { count: sequences })) {
          for (const command of sequence) {
            // Many are refused, since others are at the same rows; here it only counts that each has an answer.
            yield* Effect.exit(course.answer(command))
            answers++
          }
        }
      }).pipe(Effect.provideContext(store))
    yield* virtual(Effect.gen(function*() {
      const fibers = yield* Effect.forEach(stores, (store) => Effect.forkChild(course(store)))
      for (const fiber of fibers) yield* Fiber.join(fiber)
    }))
    assert.isAbove(answers, 100)
    assert.strictEqual(yield* Effect.provideContext(deadlocks, stores[0]!), 0)
  }).pipe(Effect.scoped), 120_000)
