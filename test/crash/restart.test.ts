import { assert, describe, it } from "@effect/vitest"
import * as Engine from "effect-durable/Engine"
import * as Postgres from "effect-durable/Postgres"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"
import { testServer } from "../support/postgres.ts"
import { Job, Tick } from "./definitions.ts"
import { client, settle, startProcess } from "./harness.ts"

const jobs = 40

const count = (query: Effect.Effect<ReadonlyArray<{ readonly n: number }>, unknown, SqlClient>) =>
  Effect.map(query, ([row]) => row!.n)

const succeeded = count(
  SqlClient.use((sql) =>
    sql<
      { n: number }
    >`select count(*)::int as n from effect_durable.runs where status = 'Succeeded' and workflow = 'job'`
  )
)

describe("a server that is restarted", () => {
  for (const mode of ["fast", "immediate"] as const) {
    it.live(
      `loses nothing under load, makes no run start over and no tick go missing (${mode})`,
      () =>
        Effect.gen(function*() {
          const server = yield* testServer()
          const url = yield* server.createDatabase("app")
          yield* Effect.gen(function*() {
            const sql = yield* SqlClient
            yield* Effect.all([startProcess(url), startProcess(url)], { concurrency: "unbounded" })
            yield* Schedule.apply([
              Schedule.make("a", { workflow: Tick, cron: "* * * * * *", context: { name: "a" } })
            ])
            yield* Effect.forEach(
              Array.from({ length: jobs }, (_, run) => run),
              (run) => Job.start({ run }, { runId: `job-${run}` }),
              { concurrency: "unbounded" }
            )
            for (let restart = 0; restart < 2; restart++) {
              yield* server.restart(mode)
              yield* Effect.sleep("300 millis")
            }
            yield* settle(Effect.orElseSucceed(Effect.map(succeeded, (n) => n === jobs), () => false))
            const noted = count(sql<{ n: number }>`select count(*)::int as n from ticks`)
            yield* settle(Effect.orElseSucceed(Effect.map(noted, (n) => n >= 5), () => false))
            yield* Schedule.pause("a")

            const [booked] = yield* sql<{ all: number; distinct: number }>`
            select count(*)::int as "all", count(distinct run)::int as "distinct" from bookings`
            assert.deepStrictEqual(booked, { all: jobs, distinct: jobs })

            // Nobody was taken for dead: every session was lost at once, and every worker still lives.
            const attempts = yield* count(sql<{ n: number }>`select max(attempt)::int as n from effect_durable.runs`)
            assert.strictEqual(attempts, 1)

            const ticks = (yield* sql<{ tick: Date }>`select tick from ticks order by tick`).map(({ tick }) =>
              tick.getTime()
            )
            assert.isAtLeast(ticks.length, 5)
            assert.deepStrictEqual(ticks, ticks.map((_, index) => ticks[0]! + index * 1000))
          }).pipe(Effect.scoped, Effect.provide(client(url)))
        }),
      120_000
    )
  }

  it.live("has nobody taken for dead when it was away for longer than every lease", () =>
    Effect.gen(function*() {
      const server = yield* testServer()
      const url = yield* server.createDatabase("app")
      yield* Effect.gen(function*() {
        const leaseMillis = 4_000
        yield* Effect.forEach([1, 2, 3], () => startProcess(url, { leaseMillis }), { concurrency: "unbounded" })
        yield* Effect.forEach(
          Array.from({ length: jobs }, (_, run) => run),
          (run) => Job.start({ run }, { runId: `job-${run}` }),
          { concurrency: "unbounded" }
        )
        yield* server.stop("fast")
        yield* Effect.sleep(leaseMillis + 1_000)
        yield* server.restart()
        yield* settle(Effect.orElseSucceed(Effect.map(succeeded, (n) => n === jobs), () => false))
        const attempts = yield* count(
          SqlClient.use((sql) => sql<{ n: number }>`select max(attempt)::int as n from effect_durable.runs`)
        )
        assert.strictEqual(attempts, 1)
      }).pipe(Effect.scoped, Effect.provide(client(url)))
    }), 120_000)

  it.live("makes no transaction step fail or count twice", () =>
    Effect.gen(function*() {
      const server = yield* testServer()
      const url = yield* server.createDatabase("app")
      const Book = Workflow.make("book", { payload: { run: Schema.Int } })
      const App = Book.toLayer(({ run }) =>
        SqlClient.use((sql) =>
          Step.transaction(
            "book",
            Effect.gen(function*() {
              yield* sql`insert into booked values (${run})`
              yield* Effect.sleep("300 millis")
              yield* sql`update booked set run = run where run = ${run}`
            })
          )
        )
      ).pipe(Layer.provideMerge(Engine.layer({ name: "book" })), Layer.provideMerge(Postgres.layer({ url })))
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* sql`create table booked (run int)`
        const handles = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, run) => run),
          (run) => Book.start({ run }, { runId: `book-${run}` }),
          { concurrency: "unbounded" }
        )
        for (const mode of ["fast", "immediate"] as const) yield* server.restart(mode)
        const states = Effect.forEach(handles, (handle) => handle.status)
        yield* settle(Effect.orElseSucceed(
          Effect.map(states, (all) => all.every((status) => status !== "Running" && status !== "Enqueued")),
          () => false
        ))
        assert.deepStrictEqual(new Set(yield* states), new Set(["Succeeded"]))
        const [booked] = yield* sql`select count(*)::int as "all", count(distinct run)::int as "distinct" from booked`
        assert.deepStrictEqual(booked, { all: 20, distinct: 20 })
      }).pipe(Effect.provide(App))
    }), 120_000)
})
