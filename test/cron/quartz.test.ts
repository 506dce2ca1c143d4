import { assert, describe, it } from "@effect/vitest"
import { Arbitrary } from "effect"
import * as Cron from "effect-durable/Cron"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Generate from "./generators.ts"

const oneOf = <A>(...values: ReadonlyArray<A>) => Arbitrary.map(Generate.int(0, values.length - 1), (i) => values[i]!)

const refusal = (expression: string) => Result.getOrThrow(Result.flip(Cron.fromQuartz(expression)))

/** Each row was compared with the times that Quartz 2.3.2 gives for it. */
const readings: ReadonlyArray<readonly [quartz: string, ours: string, why: string]> = [
  ["0 0 12 * * ?", "0 0 12 * * *", "a day field that is ? says nothing"],
  ["0 0 12 ? * *", "0 0 12 * * *", "nor does one that is *"],
  ["\t0  0 12 ? * *  ", "0 0 12 * * *", "blanks are spaces and tabs"],
  ["0 0 12 * * ? *", "0 0 12 * * *", "all years are no year"],
  ["0 0 12 ? * 1", "0 0 12 * * 0", "1 is Sunday"],
  ["0 0 12 ? * 7", "0 0 12 * * 6", "7 is Saturday"],
  ["0 0 12 ? * 2-6", "0 0 12 * * 1-5", "2-6 is Monday to Friday"],
  ["0 0 12 ? * MON-FRI", "0 0 12 * * 1-5", "as by name"],
  ["0 0 12 ? jan,Dec sun", "0 0 12 * 1,12 0", "names are in any case"],
  ["0 0 12 ? * 5/2", "0 0 12 * * 4,6", "a step goes on to Saturday"],
  ["0 0 12 ? * */2", "0 0 12 * * */2", "from Sunday on"],
  ["0 0 12 ? * 1-7", "0 0 12 * * 0-6", "all weekdays by number"],
  ["0 0 12 ? * L", "0 0 12 * * 6", "L by itself is the last day of the week"],
  ["0 0 12 ? * 6L", "0 0 12 * * 5L", "6L is the last Friday"],
  ["0 0 12 ? * fril", "0 0 12 * * 5L", "as by name"],
  ["0 0 12 ? * 6#3", "0 0 12 * * 5#3", "the third Friday"],
  ["0 0 12 ? * MON#5", "0 0 12 * * 1#5", "the fifth Monday"],
  ["0 0 12 ? * FRI-MON", "0 0 12 * * 0,1,5,6", "a range goes round the week"],
  ["0 0 12 ? DEC-FEB *", "0 0 12 * 1,2,12 *", "and the year"],
  ["0 0 12 29-2 * ?", "0 0 12 1,2,29-31 * *", "and the month, which counts as one of 31 days"],
  ["0 0 22-2 * * ?", "0 0 0-2,22,23 * * *", "and the day"],
  ["0 0 22-3/2 * * ?", "0 0 0,2,22 * * *", "and its step goes on over the end"],
  ["0 50-10/20 * * * ?", "0 10,50 * * * *", "not from the start of the field"],
  ["0 0/15 * * * ?", "0 */15 * * * *", "a/n is every nth from a"],
  ["0 5/15 * * * ?", "0 5-50/15 * * * *", "and not the value alone"],
  ["0 /15 * * * ?", "0 */15 * * * *", "and /n is */n"],
  ["0 0 12 1/10 * ?", "0 0 12 */10 * *", "also for days"],
  ["0 0 12 L * ?", "0 0 12 L * *", "the last day of the month"],
  ["0 0 12 L-3 * ?", "0 0 12 L-3 * *", "three days before it"],
  ["0 0 12 L-0 * ?", "0 0 12 L * *", "none before it"],
  ["0 0 12 LW * ?", "0 0 12 LW * *", "the last working day"],
  ["0 0 12 15W * ?", "0 0 12 15W * *", "the working day nearest to the 15th"]
]

type Part = readonly [text: string, values: ReadonlyArray<number>]

/** An item with the values that Quartz gives it, counted out one by one. */
const item = (min: number, max: number): Arbitrary.Arbitrary<Part> =>
  Arbitrary.map(
    Arbitrary.all([Generate.int(0, 5), Generate.int(min, max), Generate.int(min, max), Generate.int(1, max - min)]),
    ([form, a, b, step]) => {
      const [text, from, until, by] = ([
        [`${a}`, a, a, 1],
        ["*", min, max, 1],
        [`*/${step}`, min, max, step],
        [`${a}/${step}`, a, max, step],
        [`${a}-${b}`, a, b, 1],
        [`${a}-${b}/${step}`, a, b, step]
      ] as const)[form]!
      const values: Array<number> = []
      const size = max - min + 1
      for (let value = from; value <= (until < from ? until + size : until); value += by) {
        values.push(value > max ? value - size : value)
      }
      return [text, values] as const
    }
  )

const field = (min: number, max: number): Arbitrary.Arbitrary<Part> =>
  Arbitrary.map(
    Arbitrary.all([Generate.int(0, 2), item(min, max), item(min, max)]),
    ([both, first, second]) => both === 0 ? [`${first[0]},${second[0]}`, [...first[1], ...second[1]]] as const : first
  )

const junk = oneOf(
  "?",
  "L",
  "W",
  "#",
  "+",
  "-",
  "/",
  "LW",
  "1#9",
  "6L,1",
  "MON-5",
  "TUE/2",
  "13W,2",
  "L-40",
  "H",
  "é",
  "99",
  "",
  "*5"
)

describe("an expression of Quartz", () => {
  it.effect.each(readings.map(([quartz, ours, why]) => ({ quartz, ours, why })))(
    "$quartz is $ours: $why",
    ({ ours, quartz }) =>
      Effect.sync(() => {
        assert.deepStrictEqual(Cron.fromQuartz(quartz), Result.succeed(ours))
        assert.strictEqual(Cron.parseUnsafe(ours).expression, ours)
      })
  )

  it.effect.prop(
    "has the values that Quartz counts out",
    [field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(1, 7), oneOf(true, false)],
    ([second, minute, hour, date, month, weekday, byDate]) =>
      Effect.sync(() => {
        const theirs = [second[0], minute[0], hour[0], byDate ? date[0] : "?", month[0], byDate ? "?" : weekday[0]]
        const days = byDate ? date[1] : weekday[1].map((value) => value - 1)
        const free = /^\*(\/1)?$/.test(byDate ? date[0] : weekday[0])
        const ours = [
          second[1],
          minute[1],
          hour[1],
          byDate && !free ? days : "*",
          month[1],
          byDate || free ? "*" : days
        ]
        const expected = Result.map(Cron.parse(ours.join(" ")), Cron.format)
        const read = Cron.fromQuartz(theirs.join(" "))
        if (Result.isSuccess(expected)) assert.deepStrictEqual(read, expected, theirs.join(" "))
        // Only a date that no month has is refused. A step of everything is not quite everything to us.
        else if (Result.isFailure(read)) assert.strictEqual(read.failure.reason, "NeverFires")
        else assert.fail(`${theirs.join(" ")} became ${read.success}`)
      }),
    { arbitrary: { runs: 500 } }
  )

  it.effect("is refused with what to write instead", () =>
    Effect.sync(() => {
      const rows: ReadonlyArray<
        readonly [expression: string, field: string, at: string, hint: string | undefined, words: string]
      > = [
        ["", "expression", "", undefined, "empty"],
        ["@daily", "expression", "@daily", undefined, "1 field: Quartz has 6"],
        ["0 12 * * ?", "expression", "0 12 * * ?", undefined, "5 fields: Quartz has 6"],
        ["0 0 12 * * ? * *", "expression", "0 0 12 * * ? * *", undefined, "8 fields"],
        ["0 0 12 * * *", "dayOfWeek", "*", "?", "wants ?"],
        ["0 0 12 * * 2", "dayOfMonth", "*", "?", "wants ?"],
        ["0 0 12 13 * 6", "dayOfWeek", "6", undefined, "expressions of this library can have both"],
        ["0 0 12 ? * ?", "dayOfWeek", "?", "*", "one of the two day fields is ?"],
        ["0 ? 12 * * ?", "minute", "?", undefined, "for the day fields"],
        ["0 0 12 ? * 0", "dayOfWeek", "0", undefined, "1-7, of which 1 is Sunday"],
        ["0 0 12 ? * 8", "dayOfWeek", "8", undefined, "1-7"],
        ["0 0 12 ? * MON/2", "dayOfWeek", "MON/2", "MON", "Quartz ignores a step"],
        ["0 0 12 ? * MON-FRI/2", "dayOfWeek", "MON-FRI/2", "MON-FRI", "Quartz ignores a step"],
        ["0 0 12 ? * 2-FRI", "dayOfWeek", "2-FRI", "MON-FRI", "neither"],
        ["0 0 12 ? * MONDAY", "dayOfWeek", "MONDAY", "MON", "is none of"],
        ["0 0 12 ? * 2#1,3", "dayOfWeek", "2#1,3", undefined, "only by itself"],
        ["0 0 12 ? * 2L,3", "dayOfWeek", "2L,3", undefined, "only by itself"],
        ["0 0 12 ? * 2#6", "dayOfWeek", "2#6", undefined, "#1 to #5"],
        ["0 0 12 15W,3 * ?", "dayOfMonth", "15W,3", undefined, "only by itself"],
        ["0 0 12 1-15W * ?", "dayOfMonth", "1-15W", undefined, "none of"],
        ["0 0 12 L-3W * ?", "dayOfMonth", "L-3W", undefined, "none of"],
        ["0 0 12 L-31 * ?", "dayOfMonth", "L-31", undefined, "none of"],
        ["0 0 12 30 2 ?", "dayOfMonth", "30", undefined, "no date"],
        ["0 0/0 12 * * ?", "minute", "0", undefined, "a whole number from 1"],
        [
          "0 0 12 * * ? 2030",
          "expression",
          "2030",
          undefined,
          "`from` and `until`, here \"2030-01-01\" and \"2031-01-01\""
        ],
        ["0 0 12 * * ? 2030-2032", "expression", "2030-2032", undefined, "\"2030-01-01\" and \"2033-01-01\""],
        ["0 0 12 * * ? 2030/2", "expression", "2030/2", undefined, "`from` and `until`"]
      ]
      for (const [expression, field, at, hint, words] of rows) {
        const error = refusal(expression)
        assert.deepStrictEqual(
          [error.field, expression.slice(error.start, error.end), error.hint, error.dialect, error.input],
          [field, at, hint, "quartz", expression] as const
        )
        assert.include(error.message, words)
        if (hint === undefined) continue
        // What is written in its place is taken.
        const repaired = expression.slice(0, error.start) + hint + expression.slice(error.end)
        assert.isTrue(Result.isSuccess(Cron.fromQuartz(repaired)), repaired)
      }
    }))

  it.effect.prop(
    "is taken as an expression that parses, or refused with a fault inside it",
    [field(0, 59), field(1, 31), field(1, 7), junk, Generate.int(0, 8)],
    ([minute, date, weekday, other, at]) =>
      Effect.sync(() => {
        const fields = ["0", minute[0], "0", "?", "*", weekday[0]]
        if (at < 6) fields[at] = other
        else fields.splice(3, 3, date[0], other, "?")
        const expression = fields.join(" ")
        const read = Cron.fromQuartz(expression)
        if (Result.isSuccess(read)) {
          return assert.strictEqual(Cron.parseUnsafe(read.success as string).expression, read.success)
        }
        const { end, message, start } = read.failure
        assert.isTrue(0 <= start && start <= end && end <= expression.length)
        assert.include(message, "\n")
      }),
    { arbitrary: { runs: 500 } }
  )
})
