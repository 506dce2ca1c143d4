import { assert, describe, it } from "@effect/vitest"
import * as Schedule from "effect-durable/Schedule"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabase } from "../support/postgres.ts"
import { Tick } from "./definitions.ts"
import { client, settle, signal, startProcess } from "./harness.ts"

const names = ["a", "b", "c", "d", "e"]

const applyAll = Schedule.apply(
  names.map((name) => Schedule.make(name, { workflow: Tick, cron: "* * * * * *", context: { name } }))
)

const ticksOf = (name: string) =>
  SqlClient.use((sql) =>
    Effect.map(
      sql<{ tick: Date }>`select tick from ticks where schedule = ${name} order by tick`,
      (rows) => rows.map(({ tick }) => tick.getTime())
    )
  )

/** Every second from the first tick to the last, each once. */
const assertUnbroken = (name: string, least: number) =>
  Effect.map(ticksOf(name), (ticks) => {
    assert.isAtLeast(ticks.length, least)
    assert.deepStrictEqual(ticks, ticks.map((_, index) => ticks[0]! + index * 1000))
  })

const fired = (least: number) => Effect.map(ticksOf("a"), (ticks) => ticks.length >= least)

const pauseAndSettle = Effect.gen(function*() {
  yield* Effect.forEach(names, (name) => Schedule.pause(name))
  const sql = yield* SqlClient
  yield* settle(Effect.map(
    sql<{ n: number }>`select count(*)::int as n from effect_durable.runs where status <> 'Succeeded'`,
    ([row]) => row!.n === 0
  ))
})

describe("ticks", () => {
  it.live(
    "three processes fire every tick exactly once, also while one of them is killed and replaced",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        yield* Effect.gen(function*() {
          const [first] = yield* Effect.all([startProcess(url), startProcess(url), startProcess(url)], {
            concurrency: "unbounded"
          })
          yield* applyAll
          yield* settle(fired(6))
          yield* signal(first, "SIGKILL")
          yield* settle(fired(12))
          yield* startProcess(url)
          yield* settle(fired(18))
          yield* pauseAndSettle
          for (const name of names) yield* assertUnbroken(name, 18)
        }).pipe(Effect.scoped, Effect.provide(client(url)))
      }),
    120_000
  )
})
