/** Writes the one canonical form of an expression: the same sets always give the same text. */
import { bitsOf, datesOf, type Fields, fullHours, fullMonths, minutesOf, secondsOf } from "./fields.ts"

/** The step that values are apart, or undefined when it is not always the same. */
export const stepOf = (values: ReadonlyArray<number>): number | undefined => {
  const step = values[1]! - values[0]!
  return values.every((value, index) => index === 0 || value === values[index - 1]! + step) ? step : undefined
}

/** Values without a gap between them, by their first and last; two in a row are shorter as a list and stay apart. */
export const stretchesOf = (values: ReadonlyArray<number>): Array<readonly [first: number, last: number]> => {
  const found: Array<readonly [number, number]> = []
  for (let index = 0; index < values.length; index++) {
    const start = index
    while (values[index + 1] === values[index]! + 1) index++
    if (index - start === 1) index = start
    found.push([values[start]!, values[index]!])
  }
  return found
}

/** A set of values between `min` and `max`, not all of them: steps where it is one, otherwise values and ranges. */
const list = (values: ReadonlyArray<number>, min: number, max: number): string => {
  const first = values[0]!
  const last = values[values.length - 1]!
  const step = values.length > 1 ? stepOf(values) : undefined
  if (step !== undefined && step > 1) {
    const round = first === min && last + step > max
    if (round && (values.length > 2 || (max - min + 1) % step === 0)) return `*/${step}`
    if (values.length > 2) return `${first}-${last}/${step}`
  }
  return stretchesOf(values).map(([first, last]) => first === last ? first : `${first}-${last}`).join(",")
}

const plain = (values: ReadonlyArray<number>, min: number, max: number): string =>
  values.length === max - min + 1 ? "*" : list(values, min, max)

const daysOfMonth = (f: Fields): string => {
  if (f.daysFree) return "*"
  const dates = datesOf(f)
  return [
    ...(dates.length === 0 ? [] : [dates.length === 31 ? "1-31" : list(dates, 1, 31)]),
    ...bitsOf(f.nearestDays).map((bit) => `${bit + 1}W`),
    ...bitsOf(f.lastDays).map((before) => before === 0 ? "L" : `L-${before}`),
    ...(f.lastWorkingDay ? ["LW"] : [])
  ].join(",")
}

/** The weekdays of `d#k` for k from 1 to 5. */
export const weeksOf = (f: Fields): Array<Array<number>> => [
  ...[0, 1, 2, 3].map((week) => bitsOf((f.nthWeekdays >>> (7 * week)) & 127)),
  bitsOf(f.fifthWeekdays)
]

const daysOfWeek = (f: Fields): string => {
  if (f.weekdaysFree) return f.both ? "+*" : "*"
  const weekdays = bitsOf(f.weekdays)
  const text = [
    ...(weekdays.length === 0 ? [] : [weekdays.length === 7 ? "0-6" : list(weekdays, 0, 6)]),
    ...weeksOf(f).flatMap((weekdays, week) => weekdays.map((weekday) => `${weekday}#${week + 1}`)),
    ...bitsOf(f.lastWeekdays).map((weekday) => `${weekday}L`)
  ].join(",")
  return f.both ? `+${text}` : text
}

/** The six fields, such that parsing them gives the same fields again. */
export const format = (f: Fields): string =>
  [
    plain(secondsOf(f), 0, 59),
    plain(minutesOf(f), 0, 59),
    f.hours === fullHours ? "*" : list(bitsOf(f.hours), 0, 23),
    daysOfMonth(f),
    f.months === fullMonths ? "*" : list(bitsOf(f.months).map((bit) => bit + 1), 1, 12),
    daysOfWeek(f)
  ].join(" ")
