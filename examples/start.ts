// The report system, live: its four schedules, and two more that have something to do every few seconds. Data is kept in the
// folder .durable. Stop it with Ctrl-C, or with kill -9, and start it again: runs that were in the middle go on where they were.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Run from "effect-durable/Run"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { Mailer } from "./reports/Mailer.ts"
import * as Metrics from "./reports/Metrics.ts"
import { ReportLive } from "./reports/Report.ts"
import * as schedules from "./reports/schedules.ts"

const Measure = Workflow.make("measure", { payload: Schedule.Tick({ metricType: Schema.String }) })

const Digest = Workflow.make("digest", {
  payload: Schedule.Tick({ metricType: Schema.String, recipient: Schema.String })
})

const at = (tick: DateTime.Utc) => DateTime.formatIso(tick).slice(11, 19)

/** Notes a measurement, exactly once for each tick. */
const MeasureLive = Measure.toLayer(
  Effect.fn("measure")(function*({ context, scheduledAt }) {
    const value = yield* Step.run("measure", Random.nextIntBetween(1, 100))
    yield* Step.transaction("note", Metrics.note(context.metricType, value))
    yield* Effect.log(`tick ${at(scheduledAt)} measure   noted ${value}`)
  })
)

/** A report that takes its time: six seconds, in steps, with a durable sleep between them. */
const DigestLive = Digest.toLayer(
  Effect.fn("digest")(function*({ context, scheduledAt }) {
    const tell = (text: string) => Effect.log(`tick ${at(scheduledAt)} digest    ${text}`)
    const run = yield* Workflow.current
    if (run.attempt > 1) yield* tell(`continues where it was (attempt ${run.attempt})`)
    const metrics = yield* Step.transaction(
      "get_metrics",
      Metrics.between(context.metricType, DateTime.subtract(scheduledAt, { minutes: 1 }), scheduledAt),
      { success: Schema.Array(Metrics.Metric) }
    )
    const text = yield* Step.run(
      "generate_report",
      Effect.gen(function*() {
        yield* tell(`step generate_report: ${metrics.length} measurements in the last minute`)
        yield* Effect.sleep("2 seconds")
        return `${metrics.length} measurements, the last one ${metrics.at(-1)?.value ?? "missing"}`
      })
    )
    yield* tell("sleeps for 3 seconds, durably")
    yield* Workflow.sleep("3 seconds")
    yield* Step.run(
      "send_report",
      Effect.gen(function*() {
        const mailer = yield* Mailer
        yield* mailer.send({ to: context.recipient, subject: "Digest", body: text })
        yield* tell(`step send_report: to ${context.recipient}: ${text}`)
      }),
      { retry: Step.backoff({ times: 3 }) }
    )
  })
)

const Schedules = Schedule.layer([
  ...schedules.all,
  Schedule.make("measure", { workflow: Measure, cron: "*/2 * * * * *", context: { metricType: "operations" } }),
  Schedule.make("digest", {
    workflow: Digest,
    cron: "*/5 * * * * *",
    context: { metricType: "operations", recipient: "ops@example.com" }
  })
], { prune: true })

/** Says what was there before, and what comes next. */
const Welcome = Layer.effectDiscard(Effect.gen(function*() {
  const unfinished = yield* Run.list({ status: ["Enqueued", "Running", "Suspended"] })
  const ended = yield* Run.list({ status: ["Succeeded"] }, { limit: 1 })
  if (ended.length > 0) {
    yield* Effect.log(`Data of an earlier start found, with ${unfinished.length} runs in the middle`)
  }
  for (const { expression, name, nextTick } of yield* Schedule.list()) {
    const next = Option.match(nextTick, { onNone: () => "never", onSome: DateTime.formatIso })
    yield* Effect.log(`${name.padEnd(18)} ${expression.padEnd(16)} next ${next}`)
  }
}))

const App = Welcome.pipe(
  Layer.provideMerge(Layer.mergeAll(ReportLive, MeasureLive, DigestLive, Schedules)),
  Layer.provideMerge(Engine.layer({ name: "reports" })),
  Layer.provideMerge(Layer.mergeAll(Mailer.layerMemory, Metrics.layer)),
  Layer.provideMerge(Embedded.layer({ dataDir: ".durable" })),
  Layer.provide(Logger.layer([Logger.consolePretty()]))
)

NodeRuntime.runMain(Layer.launch(App))
