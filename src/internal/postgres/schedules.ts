/** The statements about schedules. One round trip each; firing any number of them is one statement. */
import type { Tables } from "./names.ts"
import { clock, dueColumns, runColumns, scheduleColumns } from "./rows.ts"

/** Definitions as an input, one array for each column, of which the first is this parameter. */
const definitions = (first: number): string => {
  const types = ["text", "text", "text", "text", "text", "text", "text", "timestamptz(3)"]
  return `unnest(${types.map((type, index) => `$${first + index}::${type}[]`).join(", ")})
      as i(name, workflow, cron, time_zone, context, policies, application, next_at)`
}

const written = "name, workflow, cron, time_zone, context, policies, application, next_at, created_at, updated_at"
const values =
  "i.name, i.workflow, i.cron, i.time_zone, i.context, i.policies, i.application, i.next_at, clock.now, clock.now"

/**
 * The start of a run for each tick `k` (`run_id`, `tick`, `scheduled_at`) of a schedule `s`, by an owner or by nobody. The
 * payload is put together as text: the context is never parsed.
 */
const start = (t: Tables, owner: string, context = "s.context"): string =>
  `insert into ${t.runs} as r
        (id, workflow, payload, status, owner, epoch, wake_at, schedule, tick, created_at, started_at)
      select k.run_id, s.workflow, '{"scheduledAt":' || k.scheduled_at || ',"context":' || ${context} || '}',
        case when ${owner} is null then 'Enqueued' else 'Running' end, ${owner},
        case when ${owner} is null then 0 else 1 end, case when ${owner} is null then clock.now end,
        s.name, k.tick, clock.now, case when ${owner} is not null then clock.now end`

export const statements = (t: Tables) => {
  const withLastRun = `
    select ${scheduleColumns("s")}, r.status as "lastRunStatus"
    from ${t.schedules} s left join ${t.runs} r on r.id = s.last_run_id`

  return {
    create: `
      with ${clock}
      insert into ${t.schedules} (${written})
      select ${values} from ${definitions(2)}, clock
      on conflict (name) do nothing returning name`,

    /** One list of schedules after the other: each sees what the one before it left. */
    lockApply: `select pg_advisory_xact_lock(${t.lockClass}, 0)`,

    apply: `
      with ${clock},
      input as materialized (select * from ${definitions(2)}),
      pruned as (
        delete from ${t.schedules} s where s.application = $10::text and s.name not in (select name from input)
        returning s.name),
      written as (
        insert into ${t.schedules} as s (${written})
        select ${values} from input i, clock order by i.name
        on conflict (name) do update set workflow = excluded.workflow, cron = excluded.cron,
          time_zone = excluded.time_zone, context = excluded.context, policies = excluded.policies,
          application = excluded.application, revision = s.revision + 1, updated_at = excluded.updated_at,
          next_at = case when (s.cron, s.time_zone) = (excluded.cron, excluded.time_zone) then s.next_at
            else excluded.next_at end
        where (s.workflow, s.cron, s.time_zone, s.context, s.policies, s.application) is distinct from
          (excluded.workflow, excluded.cron, excluded.time_zone, excluded.context, excluded.policies, excluded.application)
        returning s.name, s.revision)
      select array(select name from written where revision = 1 order by name) as created,
        array(select name from written where revision > 1 order by name) as changed,
        array(select name from input where name not in (select name from written) order by name) as unchanged,
        array(select name from pruned order by name) as pruned`,

    find: `${withLastRun} where s.name = $1`,

    /** Null stands for "any". */
    list: `${withLastRun}
      where ($1::text is null or s.status = $1) and ($2::text[] is null or s.workflow = any($2))
        and ($3::text[] is null or exists (select from unnest($3) as p(prefix) where starts_with(s.name, p.prefix)))
        and ($4::text is null or s.name > $4)
      order by s.name limit $5::int`,

    /** The row comes back also when it was Paused before, and then as it was. */
    pause: `
      with ${clock},
      was as materialized (select name, status from ${t.schedules} where name = $2 for update)
      update ${t.schedules} s set status = 'Paused', revision = s.revision + (was.status <> 'Paused')::int,
        updated_at = case when was.status = 'Paused' then s.updated_at else clock.now end
      from clock, was where s.name = was.name returning was.status <> 'Paused' as changed`,

    resume: `
      with ${clock}
      update ${t.schedules} set status = 'Active', revision = revision + 1, next_at = $2::timestamptz(3),
        updated_at = clock.now
      from clock where name = $3 and revision = $4::int and status = 'Paused' returning name`,

    delete: `delete from ${t.schedules} where name = $1 returning name`,

    /** At least one row, for the clock. */
    due: `
      with ${clock}
      select clock.now as "clockNow", ${dueColumns("s")}
      from clock left join ${t.schedules} s
        on s.status = 'Active' and s.next_at < clock.now + $2::float8 * interval '1 millisecond'
      order by s.next_at, s.name`,

    /**
     * Moves the cursors that still stand where the caller believes them, and starts the runs of those that moved. Locks the
     * rows it moves in the order of their names, and passes over those that are locked: whoever holds them is firing or
     * editing them. Of the others it says how they stand. At least one row, for the clock.
     */
    fire: `
      with ${clock},
      input as materialized (
        select * from unnest($2::text[], $3::int[], $4::timestamptz(3)[], $5::timestamptz(3)[], $6::text[],
          $7::timestamptz(3)[], $8::text[]) as i(name, revision, cursor, next_at, owner, last_tick, last_run_id)),
      candidates as materialized (
        select s.name, i.next_at, i.owner, i.last_tick, i.last_run_id
        from ${t.schedules} s join input i on i.name = s.name
        where s.status = 'Active' and s.revision = i.revision and s.next_at = i.cursor
          and s.next_at <= (select now from clock)
        order by s.name for update of s skip locked),
      moved as (
        update ${t.schedules} s set next_at = c.next_at, last_tick = coalesce(c.last_tick, s.last_tick),
          last_run_id = coalesce(c.last_run_id, s.last_run_id)
        from candidates c where s.name = c.name
        returning s.name, s.workflow, s.context, c.owner),
      ticks as materialized (
        select * from unnest($9::text[], $10::text[], $11::timestamptz(3)[], $12::text[]) with ordinality
          as k(name, run_id, tick, scheduled_at, n)),
      started as (
        ${start(t, "s.owner")}
        from ticks k join moved s on s.name = k.name, clock
        order by k.run_id
        on conflict (id) do nothing
        returning r.*)
      select clock.now as "clockNow", i.name as firing, m.name is not null as moved, ${dueColumns("s")},
        ${runColumns("r")}
      from clock
      left join input i on true
      left join moved m on m.name = i.name
      left join ${t.schedules} s on m.name is null and s.name = i.name and s.status = 'Active' and s.next_at is not null
      left join ticks k on k.name = m.name
      left join started r on r.id = k.run_id and r.schedule = k.name
      order by k.n`,

    enqueueTicks: `
      with ${clock},
      started as (
        ${start(t, "null::text")}
        from unnest($3::text[], $4::timestamptz(3)[], $5::text[]) as k(run_id, tick, scheduled_at), ${t.schedules} s, clock
        where s.name = $2
        order by k.run_id
        on conflict (id) do nothing
        returning r.id)
      select exists (select from ${t.schedules} where name = $2) as found, array(select id from started) as created`,

    /** Finds the run it started when the answer to that was lost. */
    trigger: `
      with ${clock},
      started as (
        ${start(t, "$7::text", "coalesce($6::text, s.context)")}
        from (select $3::text as run_id, $4::timestamptz(3) as tick, $5::text as scheduled_at) k, ${t.schedules} s, clock
        where s.name = $2
        on conflict (id) do update set id = excluded.id
        where r.schedule = excluded.schedule and r.tick = excluded.tick and r.payload = excluded.payload
        returning r.*)
      select exists (select from ${t.schedules} where name = $2) as found, ${runColumns("r")}
      from (values (1)) as one left join started r on true`
  }
}
