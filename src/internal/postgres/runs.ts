/** The statements about runs that are not on the writer's path. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { statusList, type Tables } from "./names.ts"
import { runColumns, stepColumns } from "./rows.ts"

export const statements = (t: Tables) => ({
  /**
   * Locks the claimed rows; rows another worker is claiming are skipped. Materialized: the limit must count once. The first
   * wake time that is not claimed comes along with every row, or alone.
   */
  claim: `
    with clock as (select coalesce($1::timestamptz, now()) as now),
    due as materialized (
      select id from ${t.runs} where status in (${
    statusList(Lifecycle.from.claim)
  }) and wake_at <= (select now from clock)
        and workflow = any($2::text[])
      order by wake_at, id limit $3::int for update skip locked),
    claimed as (
      update ${t.runs} r set status = 'Running', owner = $4, epoch = r.epoch + 1, wake_at = null,
        started_at = coalesce(r.started_at, clock.now),
        deadline = coalesce(r.deadline, clock.now + r.timeout_millis * interval '1 millisecond')
      from due, clock where r.id = due.id
      returning r.*, (select o.wake_at from ${t.runs} o where o.id = r.id) as woke_at)
    select (
        select min(wake_at) from ${t.runs} where status in (${statusList(Lifecycle.from.claim)})
          and workflow = any($2::text[]) and id not in (select id from due)) as "nextWake",
      ${runColumns("c")}
    from clock left join claimed c on true order by c.woke_at, c.id`,

  stepsOf: `select run_id as "runId", ${stepColumns} from ${t.steps} where run_id = any($1::text[]) order by position`,

  find: `select ${runColumns("r")} from ${t.runs} r where id = any($1::text[])`,

  ended: `select ${runColumns("r")} from ${t.runs} r where id = any($1::text[]) and status in (${
    statusList(Lifecycle.finished)
  })`,

  /** Null stands for "any". Keyset paging over the index of newest runs. */
  list: `
    select ${runColumns("r")} from ${t.runs} r
    where ($1::text[] is null or status = any($1)) and ($2::text[] is null or workflow = any($2))
      and ($3::text[] is null or schedule = any($3))
      and ($4::timestamptz is null or (created_at, id) < ($4, $5::text))
    order by created_at desc, id desc limit $6::int`,

  cancel: `
    with clock as (select coalesce($1::timestamptz, now()) as now)
    update ${t.runs} set status = 'Cancelled', owner = null, wake_at = null, finished_at = clock.now
    from clock where id = $2 and status in (${statusList(Lifecycle.from.cancel)}) returning id`,

  /** Whether a lease has made a write before: one row, or none. */
  written: {
    step: `select from ${t.steps} where run_id = $1 and name = $2 and key = $3 and occurrence = $4::int
      and epoch = $5::int and outcome is not null`,
    finish: `select from ${t.runs} where id = $1 and owner = $2 and epoch = $3::int
      and status in (${statusList([...Lifecycle.to.succeed, ...Lifecycle.to.fail])})`,
    suspend: `select from ${t.runs} where id = $1 and epoch = $2::int and status = 'Suspended'`
  },

  release: `
    update ${t.runs} r set status = 'Enqueued', owner = null, wake_at = coalesce($1::timestamptz, now())
    from unnest($2::text[], $3::text[], $4::text[]::int[]) as i(run_id, owner, epoch)
    where r.id = i.run_id and r.owner = i.owner and r.epoch = i.epoch and r.status in (${
    statusList(Lifecycle.from.release)
  })`
})
