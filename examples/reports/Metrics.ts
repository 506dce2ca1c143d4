// The application's own table, in the same database as its runs, so that a transaction step can read and write both.
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"

export const Metric = Schema.Struct({ at: Schema.DateTimeUtc, value: Schema.Finite })
export type Metric = typeof Metric.Type

/** The metrics of a type ("all" for every type) from `from` up to, not including, `to`, oldest first. */
export const between = Effect.fn("Metrics.between")(
  function*(metricType: string, from: DateTime.Utc, to: DateTime.Utc) {
    const sql = yield* SqlClient
    const rows = yield* sql<{ at: Date; value: number }>`
    select at, value from metrics
    where at >= ${DateTime.toDateUtc(from)} and at < ${DateTime.toDateUtc(to)}
      and (metric_type = ${metricType} or ${metricType} = 'all')
    order by at`
    return rows.map(({ at, value }): Metric => ({ at: DateTime.fromDateUnsafe(at), value }))
  }
)

/** Notes a measurement made now. */
export const note = Effect.fn("Metrics.note")(function*(metricType: string, value: number) {
  const sql = yield* SqlClient
  yield* sql`insert into metrics ${sql.insert({ metric_type: metricType, value })}`
})

export const layer = Layer.effectDiscard(SqlClient.use((sql) =>
  sql`create table if not exists metrics (
    at timestamptz not null default now(), metric_type text not null, value float8 not null)`
))
