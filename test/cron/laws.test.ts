import { assert, describe, it } from "@effect/vitest"
import * as Cron from "effect-durable/Cron"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { spawnSync } from "node:child_process"
import * as Generate from "./generators.ts"

/** Runs the body for expressions that fire, in a time zone, at some instant. */
const law = (name: string, body: (cron: Cron.Cron, at: number, fresh: () => Cron.Cron) => void) =>
  it.effect.prop(
    name,
    [Generate.expression, Generate.zone, Generate.instant],
    ([expression, timeZone, at]) =>
      Effect.sync(() => {
        const parsed = Cron.parse(expression, { timeZone })
        if (Result.isSuccess(parsed)) body(parsed.success, at, () => Cron.parseUnsafe(expression, { timeZone }))
      }),
    { timeout: 60_000, arbitrary: { runs: 250 } }
  )

const next = (cron: Cron.Cron, at: number) => Option.getOrThrow(Cron.next(cron, at))
const prev = (cron: Cron.Cron, at: number) => Option.getOrThrow(Cron.prev(cron, at))

describe("laws", () => {
  law("the next occurrence is later, and the previous one earlier", (cron, at) => {
    assert.isTrue(next(cron, at) > at)
    assert.isTrue(prev(cron, at) < at)
  })

  law("nothing lies between an occurrence and its neighbours", (cron, at) => {
    const after = next(cron, at)
    const before = prev(cron, after)
    assert.isTrue(before <= at)
    assert.strictEqual(next(cron, before), after)
    assert.isTrue(next(cron, prev(cron, at)) >= at)
  })

  law("an instant matches if and only if it is next after the millisecond before", (cron, at) => {
    for (const instant of [at, next(cron, at), prev(cron, at), Math.floor(at / 1000) * 1000]) {
      assert.strictEqual(Cron.matches(cron, instant), next(cron, instant - 1) === instant)
    }
    assert.isTrue(Cron.matches(cron, next(cron, at)))
    assert.isFalse(Cron.matches(cron, next(cron, at) + 1))
  })

  law("occurrences of a range are those on or after its start and before its end, either way round", (cron, at) => {
    const found: Array<number> = []
    for (let tick = next(cron, at - 1); found.length < 40; tick = next(cron, tick)) found.push(tick)
    const range = { from: at, to: found[39]! }
    assert.deepStrictEqual([...Cron.occurrences(cron, range)], found.slice(0, 39))
    assert.deepStrictEqual([...Cron.occurrences(cron, { ...range, reverse: true })], found.slice(0, 39).reverse())
    assert.deepStrictEqual([...Cron.occurrences(cron, { from: found[0]!, to: found[0]! })], [])
  })

  law("counting gives the number of occurrences", (cron, at) => {
    let to = at
    for (let index = 0; index < 200; index++) to = next(cron, to)
    assert.strictEqual(Cron.count(cron, { from: at + 1, to }), 199)
    assert.strictEqual(Cron.count(cron, { from: at + 1, to: to + 1 }), 200)
  })

  law("counting a range is counting its parts", (cron, at) => {
    const day = 86_400_000
    const parts = [0, 1, 31.5, 300, 1000].map((days) => at + days * day)
    const counts = parts.slice(1).map((to, index) => Cron.count(cron, { from: parts[index]!, to }))
    assert.strictEqual(Cron.count(cron, { from: at, to: parts[4]! }), counts.reduce((sum, count) => sum + count))
  })

  law("what was asked before does not matter", (cron, at, fresh) => {
    const year = 366 * 86_400_000
    const questions = [at, at + year, at - 30 * year, at + 1, at + 12_345_678, at - 7 * 86_400_000]
    const answers = questions.map((instant) => [next(fresh(), instant), prev(fresh(), instant)])
    for (const order of [[0, 1, 2, 3, 4, 5], [5, 2, 0, 4, 3, 1], [1, 1, 5, 0, 2, 3, 4]]) {
      for (const index of order) {
        assert.deepStrictEqual([next(cron, questions[index]!), prev(cron, questions[index]!)], answers[index])
        assert.deepStrictEqual(prev(cron, questions[index]!), answers[index]![1])
      }
    }
  })

  law("the canonical form parses to the same value and is its own canonical form", (cron) => {
    const again = Cron.parseUnsafe(cron.expression, { timeZone: cron.timeZone })
    assert.strictEqual(again.expression, cron.expression)
    assert.isTrue(Cron.equivalence(again, cron))
  })
})

describe("the host", () => {
  it.effect("results do not depend on its time zone", () =>
    Effect.sync(() => {
      const script = new URL("hostZone.ts", import.meta.url).pathname
      const outputs = ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Monrovia"].map((TZ) =>
        spawnSync(process.execPath, ["--conditions=@effect-durable/source", script], {
          env: { ...process.env, TZ, NODE_OPTIONS: "" },
          encoding: "utf8"
        })
      )
      for (const { status, stderr } of outputs) assert.strictEqual(status, 0, stderr)
      assert.isAbove(outputs[0]!.stdout.length, 1000)
      assert.strictEqual(new Set(outputs.map(({ stdout }) => stdout.replace(/^host .*\n/, ""))).size, 1)
      assert.strictEqual(new Set(outputs.map(({ stdout }) => stdout.split("\n")[0])).size, 5)
    }), 60_000)
})

describe("the ends of time", () => {
  const daily = Cron.parseUnsafe("0 0 12 * * *", { timeZone: "Pacific/Kiritimati" })
  const first = Date.parse("0001-01-01T22:40:40.000Z")

  it.effect("next finds the last occurrence of the year 9999 and then none", () =>
    Effect.sync(() => {
      const last = Date.parse("9999-12-31T22:00:00.000Z")
      assert.deepStrictEqual(Cron.next(daily, last - 1), Option.some(last))
      for (const at of [last, last + 1, 8.64e15, Infinity]) assert.deepStrictEqual(Cron.next(daily, at), Option.none())
      assert.deepStrictEqual(Cron.prev(daily, Infinity), Option.some(last))
    }))

  it.effect("prev finds the first occurrence of the year 1 and then none", () =>
    Effect.sync(() => {
      const found = Option.getOrThrow(Cron.next(daily, -Infinity))
      assert.isTrue(Math.abs(found - first) < 86_400_000)
      assert.deepStrictEqual(Cron.prev(daily, found + 1), Option.some(found))
      for (const at of [found, -8.64e15, -Infinity]) assert.deepStrictEqual(Cron.prev(daily, at), Option.none())
    }))

  it.effect("what is no number has no neighbours", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(Cron.next(daily, NaN), Option.none())
      assert.deepStrictEqual(Cron.prev(daily, NaN), Option.none())
      assert.isFalse(Cron.matches(daily, NaN))
      assert.deepStrictEqual([...Cron.occurrences(daily, { from: NaN, to: NaN })], [])
      assert.strictEqual(Cron.count(daily, { from: NaN, to: NaN }), 0)
    }))

  it.effect("a leap day on a Monday is found across a century without one", () =>
    Effect.sync(() => {
      const rare = Cron.parseUnsafe("0 0 0 29 2 +MON", { timeZone: "Europe/Berlin" })
      assert.strictEqual(next(rare, Date.UTC(2088, 2)), Date.parse("2112-02-28T23:00:00Z"))
      assert.strictEqual(prev(rare, Date.UTC(2112, 0)), Date.parse("2072-02-28T23:00:00Z"))
    }))

  it.effect("all of time can be counted", () =>
    Effect.sync(() => {
      const leapDays = Cron.parseUnsafe("0 0 0 29 2 *")
      assert.strictEqual(Cron.count(leapDays, { from: -Infinity }), 2424)
      assert.strictEqual([...Cron.occurrences(leapDays, { from: -Infinity })].length, 2424)
      assert.strictEqual([...Cron.occurrences(leapDays, { from: -Infinity, reverse: true })].length, 2424)
    }))
})
