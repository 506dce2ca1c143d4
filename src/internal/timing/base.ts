/** What every way to say when a schedule ticks comes down to. */
import type { Timetable } from "../../Timing.ts"
import type { NamedZone } from "./reading.ts"

export interface Base {
  /** The fields as they are stored. Those that are undefined are left out. */
  readonly stored: Readonly<Record<string, unknown>>
  /** The time zones whose clocks its ticks follow: none, one, or of a union several. */
  readonly zones: ReadonlyArray<NamedZone>
  /** What it is the union of, if it is one. */
  readonly parts?: ReadonlyArray<Timetable> | undefined
  readonly expression: string
  /** The first tick after an instant and the last before it; asked only for instants of the years 1 to 9999. */
  readonly next: (after: number) => number | null
  readonly prev: (before: number) => number | null
  /** Why a tick is left out by what it is made of, or null. */
  readonly excluded?: (tick: number) => string | null
  /** A sentence, without the full stop at its end. */
  readonly describe: () => string
}

/** The nearest of the ticks that several have on one side of an instant. */
export const nearest = (
  asks: ReadonlyArray<(from: number) => number | null>,
  choose: (a: number, b: number) => number
): (from: number) => number | null =>
  asks.length === 1 ? asks[0]! : (from) =>
    asks.reduce<number | null>((found, ask) => {
      const tick = ask(from)
      return tick === null || found === null ? tick ?? found : choose(tick, found)
    }, null)

export const enumerate = (parts: ReadonlyArray<string>): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`

/** The first of the parts, and how many more there are. */
export const shortened = (parts: ReadonlyArray<string>, most: number, more = "more"): string =>
  enumerate(parts.length <= most + 1 ? parts : [...parts.slice(0, most), `${parts.length - most} ${more}`])

/** The unit, with its number unless it is one. */
export const counted = (count: number, unit: string): string => count === 1 ? unit : `${count} ${unit}s`

export const capitalize = (sentence: string): string => sentence[0]!.toUpperCase() + sentence.slice(1)
