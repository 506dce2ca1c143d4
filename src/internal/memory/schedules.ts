/** Schedules: reading them, and changing any number of them at once. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ScheduleChange, ScheduleFilter, ScheduleRow, SystemDb } from "../../SystemDb.ts"
import { startTicks } from "./firing.ts"
import { atomic, byCodePoint, type Schedule, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<
  Store,
  "findSchedule" | "findSchedules" | "listSchedules" | "findControl" | "changeSchedules"
>

const labelsOf = (text: string): Readonly<Record<string, unknown>> => JSON.parse(text)

const matches = (filter: ScheduleFilter) => (schedule: Schedule): boolean =>
  (filter.status === undefined || schedule.status === filter.status) &&
  (filter.ended === undefined || filter.ended === hasEnded(schedule)) &&
  (filter.workflow?.includes(schedule.workflow) ?? true) &&
  (filter.namePrefix?.some((prefix) => schedule.name.startsWith(prefix)) ?? true) &&
  (filter.owner === undefined || (schedule.owner !== null && filter.owner.includes(schedule.owner))) &&
  (filter.externalId === undefined ||
    (schedule.externalId !== null && filter.externalId.includes(schedule.externalId))) &&
  (filter.labels === undefined || hasAll(labelsOf(schedule.labels), filter.labels))

const hasEnded = ({ nextAt, waitingSince, wakeAt }: Schedule): boolean =>
  nextAt === null && wakeAt === null && waitingSince === null

const hasAll = (labels: Readonly<Record<string, unknown>>, wanted: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value)

/** Whether everything stands at the turn that the change names, and the ids of its backfills are free. */
const stands = (state: State, { backfills = [], controls, schedules }: ScheduleChange): boolean =>
  schedules.every(({ name, turn }) => (state.schedules.get(name)?.turn ?? null) === turn) &&
  controls.every(({ key, turn }) => (state.controls.get(key)?.turn ?? null) === turn) &&
  backfills.every(({ id }) => !state.backfills.has(id))

/** Whether no row is held that it would lock: one after the other by name, up to the first that does not stand. */
const free = (state: State, { id, schedules }: ScheduleChange): boolean => {
  if (state.changes.has(id)) return true
  for (const { name, turn } of [...schedules].sort((a, b) => byCodePoint(a.name, b.name))) {
    const standing = state.schedules.get(name)
    if (standing !== undefined && state.locks.schedule(name)) return false
    if ((standing?.turn ?? null) !== turn) return true
  }
  return true
}

const write = (state: State, change: ScheduleChange, now: number): void => {
  const created = new Map<string, Schedule>()
  for (const { content, name } of change.schedules) {
    const before = state.schedules.get(name)
    const contends = content === null || before?.overlap !== content.overlap ||
      before.waitingSince !== content.waitingSince
    if (before !== undefined && contends) {
      for (const scope of new Set([before.overlap, content?.overlap ?? null])) {
        if (scope !== null && state.overlapTurns.has(scope)) state.raiseOverlap(scope)
      }
    }
    if (content === null) {
      state.schedules.delete(name)
      continue
    }
    if (content.overlap !== null && !state.overlapTurns.has(content.overlap)) state.raiseOverlap(content.overlap)
    const turn = state.nextTurn()
    const written = {
      ...content,
      turn,
      revision: before === undefined ? turn : content.revision,
      started: before?.started ?? 0,
      incarnation: before === undefined ? (state.runsOf.has(name) ? turn : null) : before.incarnation,
      lastTick: before?.lastTick ?? null,
      lastRunId: before?.lastRunId ?? null,
      createdAt: before?.createdAt ?? now,
      updatedAt: now
    }
    state.schedules.set(name, written)
    if (before === undefined) created.set(name, written)
  }
  for (const { context, run, schedule, settle, timeoutMillis } of change.triggers ?? []) {
    const by = created.get(schedule)
    if (by === undefined) continue
    startTicks(state, by, [run], { now, owner: null, context, counts: true, settle, timeoutMillis })
  }
  for (const backfill of change.backfills ?? []) if (created.has(backfill.schedule)) state.fill(backfill, now)
  for (const { key, value } of change.controls) {
    if (value === null) state.controls.delete(key)
    else state.controls.set(key, { key, value, turn: state.nextTurn() })
  }
  for (const entry of change.entries) state.record(entry, now)
  for (const audit of change.audits) state.audit(audit, now, change.id)
}

/** The row with what became of its last run, looked up when it is read. */
export const rowOf = (state: State, schedule: Schedule): ScheduleRow => ({
  ...schedule,
  lastRunStatus: schedule.lastRunId === null ? null : state.runs.get(schedule.lastRunId)?.status ?? null
})

export const make = (state: State): Methods => ({
  findSchedule: (name) =>
    Effect.sync(() =>
      Option.map(Option.fromUndefinedOr(state.schedules.get(name)), (schedule) => rowOf(state, schedule))
    ),

  findSchedules: (names) =>
    Effect.sync(() =>
      Array.from(new Set(names))
        .sort(byCodePoint)
        .flatMap((name) => state.schedules.get(name) ?? [])
        .map((schedule) => rowOf(state, schedule))
    ),

  listSchedules: (filter, { after, limit }) =>
    Effect.sync(() =>
      Array.from(state.schedules.values())
        .filter((schedule) => matches(filter)(schedule) && (after === null || byCodePoint(schedule.name, after) > 0))
        .sort((a, b) => byCodePoint(a.name, b.name))
        .slice(0, limit)
        .map((schedule) => rowOf(state, schedule))
    ),

  findControl: (key) => Effect.sync(() => Option.fromUndefinedOr(state.controls.get(key))),

  changeSchedules: (change) =>
    state.locks.inTurn(
      () => free(state, change),
      atomic((now) => {
        if (state.changes.has(change.id)) return Effect.succeed(true)
        if (!stands(state, change)) return Effect.succeed(false)
        write(state, change, now)
        state.publish({ _tag: "SchedulesChanged" })
        return Effect.succeed(true)
      })
    )
})
