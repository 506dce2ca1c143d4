// Catching up: nobody runs for five hours, and each schedule decides by its policy what becomes of the ticks meanwhile.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { TestClock } from "effect/testing"

const Hourly = Workflow.make("hourly", { payload: Schedule.Tick() })

const hourly = (name: string, catchUp: Schedule.CatchUp) =>
  Schedule.make(name, { workflow: Hourly, cron: "@hourly", catchUp })

const schedules = [
  hourly("reminder", "none"),
  hourly("report", "latest"),
  hourly("invoices", "all"),
  hourly("metrics", { mode: "all", window: "4 hours", cap: 2 })
]

const Process = Hourly.toLayer(() => Effect.void).pipe(Layer.provideMerge(Engine.layer({ name: "catching-up" })))

const answer = ({ decision, tick }: Schedule.Answer) => {
  const why = decision._tag === "Started"
    ? ` (${decision.cause})`
    : decision._tag === "Missed"
    ? ` (${decision.reason})`
    : ""
  return `${DateTime.formatIso(tick).slice(11, 16)} ${decision._tag}${why}`
}

const program = Effect.gen(function*() {
  yield* Schedule.apply(schedules)
  yield* TestClock.adjust("1 hour").pipe(Effect.provide(Process))
  yield* TestClock.adjust("330 minutes") // no process is up
  yield* TestClock.adjust("1 minute").pipe(Effect.provide(Process))
  for (const { name } of schedules) {
    const answers = yield* Schedule.ledger(name, { from: 0, to: "1970-01-02" })
    yield* Console.log(`${name}: ${answers.map(answer).join(", ")}`)
  }
})

// Without the warnings about missed ticks, which are logged too.
const World = Memory.layer.pipe(Layer.provideMerge(TestClock.layer()), Layer.merge(Logger.layer([])))

NodeRuntime.runMain(Effect.provide(program, World))

// Prints:
// reminder: 01:00 Started (schedule), 02:00 Missed (Down), 03:00 Missed (Down), 04:00 Missed (Down), 05:00 Missed (Down), 06:00 Missed (Down)
// report: 01:00 Started (schedule), 02:00 Coalesced, 03:00 Coalesced, 04:00 Coalesced, 05:00 Coalesced, 06:00 Started (catch-up)
// invoices: 01:00 Started (schedule), 02:00 Started (catch-up), 03:00 Started (catch-up), 04:00 Started (catch-up), 05:00 Started (catch-up), 06:00 Started (catch-up)
// metrics: 01:00 Started (schedule), 02:00 Missed (Window), 03:00 Missed (Cap), 04:00 Missed (Cap), 05:00 Started (catch-up), 06:00 Started (catch-up)
