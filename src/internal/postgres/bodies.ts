/** The statements about bodies: whose workflows are, and what no live worker can execute. One round trip each. */
import * as Lifecycle from "../lifecycle.ts"
import { literals, type Tables } from "./names.ts"
import { clock, distinct } from "./rows.ts"

const most = 1_000

/** Waits, and was due at the instant `until`: a stretch of an index for each workflow. */
const due = (workflow: string) =>
  `r.status in (${literals(Lifecycle.from.claim)}) and r.workflow = ${workflow} and r.wake_at <= (select at from until)`

export const statements = (t: Tables) => ({
  /** An update that may change nothing, so that whoever comes second waits for the first and finds its row. */
  own: `
    with ${clock}
    insert into ${t.workflows} as w (name, application, since) select $2::text, $3::text, now from clock
    on conflict (name) do update set
      application = case when w.application = any($4::text[]) then excluded.application else w.application end,
      since = case when w.application = any($4::text[]) then excluded.since else w.since end
    returning application`,

  set: `update ${t.workers} set workflows = $2::text[] where id = $1`,

  /** Null in place of a name for a worker that does not say. */
  list: `
    with ${clock}
    select distinct f.name collate "C" as name
    from ${t.workers} w cross join clock left join lateral unnest(w.workflows) as f(name) on true
    where w.lease_until >= clock.now and (f.name is not null or w.workflows is null)
    order by name`,

  unattended: `
    with recursive ${clock},
    until(at) as materialized (select now - $2::float8 * interval '1 millisecond' from clock),
    living as materialized (select workflows from ${t.workers} w where w.lease_until >= (select at from until)),
    ${distinct("names", "workflow", t.runs)}
    select n.name as workflow, first.wake_at as since, (
        select count(*)::int from (select from ${t.runs} r where ${due("n.name")} limit ${most}) c) as runs
    from names n
      cross join lateral (
        select r.wake_at from ${t.runs} r where ${due("n.name")} order by r.wake_at, r.id limit 1) first
    where n.name is not null
      and not exists (select from living where workflows is null or n.name = any(workflows))
    order by n.name`
})
