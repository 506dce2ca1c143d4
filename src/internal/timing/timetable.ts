/** Puts the ticks and what is excluded of them together. */
import * as Result from "effect/Result"
import type { Timetable } from "../../Timing.ts"
import type { Base } from "./base.ts"
import * as Crons from "./crons.ts"
import * as Elapsed from "./elapsed.ts"
import { type Exclusion, readAll } from "./exclusions.ts"
import * as Instants from "./instants.ts"
import * as Interval from "./interval.ts"
import * as Reading from "./reading.ts"

interface Kind {
  readonly known: ReadonlyArray<string>
  readonly read: (input: Reading.Fields) => Reading.Read<Base, Reading.Refusal>
}

/** The ways to say when a schedule ticks, by the field that only they have. */
const kinds: Readonly<Record<string, Kind>> = {
  cron: { known: ["cron", "timeZone", "gap", "fold", "except"], read: Crons.read },
  at: { known: ["at", "except"], read: Instants.read },
  every: { known: ["every", "anchor", "except"], read: Elapsed.read },
  calendar: { known: ["calendar", "except"], read: Interval.read }
}

const anything = Array.from(new Set(Object.values(kinds).flatMap(({ known }) => known)))

const describe = (base: Base, exclusions: ReadonlyArray<Exclusion>): string =>
  [base.describe(), ...exclusions.map((exclusion) => `except ${exclusion.describe()}`)].join("; ") + "."

const compose = (base: Base, exclusions: ReadonlyArray<Exclusion>): Timetable => {
  const except = exclusions.length === 0 ? undefined : Reading.oneOrList(exclusions.map(({ stored }) => stored))
  return {
    text: JSON.stringify({ ...base.stored, except }),
    timeZone: base.zone.name,
    expression: base.expression,
    next: (after) => after < Reading.maxMillis ? base.next(Math.max(after, Reading.minMillis - 1)) : null,
    prev: (before) => before > Reading.minMillis ? base.prev(Math.min(before, Reading.maxMillis + 1)) : null,
    excluded: (tick) => {
      if (!(tick >= Reading.minMillis && tick <= Reading.maxMillis)) return null
      for (const exclusion of exclusions) {
        const reason = exclusion.reason(tick)
        if (reason !== null) return reason
      }
      return null
    },
    describe: () => describe(base, exclusions)
  }
}

/** Reads a timing that may be anything. */
export const read = (input: unknown): Reading.Read<Timetable, Reading.Refusal> =>
  Result.gen(function*() {
    const given = yield* Reading.fields("timing", input, anything)
    const [key, ...others] = Object.keys(kinds).filter((key) => key in given)
    if (key === undefined || others.length > 0) {
      return yield* Reading.invalid("timing", "must have exactly one of cron, at, every and calendar")
    }
    const kind = kinds[key]!
    const base = yield* kind.read(yield* Reading.fields("timing", given, kind.known))
    return compose(base, yield* readAll(given["except"], base.zone))
  })
