// Pausing and resuming, in memory under a virtual clock: an hour passes in no time.
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

const Sync = Workflow.make("sync", { payload: Schedule.Tick() })

const SyncLive = Sync.toLayer(({ scheduledAt }) => Console.log(`sync of ${DateTime.formatIso(scheduledAt)}`))

const App = SyncLive.pipe(
  Layer.provideMerge(Engine.layer({ name: "pausing" })),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(TestClock.layer())
)

const program = Effect.gen(function*() {
  yield* Schedule.create(Schedule.make("sync", { workflow: Sync, cron: "0 */20 * * * *" }))
  yield* TestClock.adjust("1 hour")

  yield* Schedule.pause("sync")
  yield* Console.log("paused")
  yield* TestClock.adjust("1 hour")

  yield* Schedule.resume("sync")
  yield* Console.log("resumed: by default, ticks that fell meanwhile are passed over")
  yield* TestClock.adjust("20 minutes")
})

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// sync of 1970-01-01T00:20:00.000Z
// sync of 1970-01-01T00:40:00.000Z
// sync of 1970-01-01T01:00:00.000Z
// paused
// resumed: by default, ticks that fell meanwhile are passed over
// sync of 1970-01-01T02:20:00.000Z
