/** Random timings. */
import { Arbitrary } from "effect"
import type * as Timing from "effect-durable/Timing"
import * as Generate from "../cron/generators.ts"

export const oneOf = <A>(...values: ReadonlyArray<A>) =>
  Arbitrary.map(Generate.int(0, values.length - 1), (index) => values[index]!)

/** Zones with clock changes at odd times, by odd amounts, at midnight, and without any. */
export const zone = oneOf(
  "Europe/Lisbon",
  "America/New_York",
  "Australia/Lord_Howe",
  "Asia/Kolkata",
  "UTC",
  "America/Nuuk",
  "America/Havana",
  "Africa/Cairo"
)

export const gap = oneOf<"shift" | "skip" | undefined>("shift", "skip", undefined)
export const fold = oneOf<"first" | "second" | "both" | undefined>("first", "second", "both", undefined)

const two = (value: number) => String(value).padStart(2, "0")

/** Any millisecond of the years 2022 to 2031. */
export const instant = Arbitrary.map(
  Arbitrary.all([Generate.int(52, 61), Generate.int(0, 366 * 86_400 - 1), Generate.int(0, 999)]),
  ([year, second, milli]) => Date.UTC(1970 + year, 0) + second * 1000 + milli
)

const date = Arbitrary.map(instant, (millis) => new Date(millis).toISOString().slice(0, 10))

const weekday = oneOf<Timing.Weekday>("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

/** More often at hours when clocks change. */
const time = Arbitrary.map(
  Arbitrary.all([oneOf(0, 1, 2, 3, 23, 9), oneOf(0, 15, 30, 59), oneOf(0, 0, 30)]),
  ([hour, minute, second]) => `${two(hour)}:${two(minute)}${second === 0 ? "" : `:${two(second)}`}`
)

export const interval: Arbitrary.Arbitrary<Timing.CalendarInterval> = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.all([
      oneOf(1, 1, 2, 3, 7, 45),
      oneOf<Timing.CalendarInterval["unit"]>("days", "weeks", "months"),
      zone,
      gap,
      fold
    ]),
    Arbitrary.all([date, oneOf(undefined, "29", "30", "31"), time, time, oneOf(1, 2)]),
    Arbitrary.all([oneOf(true, false), Arbitrary.array(weekday, { minLength: 1, maxLength: 4 })])
  ]),
  ([[every, unit, timeZone, gap, fold], [date, day, first, second, times], [named, weekdays]]) => {
    const from = `${date.slice(0, 8)}${day === undefined || date.slice(5, 7) === "02" ? date.slice(8) : day}`
    return {
      every,
      unit,
      ...(named && unit === "weeks" ? { weekdays } : {}),
      at: times === 1 ? first : [first, second],
      timeZone,
      from: from.replace(/-(04|06|09|11)-31/, "-$1-30"),
      gap,
      fold
    }
  }
)

const monthDay = Arbitrary.map(date, (date) => date.slice(5))

export const except: Arbitrary.Arbitrary<Timing.Except> = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.all([Generate.int(1, 7), date, monthDay, weekday, weekday]),
    Arbitrary.all([oneOf("* * 2-3 * * *", "* * * * * MON", "0 30 1 * * *"), zone, oneOf(true, false)])
  ]),
  ([[which, date, yearly, first, second], [cron, timeZone, zoned]]) => ({
    ...((which & 1) === 0 ? {} : { dates: [date, yearly] }),
    ...((which & 2) === 0 ? {} : { weekdays: [first, second] }),
    ...((which & 4) === 0 ? {} : { cron }),
    ...(zoned ? { timeZone } : {})
  })
)

const cron = oneOf(
  "0 */20 * * * *",
  "0 30 1,2 * * *",
  "0 0 0 * * MON-FRI",
  "@daily",
  "0 15 2 1,L * *",
  "30 59 23 * * +*",
  "0 0 9 29 2 *"
)

/** Any of the four ways, with up to two calendars. */
export const part: Arbitrary.Arbitrary<Timing.Part> = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.all([oneOf(0, 1, 2, 3), interval, cron, cron, instant, instant]),
    Arbitrary.all([Generate.int(1, 400_000), oneOf(0, 1, 2), except, except])
  ]),
  ([[kind, calendar, first, second, one, other], [seconds, calendars, a, b]]) => {
    const { fold, gap, timeZone } = calendar
    const base: Timing.Part = [
      { cron: [first, second] as const, timeZone, gap, fold },
      { at: [one, new Date(other), one + 86_400_000, other] },
      { every: seconds * 1000 + 500, anchor: calendars === 1 ? undefined : one },
      { calendar }
    ][kind]!
    return { ...base, except: [[], a, [a, b]][calendars] as Timing.Timing["except"] }
  }
)

/** Several of them, with up to one calendar. */
export const union: Arbitrary.Arbitrary<Timing.UnionTiming> = Arbitrary.map(
  Arbitrary.all([Arbitrary.array(part, { minLength: 1, maxLength: 4 }), oneOf(true, false), except, zone]),
  ([parts, excepted, except, timeZone]) => ({
    union: parts as [Timing.Part, ...Array<Timing.Part>],
    ...(excepted ? { except: { ...except, timeZone } } : {})
  })
)

export const timing: Arbitrary.Arbitrary<Timing.Timing> = Arbitrary.map(
  Arbitrary.all([Generate.int(0, 4), part, union]),
  ([kind, part, union]) => kind === 0 ? union : part
)
