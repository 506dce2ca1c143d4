/** Rows as the port's records: instants become epoch milliseconds, everything else is as it is stored. */
import type { DueSchedule, Run, ScheduleRow, StepRecord } from "../records.ts"

type Stored<A, Instants extends keyof A> = { readonly [K in keyof A]: K extends Instants ? Date | null : A[K] }

export type RunRow = Stored<Run, "wakeAt" | "deadline" | "tick" | "createdAt" | "startedAt" | "finishedAt">
export type StepRow = Stored<StepRecord, "wakeAt" | "startedAt" | "recordedAt">
export type ScheduleStored = Stored<ScheduleRow, "nextAt" | "lastTick" | "createdAt" | "updatedAt">

export const millis = (instant: Date | null): number | null => instant === null ? null : instant.getTime()
const present = (instant: Date | null): number => (instant as Date).getTime()

/** The clock a statement reads, as a row: `$1` where a test drives it, the database's otherwise. */
export const clock =
  "clock as (select coalesce($1::timestamptz(3), date_trunc('milliseconds', statement_timestamp())) as now)"

/** Columns for a select list, renamed to the fields of the record. */
const selectable = (columns: Readonly<Record<string, string>>) => (alias: string): string =>
  Object.entries(columns).map(([field, column]) => `${alias}.${column} as "${field}"`).join(", ")

export const runColumns = selectable({
  id: "id",
  workflow: "workflow",
  status: "status",
  payload: "payload",
  outcome: "outcome",
  owner: "owner",
  epoch: "epoch",
  attempt: "attempt",
  wakeAt: "wake_at",
  deadline: "deadline",
  timeoutMillis: "timeout_millis",
  schedule: "schedule",
  tick: "tick",
  parent: "parent",
  createdAt: "created_at",
  startedAt: "started_at",
  finishedAt: "finished_at"
})

/** A row of an outer join, in which there may be no run. */
export type PerhapsRun = RunRow | { readonly [K in keyof RunRow]: null }

export const isRun = <Row extends PerhapsRun>(row: Row): row is Row & RunRow => row.id !== null

export const toRun = (row: RunRow): Run => ({
  id: row.id,
  workflow: row.workflow,
  status: row.status,
  payload: row.payload,
  outcome: row.outcome,
  owner: row.owner,
  epoch: row.epoch,
  attempt: row.attempt,
  wakeAt: millis(row.wakeAt),
  deadline: millis(row.deadline),
  timeoutMillis: row.timeoutMillis,
  schedule: row.schedule,
  tick: millis(row.tick),
  parent: row.parent,
  createdAt: present(row.createdAt),
  startedAt: millis(row.startedAt),
  finishedAt: millis(row.finishedAt)
})

export const stepColumns = selectable({
  name: "name",
  key: "key",
  occurrence: "occurrence",
  kind: "kind",
  attempts: "attempts",
  errors: "errors",
  outcome: "outcome",
  wakeAt: "wake_at",
  startedAt: "started_at",
  recordedAt: "recorded_at"
})

export const toStep = (row: StepRow): StepRecord => ({
  name: row.name,
  key: row.key,
  occurrence: row.occurrence,
  kind: row.kind,
  attempts: row.attempts,
  errors: row.errors,
  outcome: row.outcome,
  wakeAt: millis(row.wakeAt),
  startedAt: present(row.startedAt),
  recordedAt: present(row.recordedAt)
})

export const scheduleColumns = selectable({
  name: "name",
  workflow: "workflow",
  cron: "cron",
  timeZone: "time_zone",
  context: "context",
  policies: "policies",
  application: "application",
  nextAt: "next_at",
  status: "status",
  revision: "revision",
  lastTick: "last_tick",
  lastRunId: "last_run_id",
  createdAt: "created_at",
  updatedAt: "updated_at"
})

export const toSchedule = (row: ScheduleStored): ScheduleRow => ({
  ...row,
  nextAt: millis(row.nextAt),
  lastTick: millis(row.lastTick),
  createdAt: present(row.createdAt),
  updatedAt: present(row.updatedAt)
})

/** Named apart from a run's columns, which `fire` returns beside them. */
export const dueColumns = selectable({
  dueName: "name",
  dueWorkflow: "workflow",
  cron: "cron",
  timeZone: "time_zone",
  policies: "policies",
  revision: "revision",
  nextAt: "next_at"
})

/** A row of an outer join, in which there may be no schedule. */
export interface DueRow {
  readonly dueName: string | null
  readonly dueWorkflow: string
  readonly cron: string
  readonly timeZone: string
  readonly policies: string
  readonly revision: number
  readonly nextAt: Date | null
}

export const toDue = (row: DueRow): DueSchedule | null =>
  row.dueName === null ? null : {
    name: row.dueName,
    workflow: row.dueWorkflow,
    cron: row.cron,
    timeZone: row.timeZone,
    policies: row.policies,
    revision: row.revision,
    nextAt: present(row.nextAt)
  }
