// The multi-schedule report system of examples/reports, asked what it has and triggered by hand. `npm start` runs it live.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Schedule from "effect-durable/Schedule"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Mailer } from "./reports/Mailer.ts"
import * as Metrics from "./reports/Metrics.ts"
import { ReportLive } from "./reports/Report.ts"
import * as schedules from "./reports/schedules.ts"

const program = Effect.gen(function*() {
  for (const schedule of yield* Schedule.list({ status: "Active" })) {
    const { recipients, reportType } = JSON.parse(schedule.contextJson)
    yield* Console.log(
      `${schedule.name}: ${schedule.expression} ${schedule.timeZone}, ${reportType}, to ${recipients.join(", ")}`
    )
  }

  yield* Metrics.note("operations", 20)
  yield* Metrics.note("operations", 40)
  const handle = yield* Schedule.trigger(schedules.hourlyOps)
  const report = yield* handle.await
  yield* Console.log(`${report.reportType}: ${report.text}`)
  yield* Console.log(`steps: ${(yield* handle.steps).map(({ name }) => name).join(", ")}`)

  const empty = yield* Effect.flip(Effect.flatMap(Schedule.trigger(schedules.monthlyFinancial), (run) => run.await))
  yield* Console.log(`${empty._tag}: ${empty.message}`)

  const mailer = yield* Mailer
  for (const { body, subject, to } of yield* mailer.sent) yield* Console.log(`sent to ${to}: ${subject}: ${body}`)
})

const App = Layer.mergeAll(ReportLive, Schedule.layer(schedules.all)).pipe(
  Layer.provideMerge(Engine.layer({ name: "reports" })),
  Layer.provideMerge(Layer.mergeAll(Mailer.layerMemory, Metrics.layer)),
  Layer.provideMerge(Embedded.layer())
)

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// daily-summary: 0 0 6 * * * Europe/Berlin, Daily Summary, to team@example.com, manager@example.com
// hourly-ops-report: 0 0 * * * * UTC, Hourly Operations, to ops@example.com
// monthly-financial: 0 0 8 1 * * Europe/Berlin, Monthly Financial, to finance@example.com, cfo@example.com
// weekly-executive: 0 0 9 * * MON Europe/Berlin, Weekly Executive Summary, to executives@example.com
// Hourly Operations: 2 measurements, 30.0 on average
// steps: get_metrics, generate_report, send_report
// NoData: There is no data of type financial
// sent to ops@example.com: Hourly Operations Report: 2 measurements, 30.0 on average
