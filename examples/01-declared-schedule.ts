// A schedule declared in code: the definition, its body as a layer, the schedule, the application.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Report = Workflow.make("report", {
  payload: Schedule.Tick({ title: Schema.String })
})

const program = Effect.gen(function*() {
  const done = yield* Deferred.make<void>()

  const ReportLive = Report.toLayer(
    Effect.fn("report")(function*({ context }) {
      const words = yield* Step.run("generate", Effect.succeed(context.title.split(" ")))
      yield* Step.run("send", Console.log(`${context.title}: ${words.length} words`))
      yield* Deferred.succeed(done, undefined)
    })
  )

  const Schedules = Schedule.layer([
    Schedule.make("every-second", { workflow: Report, cron: "* * * * * *", context: { title: "The daily report" } }),
    Schedule.make("mornings", {
      workflow: Report,
      cron: "0 0 6 * * MON-FRI",
      timeZone: "Europe/Berlin",
      context: { title: "Good morning" }
    })
  ])

  const App = Layer.mergeAll(ReportLive, Schedules).pipe(Layer.provideMerge(Engine.layer({ name: "declared" })))

  // An application would be `Layer.launch(App)`; this one ends with its first report.
  yield* Effect.provide(Deferred.await(done), App)
})

NodeRuntime.runMain(Effect.provide(program, Embedded.layer()))

// Prints:
// The daily report: 3 words
