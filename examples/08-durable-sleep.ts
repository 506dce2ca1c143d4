// A durable sleep: the reminder comes an hour later, whatever happens to the process meanwhile. In memory, under a virtual
// clock.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Memory from "effect-durable/Memory"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"

const Notify = Workflow.make("notify", { payload: { user: Schema.String, message: Schema.String } })

const NotifyLive = Notify.toLayer(
  Effect.fn("notify")(function*({ message, user }) {
    yield* Step.run("confirm", Console.log(`to ${user}: we are on it`))
    yield* Workflow.sleep("1 hour")
    yield* Step.run("follow-up", Console.log(`to ${user}: ${message}`))
  })
)

const program = Effect.gen(function*() {
  const handle = yield* Notify.start({ user: "ada", message: "it is done" })
  yield* TestClock.adjust("59 minutes")
  yield* Console.log(`after 59 minutes the run is ${yield* handle.status}`)
  yield* TestClock.adjust("1 minute")
  yield* Console.log(`after 60 minutes the run is ${yield* handle.status}`)
})

const App = NotifyLive.pipe(
  Layer.provideMerge(Engine.layer({ name: "sleeping" })),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(TestClock.layer())
)

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// to ada: we are on it
// after 59 minutes the run is Suspended
// to ada: it is done
// after 60 minutes the run is Succeeded
