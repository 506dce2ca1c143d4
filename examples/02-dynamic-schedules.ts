// Schedules made at run time: created, read back, refused when they cannot work, deleted.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const Backup = Workflow.make("backup", {
  payload: Schedule.Tick({ database: Schema.String })
})

const nightly = (cron: string) =>
  Schedule.make("nightly-backup", { workflow: Backup, cron, context: { database: "production" } })

// Managing schedules needs the store alone: no engine, no body.
const program = Effect.gen(function*() {
  yield* Schedule.create(nightly("0 0 2 * * *"))

  const twice = yield* Effect.flip(Schedule.create(nightly("0 0 2 * * *")))
  yield* Console.log(twice.message)

  const invalid = yield* Effect.flip(Schedule.apply([nightly("0 0 25 * * *")]))
  yield* Console.log(invalid.message)

  const info = yield* Schedule.get(nightly("0 0 2 * * *"))
  if (Option.isSome(info)) {
    yield* Console.log(`${info.value.name} runs ${info.value.workflow} at ${info.value.expression}`)
  }

  yield* Schedule.remove("nightly-backup")
  yield* Console.log(`deleted: ${Option.isNone(yield* Schedule.get("nightly-backup"))}`)

  const unknown = yield* Effect.flip(Schedule.pause("nightly-backup"))
  yield* Console.log(unknown.message)
})

NodeRuntime.runMain(Effect.provide(program, Embedded.layer()))

// Prints:
// A schedule named "nightly-backup" exists already; use apply to replace it, or another name.
// hour: 25 is not within 0-23
//   0 0 25 * * *
//       ^^
// nightly-backup runs backup at 0 0 2 * * *
// deleted: true
// There is no schedule named "nightly-backup".
