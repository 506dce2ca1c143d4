/** The statements about workers: who is alive, and what becomes of the runs of those who are not. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"
import { clock } from "./rows.ts"
import { deathsLeft, fence } from "./steps.ts"

const running = `status in (${literals(Lifecycle.from.recover)})`

/** Has renewed its lease since the server started, or could have: those who live have to come back first. */
const heardOf = `($7::boolean or $1::timestamptz is not null or w.renewed_at > pg_postmaster_start_time()
          or clock_timestamp() - pg_postmaster_start_time() > $3::float8 / 2 * interval '1 millisecond')`

export const statements = (t: Tables) => ({
  /** May be written again, when the answer was lost. */
  register: `
    with ${clock}
    insert into ${t.workers} (id, application, lock_key, lease_until, renewed_at, started_at, workflows)
    select $2, $3, $4::int, now + $5::float8 * interval '1 millisecond', now, now, $6::text[] from clock
    on conflict (id) do update set renewed_at = excluded.renewed_at, lease_until = excluded.lease_until`,

  /** Forgets a worker and hands back what it owns. A run whose row somebody else holds is left for a pulse to find. */
  retire: `
    with ${clock},
    forgotten as (delete from ${t.workers} where id = $2),
    owned as materialized (
      select r.id from ${t.runs} r where r.owner = $2 and r.status in (${literals(Lifecycle.from.release)})
      order by r.id for no key update of r skip locked)
    update ${t.runs} r set status = 'Enqueued', owner = null, wake_at = clock.now, deaths = ${deathsLeft(t)}
    from owned, clock where r.id = owned.id
    returning r.id`,

  /**
   * Renews the worker's lease; if that finds it gone, nothing else happens. Then finds dead workers, forgets them, and takes
   * every Running run whose owner is not registered: the dead ones', and what one came to own after it was forgotten.
   *
   * Locks the rows of dead workers and of their runs, and passes over those that are locked: another pulse is at it, or a
   * transaction of the owner's is still open, and then a later pulse takes the run. Who is dead is asked of the locked row
   * itself, so that it is asked again when the row has changed meanwhile.
   *
   * $6 are the locks of this process, whose workers live. `unlocked` says that the server does not have all of them.
   *
   * Nobody is found dead by a worker that was silent itself, nor one that was not heard of since the server started, until that is
   * half a lease ago. $7 leaves the latter out where only this process can reach the store.
   */
  pulse: `
    with recursive ${clock},
    renewed as (
      update ${t.workers} w set lease_until = clock.now + $3::float8 * interval '1 millisecond', renewed_at = clock.now
      from clock where w.id = $2 returning w.id),
    shown(key) as materialized (
      select objid::bigint from pg_locks
      where locktype = 'advisory' and classid = ${t.lockClass >>> 0}::oid and objsubid = 2 and granted
        and database = (select oid from pg_database where datname = current_database())),
    locked(key) as materialized (select key from shown union all select unnest($6::int[])),
    sure as materialized (
      select from ${t.workers} w, clock
      where w.id = $2 and exists (select from renewed) and $8::boolean and w.lease_until >= clock.now),
    suspected as materialized (select * from unnest($4::text[], $5::timestamptz(3)[]) as s(id, renewed_at)),
    dead as materialized (
      select w.id from ${t.workers} w
      where w.id <> $2 and exists (select from sure) and ${heardOf} and (
        w.lease_until < (select now from clock)
        or (exists (select from suspected s where s.id = w.id and s.renewed_at = w.renewed_at)
          and w.lock_key is not null and not exists (select from locked l where l.key = w.lock_key)))
      order by w.id for update of w skip locked),
    forgotten as (delete from ${t.workers} w using dead where w.id = dead.id),
    owners(id) as (
      (select r.owner from ${t.runs} r where r.${running} order by r.owner limit 1)
      union all
      select (select r.owner from ${t.runs} r where r.${running} and r.owner > o.id order by r.owner limit 1)
      from owners o where o.id is not null),
    orphaned as materialized (
      select o.id from owners o where exists (select from renewed)
        and (o.id in (select id from dead) or not exists (select from ${t.workers} w where w.id = o.id))),
    taken as materialized (
      select r.id, r.isolated, exists (select from ${t.steps} s where s.run_id = r.id and s.epoch = r.epoch) as progressed
      from orphaned o join ${t.runs} r on r.owner = o.id
      where r.${running} order by r.id for no key update of r skip locked),
    recovered as (
      update ${t.runs} r set owner = null, isolated = false,
        status = case when i.guilty then 'Dead' else 'Enqueued' end,
        attempt = case when i.guilty then r.attempt else r.attempt + 1 end,
        deaths = case when i.progressed then 0 else r.deaths + 1 end,
        wake_at = case when not i.guilty then clock.now end,
        finished_at = case when i.guilty then clock.now end
      from (select *, isolated and not progressed as guilty from taken) i, clock
      where r.id = i.id returning r.id, r.status),
    suspects as materialized (
      select w.id, w.renewed_at from ${t.workers} w
      where w.id <> $2 and exists (select from sure) and ${heardOf} and w.id not in (select id from dead)
        and w.lock_key is not null and not exists (select from locked l where l.key = w.lock_key)
      order by w.id)
    select exists (select from renewed) as alive,
      exists (select from unnest($6::int[]) as own(key) where key not in (select key from shown)) as unlocked,
      (select count(*)::int from recovered where status = 'Enqueued') as recovered,
      array(select id from recovered where status = 'Dead' order by id) as dead,
      array(select id from suspects) as "suspectIds",
      array(select renewed_at from suspects) as "suspectTimes"`,

  isolate: `
    update ${t.runs} r set isolated = $4::boolean from (select $1::text as run_id, $2::text as owner, $3::int as epoch) i
    where ${fence("succeed")} returning r.id`,

  /** A run whose row somebody else holds is left for the next comparison. */
  reconcile: `
    with ${clock},
    held as materialized (select * from unnest($3::text[], $4::int[]) as h(run_id, epoch)),
    forgotten as materialized (
      select r.id from ${t.runs} r where r.owner = $2 and r.status in (${literals(Lifecycle.from.release)})
        and not exists (select from held h where h.run_id = r.id and h.epoch = r.epoch)
      order by r.id for no key update of r skip locked),
    handed_back as (
      update ${t.runs} r set status = 'Enqueued', owner = null, wake_at = clock.now, deaths = ${deathsLeft(t)}
      from forgotten, clock where r.id = forgotten.id returning r.id)
    select (select count(*)::int from handed_back) as "handedBack",
      array(select h.run_id from held h where not exists (
        select from ${t.runs} r where r.id = h.run_id and r.owner = $2 and r.epoch = h.epoch and r.${running})) as lost`
})
