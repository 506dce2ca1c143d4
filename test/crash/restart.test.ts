import { assert, describe, it } from "@effect/vitest"
import * as Schedule from "effect-durable/Schedule"
import * as Effect from "effect/Effect"
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
})
