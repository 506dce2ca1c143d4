// Timings: kinds of them in words, what calendars leave out, and the days of a clock change.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Timing from "effect-durable/Timing"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"

const Work = Workflow.make("work", { payload: Schedule.Tick() })

const timings: Record<string, Timing.Timing> = {
  crons: Timing.cron(["0 0 8 * * MON-FRI", "0 0 10 * * SAT"], { timeZone: "Europe/Berlin" }),
  instants: Timing.at(["2026-04-01T09:00:00Z", "2026-10-01T09:00:00Z"]),
  elapsed: Timing.every("90 minutes", { anchor: "2026-01-01T00:10:00Z" }),
  payday: Timing.calendar({ every: 1, unit: "months", from: "2026-01-31", at: "09:00", timeZone: "Europe/Berlin" })
}

// Nightly, but not at the weekend and not at Easter. On 29 March 2026 the clocks in Berlin go from 02:00 to 03:00.
const nightly = Schedule.make("nightly", {
  workflow: Work,
  cron: "0 30 2 * * *",
  timeZone: "Europe/Berlin",
  except: [
    { weekdays: ["SAT"] },
    { dates: ["2026-04-03", "2026-04-06"], name: "Easter" }
  ]
})

const program = Effect.gen(function*() {
  yield* TestClock.setTime(Date.UTC(2026, 2, 27, 12))
  yield* Schedule.apply(
    Object.entries(timings).map(([name, timing]) => Schedule.make(name, { workflow: Work, timing }))
  )
  for (const name of Object.keys(timings)) {
    const ticks = yield* Schedule.upcoming(name, 2)
    yield* Console.log(yield* Schedule.describe(name))
    yield* Console.log(`  ${ticks.map(({ tick }) => DateTime.formatIso(tick)).join(", ")}`)
  }

  yield* Schedule.create(nightly)
  for (const { clockChange, skipped, tick } of yield* Schedule.upcoming(nightly, 10)) {
    const notes = [...Option.toArray(clockChange), ...Option.toArray(skipped)]
    yield* Console.log(`${DateTime.formatIso(tick)} ${notes.join(", ")}`.trimEnd())
  }
})

NodeRuntime.runMain(Effect.provide(program, Memory.layer.pipe(Layer.provideMerge(TestClock.layer()))))

// Prints:
// At 10:00:00, on Saturday; and at 08:00:00, on Monday to Friday; in Europe/Berlin, by the clock on the wall: skipped times fire right after the change, repeated ones once.
//   2026-03-28T09:00:00.000Z, 2026-03-30T06:00:00.000Z
// At 2026-04-01T09:00:00Z and 2026-10-01T09:00:00Z, in UTC.
//   2026-04-01T09:00:00.000Z, 2026-10-01T09:00:00.000Z
// Every 90 minutes of elapsed time, from 2026-01-01T00:10:00Z on, in UTC, which has no clock changes.
//   2026-03-27T12:10:00.000Z, 2026-03-27T13:40:00.000Z
// Every month on day 31, or the last day of shorter months, at 09:00, from 2026-01-31 on, in Europe/Berlin, by the clock on the wall: skipped times fire right after the change, repeated ones once.
//   2026-03-31T07:00:00.000Z, 2026-04-30T07:00:00.000Z
// 2026-03-28T01:30:00.000Z excluded: weekday SAT
// 2026-03-29T01:00:00.000Z spring-forward
// 2026-03-30T00:30:00.000Z
// 2026-03-31T00:30:00.000Z
// 2026-04-01T00:30:00.000Z
// 2026-04-02T00:30:00.000Z
// 2026-04-03T00:30:00.000Z excluded: Easter
// 2026-04-04T00:30:00.000Z excluded: weekday SAT
// 2026-04-05T00:30:00.000Z
// 2026-04-06T00:30:00.000Z excluded: Easter
