// Listing schedules: all of them, by status, by workflow, by the beginning of their names.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Backup = Workflow.make("backup", { payload: Schedule.Tick({ database: Schema.String }) })
const Report = Workflow.make("report", { payload: Schedule.Tick({ title: Schema.String }) })

const names = (schedules: ReadonlyArray<Schedule.Info>) => schedules.map(({ name }) => name).join(", ")

const program = Effect.gen(function*() {
  yield* Schedule.apply([
    Schedule.make("backup-nightly", { workflow: Backup, cron: "0 0 2 * * *", context: { database: "production" } }),
    Schedule.make("report-daily", { workflow: Report, cron: "0 0 6 * * *", context: { title: "Daily" } }),
    Schedule.make("report-weekly", { workflow: Report, cron: "0 0 9 * * MON", context: { title: "Weekly" } })
  ])
  yield* Schedule.pause("report-weekly")

  for (const schedule of yield* Schedule.list()) {
    const context = JSON.stringify(Result.getOrNull(schedule.context))
    yield* Console.log(`${schedule.name}  ${schedule.expression}  ${schedule.workflow}  ${schedule.status}  ${context}`)
  }
  yield* Console.log(`paused: ${names(yield* Schedule.list({ status: "Paused" }))}`)
  yield* Console.log(`of workflow backup: ${names(yield* Schedule.list({ workflow: "backup" }))}`)
  yield* Console.log(`report-*: ${names(yield* Schedule.list({ namePrefix: "report-" }))}`)
  yield* Console.log(`the first two: ${names(yield* Schedule.list({}, { limit: 2 }))}`)
  yield* Console.log(`after those: ${names(yield* Schedule.list({}, { after: "report-daily" }))}`)
})

NodeRuntime.runMain(Effect.provide(program, Embedded.layer()))

// Prints:
// backup-nightly  0 0 2 * * *  backup  Active  {"database":"production"}
// report-daily  0 0 6 * * *  report  Active  {"title":"Daily"}
// report-weekly  0 0 9 * * MON  report  Paused  {"title":"Weekly"}
// paused: report-weekly
// of workflow backup: backup-nightly
// report-*: report-daily, report-weekly
// the first two: backup-nightly, report-daily
// after those: report-weekly
