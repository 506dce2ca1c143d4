/**
 * What a Postgres server does beside answering, and PGlite does not: it has one process and so neither a checkpointer
 * nor an autovacuum. Without checkpoints the write-ahead log grows until the database is closed, and opening after a
 * crash takes as long as reading all of it; without vacuum the rows that runs leave behind stay.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { loop } from "./supervise.ts"

const interval = "30 seconds"

/** Log since the last checkpoint. Keeps opening after a crash under a second. */
const checkpointBytes = 32 * 1024 * 1024

/** The rule of autovacuum, with its default numbers, for both of what it does. There are no statistics on pg_statistic. */
const worn = `
  select format('%I.%I', schemaname, relname) as table
  from pg_stat_all_tables
  where schemaname <> 'pg_toast'
    and (n_dead_tup > 50 + 0.2 * n_live_tup
      or (n_mod_since_analyze > 50 + 0.1 * n_live_tup and relname <> 'pg_statistic'))
  order by n_dead_tup desc`

/** One pass. PGlite answers nobody else while one of these statements runs, so each is a small one. */
export const pass = Effect.fnUntraced(function*(sql: PgClient) {
  const tables = yield* sql.unsafe<{ readonly table: string }>(worn)
  for (const { table } of tables) yield* sql.unsafe(`vacuum (analyze) ${table}`).unprepared
  const due = yield* sql`
    select from pg_control_checkpoint() where pg_current_wal_insert_lsn() - redo_lsn > ${checkpointBytes}`
  if (due.length > 0) yield* sql.unsafe("checkpoint").unprepared
})

/** Passes from time to time, for ever. In real time always: it is about files, which no test clock moves. */
export const upkeep = (sql: PgClient): Effect.Effect<never> =>
  Effect.sleep(interval).pipe(
    Effect.andThen(pass(sql)),
    Effect.catch((error: SqlError) =>
      Effect.logDebug("Upkeep of the embedded database failed; it will be tried again", error)
    ),
    (pass) => loop("upkeep", pass),
    Effect.withTracerEnabled(false),
    Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())
  )
