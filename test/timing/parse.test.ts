import { assert, describe, it } from "@effect/vitest"
import { CronParseError } from "effect-durable/Cron"
import { InvalidInput } from "effect-durable/Errors"
import * as Timing from "effect-durable/Timing"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const parse = (timing: unknown) => Result.getOrThrow(Timing.parse(timing as Timing.Timing))
const failure = (timing: unknown) => Result.getOrThrow(Result.flip(Timing.parse(timing as Timing.Timing)))

const interval = { every: 2, unit: "days", at: "09:00", from: "2026-01-01" }
const hourly = { cron: "0 0 * * * *" }

describe("what is refused", () => {
  const refused: ReadonlyArray<readonly [field: string, timing: unknown]> = [
    ["timing", null],
    ["timing", "0 0 * * * *"],
    ["timing", [hourly]],
    ["timing", {}],
    ["timing", { cron: undefined, except: { weekdays: ["MON"] } }],
    ["timing", { ...hourly, every: 5000 }],
    ["timing.tz", { ...hourly, tz: "UTC" }],
    ["timing.timeZone", { every: 5000, timeZone: "UTC" }],
    ["timing.anchor", { ...hourly, anchor: 0 }],
    ["timing.cron", { cron: 5 }],
    ["timing.cron", { cron: [] }],
    ["timing.cron[1]", { cron: ["@daily", null] }],
    ["timing.timeZone", { ...hourly, timeZone: 5 }],
    ["timing.timeZone", { ...hourly, timeZone: "" }],
    ["timing.gap", { ...hourly, gap: "none" }],
    ["timing.fold", { ...hourly, fold: null }],
    ["timing.at", { at: [] }],
    ["timing.at", { at: "tomorrow" }],
    ["timing.at", { at: "2026-02-30" }],
    ["timing.at", { at: "2026-1-05" }],
    ["timing.at", { at: "2026-01-05T25:00Z" }],
    ["timing.at", { at: {} }],
    ["timing.at", { at: { month: 5 } }],
    ["timing.at", { at: NaN }],
    ["timing.at", { at: 8.64e15 }],
    ["timing.at", { at: new Date(NaN) }],
    ["timing.at[1]", { at: [0, true] }],
    ["timing.at[0]", { at: [[0]] }],
    ["timing.every", { every: "often" }],
    ["timing.every", { every: 999 }],
    ["timing.every", { every: 1000.5 }],
    ["timing.every", { every: -5000 }],
    ["timing.every", { every: "Infinity" }],
    ["timing.every", { every: null }],
    ["timing.every", { every: Duration.nanos(1_000_000_001n) }],
    ["timing.anchor", { every: 5000, anchor: "then" }],
    ["timing.calendar", { calendar: [] }],
    ["timing.calendar.zone", { calendar: { ...interval, zone: "UTC" } }],
    ["timing.calendar.every", { calendar: { ...interval, every: 0 } }],
    ["timing.calendar.every", { calendar: { ...interval, every: 1.5 } }],
    ["timing.calendar.every", { calendar: { ...interval, every: "2" } }],
    ["timing.calendar.unit", { calendar: { ...interval, unit: "day" } }],
    ["timing.calendar.at", { calendar: { ...interval, at: "9:00" } }],
    ["timing.calendar.at", { calendar: { ...interval, at: "24:00" } }],
    ["timing.calendar.at", { calendar: { ...interval, at: undefined } }],
    ["timing.calendar.at", { calendar: { ...interval, at: [] } }],
    ["timing.calendar.at[1]", { calendar: { ...interval, at: ["09:00", "09:60"] } }],
    ["timing.calendar.from", { calendar: { ...interval, from: "2026-02-29" } }],
    ["timing.calendar.from", { calendar: { ...interval, from: "0000-01-01" } }],
    ["timing.calendar.from", { calendar: { ...interval, from: 0 } }],
    ["timing.calendar.timeZone", { calendar: { ...interval, timeZone: "Europe/Nowhere" } }],
    ["timing.calendar.gap", { calendar: { ...interval, gap: "first" } }],
    ["timing.calendar.fold", { calendar: { ...interval, fold: "shift" } }],
    ["timing.calendar.weekdays", { calendar: { ...interval, weekdays: ["MON"] } }],
    ["timing.calendar.weekdays", { calendar: { ...interval, unit: "weeks", weekdays: [] } }],
    ["timing.calendar.weekdays", { calendar: { ...interval, unit: "weeks", weekdays: "MON" } }],
    ["timing.calendar.weekdays[1]", { calendar: { ...interval, unit: "weeks", weekdays: ["MON", "Tue"] } }],
    ["timing.union", { union: [] }],
    ["timing.union", { union: { every: 5000 } }],
    ["timing.every", { union: [{ every: 5000 }], every: 5000 }],
    ["timing.timeZone", { union: [{ every: 5000 }], timeZone: "UTC" }],
    ["timing.union[0]", { union: [null] }],
    ["timing.union[1]", { union: [{ every: 5000 }, { ...hourly, every: 5000 }] }],
    ["timing.union[0].union", { union: [{ union: [{ every: 5000 }] }] }],
    ["timing.union[1].calendar.from", { union: [hourly, { calendar: { ...interval, from: "tomorrow" } }] }],
    ["timing.union[0].cron[1]", { union: [{ cron: ["@daily", null] }] }],
    ["timing.union[0].gap", { union: [{ ...hourly, gap: "none" }] }],
    ["timing.union[0].every", { union: [{ every: 999 }] }],
    ["timing.union[0].anchor", { union: [{ every: 5000, anchor: "then" }] }],
    ["timing.union[0].at", { union: [{ at: [] }] }],
    ["timing.union[0].except.dates[0]", { union: [{ every: 5000, except: { dates: ["02-30"] } }] }],
    ["timing.except", { union: [hourly], except: "weekends" }],
    ["timing.except", { ...hourly, except: "weekends" }],
    ["timing.except", { ...hourly, except: null }],
    ["timing.except", { ...hourly, except: { name: "holidays" } }],
    ["timing.except.days", { ...hourly, except: { days: [] } }],
    ["timing.except.dates", { ...hourly, except: { dates: "12-25" } }],
    ["timing.except.dates[1]", { ...hourly, except: { dates: ["02-29", "02-30"] } }],
    ["timing.except.dates[0]", { ...hourly, except: { dates: ["2026-02-29"] } }],
    ["timing.except[1].weekdays[0]", { ...hourly, except: [{ weekdays: ["SAT"] }, { weekdays: ["Sunday"] }] }],
    ["timing.except.cron", { ...hourly, except: { cron: ["@daily"] } }],
    ["timing.except.timeZone", { ...hourly, except: { weekdays: ["SAT"], timeZone: "Mars" } }],
    ["timing.except.name", { ...hourly, except: { weekdays: ["SAT"], name: "" } }]
  ]

  it.effect.each(refused.map(([field, timing]) => ({ field, timing })))(
    "$field is named when it is wrong, as in $timing",
    ({ field, timing }) =>
      Effect.sync(() => {
        const error = failure(timing)
        assert.instanceOf(error, InvalidInput)
        assert.strictEqual((error as InvalidInput).field, field)
      })
  )

  it.effect("crons that cannot be read say so themselves", () =>
    Effect.sync(() => {
      const reasonOf = (timing: unknown) => {
        const error = failure(timing)
        assert.instanceOf(error, CronParseError)
        return (error as CronParseError).reason
      }
      assert.strictEqual(reasonOf({ cron: "0 * * * *" }), "FieldCount")
      assert.strictEqual(reasonOf({ cron: ["@daily", "0 0 0 30 2 *"] }), "NeverFires")
      assert.strictEqual(reasonOf({ ...hourly, timeZone: "Europe/Nowhere" }), "UnknownTimeZone")
      assert.strictEqual(reasonOf({ ...hourly, except: { cron: "0 0 25 * * *" } }), "OutOfRange")
    }))
})

describe("the text", () => {
  const same = (name: string, text: string, ...timings: ReadonlyArray<unknown>) =>
    it.effect(name, () =>
      Effect.sync(() => {
        for (const timing of timings) assert.strictEqual(parse(timing).text, text)
      }))

  same(
    "leaves out every default",
    "{\"cron\":\"0 0 6 * * *\"}",
    Timing.cron("0 0 6 * * *"),
    Timing.cron(["0 0 6 * * *"]),
    { except: [], timeZone: "UTC", cron: "  0 0 6   * * *  " },
    { cron: "0 0 6 * * *", timeZone: "Etc/UTC", gap: "shift", fold: "first", except: undefined },
    { cron: ["0 0 6 * * *", "0 0 6 * * *"], except: [{ dates: [] }] }
  )

  same(
    "leaves out the rules for clock changes that the crons have by themselves, and no others",
    "{\"cron\":[\"0 0 * * * *\",\"0 0 6 * * *\"],\"timeZone\":\"Europe/Lisbon\",\"gap\":\"shift\"}",
    { cron: ["0 0 6 * * *", "0 0 * * * *"], timeZone: "Europe/Lisbon", gap: "shift" }
  )

  same(
    "has instants in ISO format, in order and once",
    "{\"at\":[\"1970-01-01T00:00:00.005Z\",\"2026-01-02T00:00:00.000Z\"]}",
    Timing.at(["2026-01-02", 5]),
    Timing.at([5.5, "2026-01-02T01:00+01:00", new Date(5), DateTime.makeUnsafe("2026-01-02")]),
    Timing.at([
      "1970-01-01 00:00:00.005Z",
      { year: 2026, month: 1, day: 2 },
      DateTime.makeZonedUnsafe("2026-01-02", { timeZone: "Asia/Tokyo" })
    ])
  )

  same(
    "has durations in milliseconds",
    "{\"every\":5400000,\"anchor\":\"1970-01-01T00:00:00.000Z\"}",
    Timing.every("90 minutes", { anchor: 0 }),
    Timing.every(Duration.hours(1.5), { anchor: "1970-01-01" }),
    Timing.every({ hours: 1, minutes: 30 }, { anchor: "1970-01-01T00:00Z" })
  )

  same(
    "has the fields of an interval in one order, and its times in the shorter form",
    "{\"calendar\":{\"every\":2,\"unit\":\"days\",\"at\":[\"08:00:30\",\"09:00\"],\"from\":\"2026-01-01\",\"gap\":\"skip\"}}",
    { calendar: { ...interval, gap: "skip", at: ["09:00", "08:00:30"] } },
    { calendar: { fold: "first", timeZone: "UTC", gap: "skip", ...interval, at: ["08:00:30", "09:00:00", "09:00"] } }
  )

  same(
    "has dates and weekdays in order, and only another zone than that of the timing",
    "{\"cron\":\"@daily\",\"timeZone\":\"Asia/Tokyo\",\"except\":[{\"dates\":[\"01-01\",\"2026-05-05\"],\"weekdays\":[\"MON\",\"SUN\"]}," +
      "{\"cron\":\"* * 0 * * *\",\"timeZone\":\"UTC\",\"name\":\"midnight\"}]}",
    {
      except: [
        { weekdays: ["SUN", "MON", "SUN"], timeZone: "Asia/Tokyo", dates: ["2026-05-05", "01-01"] },
        { name: "midnight", timeZone: "UTC", weekdays: [], cron: "* * 0 * * *" }
      ],
      timeZone: "Asia/Tokyo",
      cron: "@daily"
    }
  )

  same(
    "has the weekdays of weeks in order, and only others than that of the first day",
    "{\"calendar\":{\"every\":2,\"unit\":\"weeks\",\"weekdays\":[\"MON\",\"WED\"],\"at\":\"09:00\",\"from\":\"2026-01-01\"}}",
    { calendar: { ...interval, unit: "weeks", weekdays: ["WED", "MON", "WED"] } }
  )

  same(
    "of a week on the first day's own weekday does not name it",
    "{\"calendar\":{\"every\":2,\"unit\":\"weeks\",\"at\":\"09:00\",\"from\":\"2026-01-01\"}}",
    { calendar: { ...interval, unit: "weeks", weekdays: ["THU"] } },
    { calendar: { ...interval, unit: "weeks" } }
  )

  same(
    "has the parts of a union in one order and once, each as it is by itself",
    "{\"union\":[{\"cron\":\"0 0 * * * *\"},{\"every\":5000,\"except\":{\"dates\":[\"12-25\"]}}],\"except\":{\"weekdays\":[\"SUN\"]}}",
    { except: { weekdays: ["SUN"] }, union: [{ every: 5000, except: [{ dates: ["12-25"] }] }, hourly] },
    {
      union: [{ cron: ["0 0 * * * *"] }, { except: { dates: ["12-25"] }, every: "5 seconds" }, hourly],
      except: [{ weekdays: ["SUN"] }]
    }
  )

  it.effect("that cannot be read is refused with a reason, whatever it is", () =>
    Effect.sync(() => {
      const reason = (text: string) => Result.getOrThrow(Result.flip(Timing.fromText(text)))
      assert.strictEqual(reason("{"), "it is not JSON")
      assert.include(reason("{\"every\":5}"), "timing.every: must be at least one second")
      assert.include(reason("{\"cron\":\"* * * * *\"}"), "5 fields")
      const values = ["", "null", "\"\"", "[]", "{}", "[[]]", "{\"a\":1}", "[null]", "-1e999", "true", "[".repeat(1e5)]
      const texts = [...values, "5", "{\"__proto__\":{\"every\":5000}}", "{\"constructor\":1}"]
      texts.push("{\"union\":[".repeat(1e5))
      for (const key of ["cron", "at", "every", "calendar", "anchor", "union"]) {
        for (const value of values) texts.push(`{"${key}":${value}}`, `{"every":5000,"${key}":${value}}`)
      }
      for (const text of texts) assert.isString(reason(text), text)
    }))
})

describe("for people", () => {
  const shown = (timing: Timing.Timing) => [parse(timing).expression, parse(timing).describe()]
  const lisbon =
    "in Europe/Lisbon, by the clock on the wall: skipped times fire right after the change, repeated ones once"

  it.effect("each way to tick has a short form and a sentence", () =>
    Effect.sync(() => {
      const timeZone = "Europe/Lisbon"
      assert.deepStrictEqual(shown(Timing.cron("0 30 9 * * MON-FRI", { timeZone })), [
        "0 30 9 * * MON-FRI",
        `At 09:30:00, on Monday to Friday, ${lisbon}.`
      ])
      assert.deepStrictEqual(shown(Timing.cron(["0 0 8 * * MON-FRI", "0 0 10 * * SAT"], { timeZone })), [
        "0 0 10 * * SAT | 0 0 8 * * MON-FRI",
        `At 10:00:00, on Saturday; and at 08:00:00, on Monday to Friday; ${lisbon}.`
      ])
      assert.deepStrictEqual(shown(Timing.cron(["@hourly", "@daily"], { timeZone })), [
        "@daily | @hourly",
        `At 00:00:00, every day, ${lisbon}; and every hour, every day, in Europe/Lisbon, by the clock on the wall: skipped times do not fire, repeated ones twice.`
      ])
      assert.deepStrictEqual(shown(Timing.at("2026-05-01T09:00Z")), [
        "at 2026-05-01T09:00:00Z",
        "Once, at 2026-05-01T09:00:00Z, in UTC."
      ])
      assert.deepStrictEqual(
        shown(Timing.at([0, 1000, 2000, 3000, 4000]))[0],
        [
          "at 1970-01-01T00:00:00Z, 1970-01-01T00:00:01Z, 1970-01-01T00:00:02Z and 2 more"
        ][0]
      )
      assert.deepStrictEqual(shown(Timing.every("90 minutes")), [
        "every 90 minutes",
        "Every 90 minutes of elapsed time, counted from 1970-01-01T00:00:00Z, in UTC, which has no clock changes."
      ])
      assert.deepStrictEqual(shown(Timing.every("1 day", { anchor: 0 })), [
        "every 24 hours",
        "Every 24 hours of elapsed time, from 1970-01-01T00:00:00Z on, in UTC, which has no clock changes."
      ])
      const hours = Array.from({ length: 9 }, (_, hour) => `0${hour}:00`)
      assert.deepStrictEqual(
        shown(Timing.calendar({ every: 2, unit: "weeks", weekdays: ["WED", "MON"], at: hours, from: "2026-01-07" }))[1],
        "Every 2 weeks on Monday and Wednesday at 00:00, 01:00, 02:00, 03:00, 04:00, 05:00 and 3 more times of day, " +
          "from 2026-01-07 on, in UTC, which has no clock changes."
      )
      assert.match(
        shown({
          cron: Array.from({ length: 9 }, (_, hour) => `0 0 ${hour} * * *`) as unknown as readonly [string]
        })[1]!,
        /^At 00:00:00, every day, in UTC.*; and at 03:00:00, every day, in UTC, which has no clock changes; and 5 more crons\.$/
      )
      assert.strictEqual(shown(Timing.every(1500))[0], "every 1500 milliseconds")
      assert.strictEqual(shown(Timing.every("1 minute"))[0], "every minute")
      const calendar = { at: ["09:00", "17:30"], from: "2026-01-31", timeZone }
      assert.deepStrictEqual(shown(Timing.calendar({ every: 2, unit: "days", ...calendar })), [
        "every 2 days at 09:00, 17:30",
        `Every 2 days at 09:00 and 17:30, from 2026-01-31 on, ${lisbon}.`
      ])
      assert.deepStrictEqual(
        shown(Timing.calendar({ every: 1, unit: "weeks", ...calendar }))[0],
        [
          "every week on Saturday at 09:00, 17:30"
        ][0]
      )
      assert.deepStrictEqual(shown(Timing.calendar({ every: 3, unit: "months", ...calendar, at: "09:00" })), [
        "every 3 months on day 31 at 09:00",
        `Every 3 months on day 31, or the last day of shorter months, at 09:00, from 2026-01-31 on, ${lisbon}.`
      ])
    }))

  it.effect("the sentence names what is left out", () =>
    Effect.sync(() => {
      const daily = Timing.cron("0 0 9 * * *")
      const sentence = (...calendars: ReadonlyArray<Timing.Except>) => parse({ ...daily, except: calendars }).describe()
      const start = "At 09:00:00, every day, in UTC, which has no clock changes;"
      assert.strictEqual(sentence({ weekdays: ["SAT", "SUN"] }), `${start} except on weekends.`)
      assert.strictEqual(
        sentence({ weekdays: ["MON", "WED", "FRI"] }, { dates: ["12-25", "01-01"], name: "holidays" }),
        `${start} except on Monday, Wednesday and Friday; except on 01-01 and 12-25 (holidays).`
      )
      assert.strictEqual(
        sentence({ dates: ["01-01", "01-02", "01-03", "01-04", "01-05"], cron: "@yearly", timeZone: "Asia/Tokyo" }),
        `${start} except on 01-01, 01-02, 01-03 and 2 more dates and when the cron @yearly matches in Asia/Tokyo.`
      )
    }))
})

describe("the codec", () => {
  it.effect("encodes to what the text says, and decodes that to plain data", () =>
    Effect.gen(function*() {
      const timing = Timing.except(Timing.every("90 minutes", { anchor: DateTime.makeUnsafe(0) }), {
        weekdays: ["SAT"]
      })
      const json = yield* Schema.encodeEffect(Timing.Timing)(timing)
      assert.strictEqual(JSON.stringify(json), parse(timing).text)
      const decoded = yield* Schema.decodeUnknownEffect(Timing.Timing)(json)
      assert.strictEqual(parse(decoded).text, parse(timing).text)
    }))

  it.effect("fails with the reason for what is no timing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Schema.decodeUnknownEffect(Timing.Timing)({ every: 5 }))
      assert.include(error.message, "timing.every: must be at least one second")
      const wrong = yield* Effect.flip(Schema.encodeUnknownEffect(Timing.Timing)({ every: 5 }))
      assert.isString(wrong.message)
    }))
})

describe("except", () => {
  it.effect("adds calendars in order, in both styles, and changes nothing else", () =>
    Effect.sync(() => {
      const saturdays = { weekdays: ["SAT"] } as const
      const christmas = { dates: ["12-25"] } as const
      const once = Timing.except(Timing.every(5000), saturdays)
      assert.deepStrictEqual(once, { every: 5000, except: saturdays })
      assert.deepStrictEqual(Timing.except(christmas)(once), { every: 5000, except: [saturdays, christmas] })
      assert.deepStrictEqual(
        Timing.except(Timing.except(once, christmas), saturdays).except,
        [saturdays, christmas, saturdays]
      )
    }))
})
