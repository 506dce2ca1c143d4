/** Undo steps of transactions, on a real server: commits are cut off by time-outs at any point. */
import { assert, describe, it, layer } from "@effect/vitest"
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
import { commitOfStep, proxyTo } from "./support/proxy.ts"

const database = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

const Trip = Workflow.make("trip", { payload: Schema.Finite, error: Schema.String })

const Doubtful = Workflow.make("doubtful", { error: Schema.String })

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

describe("a transaction step that is in doubt is undone when it has committed", () => {
  /** Fails after a transaction that ran out of time, whose commit takes a second and whose connection is cut meanwhile. */
  const failing = (effect: Effect.Effect<unknown, unknown, SqlClient>, undone: Array<string>) =>
    Doubtful.toLayer(() =>
      Step.transaction("book", effect.pipe(Effect.as("booked"), Effect.orDie), {
        undo: (value) => Effect.sync(() => void undone.push(value))
      }).pipe(Effect.timeoutOption("1500 millis"), Effect.andThen(Effect.fail("declined")))
    )

  const insert = SqlClient.use((sql) => sql`insert into bookings values (1)`)
  const conflict = SqlClient.use((sql) =>
    sql`do $$ begin raise exception 'conflict' using errcode = '40001'; end $$`.unprepared
  )

  const doubt = Effect.fnUntraced(function*(effect: Effect.Effect<unknown, unknown, SqlClient>, commitMillis: number) {
    const { url } = yield* freshDatabase
    const way = yield* proxyTo(url)
    const undone: Array<string> = []
    yield* Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* sql`create table bookings (id int)`
      yield* sql`create function slow() returns trigger language plpgsql as
        ${sql.literal(`$$ begin perform pg_sleep(${commitMillis / 1000}); return null; end $$`)}`
      yield* sql`create constraint trigger slow after insert on bookings deferrable initially deferred
        for each row execute function slow()`
      const cut = way.cutAt(commitOfStep(), "answer")
      const handle = yield* Doubtful.start()
      // Before an answer: the connection goes, and the server goes on with the commit.
      yield* Effect.repeat(Effect.sleep("10 millis"), { until: cut })
      yield* Effect.sleep("100 millis")
      yield* way.cut
      assert.isTrue(Exit.isFailure(yield* Effect.exit(handle.await)))
      assert.deepStrictEqual((yield* handle.steps).filter(({ kind }) => kind === "Transaction").length, 1)
      assert.strictEqual((yield* sql`select from bookings`).length, 1)
      assert.deepStrictEqual(undone, ["booked"])
    }).pipe(
      Effect.provide(
        failing(effect, undone).pipe(
          Layer.provideMerge(Engine.layer({ name: "doubt" })),
          Layer.provideMerge(Layer.fresh(Postgres.layer({ url: way.url })))
        )
      )
    )
  })

  it.live("long after the time-out around it came", () => doubt(insert, 3_000), 60_000)

  it.live("although the tries after it were rolled back", () => {
    let tries = 0
    return doubt(Effect.suspend(() => tries++ === 0 ? insert : Effect.andThen(conflict, insert)), 0)
  }, 60_000)
})
