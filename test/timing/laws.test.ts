import { assert, describe, it } from "@effect/vitest"
import * as Timing from "effect-durable/Timing"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { spawnSync } from "node:child_process"
import * as Generate from "./generators.ts"

const parse = (timing: Timing.Timing) => Result.getOrThrow(Timing.parse(timing))

const law = (name: string, body: (timetable: Timing.Timetable, at: number, timing: Timing.Timing) => void) =>
  it.effect.prop(
    name,
    [Generate.timing, Generate.instant],
    ([timing, at]) => Effect.sync(() => body(parse(timing), at, timing)),
    { timeout: 60_000, arbitrary: { runs: 200 } }
  )

/** Up to `count` ticks after an instant, in order. */
const after = ({ next }: Timing.Timetable, from: number, count: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = next(from); tick !== null && ticks.length < count; tick = next(tick)) ticks.push(tick)
  return ticks
}

/** The ticks before an instant that are not before another, the last first. */
const before = ({ prev }: Timing.Timetable, to: number, from: number): Array<number> => {
  const ticks: Array<number> = []
  for (let tick = prev(to); tick !== null && tick >= from; tick = prev(tick)) ticks.push(tick)
  return ticks
}

describe("laws", () => {
  law("the next tick is later and the previous one earlier", (timetable, at) => {
    const next = timetable.next(at)
    const prev = timetable.prev(at)
    if (next !== null) assert.isTrue(next > at)
    if (prev !== null) assert.isTrue(prev < at)
  })

  law("no tick lies between an instant and its neighbours", (timetable, at) => {
    const next = timetable.next(at)
    const prev = timetable.prev(at)
    if (next !== null) {
      const back = timetable.prev(next)
      assert.isTrue(back === null || back <= at)
      assert.strictEqual(timetable.next(next - 1), next)
    }
    if (prev !== null) {
      const forth = timetable.next(prev)
      assert.isTrue(forth === null || forth >= at)
      assert.strictEqual(timetable.prev(prev + 1), prev)
    }
  })

  law("going back over a stretch finds the same ticks as going forth", (timetable, at) => {
    const ticks = after(timetable, at, 60)
    const last = ticks[ticks.length - 1]
    if (last !== undefined) assert.deepStrictEqual(before(timetable, last + 1, ticks[0]!), ticks.slice().reverse())
  })

  law("the text reads back to the same text, ticks and exclusions", (timetable, at) => {
    const again = Result.getOrThrow(Timing.fromText(timetable.text))
    const ticks = after(timetable, at, 30)
    assert.strictEqual(again.text, timetable.text)
    assert.strictEqual(again.timeZone, timetable.timeZone)
    assert.strictEqual(again.expression, timetable.expression)
    assert.strictEqual(again.describe(), timetable.describe())
    assert.deepStrictEqual(after(again, at, 30), ticks)
    assert.deepStrictEqual(ticks.map(again.excluded), ticks.map(timetable.excluded))
  })

  law("the text is itself a timing", ({ text }) => {
    assert.strictEqual(parse(JSON.parse(text) as Timing.Timing).text, text)
  })

  law("the order of crons, instants, times, dates and weekdays does not matter", ({ text }, _, timing) => {
    const reversed = (value: unknown): unknown => Array.isArray(value) ? [...value, ...value].reverse() : value
    const turned: Record<string, unknown> = { ...timing }
    for (const key of ["cron", "at", "union"]) if (key in turned) turned[key] = reversed(turned[key])
    if ("calendar" in timing) {
      const { at, weekdays } = timing.calendar
      turned["calendar"] = { ...timing.calendar, at: reversed(at), weekdays: reversed(weekdays) }
    }
    turned["except"] = [timing.except ?? []].flat().map((except) => ({
      ...except,
      ...("dates" in except ? { dates: reversed(except.dates) } : {}),
      ...("weekdays" in except ? { weekdays: reversed(except.weekdays) } : {})
    }))
    assert.strictEqual(parse(turned as unknown as Timing.Timing).text, text)
  })

  law("several crons tick at the union of their occurrences, each instant once", (timetable, at, timing) => {
    if (!("cron" in timing) || typeof timing.cron === "string") return
    const apart = timing.cron.flatMap((cron) => after(parse({ ...timing, cron }), at, 30))
    const union = [...new Set(apart)].sort((a, b) => a - b)
    assert.deepStrictEqual(after(timetable, at, 15), union.slice(0, 15))
  })

  law("what was asked before does not matter", (timetable, at, timing) => {
    const year = 366 * 86_400_000
    for (const instant of [at, at + year, at - year, at + 1, at + 12_345_678, at]) {
      assert.strictEqual(timetable.next(instant), parse(timing).next(instant))
      assert.strictEqual(timetable.prev(instant), parse(timing).prev(instant))
    }
  })
})

describe("the ends of time", () => {
  const endless: ReadonlyArray<Timing.Timing> = [
    Timing.cron("0 0 12 * * *", { timeZone: "Pacific/Kiritimati" }),
    Timing.every("1 hour"),
    Timing.calendar({ every: 1, unit: "days", at: "12:00", from: "0001-01-01", timeZone: "Pacific/Kiritimati" }),
    Timing.calendar({ every: 1, unit: "days", at: "12:00", from: "0001-01-02", timeZone: "Pacific/Pago_Pago" }),
    Timing.calendar({ every: 1, unit: "months", at: "23:59:59", from: "0001-01-31" })
  ]

  it.effect("there are ticks until the end of the year 9999 and then none", () =>
    Effect.sync(() => {
      for (const timing of endless) {
        const timetable = parse(timing)
        const last = timetable.prev(Infinity)!
        assert.isTrue(last > Date.parse("9999-12-31T00:00:00Z") - 1 && last < Date.parse("+010000-01-01T00:00:00Z"))
        assert.strictEqual(timetable.next(last - 1), last)
        for (const at of [last, last + 1, 8.64e15, Infinity]) assert.isNull(timetable.next(at))
      }
    }))

  it.effect("there are ticks from the start of the year 1 and none before", () =>
    Effect.sync(() => {
      for (const timing of endless) {
        const timetable = parse(timing)
        const first = timetable.next(-Infinity)!
        assert.isTrue(first >= Date.parse("0001-01-01T00:00:00Z") && first < Date.parse("0001-02-01T00:00:00Z"))
        assert.strictEqual(timetable.prev(first + 1), first)
        for (const at of [first, -8.64e15, -Infinity]) assert.isNull(timetable.prev(at))
      }
    }))

  it.effect("what is no number has no neighbours, no exclusion and no clock change", () =>
    Effect.sync(() => {
      for (const timing of endless) {
        const timetable = parse(Timing.except(timing, { weekdays: ["MON"] }))
        assert.isNull(timetable.next(NaN))
        assert.isNull(timetable.prev(NaN))
        for (const at of [NaN, Infinity, -Infinity, 9e15]) {
          assert.isNull(timetable.excluded(at))
          assert.isNull(Timing.clockChange(timetable, at))
        }
      }
    }))

  it.effect("an interval longer than time ticks once", () =>
    Effect.sync(() => {
      const anchor = Date.UTC(2030, 0)
      const timings = [
        Timing.every(Number.MAX_SAFE_INTEGER, { anchor }),
        Timing.calendar({ every: Number.MAX_SAFE_INTEGER, unit: "weeks", at: "00:00", from: "2030-01-01" }),
        Timing.calendar({ every: Number.MAX_SAFE_INTEGER, unit: "months", at: "00:00", from: "2030-01-01" })
      ]
      for (const timetable of timings.map(parse)) {
        assert.deepStrictEqual(after(timetable, -Infinity, 5), [anchor])
        assert.deepStrictEqual(before(timetable, Infinity, -Infinity), [anchor])
      }
    }))
})

describe("the host", () => {
  it.effect("results do not depend on its time zone", () =>
    Effect.sync(() => {
      const script = new URL("hostZone.ts", import.meta.url).pathname
      const outputs = ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"].map((TZ) =>
        spawnSync(process.execPath, ["--conditions=@effect-durable/source", script], {
          env: { ...process.env, TZ, NODE_OPTIONS: "" },
          encoding: "utf8"
        })
      )
      for (const { status, stderr } of outputs) assert.strictEqual(status, 0, stderr)
      assert.isAbove(outputs[0]!.stdout.length, 1000)
      assert.strictEqual(new Set(outputs.map(({ stdout }) => stdout.replace(/^host .*\n/, ""))).size, 1)
      assert.strictEqual(new Set(outputs.map(({ stdout }) => stdout.split("\n")[0])).size, 4)
    }), 60_000)
})
