/**
 * Finds occurrences. Everything here is arithmetic on whole seconds: within a segment of the time zone local time is the
 * instant plus an offset, so the search is for the nearest local time that matches, and only at the ends of a segment do the
 * rules for clock changes come in.
 */
import * as Calendar from "./calendar.ts"
import type { Fields } from "./fields.ts"
import { maxInstant, minInstant, nowhere, type Segment, type Zone } from "./zone.ts"

/** What becomes of local times that come twice. */
export const Fold = { both: 0, first: 1, second: 2 } as const
export type Fold = (typeof Fold)[keyof typeof Fold]

/**
 * An expression in a time zone, with the rules for clock changes, and the month and segment looked at last. Those two are
 * only remembered to save work: each use checks that they are the ones it needs.
 */
export class Search {
  readonly fields: Fields
  readonly zone: Zone
  /** Whether local times that a change leaves out are made up for at the first instant after it. */
  readonly catchUp: boolean
  readonly fold: Fold
  /** The first and the last matching time of a day. */
  readonly earliest: number
  readonly latest: number
  segment: Segment = nowhere
  month = 0
  monthStart = 0
  monthLength = 0
  monthDays = 0

  constructor(fields: Fields, zone: Zone, catchUp: boolean, fold: Fold) {
    this.fields = fields
    this.zone = zone
    this.catchUp = catchUp
    this.fold = fold
    this.earliest = timeFrom(fields, 0)
    this.latest = timeUntil(fields, day - 1)
  }
}

const day = 86_400

/** A month after `maxInstant` in every zone, and one before `minInstant`. */
const endMonth = Calendar.monthNumber(10_000, 2)
const zeroMonth = Calendar.monthNumber(0, 11)

// ── times of a day ──────────────────────────────────────────────────────────────────────────────────────────────────

const lowest = (mask: number): number => 31 - Math.clz32(mask & -mask)
const highest = (mask: number): number => 31 - Math.clz32(mask)

/** The first value from `from` on in a set of 0 to 59, or -1. */
const valueFrom = (low: number, high: number, from: number): number => {
  if (from < 30) {
    const rest = low & (-1 << from)
    if (rest !== 0) return lowest(rest)
    return high === 0 ? -1 : 30 + lowest(high)
  }
  const rest = from === 60 ? 0 : high & (-1 << (from - 30))
  return rest === 0 ? -1 : 30 + lowest(rest)
}

/** The last value up to `until` in a set of 0 to 59, or -1. */
const valueUntil = (low: number, high: number, until: number): number => {
  if (until >= 30) {
    const rest = high & ((2 << (until - 30)) - 1)
    if (rest !== 0) return 30 + highest(rest)
    return low === 0 ? -1 : highest(low)
  }
  const rest = until < 0 ? 0 : low & ((2 << until) - 1)
  return rest === 0 ? -1 : highest(rest)
}

/** The first matching time of a day from `time` on, in seconds since midnight, or -1. */
const timeFrom = (f: Fields, time: number): number => {
  const hour = (time / 3600) | 0
  const within = time - hour * 3600
  if (((f.hours >>> hour) & 1) === 1) {
    const minute = (within / 60) | 0
    const matching = valueFrom(f.minutesLow, f.minutesHigh, minute)
    if (matching === minute) {
      const second = valueFrom(f.secondsLow, f.secondsHigh, within - minute * 60)
      if (second >= 0) return hour * 3600 + minute * 60 + second
      const later = valueFrom(f.minutesLow, f.minutesHigh, minute + 1)
      if (later >= 0) return hour * 3600 + later * 60 + valueFrom(f.secondsLow, f.secondsHigh, 0)
    } else if (matching >= 0) {
      return hour * 3600 + matching * 60 + valueFrom(f.secondsLow, f.secondsHigh, 0)
    }
  }
  const hours = f.hours & (-2 << hour)
  if (hours === 0) return -1
  return lowest(hours) * 3600 + valueFrom(f.minutesLow, f.minutesHigh, 0) * 60 +
    valueFrom(f.secondsLow, f.secondsHigh, 0)
}

/** The last matching time of a day up to `time`, or -1. */
const timeUntil = (f: Fields, time: number): number => {
  const hour = (time / 3600) | 0
  const within = time - hour * 3600
  if (((f.hours >>> hour) & 1) === 1) {
    const minute = (within / 60) | 0
    const matching = valueUntil(f.minutesLow, f.minutesHigh, minute)
    if (matching === minute) {
      const second = valueUntil(f.secondsLow, f.secondsHigh, within - minute * 60)
      if (second >= 0) return hour * 3600 + minute * 60 + second
      const earlier = valueUntil(f.minutesLow, f.minutesHigh, minute - 1)
      if (earlier >= 0) return hour * 3600 + earlier * 60 + valueUntil(f.secondsLow, f.secondsHigh, 59)
    } else if (matching >= 0) {
      return hour * 3600 + matching * 60 + valueUntil(f.secondsLow, f.secondsHigh, 59)
    }
  }
  const hours = f.hours & ((1 << hour) - 1)
  if (hours === 0) return -1
  return highest(hours) * 3600 + valueUntil(f.minutesLow, f.minutesHigh, 59) * 60 +
    valueUntil(f.secondsLow, f.secondsHigh, 59)
}

// ── days ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Turns to a month; its days are empty when the month does not match. */
export const turnTo = (s: Search, month: number): void => {
  s.month = month
  s.monthStart = Calendar.firstDay(month)
  s.monthLength = Calendar.firstDay(month + 1) - s.monthStart
  const matches = (s.fields.months >>> (month - 12 * Math.floor(month / 12))) & 1
  s.monthDays = matches === 1
    ? Calendar.matchingDays(s.fields, Calendar.weekdayOf(s.monthStart), s.monthLength)
    : 0
}

/** Turns to the month of a day and gives the day's place in it. */
export const turnToDay = (s: Search, day: number): number => {
  const index = day - s.monthStart
  if (index >= 0 && index < s.monthLength) return index
  turnTo(s, Calendar.monthOf(day))
  return day - s.monthStart
}

/** The first matching day from `day` on, or Infinity. */
const dayFrom = (s: Search, day: number): number => {
  const index = turnToDay(s, day)
  const days = s.monthDays & (-1 << index)
  if (days !== 0) return s.monthStart + lowest(days)
  for (let month = s.month + 1; month < endMonth; month++) {
    if (((s.fields.months >>> (month % 12)) & 1) === 0) continue
    turnTo(s, month)
    if (s.monthDays !== 0) return s.monthStart + lowest(s.monthDays)
  }
  return Infinity
}

/** The last matching day up to `day`, or -Infinity. */
const dayUntil = (s: Search, day: number): number => {
  const index = turnToDay(s, day)
  const days = s.monthDays & ((2 << index) - 1)
  if (days !== 0) return s.monthStart + highest(days)
  for (let month = s.month - 1; month > zeroMonth; month--) {
    if (((s.fields.months >>> (month % 12)) & 1) === 0) continue
    turnTo(s, month)
    if (s.monthDays !== 0) return s.monthStart + highest(s.monthDays)
  }
  return -Infinity
}

/** The first local time from `local` on that matches, or Infinity. */
const localFrom = (s: Search, local: number): number => {
  const today = Math.floor(local / day)
  const index = turnToDay(s, today)
  if (((s.monthDays >>> index) & 1) === 1) {
    const time = timeFrom(s.fields, local - today * day)
    if (time >= 0) return today * day + time
  }
  return dayFrom(s, today + 1) * day + s.earliest
}

/** The last local time up to `local` that matches, or -Infinity. */
const localUntil = (s: Search, local: number): number => {
  const today = Math.floor(local / day)
  const index = turnToDay(s, today)
  if (((s.monthDays >>> index) & 1) === 1) {
    const time = timeUntil(s.fields, local - today * day)
    if (time >= 0) return today * day + time
  }
  return dayUntil(s, today - 1) * day + s.latest
}

// ── instants ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whether the change at the start of a segment left out a time that matches and is to be made up for at that instant. */
export const catchesUp = (s: Search, segment: Segment): boolean =>
  s.catchUp && segment.gapFrom < segment.start + segment.offset &&
  localFrom(s, segment.gapFrom) < segment.start + segment.offset

/** The local times of a segment that are not left to the segment before or after: from the first until before the second. */
export const ownFrom = (s: Search, segment: Segment): number =>
  s.fold === Fold.first
    ? Math.max(segment.start + segment.offset, segment.repeatsUntil)
    : segment.start + segment.offset
export const ownUntil = (s: Search, segment: Segment): number =>
  s.fold === Fold.second
    ? Math.min(segment.end + segment.offset, segment.repeatedFrom)
    : segment.end + segment.offset

/**
 * The first occurrence from an instant on, or NaN. `known` is the first local time from `knownFrom` on that matches: that stays
 * true whatever the segment, and saves most searches of the segments before it.
 */
const occurrenceFrom = (s: Search, instant: number, knownFrom: number, known: number): number => {
  let searched = knownFrom
  let found = known
  for (let from = instant; from <= maxInstant; from = s.segment.end) {
    const segment = s.segment = s.zone.segmentAt(from)
    const local = from + segment.offset
    const nothingBefore = searched <= segment.gapFrom && local <= found
    if (from === segment.start && !nothingBefore && catchesUp(s, segment)) return from
    const first = Math.max(local, ownFrom(s, segment))
    if (first < searched || first > found) {
      searched = first
      found = localFrom(s, first)
    }
    if (found < ownUntil(s, segment)) return found - segment.offset <= maxInstant ? found - segment.offset : NaN
    if (found === Infinity) return NaN
  }
  return NaN
}

/** The last occurrence up to an instant, or NaN. `known` is the last local time up to `knownUntil` that matches. */
const occurrenceUntil = (s: Search, instant: number, knownUntil: number, known: number): number => {
  let searched = knownUntil
  let found = known
  for (let until = instant; until >= minInstant; until = s.segment.start - 1) {
    const segment = s.segment = s.zone.segmentAt(until)
    const last = Math.min(until + segment.offset, ownUntil(s, segment) - 1)
    if (last > searched || last < found) {
      searched = last
      found = localUntil(s, last)
    }
    if (found >= ownFrom(s, segment)) return found - segment.offset >= minInstant ? found - segment.offset : NaN
    if (found >= segment.gapFrom || searched < segment.start + segment.offset) {
      if (catchesUp(s, segment)) return segment.start
    }
    if (found === -Infinity) return NaN
  }
  return NaN
}

/** The first occurrence after an instant in milliseconds, or NaN when there is none until the end of the year 9999. */
export const nextMillis = (s: Search, after: number): number => {
  const from = Math.floor(after / 1000) + 1
  const { calmFrom, calmUntil, offset } = s.segment
  if (from >= calmFrom && from < calmUntil) {
    const found = localFrom(s, from + offset)
    if (found - offset < calmUntil) return (found - offset) * 1000
    return occurrenceFrom(s, from, from + offset, found) * 1000
  }
  return occurrenceFrom(s, from < minInstant ? minInstant : from, Infinity, -Infinity) * 1000
}

/** The last occurrence before an instant in milliseconds, or NaN when there is none since the start of the year 1. */
export const prevMillis = (s: Search, before: number): number => {
  const until = Math.ceil(before / 1000) - 1
  const { calmFrom, calmUntil, offset } = s.segment
  if (until < calmUntil && until >= calmFrom) {
    const found = localUntil(s, until + offset)
    if (found - offset >= calmFrom) return (found - offset) * 1000
    return occurrenceUntil(s, until, until + offset, found) * 1000
  }
  return occurrenceUntil(s, until > maxInstant ? maxInstant : until, -Infinity, Infinity) * 1000
}
