/** What every way to say when a schedule ticks comes down to. */
import type { NamedZone } from "./reading.ts"

export interface Base {
  /** The fields as they are stored. Those that are undefined are left out. */
  readonly stored: Readonly<Record<string, unknown>>
  readonly zone: NamedZone
  readonly expression: string
  /** The first tick after an instant and the last before it; asked only for instants of the years 1 to 9999. */
  readonly next: (after: number) => number | null
  readonly prev: (before: number) => number | null
  /** A sentence, without the full stop at its end. */
  readonly describe: () => string
}

export const enumerate = (parts: ReadonlyArray<string>): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`

/** The unit, with its number unless it is one. */
export const counted = (count: number, unit: string): string => count === 1 ? unit : `${count} ${unit}s`

export const capitalize = (sentence: string): string => sentence[0]!.toUpperCase() + sentence.slice(1)
