/**
 * Lateness: the ticks that are late when somebody looks are one stretch, and the rule for catching up is about all of it.
 *
 * A stretch can be longer than one decision, so what the rule says about it is settled at its first tick and remembered.
 */
import type { Freeze, Subject } from "./decide.ts"
import type { Plan } from "./plan.ts"
import type { Stretch } from "./state.ts"

/** Calendars and freezes can pass over this many ticks in a row before the search for one to start is given up. */
const maxSearched = 100_000

/** The stretch that the tick belongs to: the one under way, a new one when it is late, or none. */
export const latenessOf = (
  underWay: Stretch | null,
  plan: Plan,
  subject: Subject,
  tick: number,
  now: number
): Stretch | null => {
  if (underWay !== null && plan.dueAt(tick) < underWay.edge) return underWay
  const { policies: { catchUp, graceMillis, startDeadlineMillis }, state: { resumed } } = subject
  // One that its jitter put off beyond the resume was not missed by the pause, and is late or on time like any other.
  const asked = resumed !== null && plan.dueAt(tick) <= resumed.at ? resumed : null
  // An instant after the last tick that it is about.
  const edge = asked === null ? now - graceMillis : asked.at + 1
  if (plan.dueAt(tick) >= edge) return null
  const mode = asked?.mode ?? catchUp.mode
  const windowFrom = catchUp.windowMillis === null ? null : now - catchUp.windowMillis
  const late = { edge, mode, windowFrom, target: null, capFrom: null }
  if (mode === "none") return late
  const searchFrom = Math.max(tick, windowFrom ?? tick)
  if (mode === "latest") {
    const from = Math.max(searchFrom, afterSkips(plan, subject, tick), now - (startDeadlineMillis ?? Infinity))
    return { ...late, target: nthBefore(plan, subject, from, edge, 1) }
  }
  return { ...late, capFrom: catchUp.cap === null ? null : nthBefore(plan, subject, searchFrom, edge, catchUp.cap) }
}

/** The n-th tick that could start, counted back from the end of the stretch; null when there are fewer. */
const nthBefore = (plan: Plan, subject: Subject, from: number, edge: number, n: number): number | null => {
  let counted = 0
  let tick = plan.prev(edge)
  for (let searched = 0; tick !== null && tick >= from && searched < maxSearched; searched++) {
    if (plan.dueAt(tick) < edge && canStart(subject, tick) && ++counted === n) return tick
    tick = plan.prev(tick)
  }
  return null
}

/** Where the ticks begin that an operator has not asked to skip as the next ones. */
const afterSkips = (plan: Plan, { state: { skipNext, skips }, timetable }: Subject, from: number): number => {
  let left = skipNext
  let tick: number | null = from
  for (let searched = 0; left > 0 && tick !== null && searched < maxSearched; searched++) {
    if (timetable.excluded(tick) === null && !skips.includes(tick)) left--
    tick = plan.next(tick)
  }
  return tick ?? Infinity
}

const canStart = ({ freezes, state, timetable }: Subject, tick: number): boolean =>
  timetable.excluded(tick) === null && !state.skips.includes(tick) && !frozenAt(freezes, tick)

export const frozenAt = (freezes: ReadonlyArray<Freeze>, tick: number): boolean =>
  freezes.some(({ from, to }) => from <= tick && (to === null || tick < to))
