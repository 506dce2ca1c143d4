/** When a schedule's ticks are due: its timetable within its bounds, and the spread of its starts. */
import type { Timetable } from "../../Timing.ts"
import type { Policies } from "./policies.ts"

export interface Plan {
  /** The first tick strictly after, within the bounds. */
  readonly next: (after: number) => number | null
  /** The last tick strictly before, within the bounds. */
  readonly prev: (before: number) => number | null
  /** The first tick that is due at the instant or later. Only the last one before it can be: jitter does not reach beyond a tick. */
  readonly firstDue: (instant: number) => number | null
  /** When the tick is to be started: at its instant, or later by its jitter. Ticks keep their order. */
  readonly dueAt: (tick: number) => number
}

/**
 * A fraction of 1 that depends on nothing but the name and the instant (FNV-1a with a finish that spreads what is alike), the same
 * in every process and after every restart.
 */
const fraction = (name: string, tick: number): number => {
  let hash = 0x811c9dc5
  const text = `${name}@${tick}`
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

export const plan = (name: string, timetable: Timetable, { from, jitterMillis, until }: Policies): Plan => {
  const next = (after: number): number | null => {
    const tick = timetable.next(from === null ? after : Math.max(after, from - 1))
    return tick === null || (until !== null && tick >= until) ? null : tick
  }
  const prev = (before: number): number | null => {
    const tick = timetable.prev(until === null ? before : Math.min(before, until))
    return tick === null || (from !== null && tick < from) ? null : tick
  }
  const dueAt = (tick: number): number => {
    if (jitterMillis === 0) return tick
    const after = timetable.next(tick)
    const bound = after === null ? jitterMillis : Math.min(jitterMillis, after - tick)
    return tick + Math.floor(fraction(name, tick) * bound)
  }
  const firstDue = (instant: number): number | null => {
    const last = prev(instant)
    return last !== null && dueAt(last) >= instant ? last : next(instant - 1)
  }
  return { next, prev, firstDue, dueAt }
}
