/** Says in English when an expression fires. */
import { bitsOf, datesOf, type Fields, fullMonths, minutesOf, monthNames, secondsOf, weekdayNames } from "./fields.ts"
import { stepOf, stretchesOf, weeksOf } from "./format.ts"
import { Fold, type Search } from "./search.ts"

const enumerate = (parts: ReadonlyArray<string>, word = "and"): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} ${word} ${parts[parts.length - 1]}`

const ordinal = (value: number): string => {
  const tens = value % 100 - value % 10
  const ending = tens === 10 ? "th" : ["th", "st", "nd", "rd"][value % 10] ?? "th"
  return `${value}${ending}`
}

const last = (set: ReadonlyArray<number>): number => set[set.length - 1]!

/** More than this many of a kind are summed up. */
const mostListed = 6

const stretches = (set: ReadonlyArray<number>, name: (value: number) => string): Array<string> =>
  stretchesOf(set).map(([first, last]) => first === last ? name(first) : `${name(first)} to ${name(last)}`)

/** Values and ranges of them, or undefined when they are too many. */
const list = (set: ReadonlyArray<number>, name: (value: number) => string): string | undefined => {
  const parts = stretches(set, name)
  return parts.length <= mostListed ? enumerate(parts) : undefined
}

// ── time of day ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A field of the time of day: its values, how many there could be, and what one is called. */
interface Unit {
  readonly set: ReadonlyArray<number>
  readonly size: number
  readonly name: string
}

/** Says that a unit comes at even distances, which is not so where the last one before the next hour or day is shorter. */
const evenly = ({ name, set, size }: Unit): string | undefined => {
  if (set.length === size) return `every ${name}`
  const step = size / set.length
  return set.length > 1 && set.every((value, index) => value === step * index) ? `every ${step} ${name}s` : undefined
}

const chosen = ({ name, set }: Unit): string => {
  const few = list(set, String)
  if (few !== undefined) return `${name}${set.length === 1 ? "" : "s"} ${few}`
  const range = `${name}s ${set[0]} to ${last(set)}`
  const step = stepOf(set)
  return step === undefined ? `${set.length} of the ${range}` : `${range} in steps of ${step}`
}

const two = (value: number): string => String(value).padStart(2, "0")

const mostTimes = 4

const clockTimes = (hours: ReadonlyArray<number>, minutes: ReadonlyArray<number>, seconds: ReadonlyArray<number>) => {
  const times = hours.flatMap((hour) =>
    minutes.flatMap((minute) => seconds.map((second) => `${two(hour)}:${two(minute)}:${two(second)}`))
  )
  return `at ${enumerate(times)}`
}

const isZero = ({ set }: Unit): boolean => set.length === 1 && set[0] === 0

const timeOfDay = (f: Fields): string => {
  const second: Unit = { set: secondsOf(f), size: 60, name: "second" }
  const minute: Unit = { set: minutesOf(f), size: 60, name: "minute" }
  const hour: Unit = { set: bitsOf(f.hours), size: 24, name: "hour" }
  if (hour.set.length * minute.set.length * second.set.length <= mostTimes) {
    return clockTimes(hour.set, minute.set, second.set)
  }
  // At zero of a smaller unit goes without saying.
  const wholeHours = isZero(second) && isZero(minute) ? evenly(hour) : undefined
  if (wholeHours !== undefined) return wholeHours
  const [smallest, ...larger] = isZero(second) ? [minute, hour] as const : [second, minute, hour] as const
  const phrases = [evenly(smallest) ?? `at ${chosen(smallest)}`]
  for (const unit of larger) {
    const all = unit.set.length === unit.size
    // What comes every minute comes in every hour.
    if (all && phrases[phrases.length - 1]!.startsWith("every")) continue
    phrases.push(all ? `every ${unit.name}` : chosen(unit))
  }
  return phrases.join(" of ")
}

// ── days ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const shortestMonth = 28

const weekday = (value: number): string => weekdayNames[value]!

const dates = (set: ReadonlyArray<number>): string => {
  const few = list(set, ordinal)
  if (few !== undefined) return `the ${few}`
  const range = `from the ${ordinal(set[0]!)} to the ${ordinal(last(set))}`
  const step = stepOf(set)
  return step === undefined ? `${set.length} of the days ${range}` : `every ${ordinal(step)} day ${range}`
}

const beforeLast = (set: ReadonlyArray<number>): string => {
  const count = list(set, String) ?? `${set.length} of the numbers from ${set[0]} to ${last(set)} of`
  const days = set.length === 1 && set[0] === 1 ? "day" : "days"
  return `${count} ${days} before the last day${last(set) >= shortestMonth ? " (if the month is that long)" : ""}`
}

const byDate = (f: Fields): string => {
  const days = datesOf(f)
  const nearest = bitsOf(f.nearestDays).map((bit) => bit + 1)
  const before = bitsOf(f.lastDays).filter((before) => before > 0)
  return enumerate([
    ...(days.length === 0 ? [] : [dates(days)]),
    ...(nearest.length === 0 ? [] : [`the working day${nearest.length === 1 ? "" : "s"} nearest to ${dates(nearest)}`]),
    ...((f.lastDays & 1) === 0 ? [] : ["the last day"]),
    ...(before.length === 0 ? [] : [beforeLast(before)]),
    ...(f.lastWorkingDay ? ["the last working day"] : [])
  ])
}

const byWeekday = (f: Fields, word: "and" | "or"): string => {
  const parts = [
    ...stretches(bitsOf(f.weekdays), weekday),
    ...weeksOf(f).flatMap((weekdays, week) => weekdays.map((day) => `the ${ordinal(week + 1)} ${weekday(day)}`)),
    ...bitsOf(f.lastWeekdays).map((day) => `the last ${weekday(day)}`)
  ]
  const more = parts.length - mostListed
  return enumerate(more <= 1 ? parts : [...parts.slice(0, mostListed), `${more} more such weekdays`], word)
}

const days = (f: Fields): string => {
  const months = f.months === fullMonths
    ? ""
    : ` in ${enumerate(stretches(bitsOf(f.months), (bit) => monthNames[bit]!))}`
  const ofMonth = months === "" ? " of the month" : months
  if (f.daysFree && f.weekdaysFree) return `every day${months}`
  if (f.weekdaysFree) return `on ${byDate(f)}${ofMonth}`
  if (f.daysFree) return `on ${byWeekday(f, "and")}${f.weekdays === 0 ? ofMonth : months}`
  if (f.both) return `on ${byDate(f)}${ofMonth} if that is ${byWeekday(f, "or")}`
  return `on ${byDate(f)} of the month and on ${byWeekday(f, "and")}${months === "" ? "" : `, both only${months}`}`
}

// ── clock changes ───────────────────────────────────────────────────────────────────────────────────────────────────

const foldText = {
  [Fold.both]: "repeated ones twice",
  [Fold.first]: "repeated ones once",
  [Fold.second]: "repeated ones once, at the second pass"
}

const changes = (s: Search): string => {
  if (s.zone.fixed) return "which has no clock changes"
  const skipped = s.catchUp ? "skipped times fire right after the change" : "skipped times do not fire"
  return `by the clock on the wall: ${skipped}, ${foldText[s.fold]}`
}

/** One sentence: the time, the days, the zone, and what happens when its clocks change. */
export const describe = (s: Search): string => {
  const text = `${timeOfDay(s.fields)}, ${days(s.fields)}, in ${s.zone.name}, ${changes(s)}.`
  return text[0]!.toUpperCase() + text.slice(1)
}
