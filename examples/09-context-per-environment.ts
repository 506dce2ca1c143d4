// One workflow, one schedule per environment: the context says what differs, and its schema keeps it right.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Backup = Workflow.make("environment-backup", {
  payload: Schedule.Tick({
    environment: Schema.Literals(["production", "staging"]),
    retentionDays: Schema.Int,
    notify: Schema.String
  })
})

const BackupLive = Backup.toLayer(
  Effect.fn("environment-backup")(function*({ context }) {
    const { environment, notify, retentionDays } = context
    const id = yield* Step.run("create", Effect.succeed(`backup-of-${environment}`))
    yield* Step.run("clean", Console.log(`${environment}: older than ${retentionDays} days deleted`))
    yield* Step.run("notify", Console.log(`${notify}: ${id} complete`))
  })
)

const production = Schedule.make("production-backup", {
  workflow: Backup,
  cron: "0 0 1 * * *",
  context: { environment: "production", retentionDays: 30, notify: "ops@example.com" }
})

const staging = Schedule.make("staging-backup", {
  workflow: Backup,
  cron: "0 0 3 * * *",
  context: { environment: "staging", retentionDays: 7, notify: "dev@example.com" }
})

const program = Effect.gen(function*() {
  yield* Effect.flatMap(Schedule.trigger(production), (handle) => handle.await)
  yield* Effect.flatMap(Schedule.trigger(staging), (handle) => handle.await)
})

const App = Layer.mergeAll(BackupLive, Schedule.layer([production, staging])).pipe(
  Layer.provideMerge(Engine.layer({ name: "backups" })),
  Layer.provideMerge(Embedded.layer())
)

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// production: older than 30 days deleted
// ops@example.com: backup-of-production complete
// staging: older than 7 days deleted
// dev@example.com: backup-of-staging complete
