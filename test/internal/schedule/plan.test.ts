import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cron from "../../../src/Cron.ts"
import { plan } from "../../../src/internal/schedule/plan.ts"
import { defaults } from "../../../src/internal/schedule/policies.ts"
import type { Timetable } from "../../../src/Timing.ts"
import { int, zones } from "../../cron/generators.ts"
import { everyMillis, timetableOf } from "./worlds.ts"

const ofCron = (expression: string, timeZone: string): Timetable => {
  const cron = Cron.parseUnsafe(expression, { timeZone })
  return {
    ...timetableOf([]),
    next: (after) => Option.getOrNull(Cron.next(cron, after)),
    prev: (before) => Option.getOrNull(Cron.prev(cron, before))
  }
}

const crons = ["* * * * * *", "0 */5 * * * *", "0 30 2 * * *", "0 0 9 * * 1-5", "0 0 0 29 2 *", "0 15,45 1-3 * * *"]

const instant = int(Date.UTC(2000, 0), Date.UTC(2060, 0))

describe("jitter", () => {
  it.effect.prop(
    "puts a tick off by less than its bound and never to the next tick, in every process alike",
    {
      name: Schema.String,
      cron: int(0, crons.length - 1),
      zone: int(0, zones.length - 1),
      jitterMillis: int(0, 7_200_000),
      at: instant
    },
    ({ at, cron, jitterMillis, name, zone }) =>
      Effect.sync(() => {
        const timetable = ofCron(crons[cron]!, zones[zone]!)
        const { dueAt, next } = plan(name, timetable, { ...defaults, jitterMillis })
        let tick = next(at)!
        for (let index = 0; index < 20; index++) {
          const after = next(tick)!
          const due = dueAt(tick)
          assert.isTrue(Number.isSafeInteger(due))
          assert.isAtLeast(due, tick)
          assert.isBelow(due, Math.min(tick + Math.max(jitterMillis, 1), after))
          // Another plan of the same schedule, as another process makes it.
          assert.strictEqual(plan(name, timetable, { ...defaults, jitterMillis }).dueAt(tick), due)
          tick = after
        }
      }),
    { timeout: 60_000, arbitrary: { runs: 200 } }
  )

  it.effect("is known for some names and instants, as a change of it would move every schedule that has one", () =>
    Effect.sync(() => {
      const { dueAt } = plan("report", everyMillis(86_400_000), { ...defaults, jitterMillis: 3_600_000 })
      assert.deepStrictEqual([0, 1, 2].map((day) => dueAt(day * 86_400_000) - day * 86_400_000), [
        3_008_068,
        3_389_333,
        2_379_249
      ])
    }))

  it.effect("spreads the ticks of a schedule, and the schedules of a tick, evenly over its bound", () =>
    Effect.sync(() => {
      const minute = 60_000
      const timetable = everyMillis(minute)
      const { dueAt } = plan("report", timetable, { ...defaults, jitterMillis: minute })
      const ticks = Array.from({ length: 6_000 }, (_, index) => dueAt(index * minute) - index * minute)
      const names = Array.from(
        { length: 6_000 },
        (_, index) => plan(`report-${index}`, timetable, { ...defaults, jitterMillis: minute }).dueAt(0)
      )
      for (const delays of [ticks, names]) {
        const tenths = Array.from(
          { length: 10 },
          (_, tenth) => delays.filter((delay) => Math.floor(delay / (minute / 10)) === tenth).length
        )
        for (const count of tenths) assert.approximately(count, 600, 120)
      }
    }))
})

describe("bounds", () => {
  it.effect.prop(
    "ticks before from are none, nor ticks at until or after, in both directions",
    { from: int(0, 60), until: int(0, 120), at: int(-20, 140) },
    ({ at, from, until }) =>
      Effect.sync(() => {
        const { next, prev } = plan("report", everyMillis(10), { ...defaults, from, until })
        const ticks = Array.from({ length: 30 }, (_, index) => 10 * index - 100)
          .filter((tick) => tick >= from && tick < until)
        assert.strictEqual(next(at), ticks.find((tick) => tick > at) ?? null)
        assert.strictEqual(prev(at), ticks.findLast((tick) => tick < at) ?? null)
      })
  )
})
