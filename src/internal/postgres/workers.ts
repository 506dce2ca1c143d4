/** The statements about workers: who is alive, and what becomes of the runs of those who are not. */
import * as Lifecycle from "../lifecycle.ts"
import { statusList, type Tables } from "./names.ts"

export const statements = (t: Tables, lockClass: number) => {
  /** Whether the session lock of a worker's row is held by anybody in this database. */
  const lockHeld = (alias: string) =>
    `exists (
    select from pg_locks l where l.locktype = 'advisory' and l.classid = ${lockClass >>> 0}::oid
      and l.objid::bigint = ${alias}.lock_key and l.objsubid = 2 and l.granted
      and l.database = (select oid from pg_database where datname = current_database()))`

  return {
    register: `
      with clock as (select coalesce($1::timestamptz, now()) as now)
      insert into ${t.workers} (id, application, lock_key, lease_until, renewed_at, started_at)
      select $2, $3, $4::int, now + $5::float8 * interval '1 millisecond', now, now from clock`,

    lock: `select pg_try_advisory_lock(${lockClass}, key) from unnest($1::text[]::int[]) as i(key)`,

    unlock: `select pg_advisory_unlock(${lockClass}, $1::int)`,

    /** Hands back what a worker owns and forgets it. Two facts in one statement. */
    retire: `
      with clock as (select coalesce($1::timestamptz, now()) as now),
      handed_back as (
        update ${t.runs} set status = 'Enqueued', owner = null, wake_at = clock.now from clock
        where owner = $2 and status in (${statusList(Lifecycle.from.release)}) returning id),
      forgotten as (delete from ${t.workers} where id = $2)
      select count(*)::int as "handedBack" from handed_back`,

    /**
     * Renews the lease and recovers from the dead, in one statement; a claim that a dead worker still made after it was
     * forgotten is recovered as well. Says too whether the own lock is still held: a server that was restarted has
     * forgotten it. Locks the rows of dead workers and skips those that
     * another worker is recovering. A statement that finds its own worker gone does nothing.
     */
    pulse: `
      with clock as (select coalesce($1::timestamptz, now()) as now),
      renewed as (
        update ${t.workers} w set lease_until = clock.now + $3::float8 * interval '1 millisecond', renewed_at = clock.now
        from clock where w.id = $2 returning w.id),
      suspect as (
        select * from unnest($5::text[], $6::text[]::float8[]) as i(id, renewed_at)),
      dead as materialized (
        select w.id from ${t.workers} w, clock
        where w.id <> $2 and exists (select from renewed) and (w.lease_until < clock.now or (
          exists (select from suspect s where s.id = w.id and to_timestamp(s.renewed_at)::timestamptz(3) = w.renewed_at)
          and not ${lockHeld("w")}))
        order by w.id for update of w skip locked),
      recovered as (
        update ${t.runs} r set owner = null,
          status = case when r.attempt >= $4::int then 'Dead' else 'Enqueued' end,
          attempt = case when r.attempt >= $4::int then r.attempt else r.attempt + 1 end,
          wake_at = case when r.attempt >= $4::int then null else clock.now end,
          finished_at = case when r.attempt >= $4::int then clock.now end
        from clock where r.status in (${statusList(Lifecycle.from.recover)}) and exists (select from renewed)
          and (r.owner in (select id from dead) or not exists (select from ${t.workers} w where w.id = r.owner))
        returning r.id, r.status),
      forgotten as (delete from ${t.workers} w using dead where w.id = dead.id)
      select exists (select from renewed) as alive,
        coalesce((select ${lockHeld("w")} from ${t.workers} w where w.id = $2), true) as locked,
        (select count(*)::int from recovered where status = 'Enqueued') as recovered,
        array(select id from recovered where status = 'Dead') as dead,
        array(select w.id from ${t.workers} w where w.id <> $2 and w.id not in (select id from dead)
          and not ${lockHeld("w")} order by w.id) as "suspectIds",
        array(select w.renewed_at from ${t.workers} w where w.id <> $2 and w.id not in (select id from dead)
          and not ${lockHeld("w")} order by w.id) as "suspectTimes"`,

    reconcile: `
      with clock as (select coalesce($1::timestamptz, now()) as now),
      held as (select * from unnest($3::text[], $4::text[]::int[]) as i(run_id, epoch)),
      handed_back as (
        update ${t.runs} r set status = 'Enqueued', owner = null, wake_at = clock.now from clock
        where r.owner = $2 and r.status in (${statusList(Lifecycle.from.release)})
          and not exists (select from held where held.run_id = r.id and held.epoch = r.epoch) returning r.id)
      select array(select run_id from held where not exists (
          select from ${t.runs} r where r.id = held.run_id and r.owner = $2 and r.epoch = held.epoch
            and r.status = 'Running')) as lost,
        (select count(*)::int from handed_back) as "handedBack"`
  }
}
