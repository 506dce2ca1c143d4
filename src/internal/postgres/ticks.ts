/** What those share who write about schedules: the start of runs, whoever starts them, ledger entries and audits. */
import type { NewAudit, NewEntry, TickRun } from "../scheduleRecords.ts"
import { type Column, Input, int, text, time } from "./columns.ts"
import type { Tables } from "./names.ts"
import type { Parameter } from "./parameters.ts"

// ── starting runs ───────────────────────────────────────────────────────────────────────────────────────────────────

/** What runs of a schedule are kept under as long as they live, whatever its policy says. */
export const ownScope = (schedule: string): string => `'schedule:' || ${schedule}.name`

/** What a started run has that its tick does not say, as SQL expressions over `k` and `s`. */
export interface Started {
  readonly owner: string
  /** JSON text, and the identity of the schema that wrote it or null. */
  readonly context: string
  readonly contextSchema: string
  readonly overlap: string
  readonly backfill: string
  readonly settle: string
  readonly timeoutMillis: string
}

/**
 * The start of a run for each tick `k` of a schedule `s`, by an owner or by nobody. The payload is put together as text: the
 * context is never parsed.
 */
export const start = (t: Tables, started: Started): string =>
  `insert into ${t.runs} as r (id, workflow, payload, status, owner, epoch, wake_at, deadline, timeout_millis, schedule,
        tick, origin, overlap, start_by, backfill, settle, created_at, started_at)
      select k.run_id, s.workflow, '{"scheduledAt":' || k.scheduled_at || ',"context":' || ${started.context} ||
          coalesce(',"contextSchema":' || to_json(${started.contextSchema})::text, '') || '}',
        case when ${started.owner} is null then 'Enqueued' else 'Running' end, ${started.owner},
        case when ${started.owner} is null then 0 else 1 end, case when ${started.owner} is null then clock.now end,
        case when ${started.owner} is not null then clock.now + ${started.timeoutMillis} * interval '1 millisecond' end,
        ${started.timeoutMillis}, s.name, k.tick, k.origin, ${started.overlap}, k.start_by, ${started.backfill},
        ${started.settle}, clock.now, case when ${started.owner} is not null then clock.now end`

/** `scheduledAt` becomes a JSON string here, since SQL would not escape all of it. */
export const tickInput: ReadonlyArray<Column<TickRun>> = [
  text("run_id", ({ runId }) => runId),
  time("tick", ({ tick }) => tick),
  text("scheduled_at", ({ scheduledAt }) => JSON.stringify(scheduledAt)),
  text("origin", ({ origin }) => origin),
  time("start_by", ({ startBy }) => startBy)
]

const ticks = new Input(tickInput)

/** The columns of a list of ticks. */
export const tickColumns = ticks.names

/** Ticks as an input; their parameters begin with this one. */
export const tickArrays = (first: number): string => ticks.arrays(first)

export const ticksOf = (of: ReadonlyArray<TickRun>): ReadonlyArray<Parameter> => ticks.params(of)

// ── the ledger and the audit ────────────────────────────────────────────────────────────────────────────────────────

export const entries = new Input<NewEntry>([
  text("schedule", ({ schedule }) => schedule),
  time("first_tick", ({ first }) => first),
  time("last_tick", ({ last }) => last),
  int("ticks", ({ count }) => count),
  text("decision", ({ decision }) => decision),
  text("reason", ({ reason }) => reason),
  text("run_id", ({ runId }) => runId),
  text("timing", ({ timing }) => timing)
])

/** Records the entries `i`, in their order. */
export const insertEntries = (t: Tables, from: string): string =>
  `insert into ${t.ledger} (${entries.names}, recorded_at)
        select ${qualified("i", entries.names)}, clock.now from ${from}, clock order by i.n`

/** An audit, and how the change that it is about is recognised. */
export interface ChangeAudit {
  readonly change: string
  readonly audit: NewAudit
}

export const auditColumns: ReadonlyArray<Column<ChangeAudit>> = [
  text("change", ({ change }) => change),
  text("schedule", ({ audit }) => audit.schedule),
  text("action", ({ audit }) => audit.action),
  text("actor", ({ audit }) => audit.actor),
  text("source", ({ audit }) => audit.source),
  text("reason", ({ audit }) => audit.reason),
  text("before", ({ audit }) => audit.before),
  text("after", ({ audit }) => audit.after)
]

export const audits = new Input(auditColumns)

/** Records the audits `i`, in their order. */
export const insertAudits = (t: Tables, from: string): string =>
  `insert into ${t.audits} (${audits.names}, at)
        select ${qualified("i", audits.names)}, clock.now from ${from}, clock order by i.n`

/** The columns of a list, each with the alias before it. */
export const qualified = (alias: string, columns: string): string =>
  columns.split(", ").map((column) => `${alias}.${column}`).join(", ")
