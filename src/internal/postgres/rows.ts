/** Rows as the port's records: instants become epoch milliseconds, everything else is as it is stored. */
import type { Run, StepRecord } from "../records.ts"
import type { DueSchedule, EndedRun, LiveRun, ScheduleRow } from "../scheduleRecords.ts"

type Stored<A, Instants extends keyof A> = { readonly [K in keyof A]: K extends Instants ? Date | null : A[K] }

export type RunRow = Stored<Run, "wakeAt" | "deadline" | "tick" | "startBy" | "createdAt" | "startedAt" | "finishedAt">
export type StepRow = Stored<StepRecord, "wakeAt" | "startedAt" | "recordedAt">
export type ScheduleStored = Stored<
  ScheduleRow,
  "nextAt" | "wakeAt" | "waitingSince" | "pausedAt" | "resumeAt" | "lastTick" | "createdAt" | "updatedAt"
>

/** The last instant of JavaScript's dates. Postgres knows later ones, which must not be read as none at all. */
const last = 8_640_000_000_000_000

export const millis = (instant: Date | null): number | null => {
  if (instant === null) return null
  const millis = instant.getTime()
  return Number.isNaN(millis) ? last : millis
}
const present = (instant: Date | null): number => (instant as Date).getTime()

/** The clock a statement reads: `$1` where a test drives it, the database's otherwise. */
export const clockNow = "coalesce($1::timestamptz(3), date_trunc('milliseconds', statement_timestamp()))"

/** The same as a row. */
export const clock = `clock as (select ${clockNow} as now)`

/** The values of the first column of an index of this table, in order, each found by one look; then null. Recursive. */
export const distinct = (name: string, column: string, table: string, condition = "true"): string =>
  `${name}(name) as (
      (select ${column} from ${table} where ${column} is not null and ${condition} order by ${column} limit 1)
      union all
      select (select ${column} from ${table} where ${column} > n.name order by ${column} limit 1)
      from ${name} n where n.name is not null)`

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
  deaths: "deaths",
  isolated: "isolated",
  handbacks: "handbacks",
  wakeAt: "wake_at",
  deadline: "deadline",
  timeoutMillis: "timeout_millis",
  schedule: "schedule",
  tick: "tick",
  origin: "origin",
  overlap: "overlap",
  startBy: "start_by",
  backfill: "backfill",
  reason: "reason",
  parent: "parent",
  trace: "trace",
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
  deaths: row.deaths,
  isolated: row.isolated,
  handbacks: row.handbacks,
  wakeAt: millis(row.wakeAt),
  deadline: millis(row.deadline),
  timeoutMillis: row.timeoutMillis,
  schedule: row.schedule,
  tick: millis(row.tick),
  origin: row.origin,
  overlap: row.overlap,
  startBy: millis(row.startBy),
  backfill: row.backfill,
  reason: row.reason,
  parent: row.parent,
  trace: row.trace,
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

/** Turns as numbers: they stay below 2^53. */
const turn = "turn::float8"
const started = "started::float8"
const incarnation = "incarnation::float8"

export const scheduleColumns = selectable({
  name: "name",
  workflow: "workflow",
  timing: "timing",
  context: "context",
  contextSchema: "context_schema",
  jsonSchema: "json_schema",
  policies: "policies",
  overlap: "overlap",
  owner: "owner",
  labels: "labels",
  externalId: "external_id",
  status: "status",
  revision: "revision",
  turn,
  nextAt: "next_at",
  wakeAt: "wake_at",
  waitingSince: "waiting_since",
  state: "state",
  pausedAt: "paused_at",
  pauseReason: "pause_reason",
  resumeAt: "resume_at",
  note: "note",
  started,
  incarnation,
  lastTick: "last_tick",
  lastRunId: "last_run_id",
  createdAt: "created_at",
  updatedAt: "updated_at"
})

export const toSchedule = (row: ScheduleStored): ScheduleRow => ({
  name: row.name,
  workflow: row.workflow,
  timing: row.timing,
  context: row.context,
  contextSchema: row.contextSchema,
  jsonSchema: row.jsonSchema,
  policies: row.policies,
  overlap: row.overlap,
  owner: row.owner,
  labels: row.labels,
  externalId: row.externalId,
  status: row.status,
  revision: row.revision,
  turn: row.turn,
  nextAt: millis(row.nextAt),
  wakeAt: millis(row.wakeAt),
  waitingSince: millis(row.waitingSince),
  state: row.state,
  pausedAt: millis(row.pausedAt),
  pauseReason: row.pauseReason,
  resumeAt: millis(row.resumeAt),
  note: row.note,
  started: row.started,
  incarnation: row.incarnation,
  lastTick: millis(row.lastTick),
  lastRunId: row.lastRunId,
  lastRunStatus: row.lastRunStatus,
  createdAt: present(row.createdAt),
  updatedAt: present(row.updatedAt)
})

/** Named apart from a run's columns, which `fire` returns beside them. */
export const dueColumns = selectable({
  dueName: "name",
  dueWorkflow: "workflow",
  timing: "timing",
  policies: "policies",
  dueOverlap: "overlap",
  dueStatus: "status",
  revision: "revision",
  turn,
  nextAt: "next_at",
  dueWakeAt: "wake_at",
  waitingSince: "waiting_since",
  dueStarted: started,
  incarnation,
  dueCreatedAt: "created_at",
  state: "state",
  pausedAt: "paused_at",
  pauseReason: "pause_reason",
  resumeAt: "resume_at"
})

/** A row of an outer join, in which there may be no schedule. */
export interface DueRow {
  readonly dueName: string | null
  readonly dueWorkflow: string
  readonly timing: string
  readonly policies: string
  readonly dueOverlap: string | null
  readonly dueStatus: DueSchedule["status"]
  readonly revision: number
  readonly turn: number
  readonly nextAt: Date | null
  readonly dueWakeAt: Date | null
  readonly waitingSince: Date | null
  readonly dueStarted: number
  readonly incarnation: number | null
  readonly dueCreatedAt: Date
  readonly state: string
  readonly pausedAt: Date | null
  readonly pauseReason: string | null
  readonly resumeAt: Date | null
  readonly overlapTurn: number | null
  /** JSON text of a list; null for an empty one. */
  readonly live: string | null
  readonly behind: string | null
  readonly ended: string | null
}

const list = <A>(text: string | null): ReadonlyArray<A> => text === null ? [] : JSON.parse(text) as ReadonlyArray<A>

export const toDue = (row: DueRow): DueSchedule | null =>
  row.dueName === null ? null : {
    name: row.dueName,
    workflow: row.dueWorkflow,
    timing: row.timing,
    policies: row.policies,
    overlap: row.dueOverlap,
    status: row.dueStatus,
    revision: row.revision,
    turn: row.turn,
    nextAt: millis(row.nextAt),
    wakeAt: millis(row.dueWakeAt),
    waitingSince: millis(row.waitingSince),
    started: row.dueStarted,
    incarnation: row.incarnation,
    createdAt: present(row.dueCreatedAt),
    state: row.state,
    pausedAt: millis(row.pausedAt),
    pauseReason: row.pauseReason,
    resumeAt: millis(row.resumeAt),
    overlapTurn: row.overlapTurn,
    live: list<LiveRun>(row.live),
    behind: list<string>(row.behind),
    ended: list<EndedRun>(row.ended)
  }
