/** Rows as the port's records: instants become epoch milliseconds, everything else is as it is stored. */
import type { DueSchedule, Run, ScheduleRow, StepRecord } from "../records.ts"

type Stored<A, Instants extends keyof A> = { readonly [K in keyof A]: K extends Instants ? Date | null : A[K] }

export type RunRow = Stored<Run, "wakeAt" | "deadline" | "tick" | "createdAt" | "startedAt" | "finishedAt">
export type StepRow = Stored<StepRecord, "wakeAt" | "startedAt" | "recordedAt">
export type ScheduleRowStored = Stored<ScheduleRow, "nextAt" | "lastTick" | "createdAt" | "updatedAt">
export type DueRow = Stored<DueSchedule, "nextAt">

const millis = (instant: Date | null): number | null => instant === null ? null : instant.getTime()

export const runColumns = (alias: string): string => {
  const c = (name: string, as = name) => `${alias}.${name}${as === name ? "" : ` as "${as}"`}`
  return [
    c("id"),
    c("workflow"),
    c("status"),
    c("payload"),
    c("outcome"),
    c("owner"),
    c("epoch"),
    c("attempt"),
    c("wake_at", "wakeAt"),
    c("deadline"),
    c("timeout_millis", "timeoutMillis"),
    c("schedule"),
    c("tick"),
    c("parent"),
    c("created_at", "createdAt"),
    c("started_at", "startedAt"),
    c("finished_at", "finishedAt")
  ].join(", ")
}

export const toRun = (row: RunRow): Run => ({
  ...row,
  wakeAt: millis(row.wakeAt),
  deadline: millis(row.deadline),
  tick: millis(row.tick),
  createdAt: row.createdAt!.getTime(),
  startedAt: millis(row.startedAt),
  finishedAt: millis(row.finishedAt)
})

export const stepColumns = `name, key, occurrence, kind, attempts, errors, outcome, wake_at as "wakeAt",
  started_at as "startedAt", recorded_at as "recordedAt"`

export const toStep = (row: StepRow): StepRecord => ({
  name: row.name,
  key: row.key,
  occurrence: row.occurrence,
  kind: row.kind,
  attempts: row.attempts,
  errors: row.errors,
  outcome: row.outcome,
  wakeAt: millis(row.wakeAt),
  startedAt: row.startedAt!.getTime(),
  recordedAt: row.recordedAt!.getTime()
})

export const toSchedule = (row: ScheduleRowStored): ScheduleRow => ({
  ...row,
  nextAt: millis(row.nextAt),
  lastTick: millis(row.lastTick),
  createdAt: row.createdAt!.getTime(),
  updatedAt: row.updatedAt!.getTime()
})

export const toDue = (row: DueRow): DueSchedule => ({
  name: row.name,
  workflow: row.workflow,
  cron: row.cron,
  timeZone: row.timeZone,
  policies: row.policies,
  revision: row.revision,
  nextAt: row.nextAt!.getTime()
})
