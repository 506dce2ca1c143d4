/** The statements about what was decided and changed: audits, history, and when to forget them. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"
import { distinct, runColumns } from "./rows.ts"

/** A position as a number: it stays below 2^53. Its parameter, and what stands for none. */
const position = (parameter: string): string => `coalesce(${parameter}::float8::bigint, 9223372036854775807)`

const auditColumns = `a.position::float8 as "position", a.at as "at", a.schedule as "schedule", a.action as "action",
      a.actor as "actor", a.source as "source", a.reason as "reason", a.before as "before", a.after as "after"`

/** Of a page `p` that has a whole run or a whole entry in each row. Entries' columns are named apart from runs'. */
const pageColumns = `${runColumns("(p.run)")}, (p.entry).position::float8 as "position",
      (p.entry).schedule as "entrySchedule", (p.entry).first_tick as "first", (p.entry).last_tick as "last",
      (p.entry).ticks as "count", (p.entry).decision as "decision", (p.entry).reason as "entryReason",
      (p.entry).run_id as "entryRunId", (p.entry).timing as "timing", (p.entry).recorded_at as "recordedAt"`

const ended = `status in (${literals(Lifecycle.finished)})`

/** Nobody is left to take note of the end of a run whose schedule was deleted. */
const noted = (t: Tables): string => `(not settle or not exists (select from ${t.schedules} where name = schedule))`

const live = `status in (${literals(Lifecycle.live)})`

/**
 * Whether no live run may start this one again on replay: the one whose body or step it was started in, and those that were
 * given it because its id existed already. Not those before them: who has ended is not replayed.
 */
const unneeded = (t: Tables, run: string): string =>
  `not exists (select from ${t.runs} p where p.id = ${run}.parent and p.${live} offset 0)
        and not exists (
          select from ${t.links} l join ${t.runs} p on p.id = l.parent where l.run_id = ${run}.id and p.${live} offset 0)`

/** What a run and an entry are found by, and put in order by, where they are kept. */
const sources = (t: Tables) => [
  {
    table: t.runs,
    at: "h.tick",
    key: `('r' || h.id) collate "C"`,
    tie: "h.id",
    row: `h as run, null::${t.ledger} as entry`
  },
  {
    table: t.ledger,
    at: "h.first_tick",
    key: `('e' || lpad(h.position::text, 19, '0')) collate "C"`,
    tie: "h.position",
    row: `null::${t.runs} as run, h as entry`
  }
]

/**
 * Keyset paging over two tables, each by its index and no further than the page goes. A bound that is absent is an infinite
 * one, so that every bound is a condition on the index; rows of the last instant seen are then told apart by their keys.
 */
const history = (t: Tables, newestFirst: boolean): string => {
  const [order, past, end] = newestFirst ? ["desc", "<", "infinity"] : ["asc", ">", "-infinity"]
  const pages = sources(t).map(({ at, key, row, table, tie }) => `
      (select ${at} as at, ${key} as key, ${row} from ${table} h
      where h.schedule = $1 and ${at} >= coalesce($2::timestamptz(3), '-infinity')
        and ${at} < coalesce($3::timestamptz(3), 'infinity') and ${at} ${past}= coalesce($4::timestamptz(3), '${end}')
        and ($4::timestamptz(3) is null or (${at}, ${key}) ${past} ($4::timestamptz(3), $5::text))
      order by ${at} ${order}, ${tie} ${order} limit $6::int)`)
  return `
    select p.at as "at", p.key as "key", ${pageColumns}
    from (${pages.join(" union all")}) p
    order by p.at ${order}, p.key ${order} limit $6::int`
}

/** The last run before that of `own` by tick that has this status. */
const last = (t: Tables, status: string): string => `
      (select r.* from own join ${t.runs} r on r.schedule = own.schedule and r.tick < own.tick
      where r.status = '${status}' and r.workflow = own.workflow and r.created_at >= own.since
      order by r.tick desc, r.id desc limit 1)`

const audits = (t: Tables, which: string): string => `
    select ${auditColumns} from ${t.audits} a
    where ${which} and a.position < ${position("$1")} order by a.position desc limit $2::int`

/** How many schedules one call of `prune` counts the rows of. */
const slice = 500

/** The schedules that a table has rows of, in order from the one after `$after` on, each found by one look; null at the end. */
const schedulesOf = (name: string, table: string, after: string, condition: string): string =>
  `${name}(name, n) as (
      (select schedule, 1 from ${table} where schedule > ${after}::text and ${condition} order by schedule limit 1)
      union all
      select (select schedule from ${table} where schedule > w.name order by schedule limit 1), w.n + 1
      from ${name} w where w.name is not null and w.n < ${slice})`

/** Where the next call goes on: from the beginning, after the last one. */
const next = (name: string): string =>
  `(select case when count(name) < ${slice} then '' else max(name) end from ${name})`

export const statements = (t: Tables) => ({
  auditsOf: audits(t, "a.schedule = $3::text"),
  auditsOfAll: audits(t, "a.schedule is null"),

  history: history(t, false),
  historyBackwards: history(t, true),

  decisions: `
    select ${pageColumns}
    from (
      select r as run, null::${t.ledger} as entry from ${t.runs} r
      where r.schedule = $1 and r.tick = $2::timestamptz(3)
      union all
      select null::${t.runs} as run, begun.entry
      from (
        select e as entry, e.last_tick from ${t.ledger} e where e.schedule = $1 and e.first_tick <= $2::timestamptz(3)
        order by e.first_tick desc, e.position desc limit 100) begun
      where begun.last_tick >= $2::timestamptz(3)
    ) p
    order by (p.run).created_at, (p.run).id, (p.entry).position desc`,

  /** At most one that Succeeded, and the last of those that did not. */
  previous: `
    with own as materialized (
      select r.schedule, r.workflow, r.tick, s.created_at as since
      from ${t.runs} r join ${t.schedules} s on s.name = r.schedule and r.created_at >= s.created_at
      where r.id = $1::text)
    select ${runColumns("r")}
    from (${["Succeeded", "Failed", "Dead"].map((status) => last(t, status)).join(" union all")}) r
    order by r.tick desc, r.id desc`,

  /**
   * Deletes entries and audits, and finds runs to delete. Looks at indexes from their old ends and stops when it has found enough:
   * with nothing to delete it is a look for each workflow, and for each schedule of a slice of them. Of the oldest entries, a few
   * more are looked at than may be deleted: now and then a clock goes back, and positions do not.
   */
  prune: `
    with recursive ${distinct("flows", "workflow", t.runs, "$1::timestamptz is not null")},
    ${schedulesOf("with_runs", t.runs, "$6", "$2::int is not null")},
    ${schedulesOf("with_entries", t.ledger, "$7", "$4::int is not null")},
    old_runs as (
      (select r.id
        from flows f cross join unnest(array[${literals(Lifecycle.finished)}]) as s(status) cross join lateral (
          select r.id, r.created_at from ${t.runs} r
          where r.workflow = f.name and r.status = s.status and r.created_at < $1::timestamptz(3) and ${noted(t)}
            and ${unneeded(t, "r")}
          order by r.created_at, r.id limit $5::int) r
        limit $5::int)
      union
      (select r.id
        from with_runs w
        cross join lateral (
          select from ${t.runs} where schedule = w.name order by tick desc offset $2::int limit 1) more
        cross join lateral (
          select case when $2::int = 0 then 'infinity' else (
            select tick from ${t.runs} where schedule = w.name and ${ended}
            order by tick desc offset $2::int - 1 limit 1) end as tick) oldest_kept
        cross join lateral (
          select r.id from ${t.runs} r
          where r.schedule = w.name and r.tick < oldest_kept.tick and r.${ended} and ${noted(t)} and ${unneeded(t, "r")}
          order by r.tick limit $5::int) r
        limit $5::int)
      limit $5::int),
    old_entries as materialized (
      (select position from (
          select position, recorded_at from ${t.ledger} order by position limit greatest($5::int, 1000)) e
        where recorded_at < $3::timestamptz(3) order by position limit $5::int)
      union
      (select e.position
        from with_entries w
        cross join lateral (
          select first_tick, position from ${t.ledger} where schedule = w.name
          order by first_tick desc, position desc offset $4::int limit 1) newest
        cross join lateral (
          select position from ${t.ledger}
          where schedule = w.name and (first_tick, position) <= (newest.first_tick, newest.position)
          order by first_tick, position limit $5::int) e
        where $4::int is not null
        limit $5::int)
      limit $5::int),
    pruned_entries as (
      delete from ${t.ledger} where position = any (array(select position from old_entries)) returning 1),
    old_audits as (
      select position from (
        select position, at from ${t.audits} order by position limit greatest($5::int, 1000)) a
      where at < $3::timestamptz(3) order by position limit $5::int - (select count(*) from old_entries)),
    pruned_audits as (
      delete from ${t.audits} where position = any (array(select position from old_audits)) returning 1)
    select array(select id from old_runs) as "oldRuns",
      ${next("with_runs")} as "runsAfter", ${next("with_entries")} as "entriesAfter",
      (select count(*)::int from pruned_entries) + (select count(*)::int from pruned_audits) as entries`,

  /** Passes over what somebody else deletes or relies on just now. */
  lockRuns: `select id from ${t.runs} where id = any($1::text[]) and ${ended} order by id for update skip locked`,

  /** Of runs that are locked, and so the last to be asked whether another one has come to rely on them. */
  deleteRuns: `
    with pruned as (
      delete from ${t.runs} r where r.id = any($1::text[]) and ${unneeded(t, "r")} returning r.id),
    pruned_steps as (delete from ${t.steps} where run_id = any (array(select id from pruned))),
    pruned_links as (
      delete from ${t.links} where run_id = any (array(select id from pruned)) or parent = any (array(select id from pruned)))
    select count(*)::int as runs from pruned`
})
