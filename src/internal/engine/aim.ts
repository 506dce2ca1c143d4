/** From a schedule that needs a look to what is to be recorded about it. */
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import type { DueSchedule, Fired, Firing, HookRun, NewAudit } from "../../SystemDb.ts"
import * as Codec from "../codec.ts"
import { policy } from "../schedule/actor.ts"
import { decide, type Decision, type Freeze, type Limits } from "../schedule/decide.ts"
import { Event, type Happened } from "../schedule/events.ts"
import { pauseOf, timeIsOver } from "../schedule/pauseEnd.ts"
import { type Plan, plan } from "../schedule/plan.ts"
import { type Policies, settles } from "../schedule/policies.ts"
import * as State from "../schedule/state.ts"
import { type Named, ofTick, runIdOf } from "../schedule/ticks.ts"
import type { Rules } from "../schedule/timetables.ts"
import * as Heartbeat from "./heartbeat.ts"

/** A schedule that is held. */
export interface Entry extends Rules {
  readonly row: DueSchedule
  readonly state: State.State
  readonly plan: Plan
  /** Whether the end of a run can make a look necessary. */
  readonly follows: boolean
  /** When to look: when its wake time comes, at once when a run ended or may start, or later after the store refused. */
  at: number
  /** Whether that time is only a guess, which the next look at the store replaces. What the row says never is. */
  assumed: boolean
  refusals: number
}

export const toEntry = (row: DueSchedule, { policies, timetable }: Rules): Result.Result<Entry, string> =>
  Result.mapBoth(State.decode(row.state), {
    onFailure: (reason) => `Its state does not decode: ${reason}`,
    onSuccess: (state): Entry => ({
      row,
      timetable,
      policies,
      state,
      plan: plan(row.name, timetable, policies),
      follows: row.overlap !== null || settles(policies),
      at: row.ended.length > 0 || row.waitingSince !== null ? 0 : row.wakeAt ?? Infinity,
      assumed: false,
      refusals: 0
    })
  })

/** What is to be recorded, and how many ticks of it were missed. */
export interface Aimed {
  readonly firing: Firing
  readonly missed: number
}

const encodeEvent = Codec.fromSchema(Event).encode

const hookWorkflow = ({ event }: Happened, policies: Policies): string | null => {
  switch (event) {
    case "failure":
      return policies.onFailure
    case "recovered":
      return policies.onRecovered
    case "missed":
      return policies.onMissed
    case "success":
      return null
  }
}

/** The run that tells about an event: one for each, whoever decides it. */
const hooksOf = (schedule: Named, happened: Happened, policies: Policies): ReadonlyArray<HookRun> => {
  const about = happened.runId ?? runIdOf(schedule, happened.tick)
  if (happened.event === "success") return [Heartbeat.run(about, policies.heartbeat!)]
  const workflow = hookWorkflow(happened, policies)
  if (workflow === null) return []
  const { count, event, failures, reason, runId } = happened
  const payload = encodeEvent({
    event,
    schedule: schedule.name,
    tick: DateTime.makeUnsafe(happened.tick),
    lastTick: DateTime.makeUnsafe(happened.lastTick),
    count,
    runId,
    failures,
    reason
  })
  return [{ id: `${about}-${event}`, workflow, payload: Result.getOrThrow(payload)! }]
}

/** What a policy does to the status, for the audit. */
const auditOf = (row: DueSchedule, after: Decision["after"]): NewAudit | null => {
  if (after.status === row.status && after.resumeAt === row.resumeAt) return null
  const paused = after.status === "Paused"
  return {
    schedule: row.name,
    action: paused ? "pause" : "resume",
    actor: policy.name,
    source: policy.source,
    reason: paused ? after.pauseReason : timeIsOver,
    before: JSON.stringify(pauseOf(row)),
    after: JSON.stringify(pauseOf(after))
  }
}

const missedOf = ({ entries }: Decision): number =>
  entries.reduce((sum, { count, decision }) => decision === "Missed" ? sum + (count ?? 0) : sum, 0)

/** Decides about the schedule; undefined when there is nothing to record. */
export const aim = (entry: Entry, now: number, freezes: ReadonlyArray<Freeze>, limits: Limits): Aimed | undefined => {
  const { policies, row, state, timetable } = entry
  const decision = decide({ row, timetable, policies, state, freezes }, now, limits)
  const { after, cancels, entries, reliesOnLive, settled, starts } = decision
  const nextState = State.encode(after.state)
  const idle = starts.length === 0 && entries.length === 0 && cancels.length === 0 && settled.length === 0 &&
    after.status === row.status && after.nextAt === row.nextAt && after.waitingSince === row.waitingSince &&
    after.wakeAt === row.wakeAt && nextState === row.state
  if (idle) return undefined
  const ticking = { name: row.name, incarnation: row.incarnation, plan: entry.plan, policies, timetable }
  return {
    missed: missedOf(decision),
    firing: {
      name: row.name,
      turn: row.turn,
      at: now,
      live: reliesOnLive ? row.live.map(({ runId }) => runId) : null,
      // A scope of its own is guarded by the schedule's turn. Of a shared one the others have to know who waits.
      overlapTurn: policies.overlap.key !== null && (reliesOnLive || after.waitingSince !== row.waitingSince)
        ? row.overlapTurn
        : null,
      after: { ...after, state: nextState },
      ticks: starts.map(({ cause, tick }) => ofTick(ticking, tick, cause)),
      owner: null,
      timeoutMillis: policies.timeoutMillis,
      settle: settles(policies),
      entries,
      cancels,
      settled,
      hooks: decision.events.flatMap((happened) => hooksOf(row, happened, policies)),
      audit: auditOf(row, after)
    }
  }
}

/** How the schedule stands once its firing is recorded, as far as the answer tells; runs may have ended meanwhile. */
export const stepped = (
  row: DueSchedule,
  firing: Firing,
  fired: Extract<Fired, { readonly _tag: "Fired" }>
): DueSchedule => {
  const gone = new Set(firing.cancels.map(({ runId }) => runId))
  const settled = new Set(firing.settled)
  const started = row.overlap === null ? [] : fired.runs.map(({ createdAt, id, tick }) => ({
    runId: id,
    schedule: row.name,
    tick: tick!,
    createdAt
  }))
  const live = [...row.live.filter(({ runId }) => !gone.has(runId)), ...started]
  return {
    ...row,
    ...firing.after,
    revision: firing.after.status === row.status ? row.revision : row.revision + 1,
    turn: fired.turn,
    // Without either nobody has compared who waits in the scope.
    overlapTurn: firing.overlapTurn === null && fired.runs.length === 0 ? row.overlapTurn : fired.overlapTurn,
    // Ids of one schedule are ASCII with its name, and equal up to the instant.
    started: row.started + fired.runs.length,
    live: live.sort((a, b) => a.runId < b.runId ? -1 : a.runId > b.runId ? 1 : 0),
    ended: row.ended.filter(({ runId }) => !settled.has(runId))
  }
}
