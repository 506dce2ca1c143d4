/** The statements about runs that are not on the writer's path. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"
import { clock, runColumns } from "./rows.ts"
import { fence } from "./steps.ts"

const waiting = `status in (${literals(Lifecycle.from.claim)})`

export const statements = (t: Tables) => ({
  now: `with ${clock} select now from clock`,

  /**
   * Locks the rows it claims, and passes over those that another worker is claiming. Materialized: planned otherwise, the
   * limited query could be run more than once. The order is the outer one's: an update promises none. The answer has at
   * least one row, for `nextWake`; its run is null when nothing was claimed.
   */
  claim: `
    with ${clock},
    due as materialized (
      select id, wake_at from ${t.runs}
      where ${waiting} and wake_at <= (select now from clock) and workflow = any($2::text[])
      order by wake_at, id limit $3::int for update skip locked),
    claimed as (
      update ${t.runs} r set status = 'Running', owner = $4::text, epoch = r.epoch + 1, wake_at = null,
        started_at = coalesce(r.started_at, clock.now),
        deadline = coalesce(r.deadline, clock.now + r.timeout_millis * interval '1 millisecond')
      from due, clock where r.id = due.id
      returning r.*, due.wake_at as woke_at)
    select (
        select wake_at from ${t.runs} where ${waiting} and workflow = any($2::text[]) and id not in (select id from due)
        order by wake_at, id limit 1
      ) as "nextWake", ${runColumns("c")}
    from clock left join claimed c on true
    order by c.woke_at, c.id`,

  find: `select ${runColumns("r")} from ${t.runs} r where id = $1`,

  /** Of these ids, the runs that have ended, and those that no run has. */
  ended: `
    select i.id as asked, ${runColumns("r")}
    from unnest($1::text[]) as i(id)
    left join ${t.runs} r on r.id = i.id
    where r.id is null or r.status in (${literals(Lifecycle.finished)})`,

  /** Null stands for "any". Keyset paging over the index of the newest runs. */
  list: `
    select ${runColumns("r")} from ${t.runs} r
    where ($1::text[] is null or status = any($1)) and ($2::text[] is null or workflow = any($2))
      and ($3::text[] is null or schedule = any($3))
      and ($4::timestamptz is null or (created_at, id) < ($4::timestamptz(3), $5::text))
    order by created_at desc, id desc limit $6::int`,

  cancel: `
    with ${clock}
    update ${t.runs} set status = 'Cancelled', owner = null, wake_at = null, finished_at = clock.now, reason = $3::text
    from clock where id = $2 and status in (${literals(Lifecycle.from.cancel)}) returning id`,

  release: `
    with ${clock}
    update ${t.runs} r set status = 'Enqueued', owner = null, 
      wake_at = clock.now + i.delay * interval '1 millisecond', reason = coalesce(i.reason, r.reason),
      handbacks = r.handbacks + case when i.reason is null then 0 else 1 end
    from unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::float8[]) as i(run_id, owner, epoch, reason, delay), clock
    where ${fence("release")} returning r.id`
})
