/** Ticks at times of day on every so manieth day, week or month. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Cron from "../../Cron.ts"
import { firstDay, monthNumber, monthOf } from "../cron/calendar.ts"
import { type Base, counted, enumerate, shortened } from "./base.ts"
import {
  dateOf,
  dayOf,
  formatDay,
  formatTime,
  lengthOf,
  secondsOf,
  type Weekday,
  weekday,
  weekdayNames,
  weekdays
} from "./civil.ts"
import { halves } from "./crons.ts"
import * as Reading from "./reading.ts"

const dayMillis = 86_400_000

/** The days that an interval is made of. */
interface Days {
  /** The first of them from a day on, or Infinity. */
  readonly from: (day: number) => number
  /** The last of them up to a day, or -Infinity. */
  readonly until: (day: number) => number
}

// ── days ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** In some zone this day begins while it is still the year 9999 in UTC. */
const lastDay = dayOf("9999-12-31")! + 1

const everyDays = (first: number, step: number): Days => ({
  from: (day) => day <= first ? first : first + Math.ceil((day - first) / step) * step,
  until: (day) => day < first ? -Infinity : first + Math.floor((day - first) / step) * step
})

const everyMonths = (first: number, step: number): Days => {
  const { day: dayOfMonth, month, year } = dateOf(first)
  const start = monthNumber(year, month)
  const end = monthOf(lastDay)
  const dayIn = (month: number): number =>
    month < start
      ? -Infinity
      : month > end
      ? Infinity
      : firstDay(month) + Math.min(dayOfMonth, lengthOf(month)) - 1
  return {
    from: (day) => {
      const month = start + Math.max(0, Math.ceil((monthOf(day) - start) / step)) * step
      const found = dayIn(month)
      return found >= day ? found : dayIn(month + step)
    },
    until: (day) => {
      const month = start + Math.floor((monthOf(day) - start) / step) * step
      const found = dayIn(month)
      return found <= day ? found : dayIn(month - step)
    }
  }
}

/** Weekdays of every so manieth week, of which the one that `first` is in is the first. Weeks begin on Monday. */
const everyWeeks = (first: number, step: number, on: ReadonlyArray<Weekday>): Days => {
  const monday = first - weekdays.indexOf(weekday(first))
  const each = on.map((name) => {
    const day = monday + weekdays.indexOf(name)
    return everyDays(day < first ? day + 7 * step : day, 7 * step)
  })
  return each.length === 1 ? each[0]! : {
    from: (day) => Math.min(...each.map(({ from }) => from(day))),
    until: (day) => Math.max(...each.map(({ until }) => until(day)))
  }
}

const unitNames = ["days", "weeks", "months"] as const
type Unit = (typeof unitNames)[number]

const daysOf = (unit: Unit, first: number, every: number, on: ReadonlyArray<Weekday>): Days =>
  unit === "months"
    ? everyMonths(first, every)
    : unit === "weeks"
    ? everyWeeks(first, every, on)
    : everyDays(first, every)

// ── ticks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Bounds on the ticks of a day: offsets from UTC are less than a day, and what a clock change leaves out is made up for within
 * hours. A cron for the date does not fire on that date of another year within these bounds.
 */
const earliest = (day: number): number => (day - 1) * dayMillis
const latest = (day: number): number => (day + 3) * dayMillis - 1

/** Enough for the days whose bounds contain one instant. */
const mostKept = 8

/**
 * The ticks at these times on these days. Those of one day are the occurrences of crons that name its date, so that they keep
 * to that day and to the rules of cron expressions where clocks change.
 */
const search = (days: Days, times: ReadonlyArray<number>, options: Cron.Options): Pick<Base, "next" | "prev"> => {
  const kept = new Map<number, ReadonlyArray<Cron.Cron>>()
  const cronsOf = (date: number): ReadonlyArray<Cron.Cron> => {
    let crons = kept.get(date)
    if (crons === undefined) {
      const { day, month } = dateOf(date)
      crons = times.map((time) => Cron.parseUnsafe(cronText(time, `${day} ${month} *`), options))
      if (kept.size >= mostKept) kept.clear()
      kept.set(date, crons)
    }
    return crons
  }
  return {
    next: (after) => {
      let found = Infinity
      const start = days.from(Math.floor(after / dayMillis) - 3)
      for (let day = start; day <= lastDay && earliest(day) < found; day = days.from(day + 1)) {
        for (const cron of cronsOf(day)) {
          const tick = Cron.next(cron, Math.max(after, earliest(day) - 1))
          if (Option.isSome(tick) && tick.value <= latest(day)) found = Math.min(found, tick.value)
        }
      }
      return found === Infinity ? null : found
    },
    prev: (before) => {
      let found = -Infinity
      const start = days.until(Math.ceil(before / dayMillis) + 1)
      for (let day = start; day > -Infinity && latest(day) > found; day = days.until(day - 1)) {
        for (const cron of cronsOf(day)) {
          const tick = Cron.prev(cron, Math.min(before, latest(day) + 1))
          if (Option.isSome(tick) && tick.value >= earliest(day)) found = Math.max(found, tick.value)
        }
      }
      return found === -Infinity ? null : found
    }
  }
}

const cronText = (time: number, days: string): string =>
  `${time % 60} ${Math.floor(time / 60) % 60} ${Math.floor(time / 3600)} ${days}`

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const time = (field: string, input: unknown): Reading.Read<number> => {
  const seconds = typeof input === "string" ? secondsOf(input) : undefined
  return seconds === undefined ? Reading.invalid(field, "must be a time as in \"09:00\"") : Result.succeed(seconds)
}

const day = (field: string, input: unknown): Reading.Read<number> => {
  const day = typeof input === "string" ? dayOf(input) : undefined
  return day === undefined ? Reading.invalid(field, "must be a date as in \"2030-01-31\"") : Result.succeed(day)
}

const onDay = (unit: Unit, first: number, on: ReadonlyArray<Weekday>): string =>
  unit === "days"
    ? ""
    : unit === "weeks"
    ? ` on ${enumerate(on.map((name) => weekdayNames[name]))}`
    : ` on day ${dateOf(first).day}`

const inShortMonths = (unit: Unit, first: number): string =>
  unit === "months" && dateOf(first).day > 28 ? ", or the last day of shorter months," : ""

/** The weekdays of weeks, by default the one that the first day is. */
const weekdaysOf = (field: string, input: unknown, unit: Unit, first: number): Reading.Read<ReadonlyArray<Weekday>> => {
  if (input === undefined) return Result.succeed([weekday(first)])
  if (unit !== "weeks") return Reading.invalid(field, "is for weeks")
  return Result.flatMap(Reading.list(field, input, Reading.oneOf(weekdays)), (given) =>
    given.length === 0
      ? Reading.invalid(field, "must not be an empty list")
      : Result.succeed(Reading.sorted(given, (name) => weekdays.indexOf(name))))
}

/** How many times of day are worth showing. */
const mostShown = 6

const known = ["every", "unit", "weekdays", "at", "timeZone", "from", "gap", "fold"]

export const read = (parent: string, input: Reading.Fields): Reading.Read<Base> =>
  Result.gen(function*() {
    const field = `${parent}.calendar`
    const given = yield* Reading.fields(field, input["calendar"], known)
    const every = yield* Reading.positive(`${field}.every`, given["every"])
    const unit = yield* Reading.oneOf(unitNames)(`${field}.unit`, given["unit"])
    const times = Reading.sorted(yield* Reading.oneOrMore(`${field}.at`, given["at"], time))
    const from = yield* day(`${field}.from`, given["from"])
    const on = yield* weekdaysOf(`${field}.weekdays`, given["weekdays"], unit, from)
    const gap = (yield* Reading.optional(`${field}.gap`, given["gap"], Reading.gap)) ?? "shift"
    const fold = (yield* Reading.optional(`${field}.fold`, given["fold"], Reading.fold)) ?? "first"
    const zone = (yield* Reading.optional(`${field}.timeZone`, given["timeZone"], Reading.timeZone)) ?? Reading.utc
    const options = { timeZone: zone.name, gap, fold }
    const clock = times.map(formatTime)
    const interval = `every ${counted(every, unit.slice(0, -1))}${onDay(unit, from, on)}`
    const isUsualDay = on.length === 1 && on[0] === weekday(from)
    return {
      stored: {
        calendar: {
          every,
          unit,
          weekdays: isUsualDay ? undefined : on,
          at: Reading.oneOrList(clock),
          timeZone: zone.name === "UTC" ? undefined : zone.name,
          from: formatDay(from),
          gap: gap === "shift" ? undefined : gap,
          fold: fold === "first" ? undefined : fold
        }
      },
      zones: [zone],
      expression: `${interval} at ${clock.join(", ")}`,
      ...search(daysOf(unit, from, every, on), times, options),
      describe: () => {
        const rule = halves(Cron.parseUnsafe(cronText(times[0]!, "* * *"), options))[1]
        const days = `E${interval.slice(1)}${inShortMonths(unit, from)}`
        return `${days} at ${shortened(clock, mostShown, "more times of day")}, from ${formatDay(from)} on, ${rule}`
      }
    }
  })
