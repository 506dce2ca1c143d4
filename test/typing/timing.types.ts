/** What must compile about timings, and what must not. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { pipe } from "effect/Function"
import type * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { CronParseError } from "../../src/Cron.ts"
import type { InvalidInput } from "../../src/Errors.ts"
import * as Timing from "../../src/Timing.ts"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <A, B>(_: Equals<A, B>): void => {}

declare const text: string
declare const texts: ReadonlyArray<string>
declare const some: readonly [string, ...ReadonlyArray<string>]

// ── crons ───────────────────────────────────────────────────────────────────────────────────────────────────────────

Timing.cron("0 0 6 * * *")
Timing.cron("@daily", { timeZone: "Europe/Lisbon", gap: "skip", fold: "both" })
Timing.cron(text)
Timing.cron(["0 0 6 * * *"])
Timing.cron(["0 0 6 * * *", "@hourly", text])
Timing.cron(some)

// @ts-expect-error five fields: seconds come first
Timing.cron("0 6 * * *")
// @ts-expect-error five fields in one of them
Timing.cron(["0 0 6 * * *", "0 6 * * *"])
// @ts-expect-error seven fields in one of them
Timing.cron(["0 0 6 * * *", text, "0 0 6 * * * 2030"])
// @ts-expect-error no cron at all
Timing.cron([])
// @ts-expect-error perhaps no cron at all
Timing.cron(texts)
// @ts-expect-error there is no such rule
Timing.cron("0 0 6 * * *", { gap: "first" })
// @ts-expect-error there is no such option
Timing.cron("0 0 6 * * *", { timezone: "UTC" })

// ── the other ways ──────────────────────────────────────────────────────────────────────────────────────────────────

Timing.at("2030-01-01")
Timing.at([0, DateTime.makeUnsafe(0), { year: 2030 }])
// @ts-expect-error not an instant
Timing.at(true)

Timing.every("90 minutes")
Timing.every(Duration.hours(1), { anchor: "2030-01-01" })
Timing.every({ hours: 1 }, { anchor: undefined })
// @ts-expect-error a duration is written otherwise
Timing.every("an hour")

Timing.calendar({ every: 1, unit: "days", at: "09:00", from: "2030-01-01" })
Timing.calendar({ every: 1, unit: "weeks", at: texts, from: text, timeZone: text, gap: "shift", fold: undefined })
// @ts-expect-error the first day is missing
Timing.calendar({ every: 1, unit: "days", at: "09:00" })
Timing.calendar({ every: 2, unit: "weeks", weekdays: ["MON", "WED"], at: "09:00", from: "2030-01-01" })
// @ts-expect-error there is no such weekday
Timing.calendar({ every: 2, unit: "weeks", weekdays: ["MO"], at: "09:00", from: "2030-01-01" })
// @ts-expect-error there is no such unit
Timing.calendar({ every: 1, unit: "years", at: "09:00", from: "2030-01-01" })

// ── unions ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const union = Timing.union([
  Timing.cron("0 0 6 * * *"),
  Timing.except(Timing.every("1 hour"), { weekdays: ["SAT"] }),
  pipe(Timing.at(0), Timing.except({ weekdays: ["SAT"] }), Timing.except({ weekdays: ["SUN"] })),
  { calendar: { every: 1, unit: "months", at: ["09:00"], from: "2030-01-31" } }
])
same<typeof union, Timing.UnionTiming>(true)
const less = Timing.except(union, { dates: texts, timeZone: text })
same<typeof less, Timing.Timing>(true)

// @ts-expect-error no timing at all
Timing.union([])
// @ts-expect-error a union is no part of another
Timing.union([Timing.cron("0 0 6 * * *"), union])
// @ts-expect-error nor when something is left out of it
Timing.union([less])

// ── plain data ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const plain: ReadonlyArray<Timing.Timing> = [
  { cron: "0 0 6 * * *", except: { weekdays: ["SAT", "SUN"] } },
  { cron: ["0 0 6 * * *", "@hourly"], timeZone: "Europe/Lisbon" },
  { at: 0 },
  { every: 5000, except: [{ dates: ["12-25"] }, { cron: "@daily", timeZone: "UTC", name: "midnight" }] },
  { calendar: { every: 1, unit: "months", at: ["09:00"], from: "2030-01-31" } }
]
// @ts-expect-error there is no way to tick in it
export const none: Timing.Timing = { except: { weekdays: ["SAT"] } }

// ── exclusions ──────────────────────────────────────────────────────────────────────────────────────────────────────

const weekdays = pipe(
  Timing.every("1 hour"),
  Timing.except({ weekdays: ["SAT", "SUN"] }),
  Timing.except({ dates: texts, cron: "0 0 6 * * *", timeZone: text, name: "holidays" })
)
same<typeof weekdays, Timing.Part>(true)
Timing.except(weekdays, { cron: text })
Timing.except(weekdays, { cron: undefined, weekdays: ["MON"] })

// @ts-expect-error five fields
Timing.except(weekdays, { cron: "0 6 * * *" })
// @ts-expect-error five fields
Timing.except({ cron: "0 6 * * *" })
// @ts-expect-error weekdays have three capitals
Timing.except(weekdays, { weekdays: ["Sat"] })
// @ts-expect-error there is no such field
Timing.except(weekdays, { days: [] })

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const parsed = Timing.parse(weekdays)
same<typeof parsed, Result.Result<Timing.Timetable, CronParseError | InvalidInput>>(true)
const read = Timing.fromText(text)
same<typeof read, Result.Result<Timing.Timetable, string>>(true)
same<typeof Timing.Timing.Type, Timing.Timing>(true)
same<typeof Timing.Timing.Encoded, Schema.Json>(true)
