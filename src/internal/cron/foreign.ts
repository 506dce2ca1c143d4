/** Expressions of others: the five fields of crontab(5), and the `Cron` of Effect. */
import * as EffectCron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Result from "effect/Result"
import { everMatches } from "./calendar.ts"
import type { Fault } from "./fault.ts"
import { bitsOf, datesOf, type Fields, isEveryHour, minutesOf, secondsOf } from "./fields.ts"
import { fieldBounds, parse } from "./parser.ts"
import { Fold, Search } from "./search.ts"
import { zoneOf } from "./zone.ts"

/**
 * The same times and days with a seconds field. In a crontab a day must match both day fields, not either, as soon as one of
 * them starts with a star (as `*\/2` does); here that is said with a `+`.
 */
export const fromUnix = (line: string): Result.Result<string, Fault> => {
  const bounds = fieldBounds(line)
  const start = bounds[0] ?? 0
  const end = bounds[bounds.length - 1] ?? line.length
  const text = line.slice(start, end)
  if (bounds.length === 0 || text.startsWith("@")) return Result.map(parse(line), () => text)
  if (bounds.length !== 10) return Result.fail({ field: "expression", reason: "FieldCount", start, end })
  return parse(`0 ${text}`).pipe(
    Result.map((read) => {
      const days = bounds[4]!
      const weekdays = bounds[8]!
      const starred = line.startsWith("*", days) || line.startsWith("*", weekdays)
      const both = starred && !read.daysFree && !read.weekdaysFree && !read.both
      return both ? `0 ${line.slice(start, weekdays)}+${line.slice(weekdays, end)}` : `0 ${text}`
    }),
    Result.mapError((fault) => ({ ...fault, start: fault.start - 2 + start, end: fault.end - 2 + start }))
  )
}

const overlaps = { both: Fold.both, earlier: Fold.first, later: Fold.second } as const
const overlapOf = ["both", "earlier", "later"] as const

/** The values from `min` to `max` as bits; Effect says all of them with an empty set. */
const mask = (values: ReadonlySet<number>, min: number, max: number): number => {
  let bits = 0
  for (let value = min; value <= max; value++) {
    if (values.size === 0 || values.has(value)) bits |= 1 << (value - min)
  }
  return bits
}

const fieldsOf = (cron: EffectCron.Cron): Fields => ({
  secondsLow: mask(cron.seconds, 0, 29),
  secondsHigh: mask(cron.seconds, 30, 59),
  minutesLow: mask(cron.minutes, 0, 29),
  minutesHigh: mask(cron.minutes, 30, 59),
  hours: mask(cron.hours, 0, 23),
  days: mask(cron.days, 1, 31),
  lastDays: 0,
  nearestDays: 0,
  lastWorkingDay: false,
  months: mask(cron.months, 1, 12),
  weekdays: mask(cron.weekdays, 0, 6),
  nthWeekdays: 0,
  fifthWeekdays: 0,
  lastWeekdays: 0,
  daysFree: cron.days.size === 0,
  weekdaysFree: cron.weekdays.size === 0,
  // Not in its type, but part of what it prints.
  both: hasProperty(cron, "and") && cron.and === true
})

/** None without a time zone, for which Effect takes the host's, and for dates that never come. */
export const fromEffect = (cron: EffectCron.Cron): Option.Option<Search> => {
  const zone = Option.isSome(cron.tz) ? zoneOf(DateTime.zoneToString(cron.tz.value)) : undefined
  const fields = fieldsOf(cron)
  if (zone === undefined || !everMatches(fields)) return Option.none()
  return Option.some(new Search(fields, zone, !isEveryHour(fields), overlaps[cron.onDstOverlap]))
}

/** None with days that Effect has no words for, and with a rule for gaps that is not the usual one. */
export const toEffect = (search: Search): Option.Option<EffectCron.Cron> => {
  const f = search.fields
  const special = f.lastDays | f.nearestDays | f.nthWeekdays | f.fifthWeekdays | f.lastWeekdays
  if (special !== 0 || f.lastWorkingDay || search.catchUp === isEveryHour(f)) return Option.none()
  return Option.map(DateTime.zoneFromString(search.zone.name), (tz) =>
    EffectCron.make({
      seconds: secondsOf(f),
      minutes: minutesOf(f),
      hours: bitsOf(f.hours),
      days: f.daysFree ? [] : datesOf(f),
      months: bitsOf(f.months).map((bit) => bit + 1),
      weekdays: f.weekdaysFree ? [] : bitsOf(f.weekdays),
      and: f.both,
      tz,
      onDstOverlap: overlapOf[search.fold]
    }))
}
