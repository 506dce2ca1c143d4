/** How much the statements read that look for something among much else. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import { statuses } from "../../../src/internal/lifecycle.ts"
import { statements as bodyStatements } from "../../../src/internal/postgres/bodies.ts"
import { statements as ledgerStatements } from "../../../src/internal/postgres/ledger.ts"
import { tables } from "../../../src/internal/postgres/names.ts"
import { instant, texts } from "../../../src/internal/postgres/parameters.ts"
import { statements as runStatements } from "../../../src/internal/postgres/runs.ts"
import * as Postgres from "../../../src/Postgres.ts"
import { freshDatabase } from "../../support/postgres.ts"

const many = 20_000

/** Ended runs of ten workflows and of two hundred schedules, and as many that wait for a workflow that nobody here has. */
const fill = SqlClient.use((sql) =>
  Effect.gen(function*() {
    yield* sql`
      insert into effect_durable.runs (id, workflow, status, payload, outcome, epoch, schedule, tick, created_at, finished_at)
      select 'r' || g, 'w' || g % 10, 'Succeeded', '{}', '{}', 1, 's' || g % 200, now() - g * interval '1 second',
        now() - g * interval '1 second', now()
      from generate_series(1, ${many}::int) g`
    yield* sql`
      insert into effect_durable.runs (id, workflow, status, payload, epoch, wake_at, created_at)
      select 'f' || g, 'foreign', 'Enqueued', '{}', 0, now() - interval '1 hour', now() - interval '1 year'
      from generate_series(1, ${many}::int) g`
    yield* sql`
      insert into effect_durable.ledger (schedule, first_tick, last_tick, ticks, decision, recorded_at)
      select 's' || g % 200, now(), now(), 1, 'skipped', now() from generate_series(1, ${many}::int) g`
    yield* sql`
      insert into effect_durable.audits (change, schedule, action, actor, at)
      select 'c' || g, 's', 'edit', 'me', now() from generate_series(1, ${many}::int) g`
    yield* sql`vacuum analyze`
  })
)

const database = Layer.effectDiscard(fill).pipe(
  Layer.provideMerge(Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url }))))
)

/** The pages that a statement looks at. Whatever it would write is rolled back. */
const pages = Effect.fnUntraced(function*(text: string, params: ReadonlyArray<unknown>) {
  const sql = yield* PgClient
  const explained =
    sql.unsafe<{ readonly "QUERY PLAN": string }>(`explain (analyze, buffers) ${text}`, params).unprepared
  const rows = yield* Effect.flip(sql.withTransaction(Effect.flatMap(explained, Effect.fail)))
  assert(Array.isArray(rows))
  const numbers = /Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?/.exec(rows.map((row) => row["QUERY PLAN"]).join("\n"))
  return Number(numbers?.[1] ?? 0) + Number(numbers?.[2] ?? 0)
})

layer(database, { excludeTestServices: true, timeout: "1 minute" })("pages read", (it) => {
  it.effect("a claim of workflows that have nothing to do reads nothing of what waits for others", () =>
    Effect.gen(function*() {
      const { claim } = runStatements(yield* tables("effect_durable"))
      const read = yield* pages(claim, [instant(null), texts(["w1", "w2", "none"]), 500, "me", 20])
      assert.isBelow(read, 100)
    }))

  it.effect("a look for runs that nobody can execute counts a thousand of many, and is a few looks for each workflow", () =>
    Effect.gen(function*() {
      const { unattended } = bodyStatements(yield* tables("effect_durable"))
      assert.isBelow(yield* pages(unattended, [instant(null), 60_000]), 200)
    }))

  it.effect("a list whose filter matches nothing is a few looks, whatever the filter is", () =>
    Effect.gen(function*() {
      const { list, listOfSchedules, listOfWorkflows } = runStatements(yield* tables("effect_durable"))
      const page = (status: ReadonlyArray<string>) => [texts(status), instant(null), null, 100]
      for (
        const [name, text, params] of [
          ["status", list, page(["Failed", "Running"])],
          ["workflow", listOfWorkflows, [...page(statuses), texts(["none"])]],
          ["workflow and status", listOfWorkflows, [...page(["Dead"]), texts(["w1", "foreign"])]],
          ["schedule", listOfSchedules, [...page(statuses), texts(["none"]), null]],
          ["schedule and status", listOfSchedules, [...page(["Cancelled"]), texts(["s1", "s2"]), null]]
        ] as const
      ) {
        assert.isBelow(yield* pages(text, params), 200, name)
      }
    }))

  it.effect("a prune that has nothing to delete looks at no more than a few pages for each workflow and schedule", () =>
    Effect.gen(function*() {
      const { prune } = ledgerStatements(yield* tables("effect_durable"))
      const old = instant(Date.UTC(2000, 0, 1))
      assert.isBelow(yield* pages(prune, [old, null, old, null, 500, "", ""]), 400, "by age")
      // The runs that wait are older than all others.
      const recent = instant(Date.UTC(2026, 0, 1))
      assert.isBelow(yield* pages(prune, [recent, null, old, null, 500, "", ""]), 400, "by age, beside old live ones")
      assert.isBelow(yield* pages(prune, [null, 100, null, 100, 500, "", ""]), 200 * 2 * 10, "by count")
    }))
})
