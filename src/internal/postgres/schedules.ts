/** The statements about what is declared of schedules: reading them, and changing any number of them as a whole. */
import type { NewTrigger, ScheduleChange, ScheduleContent } from "../scheduleRecords.ts"
import { insertBackfills, newBackfills } from "./backfills.ts"
import { type Column, flag, float, Input, int, text, time } from "./columns.ts"
import type { Tables } from "./names.ts"
import { clock, scheduleColumns } from "./rows.ts"
import { audits, entries, insertAudits, insertEntries, ownScope, start, tickInput } from "./ticks.ts"

type Changed = ScheduleChange["schedules"][number]

/** What a change writes of a schedule; nothing of one that it deletes. */
const contentColumns: ReadonlyArray<Column<ScheduleContent>> = [
  text("workflow", ({ workflow }) => workflow),
  text("timing", ({ timing }) => timing),
  text("context", ({ context }) => context),
  text("context_schema", ({ contextSchema }) => contextSchema),
  text("json_schema", ({ jsonSchema }) => jsonSchema),
  text("policies", ({ policies }) => policies),
  text("overlap", ({ overlap }) => overlap),
  text("owner", ({ owner }) => owner),
  text("labels", ({ labels }) => labels),
  text("external_id", ({ externalId }) => externalId),
  text("status", ({ status }) => status),
  int("revision", ({ revision }) => revision),
  time("next_at", ({ nextAt }) => nextAt),
  time("wake_at", ({ wakeAt }) => wakeAt),
  time("waiting_since", ({ waitingSince }) => waitingSince),
  text("state", ({ state }) => state),
  time("paused_at", ({ pausedAt }) => pausedAt),
  text("pause_reason", ({ pauseReason }) => pauseReason),
  time("resume_at", ({ resumeAt }) => resumeAt),
  text("note", ({ note }) => note)
]

const written = new Input<ScheduleContent & Pick<Changed, "turn">>([
  text("name", ({ name }) => name),
  float("turn", ({ turn }) => turn),
  ...contentColumns
])
const gone = new Input<Changed>([text("name", ({ name }) => name), float("turn", ({ turn }) => turn)])
const controls = new Input<ScheduleChange["controls"][number]>([
  text("key", ({ key }) => key),
  float("turn", ({ turn }) => turn),
  text("value", ({ value }) => value)
])

const triggers = new Input<NewTrigger>([
  text("schedule", ({ schedule }) => schedule),
  text("context", ({ context }) => context),
  float("timeout_millis", ({ timeoutMillis }) => timeoutMillis),
  flag("settle", ({ settle }) => settle),
  ...tickInput.map(([name, type, values]): Column<NewTrigger> => [
    name,
    type,
    (rows) => values(rows.map(({ run }) => run))
  ])
])

const goneFirst = 3
const writtenFirst = goneFirst + gone.width
const controlsFirst = writtenFirst + written.width
const entriesFirst = controlsFirst + controls.width
const auditsFirst = entriesFirst + entries.width

const triggersFirst = auditsFirst + audits.width
const backfillsFirst = triggersFirst + triggers.width

const content = contentColumns.map(([column]) => column)

/** What follows the clock and the change's id. */
export const changeParams = (change: ScheduleChange) => [
  ...gone.params(change.schedules.filter(({ content }) => content === null)),
  ...written.params(change.schedules.flatMap(({ content, turn }) => content === null ? [] : [{ ...content, turn }])),
  ...controls.params(change.controls),
  ...entries.params(change.entries),
  ...audits.params(change.audits.map((audit) => ({ change: change.id, audit }))),
  ...triggers.params(change.triggers ?? []),
  ...newBackfills.params(change.backfills ?? [])
]

export const statements = (t: Tables) => {
  const withLastRun = `
    select ${scheduleColumns("s")}, r.status as "lastRunStatus"
    from ${t.schedules} s left join ${t.runs} r on r.id = s.last_run_id`
  const turn = `nextval('${t.turns}')`

  return {
    find: `${withLastRun} where s.name = any($1::text[]) order by s.name`,

    /**
     * Null stands for "any". Labels are looked for in their text, as it is written: one odd text among them must not make the cast
     * of all others fail. A quote inside of a name or a value has a backslash before it, so `{"` and `,"` begin a name.
     */
    list: `${withLastRun}
      where ($1::text is null or s.status = $1) and ($2::text[] is null or s.workflow = any($2))
        and ($3::text[] is null or exists (select from unnest($3) as p(prefix) where starts_with(s.name, p.prefix)))
        and ($4::text[] is null or s.owner = any($4)) and ($5::text[] is null or s.external_id = any($5))
        and ($6::text[] is null or not exists (
          select from unnest($6) as l(label)
          where strpos(s.labels, '{' || l.label) = 0 and strpos(s.labels, ',' || l.label) = 0))
        and ($7::text is null or s.name > $7)
        and ($9::boolean is null or $9 = (s.next_at is null and s.wake_at is null and s.waiting_since is null))
      order by s.name limit $8::int`,

    findControl: `select key, value, turn::float8 as turn from ${t.controls} where key = $1`,

    /** One change after the other: each sees what the one before it left. Firing goes on meanwhile. */
    lockChanges: `select pg_advisory_xact_lock(${t.lockClass}, 0)`,

    /**
     * Writes everything if everything stands as the caller saw it, and no backfill has the id of one that is to be stored. The rows are locked first: one that is being fired is waited
     * for, and then has another turn.
     */
    change: `
      with ${clock},
      gone as materialized (select * from ${gone.table(goneFirst, "i")}),
      written as materialized (select * from ${written.table(writtenFirst, "i")}),
      controls as materialized (select * from ${controls.table(controlsFirst, "i")}),
      named as materialized (select name, turn from gone union all select name, turn from written),
      known as materialized (select exists (select from ${t.audits} where change = $2::text) as made),
      standing as materialized (
        select i.turn::bigint as expected, s.turn from (select * from named where not (select made from known) order by name) i left join lateral (
          select s.turn from ${t.schedules} s where s.name = i.name offset 0 for update of s) s on true
        union all
        select i.turn::bigint, c.turn from (select * from controls where not (select made from known) order by key) i left join lateral (
          select c.turn from ${t.controls} c where c.key = i.key offset 0 for update of c) c on true),
      holds as materialized (
        select from known where not made
          and not exists (select from standing where turn is distinct from expected)
          and not exists (select from ${t.backfills} b join ${newBackfills.table(backfillsFirst, "i")} on b.id = i.id)),
      deleted as (
        delete from ${t.schedules} s using gone i, holds where s.name = i.name),
      updated as (
        update ${t.schedules} s set ${content.map((column) => `${column} = i.${column}`).join(", ")},
          turn = ${turn}, updated_at = clock.now
        from written i, holds, clock where s.name = i.name and i.turn is not null),
      inserted as (
        insert into ${t.schedules} (name, ${content.join(", ")}, turn, incarnation, created_at, updated_at)
        select i.name, ${content.map((column) => column === "revision" ? "n.turn" : `i.${column}`).join(", ")}, n.turn,
          case when exists (select from ${t.runs} r where r.schedule = i.name) then n.turn end, clock.now, clock.now
        from written i cross join lateral (select ${turn} as turn where i.turn is null) n, holds, clock
        returning name, workflow, context, context_schema, overlap),
      triggers as materialized (select * from ${triggers.table(triggersFirst, "k")}),
      contended(key) as materialized (
        select unnest(array[s.overlap, i.overlap]) from ${t.schedules} s join written i on i.name = s.name, holds
        where s.overlap is distinct from i.overlap or s.waiting_since is distinct from i.waiting_since
        union select s.overlap from ${t.schedules} s join gone i on i.name = s.name, holds
        union select s.overlap from inserted s join triggers k on k.schedule = s.name),
      raised as (
        update ${t.overlaps} o set turn = ${turn} from (
          select o.key from ${t.overlaps} o where o.key in (select key from contended)
          order by o.key for update of o) x
        where o.key = x.key returning o.key),
      started as (
        ${
      start(t, {
        owner: "null::text",
        context: "coalesce(k.context, s.context)",
        contextSchema: "case when k.context is null then s.context_schema end",
        overlap: ownScope("s"),
        backfill: "null",
        settle: "k.settle",
        timeoutMillis: "k.timeout_millis"
      })
    }
        from triggers k join inserted s on s.name = k.schedule left join raised o on o.key = s.overlap, clock
        order by k.run_id on conflict (id) do nothing),
      filled as (
        ${
      insertBackfills(
        t,
        turn,
        `${newBackfills.table(backfillsFirst, "i")} join inserted s on s.name = i.schedule`
      )
    }),
      scopes as (
        insert into ${t.overlaps} (key, turn)
        select overlap, ${turn} from (select distinct i.overlap from written i, holds where i.overlap is not null) o
        order by overlap on conflict (key) do nothing),
      controls_deleted as (
        delete from ${t.controls} c using controls i, holds where c.key = i.key and i.value is null),
      controls_updated as (
        update ${t.controls} c set value = i.value, turn = ${turn}
        from controls i, holds where c.key = i.key and i.turn is not null and i.value is not null),
      controls_inserted as (
        insert into ${t.controls} (key, value, turn)
        select i.key, i.value, ${turn} from controls i, holds where i.turn is null and i.value is not null),
      recorded as (
        ${insertEntries(t, `${entries.table(entriesFirst, "i")} cross join holds`)}),
      audited as (
        ${insertAudits(t, `${audits.table(auditsFirst, "i")} cross join holds`)})
      select made, exists (select from holds) as written from known`
  }
}
