/** The statements about what schedules do. One round trip each; recording any number of decisions is one statement. */
import * as Lifecycle from "../lifecycle.ts"
import type { Firing } from "../scheduleRecords.ts"
import { type Column, flag, float, Input, text, time } from "./columns.ts"
import { literals, type Tables } from "./names.ts"
import type { Parameter } from "./parameters.ts"
import { clock, clockNow, dueColumns, runColumns } from "./rows.ts"
import {
  auditColumns,
  audits,
  entries,
  insertAudits,
  insertEntries,
  ownScope,
  start,
  tickArrays,
  tickColumns,
  tickInput
} from "./ticks.ts"

const live = `status in (${literals(Lifecycle.live)})`
const finished = `status in (${literals(Lifecycle.finished)})`

/** The most ended runs of a schedule that are looked at together. */
const maxEnded = 100

const millis = (column: string): string => `round(extract(epoch from ${column}) * 1000)::bigint`

const turnOf = (t: Tables): string => `nextval('${t.turns}')`

const freeze = (t: Tables): string =>
  `frozen as materialized (select key, value, turn::float8 as turn from ${t.controls} where key = 'freeze')`

/** For one row of the answer alone: it is the same in all of them. */
const freezeColumns = `f.key as "freezeKey", f.value as "freezeValue", f.turn as "freezeTurn"`

/** The live runs `r` of the overlap scope of the schedule `s`: those of all its members `m`, but of earlier ones of their names. */
const liveOf = (t: Tables): string =>
  `${t.schedules} m join ${t.runs} r on r.overlap = ${ownScope("m")} and r.created_at >= m.created_at
          where m.overlap = s.overlap and r.${live}`

/** The schedules of the scope whose starts wait before those of the schedule `s`, as a JSON list. */
const behindOf = (t: Tables): string =>
  `(select json_agg(m.name order by m.waiting_since, m.name)::text from ${t.schedules} m
          where m.overlap = s.overlap and m.waiting_since is not null and m.name <> s.name
            and (s.waiting_since is null or (m.waiting_since, m.name) < (s.waiting_since, s.name)))`

/** What a decision about the schedule `s` depends on beside its row, which may be none; `unsettled`: whether runs ended. */
const around = (t: Tables, unsettled: string): string =>
  `${dueColumns("s")},
        case when s.overlap is not null then
          (select o.turn::float8 from ${t.overlaps} o where o.key = s.overlap) end as "overlapTurn",
        case when s.overlap is not null then (
          select json_agg(json_build_object('runId', r.id, 'schedule', r.schedule, 'tick', ${millis("r.tick")},
            'createdAt', ${millis("r.created_at")}) order by r.id)::text
          from ${liveOf(t)}) end as "live",
        case when s.overlap is not null then ${behindOf(t)} end as "behind",
        case when ${unsettled} then (
          select json_agg(json_build_object('runId', r.id, 'tick', ${millis("r.tick")}, 'status', r.status,
            'createdAt', ${millis("r.created_at")}, 'finishedAt', ${
    millis("r.finished_at")
  }) order by r.finished_at, r.id)::text
          from (
            select id, tick, status, created_at, finished_at from ${t.runs}
            where schedule = s.name and settle and ${finished}
            order by finished_at, id limit ${maxEnded}) r) end as "ended"`

// ── what is due, and single starts ──────────────────────────────────────────────────────────────────────────────────

export const statements = (t: Tables) => ({
  /**
   * At least one row, for the clock. Each reason by its index; the schedules of runs that ended are found one by one, however
   * many runs there are of each.
   */
  due: `
      with recursive ${clock},
      ${freeze(t)},
      unsettled(name) as (
        (select schedule from ${t.runs} where settle and ${finished} order by schedule limit 1)
        union all
        select (
          select schedule from ${t.runs} where settle and ${finished} and schedule > u.name order by schedule limit 1)
        from unsettled u where u.name is not null),
      wanted as materialized (
        select name from ${t.schedules} where wake_at < ${clockNow} + $2::float8 * interval '1 millisecond'
        union select name from ${t.schedules} where waiting_since is not null
        union select name from unsettled where name is not null)
      select clock.now as "clockNow", ${freezeColumns}, ${around(t, "s.unsettled")}
      from clock left join (
        select s.*, u.name is not null as unsettled,
          row_number() over (order by s.wake_at, s.name) as n
        from wanted w join ${t.schedules} s on s.name = w.name left join unsettled u on u.name = s.name) s on true
      left join frozen f on s.n is null or s.n = 1
      order by s.n`,

  /** Like runs of a backfill they overlap with nothing: they must not delay the schedule's own. */
  enqueueTicks: `
      with ${clock},
      started as (
        ${
    start(t, {
      owner: "null::text",
      context: "s.context",
      contextSchema: "s.context_schema",
      overlap: "null",
      backfill: "null",
      settle: "$4::boolean",
      timeoutMillis: "$3::float8"
    })
  }
        from unnest(${tickArrays(5)}) as k(${tickColumns}), ${t.schedules} s, clock
        where s.name = $2
        order by k.run_id
        on conflict (id) do nothing
        returning r.id)
      select exists (select from ${t.schedules} where name = $2) as found, array(select id from started) as created`,

  /**
   * Finds the schedule's run of this id, also when it was started by this call and the answer to that was lost. The scope's turn
   * comes before the run, as in `fire`, so that the two cannot wait for each other.
   */
  trigger: `
      with ${clock},
      raised as (
        update ${t.overlaps} o set turn = ${turnOf(t)}
        from ${t.schedules} s, unnest(${tickArrays(7)}) as k(${tickColumns})
        where s.name = $2 and o.key = s.overlap and not exists (select from ${t.runs} r where r.id = k.run_id)
        returning o.key),
      started as (
        ${
    start(t, {
      owner: "$4::text",
      context: "coalesce($3::text, s.context)",
      contextSchema: "case when $3::text is null then s.context_schema end",
      overlap: ownScope("s"),
      backfill: "null",
      settle: "$6::boolean",
      timeoutMillis: "$5::float8"
    })
  }
        from unnest(${
    tickArrays(7)
  }) as k(${tickColumns}), ${t.schedules} s left join raised o on o.key = s.overlap, clock
        where s.name = $2
        on conflict (id) do update set id = excluded.id
        where r.schedule = excluded.schedule
        returning r.*, (r.xmax = 0) as made),
      audited as (
        ${insertAudits(t, `${audits.table(12, "i")} join started r on r.made`)})
      select exists (select from ${t.schedules} where name = $2) as found, r.made, ${runColumns("r")}
      from (values (1)) as one left join started r on true`
})

// ── firing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a firing has any number of, beside the name of its schedule. */
interface Of<A> {
  readonly name: string
  readonly item: A
}

const firings = new Input<Firing>([
  text("name", ({ name }) => name),
  float("turn", ({ turn }) => turn),
  time("at", ({ at }) => at),
  text("live", ({ live }) => live === null ? null : JSON.stringify(live)),
  float("overlap_turn", ({ overlapTurn }) => overlapTurn),
  flag("starts", ({ ticks }) => ticks.length > 0),
  text("status", ({ after }) => after.status),
  time("next_at", ({ after }) => after.nextAt),
  time("wake_at", ({ after }) => after.wakeAt),
  time("waiting_since", ({ after }) => after.waitingSince),
  text("state", ({ after }) => after.state),
  time("paused_at", ({ after }) => after.pausedAt),
  text("pause_reason", ({ after }) => after.pauseReason),
  time("resume_at", ({ after }) => after.resumeAt),
  text("owner", ({ owner }) => owner),
  float("timeout_millis", ({ timeoutMillis }) => timeoutMillis),
  flag("settle", ({ settle }) => settle),
  time("last_tick", ({ ticks }) => ticks.at(-1)?.tick ?? null),
  text("last_run_id", ({ ticks }) => ticks.at(-1)?.runId ?? null)
])

const named = <A>(columns: ReadonlyArray<Column<A>>): Input<Of<A>> =>
  new Input<Of<A>>([
    text("name", ({ name }) => name),
    ...columns.map((
      [name, type, values]
    ): Column<Of<A>> => [name, type, (rows) => values(rows.map(({ item }) => item))])
  ])

const ticks = named(tickInput)
const cancels = named<Firing["cancels"][number]>([
  text("run_id", ({ runId }) => runId),
  text("reason", ({ reason }) => reason)
])
const settled = named<string>([text("run_id", (runId) => runId)])
const hooks = named<Firing["hooks"][number]>([
  text("id", ({ id }) => id),
  text("workflow", ({ workflow }) => workflow),
  text("payload", ({ payload }) => payload)
])
const policyAudits = named(auditColumns)

const each = <A>(all: ReadonlyArray<Firing>, items: (firing: Firing) => ReadonlyArray<A>): ReadonlyArray<Of<A>> =>
  all.flatMap((firing) => items(firing).map((item) => ({ name: firing.name, item })))

/** A part of the statement that is left out when no firing has anything for it. */
interface Part {
  readonly params: (all: ReadonlyArray<Firing>) => ReadonlyArray<Parameter> | undefined
  readonly width: number
  /** CTEs over what was `moved`, with the first of the part's parameters. */
  readonly write: (first: number) => string
  /** A column of the answer, in its first row. */
  readonly answer?: readonly [name: string, value: string]
}

const part = <A>(
  input: Input<A>,
  rows: (all: ReadonlyArray<Firing>) => ReadonlyArray<A>,
  rest: Pick<Part, "write" | "answer">
): Part => ({
  ...rest,
  width: input.width,
  params: (all) => {
    const given = rows(all)
    return given.length === 0 ? undefined : input.params(given)
  }
})

const parts = (t: Tables): ReadonlyArray<Part> => [
  part(entries, (all) => all.flatMap((f) => f.entries.map((entry) => ({ schedule: f.name, ...entry }))), {
    write: (first) =>
      `recorded as (
        ${insertEntries(t, `${entries.table(first, "i")} join moved m on m.name = i.schedule`)})`
  }),
  part(cancels, (all) => each(all, (firing) => firing.cancels), {
    // Locked in one order first, and looked at again when somebody else was at it.
    write: (first) =>
      `victims as materialized (
        select r.id, i.reason from ${cancels.table(first, "i")} join moved m on m.name = i.name
          join ${t.runs} r on r.id = i.run_id
        where r.status in (${literals(Lifecycle.from.cancel)}) order by r.id for no key update of r),
      cancelled as (
        update ${t.runs} r set status = 'Cancelled', owner = null, wake_at = null, finished_at = clock.now,
          reason = v.reason
        from victims v, clock where r.id = v.id returning r.id)`,
    answer: ["cancelled", "array(select id from cancelled)"]
  }),
  part(settled, (all) => each(all, (firing) => firing.settled), {
    write: (first) =>
      `noted as materialized (
        select r.id from ${settled.table(first, "i")} join moved m on m.name = i.name
          join ${t.runs} r on r.id = i.run_id
        where r.settle order by r.id for no key update of r),
      settled as (
        update ${t.runs} r set settle = false from noted n where r.id = n.id)`
  }),
  part(hooks, (all) => each(all, (firing) => firing.hooks), {
    write: (first) =>
      `hooked as (
        insert into ${t.runs} (id, workflow, payload, status, epoch, wake_at, created_at)
        select i.id, i.workflow, i.payload, 'Enqueued', 0, clock.now, clock.now
        from ${hooks.table(first, "i")} join moved m on m.name = i.name, clock order by i.id
        on conflict (id) do nothing returning id)`,
    answer: ["hooked", "exists (select from hooked)"]
  }),
  part(
    policyAudits,
    // A turn is fired from once, so it tells the change.
    (all) => each(all, ({ audit, name, turn }) => audit === null ? [] : [{ change: `${name}@${turn}`, audit }]),
    {
      write: (first) =>
        `audited as (
        ${insertAudits(t, `${policyAudits.table(first, "i")} join moved m on m.name = i.name`)})`
    }
  )
]

/** The parameters that every statement has: the clock, the freeze, the firings and their ticks. */
const firingsFirst = 3
const ticksFirst = firingsFirst + firings.width
const partsFirst = ticksFirst + ticks.width

/**
 * Records the decisions that still hold. Locks the schedules it writes and passes over those that are locked: whoever holds them
 * is firing or changing them. Then the overlap scopes in the order of their keys, and waits for them: whoever had to wait for one
 * that it relies on finds another turn. Only then runs are started, so that no two of them wait for each other; the count of
 * scopes is there for that. Of the schedules that did not hold it says how they stand. At least one row, for the clock.
 *
 * Schedules are found by their key, one look-up for each firing: OFFSET 0 keeps the planner from turning the join around, and
 * lets it know how many there are.
 */
const fire = (t: Tables, present: ReadonlyArray<Part>): string => {
  let first = partsFirst
  const writes = present.map(({ width, write }) => {
    first += width
    return write(first - width)
  })
  const answers = present.flatMap(({ answer }) =>
    answer === undefined ? [] : [`,\n        case when i.n = 1 then ${answer[1]} end as "${answer[0]}"`]
  )
  return `
      with ${clock},
      ${freeze(t)},
      input as materialized (select * from ${firings.table(firingsFirst, "i")}),
      candidates as materialized (
        select i.*, s.overlap, s.tid, s.workflow, s.context, s.context_schema from input i cross join lateral (
          select s.overlap, s.ctid as tid, s.workflow, s.context, s.context_schema from ${t.schedules} s
          where s.name = i.name and s.turn = i.turn::bigint and i.at <= (select now from clock)
            and (select turn from frozen) is not distinct from $2::float8
            and (i.live is null or i.live::jsonb = (
              select coalesce(jsonb_agg(r.id order by r.id), '[]') from ${liveOf(t)}))
          offset 0 for update of s skip locked) s),
      scopes as materialized (
        select c.name, o.key from candidates c join ${t.overlaps} o on o.key = c.overlap
        where (c.overlap_turn is not null or c.starts) and (c.overlap_turn is null or o.turn = c.overlap_turn::bigint)
        order by o.key for update of o),
      raised as (
        update ${t.overlaps} o set turn = ${turnOf(t)} from (select distinct key from scopes) x where o.key = x.key
        returning o.key, o.turn),
      going as materialized (
        select * from candidates c
        where (select count(*) from scopes) >= 0 and (c.overlap_turn is null or c.name in (select name from scopes))),
      ticks as materialized (select * from ${ticks.table(ticksFirst, "k")}),
      started as (
        ${
    start(t, {
      owner: "s.owner",
      context: "s.context",
      contextSchema: "s.context_schema",
      overlap: ownScope("s"),
      backfill: "null",
      settle: "s.settle",
      timeoutMillis: "s.timeout_millis"
    })
  }
        from ticks k join going s on s.name = k.name, clock
        order by k.run_id
        on conflict (id) do nothing
        returning r.*),
      moved as (
        update ${t.schedules} s set status = c.status, next_at = c.next_at, wake_at = c.wake_at,
          waiting_since = c.waiting_since, state = c.state, paused_at = c.paused_at, pause_reason = c.pause_reason,
          resume_at = c.resume_at, started = s.started + coalesce(n.started, 0),
          turn = ${turnOf(t)}, revision = s.revision + (s.status <> c.status)::int,
          updated_at = case when s.status = c.status then s.updated_at else clock.now end,
          last_tick = coalesce(c.last_tick, s.last_tick), last_run_id = coalesce(c.last_run_id, s.last_run_id)
        from going c left join (select schedule, count(*) as started from started group by schedule) n on n.schedule = c.name,
          clock
        where s.ctid = c.tid
        returning s.name, s.overlap, s.turn)${writes.map((write) => `,\n      ${write}`).join("")}
      select clock.now as "clockNow", ${freezeColumns}, i.name as firing, m.turn::float8 as "movedTurn",
        case when m.overlap is not null then coalesce(x.turn::float8,
          (select o.turn::float8 from ${t.overlaps} o where o.key = m.overlap)) end as "movedOverlapTurn",
        ${around(t, "s.name is not null")}, ${runColumns("r")}${answers.join("")}
      from clock
      left join input i on true
      left join frozen f on i.n is null or i.n = 1
      left join moved m on m.name = i.name
      left join raised x on x.key = m.overlap
      left join lateral (
        select * from ${t.schedules} s where m.name is null and s.name = i.name offset 0) s on true
      left join ticks k on k.name = m.name
      left join started r on r.id = k.run_id and r.schedule = k.name
      order by i.n, k.n`
}

export interface Fire {
  readonly sql: string
  readonly params: ReadonlyArray<Parameter | number | null>
}

/** A function that makes the statement for some firings; the text for each combination of parts is made once. */
export const compiler = (t: Tables) => {
  const all = parts(t)
  const made = new Map<number, string>()
  return (of: ReadonlyArray<Firing>, now: Parameter, freezeTurn: number | null): Fire => {
    const params = all.map((part) => part.params(of))
    const mask = params.reduce((mask, given, index) => given === undefined ? mask : mask | 1 << index, 0)
    let sql = made.get(mask)
    if (sql === undefined) {
      sql = fire(t, all.filter((_, index) => params[index] !== undefined))
      made.set(mask, sql)
    }
    const rows = each(of, ({ ticks }) => ticks)
    return {
      sql,
      params: [now, freezeTurn, ...firings.params(of), ...ticks.params(rows), ...params.flatMap((given) => given ?? [])]
    }
  }
}
