import { assert, describe, it } from "@effect/vitest"
import { SystemDb } from "effect-durable/SystemDb"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabase } from "../support/postgres.ts"
import { Job, stepsPerJob } from "./definitions.ts"
import { client, settle, signal, startProcess } from "./harness.ts"

const jobs = 60

const startJobs = Effect.forEach(
  Array.from({ length: jobs }, (_, run) => run),
  (run) => Job.start({ run }, { runId: `job-${run}` }),
  { concurrency: "unbounded" }
)

const allSucceeded = SqlClient.use((sql) =>
  Effect.map(
    sql<{ ended: number }>`select count(*)::int as ended from effect_durable.runs where status = 'Succeeded'`,
    ([row]) => row!.ended === jobs
  )
)

const effectsBegun = (least: number) =>
  SqlClient.use((sql) =>
    Effect.map(
      sql<{ begun: number }>`select count(*)::int as begun from effects`,
      ([row]) => row!.begun >= least
    )
  )

/** What the database says happened, once every run has ended. */
const evidence = Effect.fnUntraced(function*(stale: number) {
  const sql = yield* SqlClient
  // An effect that begins after its own record was written is a recorded step that ran again.
  const [after] = yield* sql<{ n: number }>`
    select count(*)::int as n from effects e
    join effect_durable.steps s
      on s.run_id = 'job-' || e.run and s.name = 'effect' and s.occurrence = e.step + 1
    where e.at > s.recorded_at and e.pid <> ${stale}`
  const [booked] = yield* sql<{ all: number; distinct: number }>`
    select count(*)::int as "all", count(distinct run)::int as "distinct" from bookings`
  const [steps] = yield* sql<{ n: number }>`select count(*)::int as n from effect_durable.steps`
  return { ranAgain: after!.n, booked: booked!, steps: steps!.n }
})

/** A process that was stopped cannot know at once that its lease is lost; what it begins then, it cannot record. */
const assertEvidence = (stale = 0) =>
  Effect.map(evidence(stale), (facts) => {
    assert.strictEqual(facts.ranAgain, 0)
    assert.deepStrictEqual(facts.booked, { all: jobs, distinct: jobs })
    assert.strictEqual(facts.steps, jobs * (stepsPerJob + 1))
  })

describe("takeover", () => {
  it.live(
    "runs of a process killed with kill -9 complete in the others, and no recorded step runs again",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        yield* Effect.gen(function*() {
          const victims = yield* Effect.all([startProcess(url), startProcess(url), startProcess(url)], {
            concurrency: "unbounded"
          })
          yield* startJobs
          yield* settle(effectsBegun(jobs + 10))
          yield* signal(victims[0], "SIGKILL")
          yield* settle(allSucceeded)
          yield* assertEvidence()
        }).pipe(Effect.scoped, Effect.provide(client(url)))
      }),
    120_000
  )

  it.live("a process stopped past its lease records nothing when it continues", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      yield* Effect.gen(function*() {
        const stopped = yield* startProcess(url, { leaseMillis: 2_000 })
        const sql = yield* SqlClient
        yield* startJobs
        yield* settle(effectsBegun(jobs + 10))
        yield* signal(stopped, "SIGSTOP")
        yield* startProcess(url, { leaseMillis: 2_000 })
        yield* settle(allSucceeded)
        const before = yield* sql`select * from effect_durable.steps order by run_id, name, occurrence`
        yield* signal(stopped, "SIGCONT")
        // It has noticed when it has registered itself anew.
        yield* settle(Effect.map(
          sql<{ n: number }>`select count(*)::int as n from effect_durable.workers`,
          ([row]) => row!.n === 2
        ))
        assert.deepStrictEqual(yield* sql`select * from effect_durable.steps order by run_id, name, occurrence`, before)
        yield* assertEvidence(stopped.pid)
      }).pipe(Effect.scoped, Effect.provide(client(url)))
    }), 120_000)

  it.live(
    "a process that is asked to stop hands its runs back, and another continues them",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        yield* Effect.gen(function*() {
          const db = yield* SystemDb
          const first = yield* startProcess(url)
          yield* startJobs
          yield* settle(effectsBegun(jobs))
          yield* signal(first, "SIGTERM")
          const left = yield* db.listRuns({ status: ["Running"] }, { limit: 1, after: null })
          assert.deepStrictEqual(left, [])
          yield* startProcess(url)
          yield* settle(allSucceeded)
          yield* assertEvidence()
        }).pipe(Effect.scoped, Effect.provide(client(url)))
      }),
    120_000
  )
})
