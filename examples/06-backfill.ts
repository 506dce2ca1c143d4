// Backfilling seven days: the runs of past ticks, under the ids the scheduler gives them, so that a second time adds none.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Daily = Workflow.make("daily", {
  payload: Schedule.Tick({ title: Schema.String }),
  success: Schema.String
})

const DailyLive = Daily.toLayer(({ context, scheduledAt }) =>
  Effect.succeed(`${context.title} of ${DateTime.formatIsoDateUtc(scheduledAt)}`)
)

const daily = Schedule.make("daily-report", {
  workflow: Daily,
  cron: "0 0 6 * * *",
  timeZone: "Europe/Berlin",
  context: { title: "Report" }
})

const week = {
  from: DateTime.makeUnsafe("2026-03-26T00:00:00Z"),
  to: DateTime.makeUnsafe("2026-04-02T00:00:00Z")
}

const program = Effect.gen(function*() {
  yield* Schedule.create(daily)

  const first = yield* Schedule.backfill(daily, week)
  for (const { handle } of first) yield* Console.log(`${handle.id}: ${yield* handle.await}`)

  const second = yield* Schedule.backfill(daily, week)
  yield* Console.log(`again: ${second.filter(({ created }) => created).length} of ${second.length} created`)
})

const App = DailyLive.pipe(
  Layer.provideMerge(Engine.layer({ name: "backfilling" })),
  Layer.provideMerge(Embedded.layer())
)

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// sched-daily-report-2026-03-26T05:00:00.000Z: Report of 2026-03-26
// sched-daily-report-2026-03-27T05:00:00.000Z: Report of 2026-03-27
// sched-daily-report-2026-03-28T05:00:00.000Z: Report of 2026-03-28
// sched-daily-report-2026-03-29T04:00:00.000Z: Report of 2026-03-29
// sched-daily-report-2026-03-30T04:00:00.000Z: Report of 2026-03-30
// sched-daily-report-2026-03-31T04:00:00.000Z: Report of 2026-03-31
// sched-daily-report-2026-04-01T04:00:00.000Z: Report of 2026-04-01
// again: 0 of 7 created
