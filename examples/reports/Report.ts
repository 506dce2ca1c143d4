// The report workflow: metrics in a transaction step, the report in a step, the mails in a step that is retried.
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Mailer } from "./Mailer.ts"
import * as Metrics from "./Metrics.ts"

export const ReportContext = Schema.Struct({
  reportType: Schema.String,
  metricType: Schema.String,
  recipients: Schema.Array(Schema.String),
  lookbackHours: Schema.Finite
})

export class Summary extends Schema.Class<Summary>("reports/Summary")({
  reportType: Schema.String,
  until: Schema.DateTimeUtc,
  count: Schema.Int,
  total: Schema.Finite,
  average: Schema.Finite
}) {
  get text(): string {
    return `${this.count} measurements, ${this.average.toFixed(1)} on average`
  }
}

export class NoData extends Schema.TaggedError<NoData>("reports/NoData")("NoData", { metricType: Schema.String }) {
  override get message(): string {
    return `There is no data of type ${this.metricType}`
  }
}

/** The definition: what goes in, what comes out, how it can fail. Clients import it without the body. */
export const Report = Workflow.make("report", {
  payload: Schedule.Tick(ReportContext),
  success: Summary,
  error: NoData
})

const summarize = Effect.fn("summarize")(function*(
  reportType: string,
  metricType: string,
  until: DateTime.Utc,
  metrics: ReadonlyArray<Metrics.Metric>
) {
  if (metrics.length === 0) return yield* new NoData({ metricType })
  const total = metrics.reduce((sum, { value }) => sum + value, 0)
  return new Summary({ reportType, until, count: metrics.length, total, average: total / metrics.length })
})

const send = Effect.fn("send")(function*(report: Summary, recipients: ReadonlyArray<string>) {
  const mailer = yield* Mailer
  for (const to of recipients) yield* mailer.send({ to, subject: `${report.reportType} Report`, body: report.text })
})

/** The body, as a layer. */
export const ReportLive = Report.toLayer(
  Effect.fn("report")(function*({ context, scheduledAt }) {
    const { lookbackHours, metricType, recipients, reportType } = context
    const from = DateTime.subtract(scheduledAt, { hours: lookbackHours })
    const metrics = yield* Step.transaction("get_metrics", Metrics.between(metricType, from, scheduledAt), {
      success: Schema.Array(Metrics.Metric)
    })
    const report = yield* Step.run("generate_report", summarize(reportType, metricType, scheduledAt, metrics), {
      success: Summary,
      error: NoData
    })
    yield* Step.run("send_report", send(report, recipients), { retry: Step.backoff({ times: 3 }) })
    return report
  })
)
