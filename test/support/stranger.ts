/** Somebody else's transaction on the same Postgres: it holds rows of the library's tables and lets them go as they were. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A row that can be held. */
export interface Row {
  readonly of: "run" | "schedule"
  readonly key: string
}

export interface Stranger {
  /** Whether there was such a row, which is held now. */
  readonly hold: (row: Row) => Effect.Effect<boolean>
  /** Lets go whatever is held. */
  readonly letGo: Effect.Effect<void>
  /** How many sessions wait for a row that is held. */
  readonly waiting: Effect.Effect<number>
}

const statements = {
  run: "select from effect_durable.runs where id = $1 for update",
  schedule: "select from effect_durable.schedules where name = $1 for update"
}

/** A stranger with a session of its own, which ends with the scope. */
export const stranger = Effect.fnUntraced(function*(
  config: PgClient["config"]
): Effect.fn.Return<Stranger, never, Scope.Scope> {
  const session = yield* Effect.orDie(PgConnection.make({ ...config, multiplex: false }))
  const ask = (sql: string, params: ReadonlyArray<unknown> = []) =>
    Effect.map(Effect.orDie(session.query(sql, params, false)), ({ rows }) => rows)
  let open = false
  return {
    hold: Effect.fnUntraced(function*({ key, of }) {
      if (!open) yield* ask("begin")
      open = true
      return (yield* ask(statements[of], [key])).length > 0
    }),
    letGo: Effect.suspend(() => {
      if (!open) return Effect.void
      open = false
      return Effect.asVoid(ask("rollback"))
    }),
    waiting: Effect.map(
      ask(`select count(*)::int as n from pg_stat_activity
        where datname = current_database() and pg_backend_pid() = any (pg_blocking_pids(pid))`),
      (rows) => (rows[0] as { readonly n: number }).n
    )
  }
})
