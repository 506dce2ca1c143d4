// A context written by an earlier version of the code: the schedule is stored under the old schema and runs under the new one.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

// What last year's code declared, and stored.
const Old = Schema.Struct({ hours: Schema.Finite })
const OldReport = Workflow.make("report", { payload: Schedule.Tick(Old) })
const stored = Schedule.make("daily", { workflow: OldReport, cron: "@daily", context: { hours: 48 } })

// What this year's code says.
const New = Schema.Struct({ lookback: Schema.Finite, unit: Schema.Literals(["hours", "days"]) })
const Report = Workflow.make("report", {
  payload: Schedule.Tick(New, {
    migrations: [Schedule.migration(Old, ({ hours }) => ({ lookback: hours / 24, unit: "days" as const }))]
  })
})
const ReportLive = Report.toLayer(({ context }) => Console.log(`looks back ${context.lookback} ${context.unit}`))
const daily = Schedule.make("daily", { workflow: Report, cron: "@daily", context: { lookback: 7, unit: "days" } })

const App = ReportLive.pipe(
  Layer.provideMerge(Engine.layer({ name: "migrating" })),
  Layer.provideMerge(Memory.layer)
)

const program = Effect.gen(function*() {
  yield* Schedule.create(stored)

  // The row is as it was; what reads it migrates it.
  const handle = yield* Schedule.trigger("daily")
  yield* handle.await
  const info = Option.getOrThrow(yield* Schedule.get(daily))
  yield* Console.log(`${info.contextJson} is read as ${JSON.stringify(Result.getOrThrow(info.context))}`)

  // Tools without the code know the schema of what is stored.
  const wrong = yield* Effect.flip(Schedule.edit("daily", { context: { hours: "many" } }))
  yield* Console.log(wrong._tag)

  // Code that applies the schedule anew writes it under the new schema.
  yield* Schedule.apply([daily])
  yield* Effect.flatMap(Schedule.trigger("daily"), (handle) => handle.await)
})

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// looks back 2 days
// {"hours":48} is read as {"lookback":2,"unit":"days"}
// InvalidInput
// looks back 7 days
