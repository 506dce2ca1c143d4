/** Schedules: their definitions and their status. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ScheduleExists, ScheduleNotFound } from "../../Errors.ts"
import type { NewSchedule, ScheduleFilter, ScheduleRow, SystemDb } from "../../SystemDb.ts"
import { atomic, byCodePoint, type Schedule, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<
  Store,
  | "createSchedule"
  | "applySchedules"
  | "findSchedule"
  | "listSchedules"
  | "pauseSchedule"
  | "resumeSchedule"
  | "deleteSchedule"
>

const definition = (schedule: NewSchedule) => ({
  name: schedule.name,
  workflow: schedule.workflow,
  cron: schedule.cron,
  timeZone: schedule.timeZone,
  context: schedule.context,
  policies: schedule.policies,
  application: schedule.application
})

const sameDefinition = (a: NewSchedule, b: NewSchedule): boolean =>
  JSON.stringify(definition(a)) === JSON.stringify(definition(b))

const create = (state: State, schedule: NewSchedule, now: number): void => {
  state.schedules.set(schedule.name, {
    ...definition(schedule),
    nextAt: schedule.nextAt,
    status: "Active",
    revision: 1,
    lastTick: null,
    lastRunId: null,
    createdAt: now,
    updatedAt: now
  })
}

/** A change of the definition or the status. */
const change = (state: State, schedule: Schedule, changes: Partial<Schedule>, now: number): void => {
  state.schedules.set(schedule.name, { ...schedule, ...changes, revision: schedule.revision + 1, updatedAt: now })
}

const changed = (state: State) => state.publish({ _tag: "SchedulesChanged" })

const createSchedule = (state: State): Store["createSchedule"] => (schedule) =>
  atomic((now) => {
    if (state.schedules.has(schedule.name)) return Effect.fail(new ScheduleExists({ name: schedule.name }))
    create(state, schedule, now)
    changed(state)
    return Effect.void
  })

/** Creates or replaces one schedule and says which it was. */
const apply = (state: State, schedule: NewSchedule, now: number): "created" | "changed" | "unchanged" => {
  const existing = state.schedules.get(schedule.name)
  if (existing === undefined) {
    create(state, schedule, now)
    return "created"
  }
  if (sameDefinition(existing, schedule)) return "unchanged"
  const moved = existing.cron !== schedule.cron || existing.timeZone !== schedule.timeZone
  const cursor = moved ? schedule.nextAt : existing.nextAt
  change(state, existing, { ...definition(schedule), nextAt: cursor }, now)
  return "changed"
}

const applySchedules = (state: State): Store["applySchedules"] => (schedules, { pruneApplication }) =>
  atomic((now) => {
    const names = new Set(schedules.map((schedule) => schedule.name))
    if (names.size < schedules.length) return Effect.die(new Error("applySchedules: the names must be distinct"))
    const applied = { created: [] as Array<string>, changed: [] as Array<string>, unchanged: [] as Array<string> }
    for (const schedule of schedules) applied[apply(state, schedule, now)].push(schedule.name)

    const pruned = Array.from(state.schedules.values())
      .filter(({ application, name }) =>
        pruneApplication !== null && application === pruneApplication && !names.has(name)
      )
      .map(({ name }) => name)
      .sort(byCodePoint)
    for (const name of pruned) state.schedules.delete(name)
    if (applied.created.length + applied.changed.length + pruned.length > 0) changed(state)
    return Effect.succeed({ ...applied, pruned })
  })

const matches = (filter: ScheduleFilter) => (schedule: Schedule): boolean =>
  (filter.status === undefined || schedule.status === filter.status) &&
  (filter.workflow?.includes(schedule.workflow) ?? true) &&
  (filter.namePrefix?.some((prefix) => schedule.name.startsWith(prefix)) ?? true)

const pauseSchedule = (state: State): Store["pauseSchedule"] => (name) =>
  atomic((now) => {
    const schedule = state.schedules.get(name)
    if (schedule === undefined) return Effect.fail(new ScheduleNotFound({ name }))
    if (schedule.status === "Paused") return Effect.void
    change(state, schedule, { status: "Paused" }, now)
    changed(state)
    return Effect.void
  })

const resumeSchedule = (state: State): Store["resumeSchedule"] => ({ name, nextAt, revision }) =>
  atomic((now) => {
    const schedule = state.schedules.get(name)
    if (schedule?.status !== "Paused" || schedule.revision !== revision) return Effect.succeed(false)
    change(state, schedule, { status: "Active", nextAt }, now)
    changed(state)
    return Effect.succeed(true)
  })

const deleteSchedule = (state: State): Store["deleteSchedule"] => (name) =>
  Effect.suspend(() => {
    if (!state.schedules.delete(name)) return Effect.fail(new ScheduleNotFound({ name }))
    changed(state)
    return Effect.void
  })

export const make = (state: State): Methods => {
  const row = (schedule: Schedule): ScheduleRow => ({
    ...schedule,
    lastRunStatus: schedule.lastRunId === null ? null : state.runs.get(schedule.lastRunId)?.status ?? null
  })
  return {
    createSchedule: createSchedule(state),
    applySchedules: applySchedules(state),
    findSchedule: (name) => Effect.sync(() => Option.map(Option.fromUndefinedOr(state.schedules.get(name)), row)),
    listSchedules: (filter, { after, limit }) =>
      Effect.sync(() =>
        Array.from(state.schedules.values())
          .filter((schedule) => matches(filter)(schedule) && (after === null || byCodePoint(schedule.name, after) > 0))
          .sort((a, b) => byCodePoint(a.name, b.name))
          .slice(0, limit)
          .map(row)
      ),
    pauseSchedule: pauseSchedule(state),
    resumeSchedule: resumeSchedule(state),
    deleteSchedule: deleteSchedule(state)
  }
}
