/** The statements about backfills. One round trip each; a stretch of one, with all its runs, is one statement. */
import * as Lifecycle from "../lifecycle.ts"
import type { NewBackfill } from "../scheduleRecords.ts"
import { flag, Input, int, text, time } from "./columns.ts"
import { literals, type Tables } from "./names.ts"
import { clock, scheduleColumns } from "./rows.ts"
import { qualified, start, tickArrays, tickColumns } from "./ticks.ts"

/** Named apart from a schedule's columns, which `due` returns beside them. Turns as numbers: they stay below 2^53. */
const backfillColumns = (alias: string): string =>
  `${alias}.id as "backfillId", ${alias}.schedule as "backfillSchedule", ${alias}.from_at as "fromAt",
      ${alias}.to_at as "toAt", ${alias}.newest_first as "newestFirst", ${alias}.concurrency as "concurrency",
      ${alias}.rerun as "rerun", ${alias}.context as "backfillContext", ${alias}.planned as "planned", ${alias}.status as "backfillStatus",
      ${alias}.cursor as "cursor", ${alias}.started as "backfillStarted", ${alias}.existing as "existing",
      ${alias}.turn::float8 as "backfillTurn", ${alias}.created_at as "backfillCreatedAt",
      ${alias}.updated_at as "backfillUpdatedAt", ${alias}.finished_at as "finishedAt"`

export const newBackfills = new Input<NewBackfill>([
  text("id", ({ id }) => id),
  text("schedule", ({ schedule }) => schedule),
  time("from_at", ({ from }) => from),
  time("to_at", ({ to }) => to),
  flag("newest_first", ({ newestFirst }) => newestFirst),
  int("concurrency", ({ concurrency }) => concurrency),
  flag("rerun", ({ rerun }) => rerun),
  text("context", ({ context }) => context),
  text("planned", ({ planned }) => planned)
])

/** Stores the backfills `i`, each at its beginning. */
export const insertBackfills = (t: Tables, turn: string, from: string): string =>
  `insert into ${t.backfills} as b (${newBackfills.names}, status, cursor, turn, created_at, updated_at)
        select ${qualified("i", newBackfills.names)}, 'Active',
          case when i.newest_first then i.to_at else i.from_at end, ${turn}, clock.now, clock.now
        from ${from}, clock`

/** The audit of a change, whose columns are `$first` and the seven parameters after it, once for each row of `from`. */
const insertAudit = (t: Tables, first: number, from: string): string =>
  `insert into ${t.audits} (change, schedule, action, actor, source, reason, before, after, at)
        select ${Array.from({ length: 8 }, (_, index) => `$${first + index}::text`).join(", ")}, clock.now
        from ${from}, clock`

const unfinished: ReadonlyArray<Lifecycle.BackfillStatus> = ["Active", "Paused"]

export const statements = (t: Tables) => {
  const live = (backfill: string): string =>
    `(select count(*)::int from ${t.runs} where backfill = ${backfill} and status in (${literals(Lifecycle.live)}))`

  const turn = `nextval('${t.turns}')`

  return {
    /**
     * Its turn tells whether the row is the one made here, also when another call with the same id is faster. The change's id
     * tells it of a try before this one.
     */
    create: `
      with ${clock},
      there as materialized (select * from ${t.backfills} where id = $2::text),
      new as materialized (
        select ${turn} as turn, s.name from ${t.schedules} s where s.name = $3::text and not exists (select from there)),
      made as (
        ${
      insertBackfills(
        t,
        "i.turn",
        `(select $2::text as id, new.name as schedule, $4::timestamptz(3) as from_at, $5::timestamptz(3) as to_at,
            $6::boolean as newest_first, $7::int as concurrency, $8::boolean as rerun, $9::text as context,
            $10::text as planned, new.turn from new) i`
      )
    }
        on conflict (id) do update set id = excluded.id
        returning b.*),
      audited as (
        ${insertAudit(t, 11, "made join new on new.turn = made.turn")})
      select b.turn in (select turn from new) or exists (select from ${t.audits} where change = $11::text) as created,
        ${backfillColumns("b")}, ${live("b.id")} as "live"
      from (select * from there union all select * from made) b`,

    find: `select ${backfillColumns("b")}, ${live("b.id")} as "live" from ${t.backfills} b where b.id = $1`,

    /** Null stands for "any". Keyset paging over the index of the newest backfills. */
    list: `
      select ${backfillColumns("b")}, ${live("b.id")} as "live" from ${t.backfills} b
      where ($1::text is null or b.schedule = $1)
        and ($2::timestamptz(3) is null or (b.created_at, b.id) < ($2::timestamptz(3), $3::text))
      order by b.created_at desc, b.id desc limit $4::int`,

    /** Waits for whoever is advancing it. Its runs that a worker has claimed meanwhile are left to that worker. */
    change: `
      with ${clock},
      changed as (
        update ${t.backfills} b set status = $4::text, turn = ${turn}, updated_at = clock.now,
          finished_at = case when $4::text = 'Cancelled' then clock.now end
        from clock
        where b.id = $2::text and b.turn = $3::float8::bigint and b.status in (${literals(unfinished)})
        returning b.id),
      enqueued as materialized (
        select id from ${t.runs}
        where $4::text = 'Cancelled' and backfill = $2::text and status = 'Enqueued' and exists (select from changed)
        order by id for no key update),
      cancelled as (
        update ${t.runs} r set status = 'Cancelled', owner = null, wake_at = null, finished_at = clock.now,
          reason = 'Its backfill was cancelled'
        from clock where r.id = any (array(select id from enqueued)) and r.status = 'Enqueued' returning r.id),
      audited as (
        ${insertAudit(t, 5, "changed")})
      select exists (select from changed) as changed, exists (select from ${t.audits} where change = $5::text) as before,
        array(select id from cancelled) as cancelled`,

    due: `
      select ${backfillColumns("b")}, l.live as "live", ${scheduleColumns("s")}, r.status as "lastRunStatus"
      from ${t.backfills} b
      cross join lateral ${live("b.id")} l(live)
      left join ${t.schedules} s on s.name = b.schedule
      left join ${t.runs} r on r.id = s.last_run_id
      where b.status = 'Active' and case when b.cursor is null then l.live = 0 else l.live < b.concurrency end
      order by b.created_at, b.id limit $1::int`,

    /**
     * Holds the backfill's row from the beginning, so that of two who advance it one finds another turn. A tick whose run was
     * there counts as existing.
     */
    advance: `
      with ${clock},
      ticks as materialized (
        select * from unnest(${tickArrays(8)}) as k(${tickColumns})),
      held as materialized (
        select * from ${t.backfills} b
        where b.id = $2::text and b.turn = $3::float8::bigint and b.status = 'Active'
          and (not exists (select from ticks) or exists (select from ${t.schedules} where name = b.schedule))
        for update),
      s as (
        select s.name, s.workflow, coalesce(held.context, s.context) as context,
          case when held.context is null then s.context_schema end as context_schema, held.id as backfill
        from held join ${t.schedules} s on s.name = held.schedule),
      started as (
        ${
      start(t, {
        owner: "null::text",
        context: "s.context",
        contextSchema: "s.context_schema",
        // They overlap with nothing, so that they never delay the schedule's own runs.
        overlap: "null",
        backfill: "s.backfill",
        settle: "$7::boolean",
        timeoutMillis: "$6::float8"
      })
    }
        from ticks k, s, clock
        order by k.run_id
        on conflict (id) do nothing
        returning r.id),
      advanced as (
        update ${t.backfills} b set started = b.started + n.started, existing = b.existing + n.given - n.started,
          cursor = $4::timestamptz(3), turn = ${turn}, updated_at = clock.now,
          status = case when $5::boolean then 'Done' else b.status end,
          finished_at = case when $5::boolean then clock.now end
        from held, clock,
          (select (select count(*)::int from ticks) as given, (select count(*)::int from started) as started) n
        where b.id = held.id
        returning b.id)
      select exists (select from advanced) as advanced, exists (select from started) as started`
  }
}
