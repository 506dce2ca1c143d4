// The application of the chaos run: `node chaosApplication.ts <url> <leaseMillis>`.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Postgres from "effect-durable/Postgres"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as EffectSchedule from "effect/Schedule"
import { SqlClient } from "effect/sql/SqlClient"
import { Child, Job, Tick } from "./chaosDefinitions.ts"

/** An effect of a plain step, which may happen more than once. What it does in the database by itself, it tries again by itself. */
const effect = Effect.fnUntraced(function*(table: string, run: number, step: number) {
  const sql = yield* SqlClient
  yield* sql`insert into ${sql(table)} ${sql.insert({ run, step })}`.pipe(
    Effect.timeout("5 seconds"),
    Effect.retry(EffectSchedule.spaced("50 millis")),
    Effect.orDie
  )
  yield* Effect.sleep("100 millis")
  return step
})

const JobLive = Job.toLayer(Effect.fnUntraced(function*({ run }) {
  const sql = yield* SqlClient
  yield* Step.run("effect", effect("effects", run, 0))
  yield* Step.transaction("book", Effect.asVoid(sql`insert into bookings ${sql.insert({ run })}`))
  yield* Step.run("could be undone", effect("effects", run, 1)).pipe(
    Step.withUndo("undo", () => Effect.asVoid(effect("undone", run, 1)))
  )
  yield* Effect.orDie(Child.execute({ run }))
  yield* Workflow.sleep("500 millis")
  yield* Step.run("effect", effect("effects", run, 2))
}))

const ChildLive = Child.toLayer(({ run }) => Step.run("effect", effect("effects", run, 3)))

const TickLive = Tick.toLayer(Effect.fnUntraced(function*({ context, scheduledAt }) {
  const sql = yield* SqlClient
  const row = { schedule: context.name, tick: DateTime.formatIso(scheduledAt) }
  yield* Step.transaction("note", Effect.asVoid(sql`insert into ticks ${sql.insert(row)}`))
}))

const [, , url, leaseMillis] = process.argv

const Ready = Layer.effectDiscard(Effect.sync(() => void process.stdout.write("ready\n")))

const App = Ready.pipe(
  Layer.provideMerge(Layer.mergeAll(JobLive, ChildLive, TickLive)),
  Layer.provideMerge(Engine.layer({ name: "chaos", lease: `${Number(leaseMillis)} millis` })),
  Layer.provide(Postgres.layer({ url: url! })),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, process.env["CHAOS_LOG"] === undefined ? "None" : "Warn"))
)

NodeRuntime.runMain(Layer.launch(App))
