/** The statements about schedules. One round trip each; firing any number of them is one statement. */
import type { Tables } from "./names.ts"
import { runColumns } from "./rows.ts"

const due = (alias: string): string =>
  ["name", "workflow", "cron", "time_zone as \"timeZone\"", "policies", "revision", "next_at as \"nextAt\""]
    .map((column) => `${alias}.${column}`).join(", ")

/** The input of create and apply: one array per column. */
const definitions = (first: number): string =>
  `unnest($${first}::text[], $${first + 1}::text[], $${first + 2}::text[], $${first + 3}::text[], $${first + 4}::text[],
    $${first + 5}::text[], $${first + 6}::text[], $${first + 7}::text[]::float8[])
    as i(name, workflow, cron, time_zone, context, policies, application, next_at)`

const insertColumns = "name, workflow, cron, time_zone, context, policies, application, next_at, created_at, updated_at"
const insertValues =
  "i.name, i.workflow, i.cron, i.time_zone, i.context, i.policies, i.application, to_timestamp(i.next_at), now, now"

/** The payload of a scheduled run, as text: the context is never parsed. */
const payload = (scheduledAt: string, context: string): string =>
  `'{"scheduledAt":' || ${scheduledAt} || ',"context":' || ${context} || '}'`

const runInsert = "id, workflow, payload, status, owner, epoch, wake_at, schedule, tick, created_at, started_at"

const runValues = (
  options: {
    readonly id: string
    readonly payload: string
    readonly owner: string
    readonly schedule: string
    readonly tick: string
  }
) =>
  `${options.id}, s.workflow, ${options.payload}, case when ${options.owner} is null then 'Enqueued' else 'Running' end,
   ${options.owner}, case when ${options.owner} is null then 0 else 1 end, case when ${options.owner} is null then now end,
   ${options.schedule}, to_timestamp(${options.tick}), now, case when ${options.owner} is not null then now end`

export const statements = (t: Tables) => {
  const withLastRun = `
    select s.name, s.workflow, s.cron, s.time_zone as "timeZone", s.context, s.policies, s.application, s.status,
      s.revision, s.next_at as "nextAt", s.last_tick as "lastTick", s.last_run_id as "lastRunId",
      r.status as "lastRunStatus", s.created_at as "createdAt", s.updated_at as "updatedAt"
    from ${t.schedules} s left join ${t.runs} r on r.id = s.last_run_id`

  return {
    create: `
      with clock as (select coalesce($1::timestamptz, now()) as now)
      insert into ${t.schedules} (${insertColumns})
      select ${insertValues} from ${definitions(2)}, clock on conflict (name) do nothing returning name`,

    /** Applications of lists come one after the other, or two that prune would leave a mix of both. */
    lockApply: `select pg_advisory_xact_lock(hashtextextended($1, 0))`,

    /**
     * Locks the rows in the order of their names, so that two applications of the same names do not deadlock. Counting them
     * locks them first: a row that this statement has written already would not be seen.
     */
    apply: `
      with clock as (select coalesce($1::timestamptz, now()) as now),
      input as materialized (select * from ${definitions(2)} order by name),
      known as materialized (select s.* from ${t.schedules} s join input i using (name) order by s.name for update of s),
      pruned as (
        delete from ${t.schedules} s where s.application = $10 and s.name not in (select name from input) returning s.name),
      written as (
        insert into ${t.schedules} as s (${insertColumns})
        select ${insertValues} from input i, clock, (select count(*) from known) as locked order by i.name
        on conflict (name) do update set workflow = excluded.workflow, cron = excluded.cron,
          time_zone = excluded.time_zone, context = excluded.context, policies = excluded.policies,
          application = excluded.application, revision = s.revision + 1, updated_at = excluded.updated_at,
          next_at = case when (s.cron, s.time_zone) = (excluded.cron, excluded.time_zone) then s.next_at
            else excluded.next_at end
        where (s.workflow, s.cron, s.time_zone, s.context, s.policies, s.application) is distinct from
          (excluded.workflow, excluded.cron, excluded.time_zone, excluded.context, excluded.policies, excluded.application)
        returning s.name)
      select array(select name from written where name not in (select name from known) order by name) as created,
        array(select name from written where name in (select name from known) order by name) as changed,
        array(select name from input where name not in (select name from written) order by name) as unchanged,
        array(select name from pruned order by name) as pruned`,

    find: `${withLastRun} where s.name = $1`,

    /** Null stands for "any". */
    list: `${withLastRun}
      where ($1::text is null or s.status = $1) and ($2::text[] is null or s.workflow = any($2))
        and ($3::text[] is null or exists (select from unnest($3) as p(prefix) where starts_with(s.name, p.prefix)))
        and ($4::text is null or s.name > $4)
      order by s.name limit $5::int`,

    exists: `select from ${t.schedules} where name = $1`,

    pause: `
      update ${t.schedules} set revision = revision + (status = 'Active')::int,
        updated_at = case when status = 'Active' then coalesce($1::timestamptz, now()) else updated_at end, status = 'Paused'
      where name = $2 returning name`,

    resume: `
      update ${t.schedules} set status = 'Active', revision = revision + 1, next_at = to_timestamp($2::float8),
        updated_at = coalesce($1::timestamptz, now())
      where name = $3 and revision = $4::int and status = 'Paused' returning name`,

    delete: `delete from ${t.schedules} where name = $1 returning name`,

    due: `
      with clock as (select coalesce($1::timestamptz, now()) as now)
      select ${due("s")}, clock.now as "clockNow" from clock left join ${t.schedules} s
        on s.status = 'Active' and s.next_at < clock.now + $2::float8 * interval '1 millisecond' order by s.next_at`,

    /**
     * Moves the cursors that still stand where the caller believes them, and starts the runs of those that moved. Locks the
     * rows in the order of their names and skips those that are locked: their holder is firing or editing them. The cursor
     * is compared as an expression: the index of what is due would give every schedule of the instant to each of them.
     */
    fire: `
      with clock as (select coalesce($1::timestamptz, now()) as now),
      input as materialized (
        select * from unnest($2::text[], $3::text[]::int[], $4::text[]::float8[], $5::text[]::float8[], $6::text[],
          $7::text[]::float8[], $8::text[]) as i(name, revision, cursor, next_at, owner, last_tick, last_run_id)),
      candidates as materialized (
        select s.name from ${t.schedules} s join input i using (name), clock
        where (s.status || '') = 'Active' and s.revision = i.revision and s.next_at + interval '0' = to_timestamp(i.cursor)
          and s.next_at + interval '0' <= clock.now
        order by s.name for update of s skip locked),
      moved as (
        update ${t.schedules} s set next_at = to_timestamp(i.next_at),
          last_tick = coalesce(to_timestamp(i.last_tick), s.last_tick), last_run_id = coalesce(i.last_run_id, s.last_run_id)
        from input i, candidates c where s.name = c.name and i.name = c.name
        returning s.name, s.workflow, s.context, i.owner),
      started as (
        insert into ${t.runs} as r (${runInsert})
        select ${
      runValues({
        id: "k.run_id",
        payload: payload("k.scheduled_at", "s.context"),
        owner: "s.owner",
        schedule: "s.name",
        tick: "k.tick"
      })
    }
        from unnest($9::text[], $10::text[], $11::text[]::float8[], $12::text[]) as k(name, run_id, tick, scheduled_at)
        join moved s using (name), clock
        on conflict (id) do nothing
        returning r.*)
      select 'moved' as what, m.name as "firing", clock.now as "clockNow", null::json as current, ${runColumns("r")}
      from moved m cross join clock left join started r on r.schedule = m.name
      union all
      select 'stayed', i.name, clock.now, (
        select json_build_object('workflow', s.workflow, 'cron', s.cron, 'timeZone', s.time_zone, 'policies', s.policies,
          'revision', s.revision, 'nextAt', extract(epoch from s.next_at) * 1000)
        from ${t.schedules} s where s.name = i.name and s.status = 'Active' and s.next_at is not null),
        ${Array.from({ length: 17 }, () => "null").join(", ")}
      from input i cross join clock where i.name not in (select name from moved)
      order by 1, 2`,

    enqueueTicks: `
      with clock as (select coalesce($1::timestamptz, now()) as now),
      started as (
        insert into ${t.runs} (${runInsert})
        select ${
      runValues({
        id: "k.run_id",
        payload: payload("k.scheduled_at", "s.context"),
        owner: "null::text",
        schedule: "s.name",
        tick: "k.tick"
      })
    }
        from unnest($3::text[], $4::text[]::float8[], $5::text[]) as k(run_id, tick, scheduled_at)
        join ${t.schedules} s on s.name = $2, clock
        on conflict (id) do nothing returning id)
      select exists (select from ${t.schedules} where name = $2) as found, array(select id from started) as created`,

    trigger: `
      with clock as (select coalesce($1::timestamptz, now()) as now)
      insert into ${t.runs} as r (${runInsert})
      select ${
      runValues({
        id: "$3::text",
        payload: payload("$5::text", "coalesce($6::text, s.context)"),
        owner: "$7::text",
        schedule: "s.name",
        tick: "$4::float8"
      })
    }
      from ${t.schedules} s, clock where s.name = $2
      on conflict (id) do update set id = excluded.id
      returning ${runColumns("r")}`
  }
}
