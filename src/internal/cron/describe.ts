/** Says in English when an expression fires. */
import {
  bitsOf,
  datesOf,
  type Fields,
  fullHours,
  fullMonths,
  minutesOf,
  monthNames,
  secondsOf,
  weekdayNames
} from "./fields.ts"
import { list, weeksOf } from "./format.ts"
import { Fold, type Search } from "./search.ts"

const enumerate = (parts: ReadonlyArray<string>, word = "and"): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} ${word} ${parts[parts.length - 1]}`

const ordinal = (value: number): string => {
  const tens = value % 100 - value % 10
  const ending = tens === 10 ? "th" : ["th", "st", "nd", "rd"][value % 10] ?? "th"
  return `${value}${ending}`
}

/** Values and ranges in words; `name` says a single value. */
const values = (set: ReadonlyArray<number>, name: (value: number) => string = String): string => {
  const parts: Array<string> = []
  for (let index = 0; index < set.length; index++) {
    const start = index
    while (set[index + 1] === set[index]! + 1) index++
    if (index - start === 1) index = start
    parts.push(index === start ? name(set[start]!) : `${name(set[start]!)} to ${name(set[index]!)}`)
  }
  return enumerate(parts)
}

/** The step of a set that is `*\/n`, or undefined. */
const everyNth = (set: ReadonlyArray<number>, max: number): number | undefined => {
  const text = list(set, 0, max)
  return text.startsWith("*/") ? Number(text.slice(2)) : undefined
}

const two = (value: number): string => String(value).padStart(2, "0")

const mostTimes = 4

const clockTimes = (hours: ReadonlyArray<number>, minutes: ReadonlyArray<number>, seconds: ReadonlyArray<number>) => {
  const times = hours.flatMap((hour) =>
    minutes.flatMap((minute) => seconds.map((second) => `${two(hour)}:${two(minute)}:${two(second)}`))
  )
  return `at ${enumerate(times)}`
}

/** What repeats: the smallest unit that says something. */
const unit = (set: ReadonlyArray<number>, max: number, name: string): string => {
  if (set.length === max + 1) return `every ${name}`
  const step = everyNth(set, max)
  if (step !== undefined) return `every ${step} ${name}s`
  return `at ${name}${set.length === 1 ? "" : "s"} ${values(set)}`
}

/** What it repeats in. */
const frame = (set: ReadonlyArray<number>, max: number, name: string): string => {
  if (set.length === max + 1) return name === "minute" ? "" : `of every ${name}`
  const step = everyNth(set, max)
  if (step !== undefined) return `of every ${ordinal(step)} ${name}`
  return `of ${name}${set.length === 1 ? "" : "s"} ${values(set)}`
}

const timeOfDay = (f: Fields): string => {
  const seconds = secondsOf(f)
  const minutes = minutesOf(f)
  const hours = bitsOf(f.hours)
  if (hours.length * minutes.length * seconds.length <= mostTimes) return clockTimes(hours, minutes, seconds)
  const sharp = seconds.length === 1 && seconds[0] === 0
  const hourly = sharp && minutes.length === 1 && minutes[0] === 0
  if (hourly) return unit(hours, 23, "hour")
  const smallest = sharp ? unit(minutes, 59, "minute") : unit(seconds, 59, "second")
  const within = sharp ? "" : frame(minutes, 59, "minute")
  const ofHour =
    f.hours === fullHours && (smallest.startsWith("every") && within === "" || within.startsWith("of every"))
      ? ""
      : frame(hours, 23, "hour")
  return [smallest, within, ofHour].filter((part) => part !== "").join(" ")
}

const weekday = (value: number): string => weekdayNames[value]!

const byDate = (f: Fields): string => {
  const dates = datesOf(f)
  return enumerate([
    ...(dates.length === 0 ? [] : [`the ${values(dates, ordinal)}`]),
    ...bitsOf(f.nearestDays).map((bit) => `the working day nearest to the ${ordinal(bit + 1)}`),
    ...bitsOf(f.lastDays).map((before) =>
      before === 0 ? "the last day" : `${before} ${before === 1 ? "day" : "days"} before the last day`
    ),
    ...(f.lastWorkingDay ? ["the last working day"] : [])
  ])
}

const byWeekday = (f: Fields): string => {
  const weekdays = bitsOf(f.weekdays)
  return enumerate([
    ...(weekdays.length === 0 ? [] : [values(weekdays, weekday)]),
    ...weeksOf(f).flatMap((weekdays, week) => weekdays.map((day) => `the ${ordinal(week + 1)} ${weekday(day)}`)),
    ...bitsOf(f.lastWeekdays).map((day) => `the last ${weekday(day)}`)
  ])
}

const days = (f: Fields): string => {
  const months = f.months === fullMonths
    ? ""
    : ` in ${values(bitsOf(f.months), (bit) => monthNames[bit]!)}`
  const ofMonth = months === "" ? " of the month" : months
  if (f.daysFree && f.weekdaysFree) return `every day${months}`
  if (f.weekdaysFree) return `on ${byDate(f)}${ofMonth}`
  if (f.daysFree) return `on ${byWeekday(f)}${f.weekdays === 0 ? ofMonth : months}`
  if (f.both) return `on ${byDate(f)}${ofMonth} if that is ${byWeekday(f)}`
  const either = `on ${byDate(f)}${months === "" ? ofMonth : ""} and on ${byWeekday(f)}`
  return `${either}${months}`
}

const foldText = {
  [Fold.both]: "repeated ones twice",
  [Fold.first]: "repeated ones once",
  [Fold.second]: "repeated ones once, at the second pass"
}

const changes = (s: Search): string => {
  if (s.zone.fixed) return "which has no clock changes"
  if (!s.catchUp && s.fold === Fold.both) return "by elapsed time across clock changes"
  const skipped = s.catchUp ? "skipped times fire right after the change" : "skipped times do not fire"
  return `by the clock on the wall: ${skipped}, ${foldText[s.fold]}`
}

/** One sentence: the time, the days, the zone, and what happens when its clocks change. */
export const describe = (s: Search): string => {
  const text = `${timeOfDay(s.fields)}, ${days(s.fields)}, in ${s.zone.name}, ${changes(s)}.`
  return text[0]!.toUpperCase() + text.slice(1)
}
