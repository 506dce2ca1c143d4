import { assert, describe, it } from "@effect/vitest"
import { Arbitrary } from "effect"
import * as Cron from "effect-durable/Cron"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Generate from "./generators.ts"
import { read, type Said } from "./sentence.ts"

const day = 86_400_000

/** Any of the values by themselves, so that there are many of them without an order. */
const scattered = (min: number, max: number) =>
  Arbitrary.map(
    Arbitrary.array(Generate.int(min, max), { minLength: 1, maxLength: 20 }),
    (values) => values.join(",")
  )

const dense = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.all([Generate.int(0, 2), scattered(0, 59), scattered(0, 59), scattered(0, 23)]),
    Arbitrary.all([Generate.int(0, 5), scattered(1, 31), scattered(1, 12), scattered(0, 6), scattered(1, 30)]),
    Generate.expression
  ]),
  ([[seconds, second, minute, hour], [days, date, month, weekday, before], usual]) => {
    const fields = usual.split(" ")
    const time = [seconds === 0 ? second : seconds === 1 ? "0" : fields[0], minute, seconds === 2 ? hour : fields[2]]
    const dates = [
      date,
      `${date.split(",").join("W,")}W`,
      before.split(",").map((value) => `L-${value}`).join(","),
      date,
      fields[3],
      fields[3]
    ][days]
    const weekdays = [
      fields[5],
      fields[5],
      "*",
      `+${weekday}`,
      weekday.split(",").map((value, index) => `${value}#${index % 5 + 1}`).join(","),
      fields[5]
    ][days]
    return `${time.join(" ")} ${dates} ${days === 5 ? month : fields[4]} ${weekdays}`
  }
)

const saysTrue = ({ count, even, values }: Said, actual: ReadonlyArray<number>, size: number): boolean => {
  if (even === true && values.some((value, index) => (values[index + 1] ?? size) - value !== size / values.length)) {
    return false
  }
  if (count === undefined) return values.join() === actual.join()
  const bounds = [values[0], values[values.length - 1]]
  return count === actual.length && bounds.join() === [actual[0], actual[count - 1]].join()
}

const projected = (ticks: ReadonlyArray<number>, unit: number, size: number): Array<number> =>
  [...new Set(ticks.map((tick) => Math.floor((tick - Math.floor(tick / day) * day) / unit) % size))].sort((a, b) =>
    a - b
  )

const agrees = (expression: string, at: number) => {
  const parsed = Cron.parse(expression)
  if (Result.isFailure(parsed)) return
  const cron = parsed.success
  const words = Cron.describe(cron)
  const sentence = read(words)
  const start = Math.floor(at / day) * day
  let told = false
  for (let date = start; date < start + 100 * day; date += day) {
    const fires = Cron.count(cron, { from: date, to: date + day }) > 0
    assert.strictEqual(
      sentence.on(new Date(date)) ?? fires,
      fires,
      `${expression}: ${words} ${new Date(date).toISOString()}`
    )
    if (!fires || told) continue
    told = true
    const ticks = [...Cron.occurrences(cron, { from: date, to: date + day })]
    if (sentence.times !== undefined) {
      assert.deepStrictEqual(sentence.times, ticks.map((tick) => new Date(tick).toISOString().slice(11, 19)))
    }
    assert.isTrue(saysTrue(sentence.seconds, projected(ticks, 1000, 60), 60), `${expression}: seconds in ${words}`)
    assert.isTrue(saysTrue(sentence.minutes, projected(ticks, 60_000, 60), 60), `${expression}: minutes in ${words}`)
    assert.isTrue(saysTrue(sentence.hours, projected(ticks, 3_600_000, 24), 24), `${expression}: hours in ${words}`)
  }
  assert.isBelow(words.length, 420, words)
}

describe("the sentence of a cron", () => {
  it.effect.prop(
    "says of every day whether it fires then, and at which times",
    [Generate.expression, Generate.instant],
    ([expression, at]) => Effect.sync(() => agrees(expression, at)),
    { timeout: 60_000, arbitrary: { runs: 400 } }
  )

  it.effect.prop(
    "stays short where many values have no order, and then says nothing that is not so",
    [dense, Generate.instant],
    ([expression, at]) => Effect.sync(() => agrees(expression, at)),
    { timeout: 60_000, arbitrary: { runs: 400 } }
  )

  it.effect("names the minute that seconds belong to, and counts steps only where nothing cuts one short", () =>
    Effect.sync(() => {
      const say = (expression: string) => Cron.describe(Cron.parseUnsafe(expression)).split(", in UTC")[0]
      assert.strictEqual(say("15,45 * * * * *"), "At seconds 15 and 45 of every minute, every day")
      assert.strictEqual(say("5 * 9-17 * * *"), "At second 5 of every minute of hours 9 to 17, every day")
      assert.strictEqual(say("*/10 5 * * * *"), "Every 10 seconds of minute 5 of every hour, every day")
      assert.strictEqual(say("0 */7 * * * *"), "At minutes 0 to 56 in steps of 7 of every hour, every day")
      assert.strictEqual(say("0 */6 * * * *"), "Every 6 minutes, every day")
      assert.strictEqual(say("0 5-59/15 * * * *"), "At minutes 5, 20, 35 and 50 of every hour, every day")
      assert.strictEqual(say("0 0 */5 * * *"), "At minute 0 of hours 0, 5, 10, 15 and 20, every day")
      assert.strictEqual(say("0 0 */2 * * *"), "Every 2 hours, every day")
    }))

  it.effect("says by which of two day fields it fires, and in which months", () =>
    Effect.sync(() => {
      const say = (days: string) =>
        Cron.describe(Cron.parseUnsafe(`0 0 0 ${days}` as string)).split(", ").slice(1, -2).join(", ")
      assert.strictEqual(say("13 6 FRI"), "on the 13th of the month and on Friday, both only in June")
      assert.strictEqual(say("1-7 6 +SUN,SAT"), "on the 1st to 7th in June if that is Sunday or Saturday")
      assert.strictEqual(say("*/2 * *"), "on every 2nd day from the 1st to the 31st of the month")
      assert.strictEqual(say("L-28 * *"), "on 28 days before the last day (if the month is that long) of the month")
      assert.strictEqual(say("1W,15W * *"), "on the working days nearest to the 1st and 15th of the month")
    }))

  it.effect("says what becomes of skipped and repeated times", () =>
    Effect.sync(() => {
      const spring = { from: Date.UTC(2026, 2, 29), to: Date.UTC(2026, 2, 29, 3) }
      const autumn = { from: Date.UTC(2026, 9, 25), to: Date.UTC(2026, 9, 25, 3) }
      for (const expression of ["0 30 2 * * *", "0 30 * * * *"]) {
        for (const gap of ["shift", "skip"] as const) {
          for (const fold of ["first", "second", "both"] as const) {
            const cron = Cron.parseUnsafe(expression as string, { timeZone: "Europe/Berlin", gap, fold })
            const words = Cron.describe(cron)
            const passes = [0, 1].map((hour) => Cron.matches(cron, Date.UTC(2026, 9, 25, hour, 30)))
            assert.strictEqual(
              words.includes("skipped times fire right after the change"),
              Cron.matches(cron, Date.UTC(2026, 2, 29, 1))
            )
            assert.strictEqual(
              words.includes("skipped times do not fire"),
              !Cron.matches(cron, Date.UTC(2026, 2, 29, 1))
            )
            assert.strictEqual(words.includes("repeated ones twice"), passes[0] && passes[1])
            assert.strictEqual(words.includes("at the second pass"), !passes[0]! && passes[1])
            assert.isAbove(Cron.count(cron, autumn), 0)
            assert.isAtLeast(Cron.count(cron, spring), gap === "skip" && expression.includes("2") ? 0 : 1)
          }
        }
      }
    }))

  it.effect("does not speak of elapsed time, which minutes of a clock that is put on by half an hour do not follow", () =>
    Effect.sync(() => {
      const cron = Cron.parseUnsafe("0 */20 * * * *", { timeZone: "Australia/Lord_Howe" })
      const ticks = [...Cron.occurrences(cron, { from: Date.UTC(2026, 3, 4, 12), to: Date.UTC(2026, 3, 4, 18) })]
      assert.isAbove(new Set(ticks.slice(1).map((tick, index) => tick - ticks[index]!)).size, 1)
      assert.notInclude(Cron.describe(cron), "elapsed")
    }))
})
