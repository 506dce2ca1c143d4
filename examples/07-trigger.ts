// Triggering a schedule by hand: a run now, whatever its cron says, with its own context or another one.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Report = Workflow.make("report", {
  payload: Schedule.Tick({ title: Schema.String }),
  success: Schema.String
})

const ReportLive = Report.toLayer(({ context }) => Effect.succeed(context.title.toUpperCase()))

const daily = Schedule.make("daily-report", { workflow: Report, cron: "0 0 6 * * *", context: { title: "daily" } })

const program = Effect.gen(function*() {
  yield* Schedule.create(daily)

  const handle = yield* Schedule.trigger(daily)
  yield* Console.log(yield* handle.await)

  const other = yield* Schedule.trigger(daily, { context: { title: "extra" } })
  yield* Console.log(yield* other.await)

  // Each trigger is a run of its own, however many come at once.
  const many = yield* Effect.all(Array.from({ length: 20 }, () => Schedule.trigger(daily)), {
    concurrency: "unbounded"
  })
  yield* Console.log(`${new Set(many.map(({ id }) => id)).size} runs`)
})

const App = ReportLive.pipe(
  Layer.provideMerge(Engine.layer({ name: "triggering" })),
  Layer.provideMerge(Embedded.layer())
)

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// DAILY
// EXTRA
// 20 runs
