import { assert, describe, it } from "@effect/vitest"
import * as Engine from "effect-durable/Engine"
import * as Postgres from "effect-durable/Postgres"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabase } from "./support/postgres.ts"
import { commitOfStep, proxyTo } from "./support/proxy.ts"
import { execute } from "./support/server.ts"

const Sell = Workflow.make("sell", { payload: { how: Schema.String }, success: Schema.String, error: Schema.String })
const Book = Workflow.make("book", { payload: { run: Schema.Int } })

const app = (url: string, bodies: Layer.Layer<never, never, any>) =>
  bodies.pipe(
    Layer.provideMerge(Engine.layer({ name: "booking" })),
    Layer.provideMerge(Layer.fresh(Postgres.layer({ url })))
  ) as Layer.Layer<any>

const booked = SqlClient.use((sql) =>
  sql<{ run: number; line: string }>`select run, line from booked order by run, line`
)
const table = SqlClient.use((sql) => sql`create table booked (run int, line text)`)

const book = (run: number, between: Effect.Effect<void> = Effect.void, options?: { isolation: "serializable" }) =>
  SqlClient.use((sql) =>
    Step.transaction(
      "book",
      Effect.gen(function*() {
        yield* sql`insert into booked values (${run}, 'first')`
        yield* between
        yield* sql`insert into booked values (${run}, 'second')`
      }) as Effect.Effect<void>,
      options
    )
  )

/** What the body of this one run ends with, by its defect when it dies. */
const defectOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "it succeeded"

describe("a transaction step", () => {
  const says = (statement: RegExp) => () => (text: string) => statement.test(text)
  const moments = [
    ["at BEGIN", says(/BEGIN/), "answer"],
    ["in front of its first statement", says(/insert into booked .*'first'/), "before"],
    ["after its last statement was heard", says(/insert into booked .*'second'/), "answer"],
    ["in front of the record", says(/held as materialized \(select r\.id/), "before"],
    ["after the record was heard", says(/held as materialized \(select r\.id/), "answer"],
    ["in front of COMMIT", commitOfStep, "before"],
    ["at COMMIT, whose answer is lost", commitOfStep, "answer"]
  ] as const
  for (const [where, sent, moment] of moments) {
    it.live(`counts once when its connection is cut ${where}`, () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        const way = yield* proxyTo(url)
        yield* Effect.gen(function*() {
          yield* table
          const cut = way.cutAt(sent(), moment)
          const handle = yield* Book.start({ run: 1 })
          yield* handle.await
          assert.isTrue(cut())
          assert.deepStrictEqual((yield* booked).map(({ line }) => line), ["first", "second"])
          assert.deepStrictEqual((yield* handle.steps).map(({ kind }) => kind), ["Transaction"])
        }).pipe(Effect.provide(app(way.url, Book.toLayer(({ run }) => book(run)) as Layer.Layer<never, never, any>)))
      }), 60_000)
  }

  const sales = [
    ["insert", "a seat"],
    ["update", "a place"]
  ] as const
  for (const [how, sold] of sales) {
    it.live(
      `whose COMMIT of an ${how} was heard and not answered does not meet what it has done itself`,
      () =>
        Effect.gen(function*() {
          const { url } = yield* freshDatabase
          const way = yield* proxyTo(url)
          const insert = SqlClient.use((sql) => Effect.as(sql`insert into seats values (1)`, "a seat"))
          const update = SqlClient.use((sql) =>
            Effect.flatMap(
              sql`update places set free = free - 1 where free > 0 returning free`,
              ({ length }) => length === 0 ? Effect.fail("sold out") : Effect.succeed("a place")
            )
          )
          const bodies = Sell.toLayer(({ how }) => Step.transaction("sell", how === "insert" ? insert : update))
          yield* Effect.gen(function*() {
            const sql = yield* SqlClient
            yield* sql`create table seats (id int primary key)`
            yield* sql`create table places (free int)`
            yield* sql`insert into places values (1)`
            const cut = way.cutAt(commitOfStep(), "answer")
            assert.strictEqual(yield* Sell.execute({ how }), sold)
            assert.isTrue(cut())
            const [left] = yield* sql`select (select count(*)::int from seats) as seats, free from places`
            assert.deepStrictEqual(left, how === "insert" ? { seats: 1, free: 1 } : { seats: 0, free: 0 })
          }).pipe(Effect.provide(app(way.url, bodies as Layer.Layer<never, never, any>)))
        }),
      60_000
    )
  }

  it.live(
    "counts once when its connection is cut between its statements, or idles for longer than the server allows",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        const way = yield* proxyTo(url)
        let attempts = 0
        const interfere = Effect.suspend(() => {
          attempts++
          if (attempts === 1) return way.cut
          if (attempts > 2) return Effect.void
          return SqlClient.use((sql) =>
            Effect.andThen(sql`set local idle_in_transaction_session_timeout = 50`, Effect.sleep(400))
          )
        }) as Effect.Effect<void>
        const bodies = Book.toLayer(({ run }) => book(run, interfere)) as Layer.Layer<never, never, any>
        yield* Effect.gen(function*() {
          yield* table
          yield* (yield* Book.start({ run: 1 })).await
          assert.strictEqual(attempts, 3)
          assert.strictEqual((yield* booked).length, 2)
        }).pipe(Effect.provide(app(way.url, bodies)))
      }),
    60_000
  )

  it.live("runs again when its session is terminated", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      let attempts = 0
      const terminate = Effect.suspend(() =>
        ++attempts > 1 ? Effect.void : Effect.orDie(execute(
          url,
          "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction' and datname = current_database()"
        ))
      )
      yield* Effect.gen(function*() {
        yield* table
        yield* (yield* Book.start({ run: 1 })).await
        assert.strictEqual((yield* booked).length, 2)
        assert.strictEqual(attempts, 2)
      }).pipe(
        Effect.provide(app(url, Book.toLayer(({ run }) => book(run, terminate)) as Layer.Layer<never, never, any>))
      )
    }), 60_000)

  it.live("runs again until nobody is in its way any more", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const Count = Workflow.make("count", { payload: { run: Schema.Int } })
      const bodies = Count.toLayer(({ run }) =>
        SqlClient.use((sql) =>
          Step.transaction(
            "count",
            Effect.gen(function*() {
              const rows = yield* sql`select * from booked`
              yield* Effect.yieldNow
              yield* sql`insert into booked values (${run}, ${String(rows.length)})`
            }),
            { isolation: "serializable" }
          )
        )
      ) as Layer.Layer<never, never, any>
      yield* Effect.gen(function*() {
        yield* table
        const runs = Array.from({ length: 12 }, (_, run) => run)
        yield* Effect.forEach(runs, (run) => Count.execute({ run }), { concurrency: "unbounded" })
        assert.deepStrictEqual((yield* booked).map(({ line }) => Number(line)).sort((a, b) => a - b), runs)
      }).pipe(Effect.provide(app(url, bodies)))
    }), 60_000)

  it.live(
    "that hides an SQL error says to use a savepoint, and one that uses it succeeds",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        const Hide = Workflow.make("hide", { payload: { savepoint: Schema.Boolean } })
        const bodies = Hide.toLayer(({ savepoint }) =>
          SqlClient.use((sql) =>
            Step.transaction(
              "hide",
              Effect.gen(function*() {
                const wrong = sql`insert into booked values ('no number')`
                yield* Effect.ignore(savepoint ? sql.withTransaction(wrong) : wrong)
                if (savepoint) yield* sql`insert into booked values (1, 'after')`
              })
            )
          )
        ) as Layer.Layer<never, never, any>
        yield* Effect.gen(function*() {
          yield* table
          assert.include(defectOf(yield* Effect.exit(Hide.execute({ savepoint: false }))), "nested sql.withTransaction")
          assert.isTrue(Exit.isSuccess(yield* Effect.exit(Hide.execute({ savepoint: true }))))
          assert.deepStrictEqual((yield* booked).map(({ line }) => line), ["after"])
        }).pipe(Effect.provide(app(url, bodies)))
      }),
    60_000
  )

  it.live(
    "that awaits a run which it started is refused, and so is a step inside of a transaction, before it runs",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        let ran = 0
        const Child = Workflow.make("child")
        const Parent = Workflow.make("parent")
        const Inside = Workflow.make("inside")
        const bodies = Layer.mergeAll(
          Child.toLayer(() => Effect.void),
          Parent.toLayer(() => Step.transaction("parent", Effect.orDie(Child.execute()))),
          Inside.toLayer(() =>
            SqlClient.use((sql) => Effect.orDie(sql.withTransaction(Step.run("inside", Effect.sync(() => void ran++)))))
          )
        ) as unknown as Layer.Layer<never, never, any>
        yield* Effect.gen(function*() {
          assert.include(defectOf(yield* Effect.exit(Parent.execute())), "only after the commit")
          assert.include(defectOf(yield* Effect.exit(Inside.execute())), "use Step.transaction")
          assert.strictEqual(ran, 0)
        }).pipe(Effect.provide(app(url, bodies)))
      }),
    60_000
  )
})
