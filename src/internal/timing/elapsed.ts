/** Ticks at a fixed distance in elapsed time, whatever the clocks do. */
import * as Result from "effect/Result"
import { type Base, counted } from "./base.ts"
import { short } from "./instants.ts"
import * as Reading from "./reading.ts"

/** No unit is longer than an hour: a day by the clock is not always 24 of them. */
const units = [["hour", 3_600_000], ["minute", 60_000], ["second", 1000], ["millisecond", 1]] as const

const inWords = (millis: number): string => {
  const [name, size] = units.find(([, size]) => millis % size === 0)!
  return `every ${counted(millis / size, name)}`
}

export const read = (field: string, input: Reading.Fields): Reading.Read<Base> =>
  Result.gen(function*() {
    const every = yield* Reading.duration(`${field}.every`, input["every"])
    const anchor = yield* Reading.optional(`${field}.anchor`, input["anchor"], Reading.instant)
    const start = anchor ?? 0
    const first = anchor === undefined ? Math.ceil(Reading.minMillis / every) : 0
    const last = Math.floor((Reading.maxMillis - start) / every)
    const tick = (count: number): number | null => count < first || count > last ? null : start + count * every
    return {
      stored: { every, anchor: anchor === undefined ? undefined : Reading.iso(anchor) },
      zones: [],
      expression: inWords(every),
      next: (after) => tick(Math.max(first, Math.floor((after - start) / every) + 1)),
      prev: (before) => tick(Math.min(last, Math.ceil((before - start) / every) - 1)),
      describe: () => {
        const origin = anchor === undefined ? `counted from ${short(0)}` : `from ${short(anchor)} on`
        return `E${inWords(every).slice(1)} of elapsed time, ${origin}, in UTC, which has no clock changes`
      }
    }
  })
