// When runs fail: a hook tells of each failure, three in a row pause the schedule, and a hook tells when it has recovered.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"

const Import = Workflow.make("import", { payload: Schedule.Tick(), error: Schema.Literal("SourceAway") })

let away = true
const ImportLive = Import.toLayer(() => away ? Effect.fail("SourceAway" as const) : Effect.void)

// A hook is a workflow like any other, so it can have steps with retries.
const Alert = Workflow.make("alert", { payload: Schedule.Event })
const AlertLive = Alert.toLayer(({ event, reason }) => Console.log(`${event}: ${reason}`))

const hourly = Schedule.make("import", {
  workflow: Import,
  cron: "@hourly",
  pauseAfterFailures: 3,
  onFailure: Alert,
  onRecovered: Alert
})

const App = Layer.mergeAll(ImportLive, AlertLive, Schedule.layer([hourly])).pipe(
  Layer.provideMerge(Engine.layer({ name: "hooks" })),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(TestClock.layer())
)

const program = Effect.gen(function*() {
  yield* TestClock.adjust("6 hours")
  const { failures, pauseReason, status } = Option.getOrThrow(yield* Schedule.get(hourly))
  yield* Console.log(`${status} after ${failures} failures: ${Option.getOrNull(pauseReason)}`)

  away = false
  yield* Schedule.resume(hourly, { catchUp: "latest" })
  yield* TestClock.adjust("1 hour")
})

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// failure: Run sched-import-1970-01-01T01:00:00.000Z is Failed; the schedule has failed 1 time in a row
// failure: Run sched-import-1970-01-01T02:00:00.000Z is Failed; the schedule has failed 2 times in a row
// failure: Run sched-import-1970-01-01T03:00:00.000Z is Failed; the schedule has failed 3 times in a row
// Paused after 3 failures: 3 failures in a row, the last one in run sched-import-1970-01-01T03:00:00.000Z
// recovered: Run sched-import-1970-01-01T06:00:00.000Z succeeded after the schedule had failed 3 times in a row
