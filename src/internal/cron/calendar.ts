/** The Gregorian calendar in whole days since 1970-01-01, and the days of a month that an expression matches. */
import { type Fields, fullDays } from "./fields.ts"

/** From 0000-01-01 to 1970-01-01. */
const epoch = 719_528

const daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

/** The number of a month: 12 times the year, plus 0 for January to 11 for December. */
export const monthNumber = (year: number, month: number): number => 12 * year + month - 1

/** The first day of a month. */
export const firstDay = (number: number): number => {
  const year = Math.floor(number / 12)
  const month = number - 12 * year
  const leaps = Math.floor((year + 3) / 4) - Math.floor((year + 99) / 100) + Math.floor((year + 399) / 400)
  return 365 * year + leaps + daysBefore[month]! + (month > 1 && isLeap(year) ? 1 : 0) - epoch
}

/** The month a day is in: guessed from the mean length of months, which is never off by more than one. */
export const monthOf = (day: number): number => {
  const guess = Math.floor((day + epoch) / 30.436875)
  const first = firstDay(guess)
  if (first > day) return guess - 1
  return day - first >= 28 && firstDay(guess + 1) <= day ? guess + 1 : guess
}

/** 0 is Sunday; 1970-01-01 was a Thursday. */
export const weekdayOf = (day: number): number => {
  const weekday = (day + 4) % 7
  return weekday < 0 ? weekday + 7 : weekday
}

/** Seven weekday bits, counted from the weekday that `first` is instead of from Sunday. */
const rotate = (weekdays: number, first: number): number => ((weekdays >>> first) | (weekdays << (7 - first))) & 127

/** The working day nearest to a day of the month, without leaving the month. */
const nearestWorkingDay = (day: number, firstWeekday: number, length: number): number => {
  const weekday = (firstWeekday + day - 1) % 7
  if (weekday === 6) return day > 1 ? day - 1 : day + 2
  if (weekday === 0) return day < length ? day + 1 : day - 2
  return day
}

const byDate = (fields: Fields, firstWeekday: number, length: number): number => {
  let mask = fields.days
  for (let rest = fields.lastDays; rest !== 0; rest &= rest - 1) {
    const before = 31 - Math.clz32(rest & -rest)
    if (before < length) mask |= 1 << (length - 1 - before)
  }
  for (let rest = fields.nearestDays; rest !== 0; rest &= rest - 1) {
    const day = 32 - Math.clz32(rest & -rest)
    if (day <= length) mask |= 1 << (nearestWorkingDay(day, firstWeekday, length) - 1)
  }
  if (fields.lastWorkingDay) mask |= 1 << (nearestWorkingDay(length, firstWeekday, length) - 1)
  return mask
}

const byWeekday = (fields: Fields, firstWeekday: number, length: number): number => {
  const every = rotate(fields.weekdays, firstWeekday)
  let mask = every | (every << 7) | (every << 14) | (every << 21) | (every << 28)
  if ((fields.nthWeekdays | fields.fifthWeekdays | fields.lastWeekdays) === 0) return mask
  for (let shift = 0; shift < 28; shift += 7) {
    mask |= rotate((fields.nthWeekdays >>> shift) & 127, firstWeekday) << shift
  }
  mask |= rotate(fields.fifthWeekdays, firstWeekday) << 28
  return mask | (rotate(fields.lastWeekdays, (firstWeekday + length) % 7) << (length - 7))
}

/** The days that match in a month that starts on `firstWeekday` and has `length` days: bit d - 1 for day d. */
export const matchingDays = (fields: Fields, firstWeekday: number, length: number): number => {
  const all = fullDays >>> (31 - length)
  if (fields.weekdaysFree) return fields.daysFree ? all : byDate(fields, firstWeekday, length) & all
  const weekdays = byWeekday(fields, firstWeekday, length)
  if (fields.daysFree) return weekdays & all
  const dates = byDate(fields, firstWeekday, length)
  return (fields.both ? dates & weekdays : dates | weekdays) & all
}

/**
 * Whether any date matches. Within 400 years a year starts on each weekday both with and without a 29 February, and there is
 * nothing else about a year that could matter.
 */
export const everMatches = (fields: Fields): boolean => {
  if (fields.daysFree || (!fields.weekdaysFree && !fields.both)) return true
  // No month lacks these days.
  if (fields.weekdaysFree && (fields.days & 0xfffffff) !== 0) return true
  for (let month = 0; month < 12; month++) {
    if (((fields.months >>> month) & 1) === 0) continue
    for (let firstWeekday = 0; firstWeekday < 7; firstWeekday++) {
      if (matchingDays(fields, firstWeekday, month === 1 ? 29 : lengthIn2001(month)) !== 0) return true
      if (month === 1 && matchingDays(fields, firstWeekday, 28) !== 0) return true
    }
  }
  return false
}

const lengthIn2001 = (month: number): number => (month === 11 ? 365 : daysBefore[month + 1]!) - daysBefore[month]!
