import { assert, describe, it } from "@effect/vitest"
import * as Cron from "effect-durable/Cron"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Generate from "./generators.ts"
import * as Oracle from "./oracle.ts"

const second = (iso: string) => Date.parse(iso) / 1000

/** Clock changes of every kind: gaps and overlaps of many sizes, at midnight, by seconds, close together, and corrections. */
const changes: ReadonlyArray<readonly [timeZone: string, at: number]> = [
  ["Europe/Berlin", second("2026-03-29T01:00:00Z")],
  ["Europe/Berlin", second("2026-10-25T01:00:00Z")],
  ["America/New_York", second("2024-03-10T07:00:00Z")],
  ["America/New_York", second("2024-11-03T06:00:00Z")],
  ["Australia/Lord_Howe", second("2024-04-06T15:00:00Z")],
  ["Australia/Lord_Howe", second("2024-10-05T15:30:00Z")],
  ["Pacific/Apia", second("2011-12-30T10:00:00Z")],
  ["Pacific/Kiritimati", second("1994-12-31T10:00:00Z")],
  ["Pacific/Kiritimati", second("1979-10-01T10:40:00Z")],
  ["Pacific/Kwajalein", second("1993-08-21T12:00:00Z")],
  ["Pacific/Kwajalein", second("1969-09-30T13:00:00Z")],
  ["Antarctica/Vostok", second("1994-01-31T17:00:00Z")],
  ["Antarctica/Casey", second("2009-10-17T18:00:00Z")],
  ["Antarctica/Casey", second("2010-03-04T15:00:00Z")],
  ["Antarctica/Troll", second("2024-03-31T01:00:00Z")],
  ["Antarctica/Troll", second("2024-10-27T01:00:00Z")],
  ["America/Recife", second("2000-10-08T03:00:00Z")],
  ["America/Recife", second("2000-10-15T02:00:00Z")],
  ["Asia/Gaza", second("2040-10-20T00:00:00Z")],
  ["Asia/Gaza", second("2040-10-26T23:00:00Z")],
  ["Africa/Monrovia", second("1972-01-07T00:44:30Z")],
  ["Africa/Casablanca", second("2024-03-10T02:00:00Z")],
  ["Africa/Casablanca", second("2024-04-14T02:00:00Z")],
  ["Europe/Dublin", second("2024-03-31T01:00:00Z")],
  ["Europe/Dublin", second("2024-10-27T01:00:00Z")],
  ["Asia/Kathmandu", second("1985-12-31T18:30:00Z")],
  ["America/Sao_Paulo", second("2018-11-04T03:00:00Z")],
  ["America/Sao_Paulo", second("2018-02-18T02:00:00Z")],
  ["America/Havana", second("2024-03-10T05:00:00Z")],
  ["America/Havana", second("2024-11-03T05:00:00Z")],
  ["America/St_Johns", second("2006-04-02T03:31:00Z")],
  ["America/St_Johns", second("2006-10-29T02:31:00Z")],
  ["Africa/Cairo", second("2024-10-31T21:00:00Z")]
]

const reach = 5 * 3600
const locals = new Map<number, Array<number>>()

const around = (index: number) => {
  const [timeZone, at] = changes[index]!
  const known = locals.get(index)
  if (known !== undefined) return { timeZone, start: at - reach, locals: known }
  const clock = Oracle.localClock(timeZone)
  const seconds = Array.from({ length: 2 * reach }, (_, offset) => at - reach + offset)
  // Printing is slow, so it is only done where the offset can be another one than a minute ago.
  const read: Array<number> = []
  for (let minute = 0; minute < seconds.length; minute += 60) {
    const first = clock(seconds[minute]!)
    const last = clock(seconds[minute + 59]!)
    for (let offset = 0; offset < 60; offset++) {
      read.push(last - first === 59 ? first + offset : clock(seconds[minute + offset]!))
    }
  }
  locals.set(index, read)
  return { timeZone, start: at - reach, locals: read }
}

const agrees = (expression: string, index: number, rules?: Oracle.Rules) => {
  const { locals, start, timeZone } = around(index)
  const parsed = Cron.parse(expression, { timeZone, ...rules })
  if (Result.isFailure(parsed)) return assert.strictEqual(parsed.failure.reason, "NeverFires")
  const cron = parsed.success
  const expected = Oracle.occurrences(expression, start, locals, rules).map((at) => at * 1000)
  const range = { from: start * 1000, to: (start + 2 * reach) * 1000 }
  assert.deepStrictEqual([...Cron.occurrences(cron, range)], expected)
  assert.deepStrictEqual([...Cron.occurrences(cron, { ...range, reverse: true })], expected.toReversed())
  assert.strictEqual(Cron.count(cron, range), expected.length)
}

describe("beside an oracle that looks at every second", () => {
  it.effect("every clock change in the table is one", () =>
    Effect.sync(() => {
      changes.forEach(([timeZone, at], index) => {
        const { locals } = around(index)
        assert.notStrictEqual(
          locals[reach]! - locals[reach - 1]!,
          1,
          `${timeZone} ${new Date(at * 1000).toISOString()}`
        )
      })
    }), 60_000)

  it.effect.prop(
    "occurrences around clock changes are the same",
    [Generate.expression, Generate.int(0, changes.length - 1)],
    ([expression, index]) => Effect.sync(() => agrees(expression, index)),
    { timeout: 120_000, arbitrary: { runs: 200 } }
  )

  it.effect.prop(
    "expressions for every day show the same at every change",
    [Generate.time, Generate.int(0, changes.length - 1)],
    ([time, index]) => Effect.sync(() => agrees(`${time} * * *`, index)),
    { timeout: 120_000, arbitrary: { runs: 200 } }
  )

  it.effect.prop(
    "the rules for gaps and folds can be chosen one by one",
    [Generate.time, Generate.int(0, changes.length - 1), Generate.int(0, 5)],
    ([time, index, rules]) =>
      Effect.sync(() =>
        agrees(`${time} * * *`, index, {
          gap: (["shift", "skip"] as const)[rules % 2]!,
          fold: (["first", "second", "both"] as const)[rules % 3]!
        })
      ),
    { timeout: 120_000, arbitrary: { runs: 200 } }
  )

  it.effect.prop(
    "the same days match over four years",
    [Generate.days, Generate.int(1900, 2200)],
    ([days, year]) =>
      Effect.sync(() => {
        const expression = `0 0 12 ${days}`
        const parsed = Cron.parse(expression)
        if (Result.isFailure(parsed)) return assert.strictEqual(parsed.failure.reason, "NeverFires")
        const matches = Oracle.dayMatcher(expression)
        const range = { from: Date.UTC(year, 0), to: Date.UTC(year + 4, 0) }
        const expected: Array<number> = []
        for (let noon = range.from + 43_200_000; noon < range.to; noon += 86_400_000) {
          if (matches(noon / 1000)) expected.push(noon)
        }
        assert.deepStrictEqual([...Cron.occurrences(parsed.success, range)], expected)
        assert.strictEqual(Cron.count(parsed.success, range), expected.length)
      }),
    { timeout: 120_000, arbitrary: { runs: 200 } }
  )

  it.effect.prop(
    "an expression is refused as never firing if no day of 400 years matches",
    [Generate.days],
    ([days]) =>
      Effect.sync(() => {
        const expression = `0 0 0 ${days}`
        const matches = Oracle.dayMatcher(expression)
        let day = Date.UTC(2000, 0) / 1000
        const end = Date.UTC(2400, 0) / 1000
        while (day < end && !matches(day)) day += 86_400
        assert.strictEqual(Result.isSuccess(Cron.parse(expression)), day < end)
      }),
    { timeout: 120_000, arbitrary: { runs: 150 } }
  )
})
