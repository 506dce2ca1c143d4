// Overlap: a schedule of every minute whose runs take two minutes and a half, under each of the rules for that.
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

const Slow = Workflow.make("slow", { payload: Schedule.Tick() })
const SlowLive = Slow.toLayer(() => Workflow.sleep("150 seconds"))

const rules: ReadonlyArray<readonly [name: string, overlap: Schedule.Overlap]> = [
  ["allow", "allow"],
  ["allow-two", { mode: "allow", max: 2 }],
  ["skip", "skip"],
  ["buffer-one", "bufferOne"],
  ["buffer-all", "bufferAll"],
  ["cancel-other", "cancelOther"]
]

const schedules = rules.map(([name, overlap]) =>
  Schedule.make(name, { workflow: Slow, cron: "0 * * * * *", until: "1970-01-01T00:05:00Z", overlap })
)

const App = Layer.mergeAll(SlowLive, Schedule.layer(schedules)).pipe(
  Layer.provideMerge(Engine.layer({ name: "overlapping" })),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(TestClock.layer())
)

const words = ({ decision, tick }: Schedule.Answer): string => {
  const minute = DateTime.formatIso(tick).slice(14, 16)
  switch (decision._tag) {
    case "Started":
      return `${minute} ${decision.status} after ${decision.lateBy / 1000} s`
    case "Overlapped":
      return `${minute} ${decision.reason}`
    default:
      return `${minute} ${decision._tag}`
  }
}

const program = Effect.gen(function*() {
  yield* TestClock.adjust("20 minutes")
  for (const { name } of schedules) {
    const answers = yield* Schedule.ledger(name, { from: 0, to: "1970-01-02" })
    yield* Console.log(`${name}: ${answers.map(words).join(", ")}`)
  }
})

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// allow: 01 Succeeded after 0 s, 02 Succeeded after 0 s, 03 Succeeded after 0 s, 04 Succeeded after 0 s
// allow-two: 01 Succeeded after 0 s, 02 Succeeded after 0 s, 03 Live, 04 Succeeded after 0 s
// skip: 01 Succeeded after 0 s, 02 Live, 03 Live, 04 Succeeded after 0 s
// buffer-one: 01 Succeeded after 0 s, 02 Succeeded after 90 s, 03 BufferFull, 04 Succeeded after 120 s
// buffer-all: 01 Succeeded after 0 s, 02 Succeeded after 90 s, 03 Succeeded after 180 s, 04 Succeeded after 270 s
// cancel-other: 01 Cancelled after 0 s, 02 Cancelled after 0 s, 03 Cancelled after 0 s, 04 Succeeded after 0 s
