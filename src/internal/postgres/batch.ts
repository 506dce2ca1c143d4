/**
 * The one statement that writes everything gathered since the last flush: a data-modifying CTE per kind of fact, fenced
 * inside itself, in one round trip and one commit. Its text depends only on which kinds are present.
 *
 * Locks: the row of every run that a step is recorded for is held FOR SHARE, so that a takeover either comes first, and the
 * step is refused, or waits for this commit, and the new owner reads the step.
 */

import type { Lease, NewRun, NewStepRecord } from "../records.ts"
import { texts } from "./database.ts"
import type { Tables } from "./names.ts"

export type Fact =
  | { readonly _tag: "Start"; readonly run: NewRun }
  | { readonly _tag: "Step"; readonly lease: Lease; readonly step: NewStepRecord }
  | { readonly _tag: "Finish"; readonly lease: Lease; readonly status: string; readonly outcome: string }
  | { readonly _tag: "Suspend"; readonly lease: Lease; readonly wakeAt: number }

export type Kind = Fact["_tag"]

/** Facts with the same key never share a statement: its parts all see the rows as they were before it. */
export const keyOf = (fact: Fact): string => {
  switch (fact._tag) {
    case "Start":
      return fact.run.id
    case "Step":
      return `${fact.lease.runId}\0${fact.step.name}\0${fact.step.key}\0${fact.step.occurrence}`
    default:
      return `${fact.lease.runId}\0`
  }
}

/** Roughly how much a fact adds to the statement, in characters. */
export const weightOf = (fact: Fact): number => {
  switch (fact._tag) {
    case "Start":
      return fact.run.payload.length
    case "Step":
      return (fact.step.outcome?.length ?? 0) + (fact.step.errors?.length ?? 0)
    case "Finish":
      return fact.outcome.length
    case "Suspend":
      return 0
  }
}

const instant = (millis: number | null): string | null =>
  // Five digits or more of a year are not ISO for Postgres, and no clock gets there.
  millis === null ? null : String(millis / 1000)

type Column<F> = readonly [name: string, type: string, value: (fact: F) => string | null]

type Of<K extends Kind> = Extract<Fact, { readonly _tag: K }>

const leaseColumns: ReadonlyArray<Column<{ readonly lease: Lease }>> = [
  ["run_id", "text", ({ lease }) => lease.runId],
  ["owner", "text", ({ lease }) => lease.worker],
  ["epoch", "int", ({ lease }) => String(lease.epoch)]
]

const columns: { readonly [K in Kind]: ReadonlyArray<Column<Of<K>>> } = {
  Start: [
    ["id", "text", ({ run }) => run.id],
    ["workflow", "text", ({ run }) => run.workflow],
    ["payload", "text", ({ run }) => run.payload],
    ["owner", "text", ({ run }) => run.delayMillis === null ? run.owner : null],
    ["delay", "float8", ({ run }) => String(run.delayMillis ?? 0)],
    ["timeout", "float8", ({ run }) => run.timeoutMillis === null ? null : String(run.timeoutMillis)],
    ["parent", "text", ({ run }) => run.parent]
  ],
  Step: [
    ...leaseColumns,
    ["name", "text", ({ step }) => step.name],
    ["key", "text", ({ step }) => step.key],
    ["occurrence", "int", ({ step }) => String(step.occurrence)],
    ["kind", "text", ({ step }) => step.kind],
    ["attempts", "int", ({ step }) => String(step.attempts)],
    ["errors", "text", ({ step }) => step.errors],
    ["outcome", "text", ({ step }) => step.outcome],
    ["wake_at", "float8", ({ step }) => instant(step.wakeAt)],
    ["started_at", "float8", ({ step }) => instant(step.startedAt)]
  ],
  Finish: [
    ...leaseColumns,
    ["status", "text", ({ status }) => status],
    ["outcome", "text", ({ outcome }) => outcome]
  ],
  Suspend: [
    ...leaseColumns,
    ["wake_at", "float8", ({ wakeAt }) => instant(wakeAt)]
  ]
}

const kinds: ReadonlyArray<Kind> = ["Start", "Step", "Finish", "Suspend"]

/**
 * What each kind does with its input, and the query that says which of its facts hold: by `n`, which counts within the kind,
 * or by the run's id. The inputs are never joined to what was written: there is no index on either.
 */
const parts = (t: Tables): { readonly [K in Kind]: { readonly write: string; readonly held: string } } => {
  // Owner and status are compared as expressions, so that the index of a worker's runs cannot serve them: on a table that was
  // never analyzed it looks cheaper than the primary key, and then every fact reads every run that is under way.
  const fence = `r.id = i.run_id and (r.owner || '') = i.owner and r.epoch = i.epoch and (r.status || '') = 'Running'`
  return {
    Start: {
      write: `start_written as (
        insert into ${t.runs} (id, workflow, payload, status, owner, epoch, wake_at, deadline, timeout_millis, parent,
          created_at, started_at)
        select id, workflow, payload, case when owner is null then 'Enqueued' else 'Running' end, owner,
          case when owner is null then 0 else 1 end,
          case when owner is null then now + delay * interval '1 millisecond' end,
          case when owner is not null then now + timeout * interval '1 millisecond' end, timeout, parent,
          now, case when owner is not null then now end
        from start_input, clock
        on conflict (id) do nothing
        returning id, deadline)`,
      held: `select 'Start', 0, id, deadline from start_written`
    },
    Step: {
      write: `step_held as (
        select i.* from step_input i join ${t.runs} r on ${fence} for share of r),
      step_written as (
        insert into ${t.steps} (run_id, name, key, occurrence, kind, attempts, errors, outcome, wake_at, started_at,
          recorded_at, epoch)
        select run_id, name, key, occurrence, kind, attempts, errors, outcome, to_timestamp(wake_at),
          to_timestamp(started_at), now, epoch
        from step_held, clock order by n
        on conflict (run_id, name, key, occurrence) do update set kind = excluded.kind, attempts = excluded.attempts, errors = excluded.errors,
          outcome = excluded.outcome, wake_at = excluded.wake_at, started_at = excluded.started_at,
          recorded_at = excluded.recorded_at, epoch = excluded.epoch
        where steps.outcome is null
        returning true)`,
      held: `select 'Step', n::int, case when exists (select from step_written) then 'fresh' end, null::timestamptz
        from step_held`
    },
    Finish: {
      write: `finish_written as (
        update ${t.runs} r set status = i.status, outcome = i.outcome, finished_at = clock.now, wake_at = null
        from finish_input i, clock where ${fence} returning i.n)`,
      held: `select 'Finish', n::int, null, null from finish_written`
    },
    Suspend: {
      write: `suspend_written as (
        update ${t.runs} r set status = 'Suspended', owner = null, wake_at = to_timestamp(i.wake_at)
        from suspend_input i where ${fence} returning i.n)`,
      held: `select 'Suspend', n::int, null, null from suspend_written`
    }
  }
}

export interface Batch {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

export type Compile = (facts: ReadonlyArray<Fact>, now: string | null) => Batch

/** A function that makes the statement for some facts; the text of each combination of kinds is built once. */
export const compiler = (t: Tables): Compile => {
  const statements = new Map<string, string>()
  const all = parts(t)

  const statement = (present: ReadonlyArray<Kind>): string => {
    let param = 1
    const ctes = [`clock as (select coalesce($1::timestamptz, now()) as now)`]
    for (const kind of present) {
      const input = `${kind.toLowerCase()}_input`
      const named = columns[kind]
      const arrays = named.map(([, type]) => `$${++param}::text[]${type === "text" ? "" : `::${type}[]`}`)
      ctes.push(
        `${input} as (select * from unnest(${arrays.join(", ")}) with ordinality as i(${
          named.map(([name]) => name).join(", ")
        }, n))`,
        all[kind].write
      )
    }
    const held = present.map((kind) => all[kind].held).join("\nunion all ")
    return `with ${ctes.join(",\n")}\nselect * from (${held}) as held(kind, n, id, deadline)`
  }

  return (facts, now) => {
    const present = kinds.filter((kind) => facts.some((fact) => fact._tag === kind))
    const label = present.join()
    let sql = statements.get(label)
    if (sql === undefined) {
      sql = statement(present)
      statements.set(label, sql)
    }
    const params: Array<unknown> = [now]
    for (const kind of present) {
      const own = facts.filter((fact) => fact._tag === kind)
      for (const [, , value] of columns[kind]) params.push(texts(own.map((fact) => value(fact as never))))
    }
    return { sql, params }
  }
}
