/** Firing: turning ticks into runs. */
import * as Effect from "effect/Effect"
import { ScheduleNotFound } from "../../Errors.ts"
import type { DueSchedule, Fired, Firing, Run, SystemDb, TickRun } from "../../SystemDb.ts"
import { atomic, byCodePoint, type Schedule, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<Store, "dueSchedules" | "fire" | "enqueueTicks" | "triggerSchedule">

/** The schedule as the scheduler holds it; null when it has nothing to wait for. */
const due = (schedule: Schedule | undefined): DueSchedule | null =>
  schedule?.status !== "Active" || schedule.nextAt === null ? null : {
    name: schedule.name,
    workflow: schedule.workflow,
    cron: schedule.cron,
    timeZone: schedule.timeZone,
    policies: schedule.policies,
    revision: schedule.revision,
    nextAt: schedule.nextAt
  }

/** Creates the tick's run, unless its id was used before. */
const startTick = (
  state: State,
  schedule: Schedule,
  { runId, scheduledAt, tick }: TickRun,
  options: { readonly now: number; readonly owner: string | null; readonly context: string }
): Run | undefined => {
  if (state.runs.has(runId)) return undefined
  const draft = {
    id: runId,
    workflow: schedule.workflow,
    payload: `{"scheduledAt":${JSON.stringify(scheduledAt)},"context":${options.context}}`,
    schedule: schedule.name,
    tick
  }
  const { now, owner } = options
  return state.create(draft, now, owner === null ? { wakeAt: now } : { owner })
}

const ready = (state: State, runs: ReadonlyArray<Run>): void => {
  if (runs.some((run) => run.status === "Enqueued")) state.publish({ _tag: "RunsReady" })
}

const fireOne = (state: State, firing: Firing, now: number): Fired => {
  const { cursor, name, nextAt, owner, revision, ticks } = firing
  const schedule = state.schedules.get(name)
  const current = due(schedule)
  if (schedule === undefined || current === null || current.revision !== revision || current.nextAt !== cursor) {
    return { _tag: "Stale", name, current }
  }
  if (cursor > now) return { _tag: "Early", name }
  const last = ticks.at(-1)
  const history = last === undefined ? {} : { lastTick: last.tick, lastRunId: last.runId }
  state.schedules.set(name, { ...schedule, ...history, nextAt })
  const runs = ticks.flatMap((tick) =>
    startTick(state, schedule, tick, { now, owner, context: schedule.context }) ?? []
  )
  ready(state, runs)
  return { _tag: "Fired", name, runs }
}

export const make = (state: State): Methods => ({
  dueSchedules: (horizonMillis) =>
    atomic((now) => {
      const schedules = Array.from(state.schedules.values(), due)
        .filter((schedule) => schedule !== null)
        .filter((schedule) => schedule.nextAt < now + horizonMillis)
        .sort((a, b) => a.nextAt - b.nextAt || byCodePoint(a.name, b.name))
      return Effect.succeed({ now, schedules })
    }),

  fire: (firings) =>
    atomic((now) => Effect.succeed({ now, fired: firings.map((firing) => fireOne(state, firing, now)) })),

  enqueueTicks: (name, ticks) =>
    atomic((now) => {
      const schedule = state.schedules.get(name)
      if (schedule === undefined) return Effect.fail(new ScheduleNotFound({ name }))
      const options = { now, owner: null, context: schedule.context }
      const runs = ticks.flatMap((tick) => startTick(state, schedule, tick, options) ?? [])
      ready(state, runs)
      return Effect.succeed(runs.map((run) => run.id))
    }),

  triggerSchedule: ({ context, name, owner, run: tick }) =>
    atomic((now) => {
      const schedule = state.schedules.get(name)
      if (schedule === undefined) return Effect.fail(new ScheduleNotFound({ name }))
      const run = startTick(state, schedule, tick, { now, owner, context: context ?? schedule.context })
      if (run === undefined) return Effect.die(new Error(`triggerSchedule: run id ${tick.runId} was used before`))
      ready(state, [run])
      return Effect.succeed(run)
    })
})
