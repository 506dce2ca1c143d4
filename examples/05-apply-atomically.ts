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
  const first = yield* Schedule.apply([sync("0 0 * * * *"), cleanup(30)])
  yield* Console.log(`created: ${first.created.join(", ")}`)

  // What would be done, and is not.
  const next = [sync("0 */30 * * * *"), cleanup(30)]
  const planned = yield* Schedule.apply(next, { dryRun: true })
  for (const { fields, name } of planned.changed) {
    for (const { after, before, field } of fields) yield* Console.log(`${name}: ${field} from ${before} to ${after}`)
  }

  // Every 30 minutes from now on; the other one stays as it is.
  const second = yield* Schedule.apply(next)
  yield* Console.log(`changed: ${second.changed.map(({ name }) => name)}, unchanged: ${second.unchanged}`)

  // One bad cron, and nothing of the list is applied.
  const refused = yield* Effect.flip(Schedule.apply([cleanup(60), sync("0 0 * * *")]))
  yield* Console.log(refused.message)
  const [stored] = yield* Schedule.list({ namePrefix: "daily-" })
  yield* Console.log(`${stored!.name} still has ${stored!.contextJson}`)
})

NodeRuntime.runMain(Effect.provide(program, Embedded.layer()))

// Prints:
// created: daily-cleanup, hourly-sync
// hourly-sync: timing from {"cron":"0 0 * * * *"} to {"cron":"0 */30 * * * *"}
// changed: hourly-sync, unchanged: daily-cleanup
// 5 fields: this library needs 6, with seconds first
//   0 0 * * *
//   ^^^^^^^^^  try: 0 0 0 * * *
// daily-cleanup still has {"retentionDays":30}
