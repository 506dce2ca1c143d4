/**
 * What intervals of the calendar and exclusions mean, written for reading and sharing no code with the module: the days of an
 * interval are counted one by one, and local time comes from what `Intl` prints.
 */
import type * as Timing from "effect-durable/Timing"
import { localClock } from "../cron/oracle.ts"

const day = 86_400

const dayOf = (date: string): number => Date.parse(date) / 1000 / day

const names = ["THU", "FRI", "SAT", "SUN", "MON", "TUE", "WED"] as const

/** The days from `from` until before `to` that are on the interval. */
const daysOf = ({ every, from, unit, weekdays }: Timing.CalendarInterval, to: number): Array<number> => {
  const days: Array<number> = []
  if (weekdays !== undefined) {
    // Each Monday begins another week.
    for (let next = dayOf(from), week = 0; next < to; next++) {
      if (next > dayOf(from) && names[next % 7] === "MON") week++
      if (week % every === 0 && weekdays.includes(names[next % 7]!)) days.push(next)
    }
    return days
  }
  const [year, month, dayOfMonth] = from.split("-").map(Number) as [number, number, number]
  for (let count = 0;; count++) {
    let next = dayOf(from) + count * every * (unit === "weeks" ? 7 : 1)
    if (unit === "months") {
      const first = Date.UTC(year, month - 1 + count * every)
      const last = new Date(Date.UTC(year, month + count * every, 0)).getUTCDate()
      next = first / 1000 / day + Math.min(dayOfMonth, last) - 1
    }
    if (next >= to) return days
    days.push(next)
  }
}

const secondsOf = (time: string): number => {
  const [hour, minute, second = 0] = time.split(":").map(Number)
  return hour! * 3600 + minute! * 60 + second
}

/** The first instant after the stretch of local time in which `local` is missing. */
const endOfGap = (clock: (second: number) => number, local: number): number => {
  const start = local - (local % 60) - 16 * 3600
  for (let at = start;; at += 60) if (clock(at - 60) < local && clock(at) > local) return at
}

/** The ticks in milliseconds, all of them from the start of the interval until before an instant. */
export const ticksOf = (interval: Timing.CalendarInterval, to: number): Array<number> => {
  const clock = localClock(interval.timeZone ?? "UTC")
  const end = Math.ceil(to / 1000 / day) + 2
  const start = dayOf(interval.from)
  const offsets = new Set<number>()
  for (let at = (start - 2) * day; at < (end + 6) * day; at += 6 * day) offsets.add(clock(at) - at)
  const ticks = new Set<number>()
  for (const date of daysOf(interval, end)) {
    for (const time of [interval.at].flat()) {
      const local = date * day + secondsOf(time)
      const passes = [...offsets].map((offset) => local - offset).filter((at) => clock(at) === local)
      passes.sort((a, b) => a - b)
      if (passes.length === 0 && interval.gap !== "skip") ticks.add(endOfGap(clock, local))
      if (passes.length === 1 || (passes.length > 1 && interval.fold !== "second")) ticks.add(passes[0]!)
      if (passes.length > 1 && (interval.fold === "second" || interval.fold === "both")) ticks.add(passes[1]!)
    }
  }
  return [...ticks].map((tick) => tick * 1000).filter((tick) => tick < to).sort((a, b) => a - b)
}

/** Whether a calendar of dates and weekdays excludes a tick. */
export const isExcluded = ({ dates = [], weekdays = [] }: Timing.Except, timeZone: string, tick: number): boolean => {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-US", { timeZone, year: "numeric", month: "2-digit", day: "2-digit", weekday: "short" })
      .formatToParts(tick).map(({ type, value }) => [type, value])
  )
  const monthDay = `${parts["month"]}-${parts["day"]}`
  return dates.includes(monthDay) || dates.includes(`${parts["year"]}-${monthDay}`) ||
    (weekdays as ReadonlyArray<string>).includes(parts["weekday"]!.toUpperCase())
}
