/**
 * The life of a run, as data. Memory asks `allows`, the SQL statements write `from` into their WHERE clauses, the CHECK
 * constraint lists `statuses`, and docs/lifecycle.md is checked against this file.
 *
 * ```text
 *             claim              succeed | fail
 *  Enqueued ─────────▶ Running ─────────────────▶ Succeeded | Failed
 *     ▲  ▲               │  ▲
 *     │  │ release       │  │ claim, once the wake time has come
 *     │  └───────────────┤  │
 *     │    recover       ├──┴─ suspend ─▶ Suspended
 *     └──────────────────┤
 *                        └──── recover, died alone ─▶ Dead
 *
 *  cancel: Enqueued, Running, Suspended ─▶ Cancelled
 * ```
 */
import * as Schema from "effect/Schema"

/** Every status a run can have, live ones first. */
export const statuses = ["Enqueued", "Running", "Suspended", "Succeeded", "Failed", "Cancelled", "Dead"] as const

export const RunStatus = Schema.Literals(statuses)
export type RunStatus = typeof RunStatus.Type

/** The statuses a run never leaves. */
export const finished: ReadonlyArray<RunStatus> = ["Succeeded", "Failed", "Cancelled", "Dead"]

/** The statuses that a run can leave. */
export const live: ReadonlyArray<RunStatus> = ["Enqueued", "Running", "Suspended"]

/** The statuses in which a worker may claim the run, once its wake time has come. */
export const claimable: ReadonlyArray<RunStatus> = ["Enqueued", "Suspended"]

export type Command = "claim" | "release" | "recover" | "suspend" | "succeed" | "fail" | "cancel"

/** The statuses in which each command is allowed. */
export const from: Readonly<Record<Command, ReadonlyArray<RunStatus>>> = {
  claim: claimable,
  release: ["Running"],
  recover: ["Running"],
  suspend: ["Running"],
  succeed: ["Running"],
  fail: ["Running"],
  cancel: ["Enqueued", "Running", "Suspended"]
}

/** The statuses each command can lead to. */
export const to: Readonly<Record<Command, ReadonlyArray<RunStatus>>> = {
  claim: ["Running"],
  release: ["Enqueued"],
  recover: ["Enqueued", "Dead"],
  suspend: ["Suspended"],
  succeed: ["Succeeded"],
  fail: ["Failed"],
  cancel: ["Cancelled"]
}

export const allows = (command: Command, status: RunStatus): boolean => from[command].includes(status)

export const isFinished = (status: RunStatus): boolean => finished.includes(status)

/** Schedules have two statuses and both transitions are always allowed. */
export const ScheduleStatus = Schema.Literals(["Active", "Paused"])
export type ScheduleStatus = typeof ScheduleStatus.Type

/** An Active backfill goes on, a Paused one can; the other two are ends. */
export const BackfillStatus = Schema.Literals(["Active", "Paused", "Cancelled", "Done"])
export type BackfillStatus = typeof BackfillStatus.Type
