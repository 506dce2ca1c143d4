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
import * as Union from "./union.ts"

interface Kind {
  readonly known: ReadonlyArray<string>
  readonly read: (field: string, input: Reading.Fields) => Reading.Read<Base, Reading.Refusal>
}

/** The ways to say when a schedule ticks, by the field that only they have. */
const kinds: Readonly<Record<string, Kind>> = {
  cron: { known: ["cron", "timeZone", "gap", "fold", "except"], read: Crons.read },
  at: { known: ["at", "except"], read: Instants.read },
  every: { known: ["every", "anchor", "except"], read: Elapsed.read },
  calendar: { known: ["calendar", "except"], read: Interval.read }
}

const inParts = Array.from(new Set(Object.values(kinds).flatMap(({ known }) => known)))

const describe = (base: Base, exclusions: ReadonlyArray<Exclusion>): string => {
  const but = base.parts === undefined ? "except" : "none of them"
  return [base.describe(), ...exclusions.map((exclusion) => `${but} ${exclusion.describe()}`)].join("; ") + "."
}

const compose = (base: Base, exclusions: ReadonlyArray<Exclusion>): Timetable => {
  const except = exclusions.length === 0 ? undefined : Reading.oneOrList(exclusions.map(({ stored }) => stored))
  return {
    text: JSON.stringify({ ...base.stored, except }),
    timeZone: base.zones.length === 1 ? base.zones[0]!.zone.name : "UTC",
    expression: base.expression,
    parts: base.parts,
    next: (after) => after < Reading.maxMillis ? base.next(Math.max(after, Reading.minMillis - 1)) : null,
    prev: (before) => before > Reading.minMillis ? base.prev(Math.min(before, Reading.maxMillis + 1)) : null,
    excluded: (tick) => {
      if (!(tick >= Reading.minMillis && tick <= Reading.maxMillis)) return null
      for (const exclusion of exclusions) {
        const reason = exclusion.reason(tick)
        if (reason !== null) return reason
      }
      return base.excluded?.(tick) ?? null
    },
    describe: () => describe(base, exclusions)
  }
}

/** Adds what is excluded. Ticks without a time zone are judged in UTC, and those of several only in one that is named. */
const complete = (field: string, base: Base, except: unknown): Reading.Read<Timetable, Reading.Refusal> =>
  Result.map(
    readAll(`${field}.except`, except, base.zones.length > 1 ? undefined : base.zones[0] ?? Reading.utc),
    (exclusions) => compose(base, exclusions)
  )

const part = (field: string, input: unknown): Reading.Read<Union.Part, Reading.Refusal> =>
  Result.gen(function*() {
    const given = yield* Reading.fields(field, input, inParts)
    const [key, ...others] = Object.keys(kinds).filter((key) => key in given)
    if (key === undefined || others.length > 0) {
      return yield* Reading.invalid(field, "must have exactly one of cron, at, every and calendar, or be a union")
    }
    const kind = kinds[key]!
    const base = yield* kind.read(field, yield* Reading.fields(field, given, kind.known))
    return { base, timetable: yield* complete(field, base, given["except"]) }
  })

const union = (field: string, input: Reading.Fields): Reading.Read<Timetable, Reading.Refusal> =>
  Result.gen(function*() {
    const given = yield* Reading.fields(field, input, ["union", "except"])
    const parts = yield* Reading.list(`${field}.union`, given["union"], part)
    if (parts.length === 0) return yield* Reading.invalid(`${field}.union`, "must not be an empty list")
    return yield* complete(field, Union.unite(parts), given["except"])
  })

/** Reads a timing that may be anything. */
export const read = (input: unknown): Reading.Read<Timetable, Reading.Refusal> =>
  Result.flatMap(Reading.fields("timing", input, [...inParts, "union"]), (given) =>
    "union" in given
      ? union("timing", given)
      : Result.map(part("timing", given), ({ timetable }) => timetable))
