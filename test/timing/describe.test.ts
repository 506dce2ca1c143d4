import { assert, describe, it } from "@effect/vitest"
import * as Timing from "effect-durable/Timing"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Generate from "./generators.ts"
import { ticksOf } from "./oracle.ts"

const parse = (timing: Timing.Timing) => Result.getOrThrow(Timing.parse(timing))

const day = 86_400_000

const forward = ({ next }: Timing.Timetable, from: number, to: number, most: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = next(from - 1); tick !== null && tick < to && ticks.length < most; tick = next(tick)) ticks.push(tick)
  return ticks
}

const words = (text: string): ReadonlyArray<string> => text.split(/, | and /)

const match = (pattern: RegExp, text: string): ReadonlyArray<string | undefined> => {
  const found = pattern.exec(text)
  if (found === null) throw new Error(`A reader cannot make sense of "${text}"`)
  return found
}

const units = "(days?|weeks?|months?)"
const interval = new RegExp(
  `^Every (?:(\\d+) )?${units}(?: on ([A-Z][\\w, ]*day)| on day (\\d+))?(, or the last day of shorter months,)? ` +
    "at ([\\d:, and]+?)(?: and (\\d+) more times of day)?, from ([\\d-]+) on, in ([\\w/+:-]+), (.*)$"
)

/** The interval that a sentence speaks of. */
const readInterval = (sentence: string): Timing.CalendarInterval & { readonly more: number } => {
  const [, every = "1", unit, weekdays, dayOfMonth, last, at, more = "0", from, timeZone, rule] = match(
    interval,
    sentence
  )
  if (dayOfMonth !== undefined) assert.strictEqual(from!.slice(8), dayOfMonth.padStart(2, "0"))
  if (unit!.startsWith("month")) assert.strictEqual(last !== undefined, Number(dayOfMonth) > 28)
  return {
    every: Number(every),
    unit: unit!.endsWith("s") ? unit as "days" : `${unit}s` as "days",
    ...(weekdays === undefined
      ? {}
      : { weekdays: words(weekdays).map((name) => name.slice(0, 3).toUpperCase() as "MON") }),
    at: words(at!),
    more: Number(more),
    from: from!,
    timeZone: timeZone!,
    gap: rule!.includes("skipped times do not fire") ? "skip" : "shift",
    fold: rule!.includes("twice") ? "both" : rule!.includes("second pass") ? "second" : "first"
  }
}

/** The calendar that a sentence speaks of. */
const readExcept = (sentence: string, timeZone: string): Timing.Except => {
  const [, days, cron, zone] = match(/^except (.*?)(?:when the cron (.*) matches)?(?: in (\S+))?$/, sentence)
  const weekdays = days!.match(/[A-Z][a-z]+day/g) ?? []
  return {
    dates: days!.match(/\b(?:\d{4}-)?\d\d-\d\d\b/g) ?? [],
    weekdays: days!.includes("weekends")
      ? ["SAT", "SUN"]
      : weekdays.map((name) => name.slice(0, 3).toUpperCase() as "MON"),
    cron,
    timeZone: zone ?? timeZone
  }
}

describe("the sentence of a timing", () => {
  it.effect.prop(
    "of the calendar says on which days and at which times it ticks, and what becomes of skipped and repeated ones",
    [Generate.interval],
    ([interval]) =>
      Effect.sync(() => {
        const timetable = parse(Timing.calendar(interval))
        const read = readInterval(timetable.describe().slice(0, -1))
        const to = Date.parse(interval.from) + 700 * day
        assert.deepStrictEqual(ticksOf(read, to), forward(timetable, -Infinity, to, Infinity), timetable.describe())
      }),
    { timeout: 120_000, arbitrary: { runs: 60 } }
  )

  it.effect.prop(
    "of elapsed time says how far apart its ticks are, and which is the first",
    [Generate.instant, Generate.instant],
    ([anchor, at]) =>
      Effect.sync(() => {
        const timings = [
          Timing.every(1000 + Math.abs(at) % 1e8, { anchor }),
          Timing.every(1000 * (1 + anchor % 100_000))
        ]
        for (const timing of timings) {
          const timetable = parse(timing)
          const sentence = timetable.describe()
          const [, count = "1", unit, how, from] = match(
            /^Every (?:(\d+) )?(hour|minute|second|millisecond)s? of elapsed time, (counted )?from (\S+)(?: on)?, in UTC/,
            sentence
          )
          const distance = Number(count) *
            { hour: 3_600_000, minute: 60_000, second: 1000, millisecond: 1 }[unit as "hour"]
          const ticks = forward(timetable, at, Infinity, 20)
          for (const tick of ticks) assert.strictEqual(timetable.next(tick), tick + distance)
          if (how === undefined) assert.strictEqual(timetable.next(-Infinity), Date.parse(from!))
          else assert.strictEqual((ticks[0]! - Date.parse(from!)) % distance, 0)
        }
      }),
    { arbitrary: { runs: 100 } }
  )

  it.effect.prop(
    "says what is left out, and where that is judged",
    [Generate.except, Generate.zone, Generate.instant],
    ([except, timeZone, at]) =>
      Effect.sync(() => {
        const usual = Timing.cron("0 */30 * * * *", { timeZone })
        const timetable = parse({ ...usual, except })
        const sentence = timetable.describe().slice(0, -1)
        const read = parse({ ...usual, except: readExcept(sentence.slice(sentence.indexOf("; except") + 2), timeZone) })
        // Both dates of the calendar are looked at, as no other day tells them apart.
        const around = (except.dates ?? []).filter((date) => date.length === 10).map((date) => Date.parse(date) - day)
        for (const start of [at, ...around]) {
          for (const tick of forward(timetable, start, start + 30 * day, 1500)) {
            assert.strictEqual(read.excluded(tick) === null, timetable.excluded(tick) === null, sentence)
          }
        }
      }),
    { timeout: 60_000, arbitrary: { runs: 60 } }
  )

  it.effect.prop(
    "of several timings is about as long as those of its first four",
    [Generate.union],
    ([union]) =>
      Effect.sync(() => {
        const timetable = parse(union)
        const parts = timetable.parts!.slice(0, 4).map((part) => part.describe().length)
        const sentence = timetable.describe()
        assert.isBelow(sentence.length, parts.reduce((sum, length) => sum + length + 8, 300))
        timetable.parts!.slice(0, 4).forEach((part, index) => {
          assert.include(sentence.toLowerCase(), `(${index + 1}) ${part.describe().slice(0, -1).toLowerCase()}`)
        })
      }),
    { arbitrary: { runs: 60 } }
  )
})
