/**
 * What will become of ticks that are not decided yet, as far as it is known now. The one computation behind `upcoming` and
 * `explain`: what they say about a tick is the same.
 */
import type { ScheduleRow } from "../../SystemDb.ts"
import { type Freeze, runsLeft } from "./decide.ts"
import type { Read } from "./definition.ts"
import { frozenAt, latenessOf } from "./stretch.ts"
import { iso } from "./ticks.ts"

/** How the schedule stands, and what stops all of them. */
export interface Outlook extends Read {
  readonly row: ScheduleRow
  readonly freezes: ReadonlyArray<Freeze>
  readonly now: number
}

export interface Forecast {
  readonly tick: number
  /** When its run starts: the tick, or later by its jitter. */
  readonly startsAt: number
  /** Why it will not start; undefined when nothing is known that keeps it from starting. */
  readonly obstacle: Obstacle | undefined
}

/** `Paused` and `Frozen` end by themselves or by an operator; what was late is decided at the next look. */
export type Obstacle =
  | { readonly _tag: "Paused" }
  | { readonly _tag: "Excluded"; readonly by: string }
  | { readonly _tag: "Skipped"; readonly action: "skip" | "skipNext" }
  | { readonly _tag: "Frozen" }
  | { readonly _tag: "Late"; readonly why: string }

/** Why no tick is to come; undefined while one is. */
export const endOf = (
  { policies, row, state }: Pick<Outlook, "policies" | "row" | "state">
): string | undefined => {
  if (state.buffered.length > 0 || state.putOff.length > 0) return undefined
  if (runsLeft(policies, row.started, state) === 0) {
    return `it has started ${
      policies.maxRuns === 1 ? "the one run" : `the ${policies.maxRuns} runs`
    } that maxRuns allows`
  }
  if (row.nextAt !== null) return undefined
  return policies.until === null
    ? "its timing names no further instant"
    : `no tick is left before its end at ${iso(policies.until)} (until)`
}

/** The ticks that are not decided, in order, each with what is known of it. Lazy: there may be no end of them. */
export function* forecasts(outlook: Outlook): Generator<Forecast, void> {
  const { freezes, now, plan, policies, row, state, timetable } = outlook
  let left = (runsLeft(policies, row.started, state) ?? Infinity) - state.buffered.length
  for (const { at, tick } of state.putOff) {
    if (left <= 0) return
    const obstacle: Obstacle | undefined = row.status === "Paused" && (row.resumeAt === null || at < row.resumeAt)
      ? { _tag: "Paused" }
      : state.skips.includes(tick)
      ? { _tag: "Skipped", action: "skip" }
      : frozenAt(freezes, tick)
      ? { _tag: "Frozen" }
      : undefined
    if (obstacle === undefined) left--
    yield { tick, startsAt: at, obstacle }
  }

  let { skipNext } = state
  let stretch = state.stretch
  const subject = {
    row: { ...row, overlapTurn: null, live: [], ended: [], behind: [] },
    timetable,
    policies,
    state,
    freezes
  }
  const obstacleOf = (tick: number): Obstacle | undefined => {
    const due = plan.dueAt(tick)
    if (row.status === "Paused" && (row.resumeAt === null || due < row.resumeAt)) return { _tag: "Paused" }
    const excluded = timetable.excluded(tick)
    if (excluded !== null) return { _tag: "Excluded", by: excluded }
    if (state.skips.includes(tick)) return { _tag: "Skipped", action: "skip" }
    if (skipNext > 0) {
      skipNext--
      return { _tag: "Skipped", action: "skipNext" }
    }
    if (frozenAt(freezes, tick)) return { _tag: "Frozen" }
    if (due > now) return undefined
    stretch = latenessOf(stretch, plan, { ...subject, state: { ...state, skipNext } }, tick, now)
    const why = stretch === null || due >= stretch.edge ? undefined : lateness(outlook, stretch, tick)
    if (why !== undefined) return { _tag: "Late", why }
    const { startDeadlineMillis } = policies
    return startDeadlineMillis !== null && tick + startDeadlineMillis < now
      ? { _tag: "Late", why: "its start deadline has passed" }
      : undefined
  }

  for (let tick = row.nextAt; tick !== null && left > 0; tick = plan.next(tick)) {
    if (state.ahead.includes(tick)) continue
    const obstacle = obstacleOf(tick)
    if (obstacle === undefined) left--
    yield { tick, startsAt: plan.dueAt(tick), obstacle }
  }
}

const lateness = (
  { policies }: Outlook,
  { capFrom, mode, refused, target, windowFrom }: NonNullable<ReturnType<typeof latenessOf>>,
  tick: number
): string | undefined => {
  if (mode === "none") return "it is late, and the policy drops late ticks"
  if (windowFrom !== null && tick < windowFrom) return "it is older than the catch-up window"
  if (mode === "all") {
    return capFrom !== null && tick < capFrom
      ? `more ticks are late than the catch-up cap of ${policies.catchUp.cap} lets start`
      : undefined
  }
  if (target === null) return "its start deadline has passed"
  if (target === tick) return undefined
  return refused === undefined
    ? `it is late, and the run of ${iso(target)} stands for it`
    : `it is late, and the last of the late ticks could not start`
}
