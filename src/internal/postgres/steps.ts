/** The statements about steps that are not on the writer's path. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"
import { clock, stepColumns } from "./rows.ts"

/** How the writer and a caller's transaction write steps. */
export const stepWrite = {
  columns: "run_id, name, key, occurrence, kind, attempts, errors, outcome, wake_at, started_at, recorded_at, epoch",
  /** A record with an outcome is never replaced; one without keeps its place in the order. */
  onConflict: `on conflict (run_id, name, key, occurrence) do update set kind = excluded.kind,
        attempts = excluded.attempts, errors = excluded.errors, outcome = excluded.outcome, wake_at = excluded.wake_at,
        started_at = excluded.started_at, recorded_at = excluded.recorded_at, epoch = excluded.epoch
        where steps.outcome is null`
}

/** The right to write: `r` is a run, `i` an input with `run_id`, `owner` and `epoch`. */
export const fence = (command: Lifecycle.Command): string =>
  `r.id = i.run_id and r.owner = i.owner and r.epoch = i.epoch and r.status in (${literals(Lifecycle.from[command])})`

/** A run's deaths, when it is given up in good order: none, if its owner has recorded something of it. */
export const deathsLeft = (t: Tables): string =>
  `case when r.deaths > 0 and exists (select from ${t.steps} s where s.run_id = r.id and s.epoch = r.epoch offset 0)
          then 0 else r.deaths end`

export const statements = (t: Tables) => ({
  /** In the order of their first write. */
  list: `select ${stepColumns("s")} from ${t.steps} s where run_id = $1 order by position`,

  listMany: `
    select s.run_id as "runId", ${stepColumns("s")} from ${t.steps} s where run_id = any($1::text[]) order by position`,

  /**
   * In the caller's transaction. Locks the run's row FOR SHARE until that ends, so that a takeover waits for the commit.
   * `held`: the lease is valid. `written`: the step had no outcome yet.
   */
  record: `
    with ${clock},
    i as (select $2::text as run_id, $3::text as owner, $4::int as epoch),
    held as materialized (select r.id from ${t.runs} r join i on ${fence("succeed")} for share of r),
    written as (
      insert into ${t.steps} (${stepWrite.columns})
      select held.id, $5::text, $6::text, $7::int, $8::text, $9::int, $10::text, $11::text, $12::timestamptz(3),
        $13::timestamptz(3), clock.now, $4::int
      from held, clock
      ${stepWrite.onConflict}
      returning 1)
    select exists (select from held) as held, exists (select from written) as written`
})
