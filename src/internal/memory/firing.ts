/** Firing: recording what was decided, and turning ticks into runs. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { ScheduleNotFound } from "../../Errors.ts"
import type {
  DueSchedule,
  EndedRun,
  Fired,
  Firing,
  LiveRun,
  Run,
  SystemDb,
  TickOptions,
  TickRun
} from "../../SystemDb.ts"
import { cancelRun } from "./runs.ts"
import { atomic, byCodePoint, type Schedule, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<Store, "dueSchedules" | "fire" | "enqueueTicks" | "triggerSchedule">

const freezeKey = "freeze"
const maxEnded = 100

// ── what a decision depends on ──────────────────────────────────────────────────────────────────────────────────────

/** What runs of a schedule are kept under as long as they live, whatever its policy says. */
const ownScope = (schedule: string): string => `schedule:${schedule}`

/** The schedules that share an overlap scope. */
const members = (state: State, scope: string): ReadonlyArray<Schedule> =>
  Array.from(state.schedules.values()).filter(({ overlap }) => overlap === scope)

const liveIn = (state: State, scope: string | null): ReadonlyArray<LiveRun> =>
  scope === null ? [] : members(state, scope)
    .flatMap((member) =>
      Array.from(state.overlapping.get(ownScope(member.name)) ?? [], (runId) => {
        const { createdAt, tick } = state.runs.get(runId)!
        return { runId, schedule: member.name, tick: tick!, createdAt }
      }).filter(({ createdAt }) => createdAt >= member.createdAt)
    )
    .sort((a, b) => byCodePoint(a.runId, b.runId))

const byWait = (a: Schedule, b: Schedule): number => a.waitingSince! - b.waitingSince! || byCodePoint(a.name, b.name)

const behindOf = (state: State, schedule: Schedule): ReadonlyArray<string> => {
  if (schedule.overlap === null) return []
  return members(state, schedule.overlap)
    .filter((other) =>
      other.name !== schedule.name && other.waitingSince !== null &&
      (schedule.waitingSince === null || byWait(other, schedule) < 0)
    )
    .sort(byWait)
    .map(({ name }) => name)
}

const endedOf = (state: State, name: string): ReadonlyArray<EndedRun> =>
  Array.from(state.unsettled.get(name) ?? [], (runId) => {
    const { createdAt, finishedAt, status, tick } = state.runs.get(runId)!
    return { runId, tick: tick!, status, createdAt, finishedAt: finishedAt! }
  })
    .sort((a, b) => a.finishedAt - b.finishedAt || byCodePoint(a.runId, b.runId))
    .slice(0, maxEnded)

/** The schedule as the scheduler holds it. */
const due = (state: State, schedule: Schedule): DueSchedule => ({
  name: schedule.name,
  workflow: schedule.workflow,
  timing: schedule.timing,
  policies: schedule.policies,
  overlap: schedule.overlap,
  status: schedule.status,
  revision: schedule.revision,
  turn: schedule.turn,
  nextAt: schedule.nextAt,
  wakeAt: schedule.wakeAt,
  waitingSince: schedule.waitingSince,
  started: schedule.started,
  incarnation: schedule.incarnation,
  createdAt: schedule.createdAt,
  state: schedule.state,
  pausedAt: schedule.pausedAt,
  pauseReason: schedule.pauseReason,
  resumeAt: schedule.resumeAt,
  overlapTurn: schedule.overlap === null ? null : state.overlapTurns.get(schedule.overlap) ?? null,
  live: liveIn(state, schedule.overlap),
  behind: behindOf(state, schedule),
  ended: endedOf(state, schedule.name)
})

// ── starting runs ───────────────────────────────────────────────────────────────────────────────────────────────────

interface StartOptions extends TickOptions {
  readonly now: number
  readonly owner: string | null
  /** Given to the run instead of the schedule's own context. */
  readonly context: string | null
  /** Whether they count as live. Those of a backfill do not: they must not delay the schedule's own. */
  readonly counts: boolean
  readonly backfill?: string | undefined
}

const payloadOf = ({ context, contextSchema }: Schedule, { scheduledAt }: TickRun, given: string | null): string => {
  const identity = given === null && contextSchema !== null ? `,"contextSchema":${JSON.stringify(contextSchema)}` : ""
  return `{"scheduledAt":${JSON.stringify(scheduledAt)},"context":${given ?? context}${identity}}`
}

/** Creates the tick's run, unless its id was used before. */
export const startTick = (state: State, schedule: Schedule, tick: TickRun, options: StartOptions): Run | undefined => {
  if (state.runs.has(tick.runId)) return undefined
  if (options.settle) state.settling.add(tick.runId)
  const draft = {
    id: tick.runId,
    workflow: schedule.workflow,
    payload: payloadOf(schedule, tick, options.context),
    schedule: schedule.name,
    tick: tick.tick,
    origin: tick.origin,
    startBy: tick.startBy,
    overlap: options.counts ? ownScope(schedule.name) : null,
    backfill: options.backfill ?? null,
    timeoutMillis: options.timeoutMillis
  }
  const { now, owner } = options
  return state.create(draft, now, owner === null ? { wakeAt: now } : { owner })
}

/** Starts these ticks and says which runs are new; a start raises the turn of the scope it is under. */
export const startTicks = (
  state: State,
  schedule: Schedule,
  ticks: ReadonlyArray<TickRun>,
  options: StartOptions
): ReadonlyArray<Run> => {
  const runs = ticks.flatMap((tick) => startTick(state, schedule, tick, options) ?? [])
  if (runs.length > 0 && options.counts && schedule.overlap !== null) state.raiseOverlap(schedule.overlap)
  if (runs.some((run) => run.status === "Enqueued")) state.publish({ _tag: "RunsReady" })
  return runs
}

// ── firing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const sameLive = (expected: ReadonlyArray<string>, live: ReadonlyArray<LiveRun>): boolean =>
  expected.length === live.length && live.every(({ runId }) => expected.includes(runId))

/** Whether what the decision relied on still stands. */
const stands = (current: DueSchedule, { live, overlapTurn, turn }: Firing): boolean =>
  current.turn === turn && (live === null || sameLive(live, current.live)) &&
  (overlapTurn === null || overlapTurn === current.overlapTurn)

/** Records one decision; the turn of the overlap scope is known when all of its statement are recorded. */
const fireOne = (state: State, firing: Firing, current: DueSchedule | null, now: number): Fired => {
  const { after, at, name } = firing
  const schedule = state.schedules.get(name)
  if (schedule === undefined || current === null) return { _tag: "Stale", name, current }
  if (current.turn === firing.turn && at > now) return { _tag: "Early", name }
  // Whoever holds its row fires it or changes it: it is passed over and not waited for.
  if (state.locks.schedule(name) || !stands(current, firing)) return { _tag: "Stale", name, current }

  const last = firing.ticks.at(-1)
  const turned = after.status !== schedule.status
  const next: Schedule = {
    ...schedule,
    ...after,
    ...last !== undefined && { lastTick: last.tick, lastRunId: last.runId },
    turn: state.nextTurn(),
    ...turned && { revision: schedule.revision + 1, updatedAt: now }
  }
  state.schedules.set(name, next)
  const { owner, settle, timeoutMillis } = firing
  const { overlap } = schedule
  const options = { now, owner, settle, timeoutMillis, counts: true, context: null }
  const runs = startTicks(state, schedule, firing.ticks, options)
  state.schedules.set(name, { ...next, started: schedule.started + runs.length })
  if (firing.overlapTurn !== null && overlap !== null && runs.length === 0) state.raiseOverlap(overlap)
  for (const entry of firing.entries) state.record({ schedule: name, ...entry }, now)
  for (const { reason, runId } of firing.cancels) {
    const run = state.runs.get(runId)
    if (run !== undefined && state.live.has(runId)) cancelRun(state, run, reason, now)
  }
  for (const runId of firing.settled) state.settle(runId)
  for (const hook of firing.hooks) {
    if (state.runs.has(hook.id)) continue
    state.create(hook, now, { wakeAt: now })
    state.publish({ _tag: "RunsReady" })
  }
  if (firing.audit !== null) state.audit(firing.audit, now)
  return { _tag: "Fired", name, turn: next.turn, overlapTurn: null, runs }
}

const fire = (state: State, firings: ReadonlyArray<Firing>, known: boolean, now: number): ReadonlyArray<Fired> => {
  // All are compared with what stood before the first of them, as in one statement.
  const before = firings.map(({ name }) => {
    const schedule = state.schedules.get(name)
    return schedule === undefined ? null : due(state, schedule)
  })
  const fired = firings.map((firing, i): Fired => {
    const current = before[i] ?? null
    return known ? fireOne(state, firing, current, now) : { _tag: "Stale", name: firing.name, current }
  })
  return fired.map((one, i) => {
    const overlap = before[i]?.overlap ?? null
    if (one._tag !== "Fired" || overlap === null) return one
    return { ...one, overlapTurn: state.overlapTurns.get(overlap) ?? null }
  })
}

/** Whether nobody holds a run that these firings would cancel or settle. */
const free = (state: State, firings: ReadonlyArray<Firing>, now: number): boolean =>
  !firings.some((firing) => {
    const touched = [
      ...firing.cancels.filter(({ runId }) => state.live.has(runId)).map(({ runId }) => runId),
      ...firing.settled.filter((runId) => state.settling.has(runId))
    ].filter((runId) => state.locks.run(runId))
    const schedule = state.schedules.get(firing.name)
    return touched.length > 0 && firing.at <= now && schedule !== undefined && !state.locks.schedule(firing.name) &&
      stands(due(state, schedule), firing)
  })

export const make = (state: State): Methods => ({
  dueSchedules: (horizonMillis) =>
    atomic((now) => {
      const schedules = Array.from(state.schedules.values())
        .filter(({ name, waitingSince, wakeAt }) =>
          waitingSince !== null || (wakeAt !== null && wakeAt < now + horizonMillis) || state.unsettled.has(name)
        )
        .sort((a, b) => (a.wakeAt ?? Infinity) - (b.wakeAt ?? Infinity) || byCodePoint(a.name, b.name))
        .map((schedule) => due(state, schedule))
      return Effect.succeed({ now, freeze: state.controls.get(freezeKey) ?? null, schedules })
    }),

  fire: (firings, freezeTurn) => {
    const known = () => (state.controls.get(freezeKey)?.turn ?? null) === freezeTurn
    return Clock.clockWith((clock) =>
      state.locks.until(
        () => !known() || free(state, firings, clock.currentTimeMillisUnsafe()),
        atomic((now) => {
          const fired = fire(state, firings, known(), now)
          return Effect.succeed({ now, freeze: state.controls.get(freezeKey) ?? null, fired })
        })
      )
    )
  },

  enqueueTicks: (name, ticks, options) =>
    atomic((now) => {
      const schedule = state.schedules.get(name)
      if (schedule === undefined) return Effect.fail(new ScheduleNotFound({ schedule: name }))
      const runs = startTicks(state, schedule, ticks, { ...options, now, owner: null, counts: false, context: null })
      return Effect.succeed(runs.map((run) => run.id))
    }),

  triggerSchedule: ({ audit, context, name, options, owner, run: tick }) =>
    // A run of that id is locked before it is looked at.
    state.locks.until(
      () => !state.schedules.has(name) || !state.locks.run(tick.runId),
      atomic((now): ReturnType<Store["triggerSchedule"]> => {
        const schedule = state.schedules.get(name)
        if (schedule === undefined) return Effect.fail(new ScheduleNotFound({ schedule: name }))
        const existing = state.runs.get(tick.runId)
        if (existing !== undefined) {
          return existing.schedule === name
            ? Effect.succeed({ run: existing, created: false })
            : Effect.die(new Error(`triggerSchedule: run id ${tick.runId} was used before`))
        }
        const [run] = startTicks(state, schedule, [tick], {
          ...options,
          now,
          owner,
          counts: true,
          context
        })
        state.audit(audit, now)
        return Effect.succeed({ run: run!, created: true })
      })
    )
})
