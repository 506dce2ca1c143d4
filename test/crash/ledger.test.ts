import { assert, describe, it } from "@effect/vitest"
import * as Schedule from "effect-durable/Schedule"
import * as Timing from "effect-durable/Timing"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SqlClient } from "effect/sql/SqlClient"
import type { ChildProcess } from "node:child_process"
import { freshDatabase } from "../support/postgres.ts"
import { Tick } from "./definitions.ts"
import { client, settle, signal, startProcess } from "./harness.ts"

const everySecond = "* * * * * *"

const of = (name: string, millis: number | undefined, policies: Schedule.PolicyOptions, except?: Timing.Except) =>
  Schedule.make(name, {
    workflow: Tick,
    timing: Timing.except(Timing.cron(everySecond), except ?? { dates: ["2000-01-01"] }),
    context: millis === undefined ? { name } : { name, millis },
    ...policies
  })

const schedules = [
  of("plain", undefined, {}),
  of("all of them", undefined, { catchUp: "all", grace: "1 second" }),
  of("none late", undefined, { catchUp: "none", grace: "2 seconds" }),
  of("one at a time", 2_200, { overlap: "skip", catchUp: "all" }),
  of("in turn", 1_300, { overlap: { mode: "bufferAll", max: 5 } }),
  of("newest only", 1_500, { overlap: "cancelOther" }),
  of("shared one", 900, { overlap: { mode: "skip", key: "shared" } }),
  of("shared two", 900, { overlap: { mode: "skip", key: "shared" } }),
  of("jittered", undefined, { jitter: "800 millis" }),
  of("not every fifth", undefined, {}, { cron: "*/5 * * * * *" })
]

const names = schedules.map(({ name }) => name)

const latest = (name: string) =>
  SqlClient.use((sql) =>
    Effect.map(
      sql<
        { n: number }
      >`select count(*)::int as n from effect_durable.runs where schedule = ${name} and status = 'Succeeded'`,
      ([row]) => row!.n
    )
  )

const kill = (child: ChildProcess) => signal(child, "SIGKILL")

const quiet = SqlClient.use((sql) =>
  Effect.map(
    sql<{ n: number }>`select count(*)::int as n from effect_durable.runs
      where status in ('Enqueued', 'Running', 'Suspended')`,
    ([row]) => row!.n === 0
  )
)

/** Overlapping executions of one scope, by what the runs' rows say of when they began and ended. */
const overlapping = (scope: string) =>
  SqlClient.use((sql) =>
    Effect.map(
      sql<{ a: string; b: string }>`select a.id as a, b.id as b from effect_durable.runs a
        join effect_durable.runs b on a.overlap = b.overlap and a.id < b.id
        where a.overlap = ${scope} and a.created_at < b.finished_at and b.created_at < a.finished_at`,
      (rows) => rows.map(({ a, b }) => `${a} with ${b}`)
    )
  )

describe("the ledger", () => {
  it.live(
    "has one answer for every instant after processes were killed and replaced, nothing twice and nothing early",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient
          yield* Schedule.apply(schedules)
          const first = new Map<string, number>()
          for (const name of names) {
            const { nextTick } = Option.getOrThrow(yield* Schedule.get(name))
            first.set(name, DateTime.toEpochMillis(Option.getOrThrow(nextTick)))
          }

          const [one, two, three] = yield* Effect.all([startProcess(url), startProcess(url), startProcess(url)], {
            concurrency: "unbounded"
          })
          yield* settle(Effect.map(latest("plain"), (n) => n >= 6))
          yield* kill(one)
          yield* settle(Effect.map(latest("plain"), (n) => n >= 10))
          yield* Effect.all([kill(two), kill(three)], { concurrency: "unbounded" })
          // Nobody is up for some ticks.
          const down = DateTime.toEpochMillis(yield* DateTime.now)
          yield* settle(Effect.map(DateTime.now, (now) => DateTime.toEpochMillis(now) > down + 5_000))
          const [four] = yield* Effect.all([startProcess(url), startProcess(url)], { concurrency: "unbounded" })
          yield* settle(Effect.map(latest("plain"), (n) => n >= 16))
          yield* kill(four)
          yield* startProcess(url)
          yield* settle(Effect.map(latest("plain"), (n) => n >= 22))
          yield* Schedule.pauseAll({})
          for (const name of names) yield* Schedule.dropBuffered(name)
          yield* settle(quiet)

          for (const name of names) {
            const { pausedAt } = Option.getOrThrow(yield* Schedule.get(name))
            const paused = DateTime.toEpochMillis(Option.getOrThrow(pausedAt))
            const from = first.get(name)!
            // What was not decided when the pause came is decided when it ends.
            const [row] = yield* sql<
              { next: Date }
            >`select next_at as next from effect_durable.schedules where name = ${name}`
            const to = Math.min(paused, row!.next.getTime())
            const answers = yield* Schedule.ledger(name, { from, to })
            const instants = Array.from({ length: Math.ceil((to - from) / 1000) }, (_, n) => from + n * 1000)
            assert.deepStrictEqual(answers.map(({ tick }) => DateTime.toEpochMillis(tick)), instants, name)
            assert.isAtLeast(instants.length, 20)
            const started = answers.flatMap(({ decision }) => decision._tag === "Started" ? [decision] : [])
            const succeeded = started.filter(({ status }) => status === "Succeeded")
            const booked = yield* sql<{ n: number }>`select count(*)::int as n from ticks where schedule = ${name}`
            assert.strictEqual(booked[0]!.n, succeeded.length, name)
            if (name === "not every fifth") {
              const excluded = answers.filter(({ decision }) => decision._tag === "Excluded")
              assert.deepStrictEqual(
                excluded.map(({ tick }) => DateTime.toEpochMillis(tick)),
                instants.filter((instant) => instant % 5_000 === 0)
              )
            }
          }
          const early = yield* sql`select id from effect_durable.runs where created_at < tick`
          assert.deepStrictEqual(early, [])
          const twice = yield* sql`select schedule, tick from ticks group by 1, 2 having count(*) > 1`
          assert.deepStrictEqual(twice, [])
          for (const scope of ["schedule:one at a time", "schedule:in turn", "key:shared"]) {
            assert.deepStrictEqual(yield* overlapping(scope), [], scope)
          }
        }).pipe(Effect.scoped, Effect.provide(client(url)))
      }),
    180_000
  )
})
