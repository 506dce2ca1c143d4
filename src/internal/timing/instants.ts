/** Ticks that are named one by one. */
import * as Result from "effect/Result"
import { type Base, shortened } from "./base.ts"
import * as Reading from "./reading.ts"

/** How many of the instants are worth showing. */
const mostShown = 3

/** The index of the first value that is greater. */
const after = (values: ReadonlyArray<number>, value: number): number => {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low
}

/** An instant for people. */
export const short = (millis: number): string => Reading.iso(millis).replace(".000Z", "Z")

const shown = (instants: ReadonlyArray<number>): string => shortened(instants.map(short), mostShown)

export const read = (field: string, input: Reading.Fields): Reading.Read<Base> =>
  Result.map(Reading.oneOrMore(`${field}.at`, input["at"], Reading.instant), (given) => {
    const instants = Reading.sorted(given)
    return {
      stored: { at: Reading.oneOrList(instants.map(Reading.iso)) },
      zones: [],
      expression: `at ${shown(instants)}`,
      next: (from) => instants[after(instants, from)] ?? null,
      // The values are whole numbers, so what is before an instant is not after the one just before it.
      prev: (from) => instants[after(instants, Math.ceil(from) - 1) - 1] ?? null,
      describe: () => `${instants.length === 1 ? "Once, at" : "At"} ${shown(instants)}, in UTC`
    }
  })
