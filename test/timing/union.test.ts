import { assert, describe, it } from "@effect/vitest"
import * as Timing from "effect-durable/Timing"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Result from "effect/Result"
import * as Generate from "./generators.ts"
import { ticksOf } from "./oracle.ts"

const parse = (timing: Timing.Timing) => Result.getOrThrow(Timing.parse(timing))

const day = 86_400_000

const forward = ({ next }: Timing.Timetable, from: number, most: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = next(from); tick !== null && ticks.length < most; tick = next(tick)) ticks.push(tick)
  return ticks
}

const backward = ({ prev }: Timing.Timetable, to: number, most: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = prev(to); tick !== null && ticks.length < most; tick = prev(tick)) ticks.push(tick)
  return ticks
}

const merged = (lists: ReadonlyArray<ReadonlyArray<number>>): Array<number> =>
  Array.from(new Set(lists.flat())).sort((a, b) => a - b)

const law = (name: string, body: (union: Timing.UnionTiming, at: number) => void) =>
  it.effect.prop(
    name,
    [Generate.union, Generate.instant],
    ([union, at]) => Effect.sync(() => body(union, at)),
    { timeout: 60_000, arbitrary: { runs: 150 } }
  )

describe("a union", () => {
  law("ticks whenever one of its parts does, each instant once, both ways", (union, at) => {
    const timetable = parse(union)
    const parts = union.union.map(parse)
    const after = merged(parts.map((part) => forward(part, at, 40))).slice(0, 40)
    const before = merged(parts.map((part) => backward(part, at, 40))).reverse().slice(0, 40)
    assert.deepStrictEqual(forward(timetable, at, 40), after)
    assert.deepStrictEqual(backward(timetable, at, 40), before)
  })

  it.effect.prop(
    "ticks at the days, instants and distances that are counted out for its parts",
    [Generate.interval, Generate.interval, Generate.instant],
    ([first, second, instant]) =>
      Effect.sync(() => {
        const anchor = Date.parse(first.from)
        const to = Math.max(anchor, Date.parse(second.from)) + 200 * day
        const every = 37 * 3_600_000
        const distances: Array<number> = []
        for (let tick = anchor; tick < to; tick += every) distances.push(tick)
        const expected = merged([ticksOf(first, to), ticksOf(second, to), distances, [instant].filter((at) => at < to)])
        const timetable = parse(Timing.union([
          Timing.at(instant),
          Timing.every(every, { anchor }),
          Timing.calendar(first),
          Timing.calendar(second)
        ]))
        assert.deepStrictEqual(forward(timetable, -Infinity, expected.length), expected)
        assert.deepStrictEqual(backward(timetable, to, expected.length), expected.slice().reverse())
      }),
    { timeout: 120_000, arbitrary: { runs: 30 } }
  )

  law("leaves out what all parts that name a tick leave out, and what its own calendars do", (union, at) => {
    const timetable = parse(union)
    const parts = union.union.map(parse)
    const own = parse({ every: 1000, except: union.except })
    for (const tick of forward(timetable, at, 60)) {
      const naming = parts.filter((part) => part.next(tick - 1) === tick)
      const starts = naming.some((part) => part.excluded(tick) === null) && own.excluded(tick) === null
      assert.isAbove(naming.length, 0)
      assert.strictEqual(timetable.excluded(tick) === null, starts)
      if (own.excluded(tick) !== null) assert.strictEqual(timetable.excluded(tick), own.excluded(tick))
    }
  })

  law("has the clock changes of the parts that name a tick, and no others", (union, at) => {
    const timetable = parse(union)
    const parts = union.union.map(parse)
    for (const tick of forward(timetable, at, 60)) {
      const changes = parts.filter((part) => part.next(tick - 1) === tick)
        .map((part) => Timing.clockChange(part, tick)).filter((change) => change !== null)
      const change = Timing.clockChange(timetable, tick)
      if (changes.length === 0) assert.isNull(change)
      else assert.include(changes, change)
    }
  })

  it.effect("of one timing ticks as that timing, and of equal ones has it once", () =>
    Effect.sync(() => {
      const hourly = Timing.every("1 hour")
      const union = parse(Timing.union([hourly, { every: "60 minutes" }, hourly]))
      assert.strictEqual(union.text, "{\"union\":[{\"every\":3600000}]}")
      assert.strictEqual(union.parts?.length, 1)
      assert.deepStrictEqual(forward(union, 0, 20), forward(parse(hourly), 0, 20))
    }))

  it.effect("has the time zone of its parts, if they have one, and no clock change but that of who ticks", () =>
    Effect.sync(() => {
      const lisbon = Timing.cron("0 30 9 * * *", { timeZone: "Europe/Lisbon" })
      const york = Timing.cron("0 30 9 * * *", { timeZone: "America/New_York" })
      assert.strictEqual(parse(Timing.union([lisbon, Timing.every("7 hours"), Timing.at(0)])).timeZone, "Europe/Lisbon")
      assert.strictEqual(parse(Timing.union([Timing.every("7 hours"), Timing.at(0)])).timeZone, "UTC")
      const both = parse(Timing.union([lisbon, york]))
      assert.strictEqual(both.timeZone, "UTC")
      // Clocks change in Lisbon on 29 March 2026, in New York on 8 March.
      const changes = (date: string) => forward(both, Date.parse(date), 2).map((tick) => Timing.clockChange(both, tick))
      assert.deepStrictEqual(changes("2026-03-29"), ["spring-forward", null])
      assert.deepStrictEqual(changes("2026-03-08"), [null, "spring-forward"])
      assert.deepStrictEqual(changes("2026-03-15"), [null, null])
    }))

  it.effect("judges its calendars in the time zone of its parts, and asks for one when they have several", () =>
    Effect.sync(() => {
      const cron = (timeZone: string) => Timing.cron("0 30 9 * * *", { timeZone })
      const tokyo = Timing.union([cron("Asia/Tokyo"), Timing.every("1 hour")])
      // 15:00 on 24 December in UTC is midnight in Tokyo.
      const christmas = parse(pipe(tokyo, Timing.except({ dates: ["12-25"] })))
      assert.strictEqual(christmas.excluded(Date.parse("2026-12-24T15:00Z")), "12-25")
      assert.isNull(christmas.excluded(Date.parse("2026-12-24T14:00Z")))
      const mixed = Timing.union([cron("Asia/Tokyo"), cron("Europe/Lisbon")])
      const refused = Result.getOrThrow(Result.flip(Timing.parse(Timing.except(mixed, { dates: ["12-25"] }))))
      assert.include(refused.message, "timing.except.timeZone")
      assert.isTrue(Result.isSuccess(Timing.parse(Timing.except(mixed, { dates: ["12-25"], timeZone: "UTC" }))))
    }))

  it.effect("is described part by part, the first of many", () =>
    Effect.sync(() => {
      const union = Timing.union([
        Timing.at("2030-01-01T09:00Z"),
        Timing.except(Timing.every("4 hours"), { weekdays: ["SAT", "SUN"] })
      ])
      const timetable = parse(Timing.except(union, { dates: ["12-25"], name: "holidays" }))
      assert.strictEqual(timetable.expression, "at 2030-01-01T09:00:00Z | every 4 hours")
      assert.strictEqual(
        timetable.describe(),
        "Each of these timings: (1) once, at 2030-01-01T09:00:00Z, in UTC; (2) every 4 hours of elapsed time, counted from " +
          "1970-01-01T00:00:00Z, in UTC, which has no clock changes; except on weekends; none of them on 12-25 (holidays)."
      )
      const many = Array.from({ length: 9 }, (_, index) => Timing.every(`${index + 11} hours`))
      const words = parse({ union: many as [Timing.Part, ...Array<Timing.Part>] }).describe()
      assert.match(words, /^Each of these timings: \(1\) .*; \(4\) .*; and 5 more\.$/)
    }))
})
