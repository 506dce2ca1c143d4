import { assert, describe, it } from "@effect/vitest"
import * as Timing from "effect-durable/Timing"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Generate from "./generators.ts"
import { isExcluded, ticksOf } from "./oracle.ts"

const parse = (timing: Timing.Timing) => Result.getOrThrow(Timing.parse(timing))

const day = 86_400_000

const forward = ({ next }: Timing.Timetable, from: number, to: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = next(from - 1); tick !== null && tick < to; tick = next(tick)) ticks.push(tick)
  return ticks
}

const backward = ({ prev }: Timing.Timetable, from: number, to: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = prev(to); tick !== null && tick >= from; tick = prev(tick)) ticks.push(tick)
  return ticks.reverse()
}

const iso = (ticks: ReadonlyArray<number>) => ticks.map((tick) => new Date(tick).toISOString().slice(0, 16))

const between = (timing: Timing.Timing, from: string, to: string) =>
  iso(forward(parse(timing), Date.parse(from), Date.parse(to)))

const everyDay = (options: Partial<Timing.CalendarInterval>) =>
  Timing.calendar({ every: 1, unit: "days", at: "01:30", from: "2026-01-01", timeZone: "Europe/Lisbon", ...options })

describe("intervals of the calendar", () => {
  it.effect.prop(
    "tick when the calendar on the wall says so, both ways",
    [Generate.interval],
    ([interval]) =>
      Effect.sync(() => {
        const timetable = parse(Timing.calendar(interval))
        const to = Date.parse(interval.from) + 1100 * day
        const expected = iso(ticksOf(interval, to))
        assert.deepStrictEqual(iso(forward(timetable, -Infinity, to)), expected)
        assert.deepStrictEqual(iso(backward(timetable, -Infinity, to)), expected)
      }),
    { timeout: 120_000, arbitrary: { runs: 60 } }
  )

  for (const timeZone of ["Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]) {
    it.effect(`follow the rules for clock changes in ${timeZone}`, () =>
      Effect.sync(() => {
        for (const gap of ["shift", "skip"] as const) {
          for (const fold of ["first", "second", "both"] as const) {
            const interval: Timing.CalendarInterval = {
              every: 1,
              unit: "days",
              at: ["00:30", "01:00", "01:30", "01:45", "02:00", "02:15", "02:30", "03:00"],
              from: "2025-01-01",
              timeZone,
              gap,
              fold
            }
            const to = Date.parse("2027-01-01")
            const expected = ticksOf(interval, to)
            assert.deepStrictEqual(forward(parse({ calendar: interval }), -Infinity, to), expected)
            assert.deepStrictEqual(backward(parse({ calendar: interval }), -Infinity, to), expected)
          }
        }
      }), 60_000)
  }

  it.effect("weeks begin on Monday, and the first begins with the first day", () =>
    Effect.sync(() => {
      // 7 January 2026 is a Wednesday.
      const timing = (weekdays?: ReadonlyArray<Timing.Weekday>) =>
        Timing.calendar({ every: 2, unit: "weeks", weekdays, at: "09:00", from: "2026-01-07" })
      const days = (timing: Timing.Timing) =>
        between(timing, "2026-01-01", "2026-02-05").map((instant) => instant.slice(5, 10))
      assert.deepStrictEqual(days(timing()), ["01-07", "01-21", "02-04"])
      assert.deepStrictEqual(days(timing(["SUN", "MON", "WED"])), [
        "01-07",
        "01-11",
        "01-19",
        "01-21",
        "01-25",
        "02-02",
        "02-04"
      ])
      assert.deepStrictEqual(days(timing(["MON"])), ["01-19", "02-02"])
    }))

  it.effect("a time in a gap ticks at its end, or not at all", () =>
    Effect.sync(() => {
      const window = ["2026-03-28", "2026-03-31"] as const
      assert.deepStrictEqual(between(everyDay({}), ...window), [
        "2026-03-28T01:30",
        "2026-03-29T01:00",
        "2026-03-30T00:30"
      ])
      assert.deepStrictEqual(between(everyDay({ gap: "skip" }), ...window), ["2026-03-28T01:30", "2026-03-30T00:30"])
    }))

  it.effect("a repeated time ticks at the first pass, the second or both", () =>
    Effect.sync(() => {
      const window = ["2026-10-25", "2026-10-26"] as const
      assert.deepStrictEqual(between(everyDay({}), ...window), ["2026-10-25T00:30"])
      assert.deepStrictEqual(between(everyDay({ fold: "second" }), ...window), ["2026-10-25T01:30"])
      assert.deepStrictEqual(between(everyDay({ fold: "both" }), ...window), ["2026-10-25T00:30", "2026-10-25T01:30"])
    }))

  it.effect("a tick that is moved past midnight belongs to the day it was meant for", () =>
    Effect.sync(() => {
      // In Nuuk the clock goes from 23:00 on Saturday, 28 March, to 00:00 on Sunday, at 01:00 UTC.
      const saturdays = { every: 1, unit: "weeks", at: "23:30", timeZone: "America/Nuuk" } as const
      const window = ["2026-03-28", "2026-03-31"] as const
      assert.deepStrictEqual(between({ calendar: { ...saturdays, from: "2026-03-21" } }, ...window), [
        "2026-03-29T01:00"
      ])
      assert.deepStrictEqual(between({ calendar: { ...saturdays, from: "2026-03-22" } }, ...window), [
        "2026-03-30T00:30"
      ])
    }))

  it.effect("the passes of a time that is repeated across midnight are found in the order of the instants", () =>
    Effect.sync(() => {
      // In St. John's the clock went from 00:01 on 29 October 2006 back to 23:01 on the day before, at 02:31 UTC.
      const interval: Timing.CalendarInterval = {
        every: 1,
        unit: "days",
        at: ["00:00", "23:30", "23:59:30"],
        from: "2006-10-01",
        timeZone: "America/St_Johns",
        fold: "both"
      }
      const to = Date.parse("2006-11-10")
      const timetable = parse({ calendar: interval })
      assert.deepStrictEqual(forward(timetable, -Infinity, to), ticksOf(interval, to))
      assert.deepStrictEqual(backward(timetable, -Infinity, to), ticksOf(interval, to))
      assert.deepStrictEqual(
        iso(forward(timetable, Date.parse("2006-10-29T02:00Z"), Date.parse("2006-10-29T03:31Z"))),
        [
          "2006-10-29T02:00",
          "2006-10-29T02:29",
          "2006-10-29T02:30",
          "2006-10-29T03:00",
          "2006-10-29T03:29",
          "2006-10-29T03:30"
        ]
      )
    }))

  it.effect("a month without the day uses its last one and goes back to the day afterwards", () =>
    Effect.sync(() => {
      const monthly = Timing.calendar({ every: 1, unit: "months", at: "09:00", from: "2027-12-31" })
      assert.deepStrictEqual(between(monthly, "2027-01-01", "2028-05-01"), [
        "2027-12-31T09:00",
        "2028-01-31T09:00",
        "2028-02-29T09:00",
        "2028-03-31T09:00",
        "2028-04-30T09:00"
      ])
    }))

  it.effect("weeks keep the weekday, and their count, across years", () =>
    Effect.sync(() => {
      const fortnightly = Timing.calendar({ every: 2, unit: "weeks", at: "09:00", from: "2026-12-07" })
      assert.deepStrictEqual(between(fortnightly, "2026-01-01", "2027-01-20"), [
        "2026-12-07T09:00",
        "2026-12-21T09:00",
        "2027-01-04T09:00",
        "2027-01-18T09:00"
      ])
    }))

  it.effect("a day that the calendar of a zone left out has no tick", () =>
    Effect.sync(() => {
      const daily = Timing.calendar({
        every: 1,
        unit: "days",
        at: "12:00",
        from: "2011-12-28",
        timeZone: "Pacific/Apia"
      })
      assert.deepStrictEqual(between(daily, "2011-12-01", "2012-01-01"), [
        "2011-12-28T22:00",
        "2011-12-29T22:00",
        "2011-12-30T22:00",
        "2011-12-31T22:00"
      ])
    }))
})

describe("elapsed time", () => {
  it.effect("does not see clock changes", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(between(Timing.every("12 hours"), "2026-03-29", "2026-03-30T01:00Z"), [
        "2026-03-29T00:00",
        "2026-03-29T12:00",
        "2026-03-30T00:00"
      ])
    }))

  it.effect("starts with its anchor, and without one reaches before the epoch", () =>
    Effect.sync(() => {
      const anchored = parse(Timing.every("90 minutes", { anchor: "2026-01-01T00:10Z" }))
      assert.strictEqual(anchored.next(-Infinity), Date.parse("2026-01-01T00:10Z"))
      assert.strictEqual(anchored.next(Date.parse("2026-01-01T00:10Z")), Date.parse("2026-01-01T01:40Z"))
      assert.isNull(anchored.prev(Date.parse("2026-01-01T00:10Z")))
      const free = parse(Timing.every("90 minutes"))
      assert.strictEqual(free.prev(0), -5_400_000)
      assert.strictEqual(free.next(-1), 0)
    }))
})

describe("instants", () => {
  it.effect("tick once each, in order, to the millisecond", () =>
    Effect.sync(() => {
      const timetable = parse(Timing.at(["2026-01-02", 5, new Date(7), "2026-01-02T01:00+01:00"]))
      assert.deepStrictEqual(forward(timetable, -Infinity, Infinity), [5, 7, Date.parse("2026-01-02")])
      assert.deepStrictEqual(backward(timetable, -Infinity, Infinity), [5, 7, Date.parse("2026-01-02")])
      assert.strictEqual(timetable.next(5.5), 7)
      assert.strictEqual(timetable.prev(5.5), 5)
    }))
})

describe("exclusions", () => {
  it.effect.prop(
    "exclude by what the calendar on the wall shows",
    [Generate.part, Generate.except, Generate.instant],
    ([timing, except, at]) =>
      Effect.sync(() => {
        const { cron: _, ...days } = { dates: [], ...except }
        const timetable = parse({ ...timing, except: days })
        const ticks = forward(timetable, at, at + 40 * day).slice(0, 200)
        for (const tick of ticks) {
          const expected = isExcluded(days, days.timeZone ?? timetable.timeZone, tick)
          assert.strictEqual(timetable.excluded(tick) !== null, expected, new Date(tick).toISOString())
        }
      }),
    { timeout: 60_000, arbitrary: { runs: 150 } }
  )

  const hourly = Timing.cron("0 0 * * * *", { timeZone: "Europe/Lisbon" })
  const reason = (except: Timing.Timing["except"], tick: string) =>
    parse({ ...hourly, except }).excluded(Date.parse(tick))

  it.effect("say which date, weekday or cron it is, or the name of their calendar", () =>
    Effect.sync(() => {
      const friday = "2026-12-25T10:00Z"
      assert.strictEqual(reason({ dates: ["2026-12-25"] }, friday), "2026-12-25")
      assert.strictEqual(reason({ dates: ["12-25"] }, friday), "12-25")
      assert.strictEqual(reason({ weekdays: ["FRI"] }, friday), "weekday FRI")
      assert.strictEqual(reason({ weekdays: ["SUN", "SAT"] }, "2026-12-26T10:00Z"), "weekends: SAT")
      assert.strictEqual(reason({ cron: "0 0  10 * * FRI" }, friday), "cron 0 0 10 * * FRI")
      assert.strictEqual(reason({ weekdays: ["FRI"], name: "no deploys" }, friday), "no deploys")
      assert.isNull(reason({ dates: ["2027-12-25"], weekdays: ["SAT"], cron: "0 0 11 * * *" }, friday))
    }))

  it.effect("of several calendars the first that matches gives the reason", () =>
    Effect.sync(() => {
      const calendars = [{ dates: ["12-24"], name: "eve" }, { weekdays: ["FRI"] }, {
        dates: ["12-25"],
        name: "day"
      }] as const
      assert.strictEqual(reason(calendars, "2026-12-25T10:00Z"), "weekday FRI")
      assert.strictEqual(reason(calendars, "2026-12-24T10:00Z"), "eve")
      assert.strictEqual(reason(calendars, "2027-12-25T10:00Z"), "day")
    }))

  it.effect("are judged in the zone of the timing, or in their own", () =>
    Effect.sync(() => {
      const lateInNewYork = "2026-12-26T03:00Z"
      assert.isNull(reason({ dates: ["12-25"] }, lateInNewYork))
      assert.strictEqual(reason({ dates: ["12-25"], timeZone: "America/New_York" }, lateInNewYork), "12-25")
      const everyHour = parse(Timing.except(Timing.every("1 hour"), { weekdays: ["SAT"] }))
      assert.strictEqual(everyHour.excluded(Date.parse("2026-12-26T00:00Z")), "weekday SAT")
      assert.isNull(everyHour.excluded(Date.parse("2026-12-27T00:00Z")))
    }))

  it.effect("a cron matches both passes of a repeated time, not what a change moved away from it", () =>
    Effect.sync(() => {
      const atOne = { cron: "* * 1 * * *" }
      for (const tick of ["2026-10-25T00:00Z", "2026-10-25T01:00Z"]) assert.isNotNull(reason(atOne, tick))
      assert.isNull(reason(atOne, "2026-10-25T02:00Z"))
      assert.isNull(reason(atOne, "2026-03-29T01:00Z"))
      assert.isNotNull(parse(Timing.except(Timing.at(1500), { cron: "1 * * * * *" })).excluded(1500))
    }))

  it.effect("excluded ticks still are ticks", () =>
    Effect.sync(() => {
      const daily = Timing.cron("0 0 9 * * *")
      const window = ["2026-12-24", "2026-12-27"] as const
      assert.deepStrictEqual(
        between(Timing.except(daily, { dates: ["12-25"] }), ...window),
        between(daily, ...window)
      )
    }))
})

describe("clock changes", () => {
  const change = (timeZone: string, tick: string) =>
    Timing.clockChange(parse(Timing.cron("0 0 * * * *", { timeZone })), Date.parse(tick))

  it.effect("belong to the whole local day on which times are left out or repeated", () =>
    Effect.sync(() => {
      const days = ["2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26"]
      const expected = [null, "spring-forward", null, null, "fall-back", null]
      assert.deepStrictEqual(days.map((day) => change("Europe/Lisbon", `${day}T00:00Z`)), expected)
      assert.deepStrictEqual(days.map((day) => change("Europe/Lisbon", `${day}T20:00Z`)), expected)
      assert.strictEqual(change("Australia/Lord_Howe", "2026-04-05T00:00Z"), "fall-back")
      assert.strictEqual(change("Australia/Lord_Howe", "2026-10-03T20:00Z"), "spring-forward")
      assert.strictEqual(change("America/Nuuk", "2026-03-29T01:00Z"), "spring-forward")
      assert.strictEqual(change("America/Nuuk", "2026-03-28T12:00Z"), "spring-forward")
      assert.strictEqual(change("America/Havana", "2026-11-01T03:00Z"), null)
      assert.strictEqual(change("America/Havana", "2026-11-01T12:00Z"), "fall-back")
    }))

  it.effect("do not happen in fixed zones, and corrections of the calendar are none", () =>
    Effect.sync(() => {
      for (const zone of ["UTC", "+05:30", "Asia/Kolkata"]) assert.isNull(change(zone, "2026-03-29T00:00Z"))
      assert.isNull(change("Pacific/Apia", "2011-12-30T12:00Z"))
    }))
})
