// Testing a schedule: memory and a virtual clock, a day in no time, every tick at its instant.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const Meal = Workflow.make("meal", { payload: Schedule.Tick() })

const ran: Array<string> = []
const MealLive = Meal.toLayer(({ scheduledAt }) =>
  Effect.sync(() => {
    ran.push(DateTime.formatIso(scheduledAt))
  })
)

// The clocks go forward in Berlin on 29 March 2026: that night has no 02:30, and the tick comes at 03:00, once.
const midnight = DateTime.makeUnsafe("2026-03-29T00:00:00+01:00")
const VirtualClock = Layer.effectDiscard(TestClock.setTime(DateTime.toEpochMillis(midnight))).pipe(
  Layer.provideMerge(TestClock.layer())
)

const App = Layer.mergeAll(
  MealLive,
  Schedule.layer([Schedule.make("meals", { workflow: Meal, cron: "0 30 2,12,18 * * *", timeZone: "Europe/Berlin" })])
).pipe(
  Layer.provideMerge(Engine.layer({ name: "testing" })),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(VirtualClock)
)

const program = Effect.gen(function*() {
  yield* TestClock.adjust("1 day")
  yield* Console.log(ran.join("\n"))
})

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// 2026-03-29T01:00:00.000Z
// 2026-03-29T10:30:00.000Z
// 2026-03-29T16:30:00.000Z
