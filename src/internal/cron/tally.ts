/** Counts occurrences without stepping through them: days times times per day, segment by segment. */
import type { Fields } from "./fields.ts"
import { catchesUp, ownFrom, ownUntil, type Search, turnToDay } from "./search.ts"
import { maxInstant, minInstant } from "./zone.ts"

const day = 86_400

const ones = (mask: number): number => {
  let count = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++
  return count
}

/** How many values of a set of 0 to 59 are less than `value`. */
const onesBelow = (low: number, high: number, value: number): number =>
  value <= 30
    ? ones(low & (2 ** value - 1))
    : ones(low) + ones(high & (2 ** (value - 30) - 1))

/** How many matching times of a day are before `time`. */
const timesBefore = (f: Fields, time: number): number => {
  const hour = Math.floor(time / 3600)
  const minute = Math.floor((time - hour * 3600) / 60)
  const perMinute = onesBelow(f.secondsLow, f.secondsHigh, 60)
  let count = ones(f.hours & (2 ** hour - 1)) * onesBelow(f.minutesLow, f.minutesHigh, 60) * perMinute
  if (((f.hours >>> hour) & 1) === 0) return count
  count += onesBelow(f.minutesLow, f.minutesHigh, minute) * perMinute
  const matches = minute < 30 ? (f.minutesLow >>> minute) & 1 : (f.minutesHigh >>> (minute - 30)) & 1
  return matches === 0 ? count : count + onesBelow(f.secondsLow, f.secondsHigh, time - hour * 3600 - minute * 60)
}

/** How many days match, from one day until before another. */
const days = (s: Search, from: number, until: number): number => {
  let count = 0
  for (let at = from; at < until; at = s.monthStart + s.monthLength) {
    const index = turnToDay(s, at)
    const end = Math.min(s.monthLength, until - s.monthStart)
    count += ones(s.monthDays & (2 ** end - 1) & (-1 << index))
  }
  return count
}

/** How many local times match, from one until before another. */
const locals = (s: Search, from: number, until: number): number => {
  const firstDay = Math.floor(from / day)
  const lastDay = Math.floor(until / day)
  const partial = (at: number, time: number) => {
    const index = turnToDay(s, at)
    return ((s.monthDays >>> index) & 1) === 1 ? timesBefore(s.fields, time) : 0
  }
  return days(s, firstDay, lastDay) * timesBefore(s.fields, day) -
    partial(firstDay, from - firstDay * day) + partial(lastDay, until - lastDay * day)
}

/** How many occurrences there are from one instant in milliseconds until before another. */
export const countBetween = (s: Search, from: number, until: number): number => {
  const end = Math.min(Math.ceil(until / 1000), maxInstant + 1)
  let count = 0
  for (let at = Math.max(Math.ceil(from / 1000), minInstant); at < end;) {
    const segment = s.zone.segmentAt(at)
    const local = at + segment.offset
    if (at === segment.start && catchesUp(s, segment) && locals(s, local, local + 1) === 0) count++
    const first = Math.max(local, ownFrom(s, segment))
    const last = Math.min(end + segment.offset, ownUntil(s, segment))
    if (first < last) count += locals(s, first, last)
    at = segment.end
  }
  return count
}
