/** The statements about runs that are not on the writer's path. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"
import { clock, distinct, runColumns } from "./rows.ts"
import { deathsLeft, fence } from "./steps.ts"

const claimable = (run: string) => `${run}.status in (${literals(Lifecycle.from.claim)})`

/** Waits for a worker that executes this workflow: a stretch of an index, in the order of the wake times. */
const waiting = (workflow: string) => `status in (${literals(Lifecycle.from.claim)}) and workflow = ${workflow}`

/** Waits, and is no suspect of too many deaths. */
const innocent = (workflow: string) => `${waiting(workflow)} and deaths < greatest($5::int, 1)`

/** Waits, and is one, as an index of its own has those that lost an owner. */
const suspect = (workflow: string) => `${waiting(workflow)} and deaths > 0 and deaths >= $5::int`

/**
 * Newest first, keyset paging. Each value of the column under each status is a stretch of an index, in this order: no stretch is
 * read further than the page goes, and one that is empty costs a look. $1 are statuses, $2 and $3 the row before, $4 the limit.
 */
const list = (t: Tables, column: "workflow" | "schedule", names: string, condition = "true"): string => `
    with recursive ${names},
    page as materialized (
      select p.id, p.created_at
      from (select distinct name from names where name is not null) n
        cross join (select distinct status from unnest($1::text[]) as s(status)) s
        cross join lateral (
          select r.id, r.created_at from ${t.runs} r
          where r.${column} = n.name and r.status = s.status and ${condition}
            and (r.created_at, r.id) < (coalesce($2::timestamptz(3), 'infinity'), coalesce($3::text, ''))
          order by r.created_at desc, r.id desc limit $4::int) p
      order by p.created_at desc, p.id desc limit $4::int)
    select ${runColumns("r")} from page p join ${t.runs} r on r.id = p.id
    order by p.created_at desc, p.id desc`

const given = "names(name) as (select unnest($5::text[]))"

export const statements = (t: Tables) => ({
  now: `with ${clock} select now from clock`,

  /**
   * Locks the rows it claims, and passes over those that another worker is claiming. Each workflow has a stretch of the index, so
   * nothing is read of what waits for others: the first rows of each are put in order and locked until there are enough. Only
   * when others hold so many of these that there are not, each stretch is gone on with; then some may be locked in vain.
   *
   * One look-up for each row: OFFSET 0 keeps the planner from turning the join around, and the rows in their order.
   * Materialized: planned otherwise, the limited query could be run more than once. The order is the outer one's: an update
   * promises none. The answer has at least one row, for `nextWake`; its run is null when nothing was claimed.
   */
  claim: `
    with ${clock},
    flows as materialized (select distinct name from unnest($2::text[]) as f(name)),
    earliest as materialized (
      select r.id, r.wake_at from (
        select w.id, w.wake_at from flows f cross join lateral (
          select id, wake_at from ${t.runs} where ${innocent("f.name")} and wake_at <= (select now from clock)
          order by wake_at, id limit $3::int) w
        order by w.wake_at, w.id) w
      cross join lateral (
        select r.id, r.wake_at from ${t.runs} r
        where r.id = w.id and ${claimable("r")} and r.wake_at <= (select now from clock)
        offset 0 for no key update skip locked) r
      limit $3::int),
    more as materialized (
      select w.id, w.wake_at from flows f cross join lateral (
        select id, wake_at from ${t.runs} where ${innocent("f.name")} and wake_at <= (select now from clock)
          and id not in (select id from earliest)
        order by wake_at, id limit $3::int - (select count(*) from earliest) for no key update skip locked) w
      order by w.wake_at, w.id limit $3::int - (select count(*) from earliest)),
    due as materialized (select * from earliest union all select * from more),
    claimed as (
      update ${t.runs} r set status = 'Running', owner = $4::text, epoch = r.epoch + 1, wake_at = null, isolated = false,
        started_at = coalesce(r.started_at, clock.now),
        deadline = coalesce(r.deadline, clock.now + r.timeout_millis * interval '1 millisecond')
      from due, clock where r.id = due.id
      returning r.*, due.wake_at as woke_at)
    select (
        select min(w.wake_at) from flows f cross join lateral (
          select wake_at from ${t.runs} where ${innocent("f.name")} and id not in (select id from due)
          order by wake_at, id limit 1) w
      ) as "nextWake",
      exists (select from flows f cross join lateral (
        select from ${t.runs} where ${suspect("f.name")} and wake_at <= clock.now limit 1) s) as suspects, ${
    runColumns("c")
  }
    from clock left join claimed c on true
    order by c.woke_at, c.id`,

  /** The suspect that is due first, if there is one. */
  claimSuspect: `
    with ${clock},
    due as materialized (
      select w.id from unnest($2::text[]) as f(name) cross join lateral (
        select id, wake_at from ${t.runs} where ${suspect("f.name")} and wake_at <= (select now from clock)
        order by wake_at, id limit $3::int for no key update skip locked) w
      order by w.wake_at, w.id limit least($3::int, 1)),
    claimed as (
      update ${t.runs} r set status = 'Running', owner = $4::text, epoch = r.epoch + 1, wake_at = null, isolated = false,
        started_at = coalesce(r.started_at, clock.now),
        deadline = coalesce(r.deadline, clock.now + r.timeout_millis * interval '1 millisecond')
      from due, clock where r.id = due.id
      returning r.*)
    select null::timestamptz as "nextWake", false as suspects, ${
    runColumns("c")
  } from clock left join claimed c on true`,

  find: `select ${runColumns("r")} from ${t.runs} r where id = $1`,

  /**
   * Keeps a run for as long as the other one lives, which relies on it. Locked against being deleted meanwhile, it is there, or
   * it is not found.
   */
  keep: `
    with kept as materialized (select id from ${t.runs} where id = $1::text for key share),
    linked as (
      insert into ${t.links} (run_id, parent) select id, $2::text from kept on conflict do nothing)
    select id from kept`,

  /** Of these ids, the runs that have ended, and those that no run has. */
  ended: `
    select i.id as asked, ${runColumns("r")}
    from unnest($1::text[]) as i(id)
    left join ${t.runs} r on r.id = i.id
    where r.id is null or r.status in (${literals(Lifecycle.finished)})`,

  list: list(t, "workflow", distinct("names", "workflow", t.runs)),
  listOfWorkflows: list(t, "workflow", given),
  /** A schedule's runs are of one workflow, as a rule, so they are looked through for it. */
  listOfSchedules: list(t, "schedule", given, "($6::text[] is null or r.workflow = any($6))"),

  cancel: `
    with ${clock}
    update ${t.runs} set status = 'Cancelled', owner = null, wake_at = null, finished_at = clock.now, reason = $3::text
    from clock where id = $2 and status in (${literals(Lifecycle.from.cancel)}) returning id`,

  /** `busy` are those whose row somebody else holds. With patience the statement waits for them, and fails when it was too long. */
  release: release(t, "skip locked"),
  releaseBusy: release(t, "")
})

const release = (t: Tables, locked: "skip locked" | ""): string => `
    with ${clock},
    i as materialized (select * from unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::float8[])
      as i(run_id, owner, epoch, reason, delay)${
  locked === "" ? `, (select set_config('lock_timeout', '1s', true)) as patience` : ""
}),
    held as materialized (
      select r.id, i.reason, i.delay from ${t.runs} r join i on ${fence("release")}
      order by r.id for no key update of r ${locked}),
    released as (
      update ${t.runs} r set status = 'Enqueued', owner = null,
        wake_at = clock.now + held.delay * interval '1 millisecond', reason = coalesce(held.reason, r.reason),
        handbacks = r.handbacks + case when held.reason is null then 0 else 1 end, deaths = ${deathsLeft(t)}
      from held, clock where r.id = held.id returning r.id)
    select (select count(*)::int from released) as released,
      array(select r.id from ${t.runs} r join i on ${fence("release")} where r.id not in (select id from held)) as busy`
