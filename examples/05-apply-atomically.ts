// Applying a list of schedules: all of them or none, replacing those of the same names; and applying it again.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const HourlySync = Workflow.make("hourly-sync", { payload: Schedule.Tick({ source: Schema.String }) })
const Cleanup = Workflow.make("cleanup", { payload: Schedule.Tick({ retentionDays: Schema.Int }) })

const sync = (cron: string) =>
  Schedule.make("hourly-sync", { workflow: HourlySync, cron, context: { source: "external-api" } })

const cleanup = (retentionDays: number) =>
  Schedule.make("daily-cleanup", { workflow: Cleanup, cron: "0 0 3 * * *", context: { retentionDays } })

const program = Effect.gen(function*() {
  yield* Console.log(yield* Schedule.apply([sync("0 0 * * * *"), cleanup(30)]))

  // Every 30 minutes from now on; the other one stays as it is.
  yield* Console.log(yield* Schedule.apply([sync("0 */30 * * * *"), cleanup(30)]))

  // One bad cron, and nothing of the list is applied.
  const refused = yield* Effect.flip(Schedule.apply([cleanup(60), sync("0 0 * * *")]))
  yield* Console.log(refused.message)
  const [stored] = yield* Schedule.list({ namePrefix: "daily-" })
  yield* Console.log(`${stored!.name} still has ${stored!.contextJson}`)
})

NodeRuntime.runMain(Effect.provide(program, Embedded.layer()))

// Prints:
// {
//   created: [ 'daily-cleanup', 'hourly-sync' ],
//   changed: [],
//   unchanged: [],
//   pruned: []
// }
// {
//   created: [],
//   changed: [ 'hourly-sync' ],
//   unchanged: [ 'daily-cleanup' ],
//   pruned: []
// }
// 5 fields: this library needs 6, with seconds first
//   0 0 * * *
//   ^^^^^^^^^  try: 0 0 0 * * *
// daily-cleanup still has {"retentionDays":30}
