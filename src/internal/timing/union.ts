/** The ticks of several timings together. */
import type { Timetable } from "../../Timing.ts"
import { type Base, nearest } from "./base.ts"
import * as Reading from "./reading.ts"

/** One of the timings: what it says by itself, and its timetable. */
export interface Part {
  readonly base: Base
  readonly timetable: Timetable
}

/** How many parts are worth describing. */
const mostShown = 4

const describe = (parts: ReadonlyArray<Timetable>): string => {
  const shown = parts.slice(0, mostShown).map((part, index) => {
    const sentence = part.describe().slice(0, -1)
    return `(${index + 1}) ${sentence[0]!.toLowerCase()}${sentence.slice(1)}`
  })
  const more = parts.length > mostShown ? [`and ${parts.length - mostShown} more`] : []
  return `Each of these timings: ${[...shown, ...more].join("; ")}`
}

/** Whether a timetable names an instant. */
export const names = (timetable: Timetable, tick: number): boolean => timetable.next(tick - 1) === tick

/** What excludes a tick for all of the parts that name it: the reason that the first of them gives, or null. */
const excluded = (parts: ReadonlyArray<Timetable>) => (tick: number): string | null => {
  const reasons = parts.filter((part) => names(part, tick)).map((part) => part.excluded(tick))
  return reasons.includes(null) ? null : reasons[0] ?? null
}

export const unite = (given: ReadonlyArray<Part>): Base => {
  const byText = new Map(given.map((part) => [part.timetable.text, part]))
  const texts = Reading.sorted(Array.from(byText.keys()))
  const parts = texts.map((text) => byText.get(text)!)
  const timetables = parts.map(({ timetable }) => timetable)
  const zones = new Map(parts.flatMap(({ base }) => base.zones).map((named) => [named.zone.name, named]))
  return {
    stored: { union: texts.map((text): unknown => JSON.parse(text)) },
    zones: Array.from(zones.values()),
    parts: timetables,
    expression: timetables.map(({ expression }) => expression).join(" | "),
    next: nearest(timetables.map(({ next }) => next), Math.min),
    prev: nearest(timetables.map(({ prev }) => prev), Math.max),
    excluded: excluded(timetables),
    describe: () => describe(timetables)
  }
}
