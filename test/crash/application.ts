// The application that the crash tests start in processes of their own: `node application.ts <url> <name> <leaseMillis>`.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Postgres from "effect-durable/Postgres"
import * as Step from "effect-durable/Step"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as EffectSchedule from "effect/Schedule"
import { SqlClient } from "effect/sql/SqlClient"
import { Job, stepsPerJob, Tick } from "./definitions.ts"

const insertEffect = Effect.fnUntraced(function*(run: number, step: number) {
  const sql = yield* SqlClient
  // The library waits out an absent server; what an effect does there by itself, it must try again by itself.
  yield* sql`insert into effects ${sql.insert({ run, step, pid: process.pid })}`.pipe(
    Effect.retry(EffectSchedule.spaced("50 millis")),
    Effect.orDie
  )
  yield* Effect.sleep("150 millis")
})

const JobLive = Job.toLayer(Effect.fnUntraced(function*({ run }) {
  const sql = yield* SqlClient
  for (let step = 0; step < stepsPerJob; step++) yield* Step.run("effect", insertEffect(run, step))
  yield* Step.transaction("book", Effect.asVoid(sql`insert into bookings ${sql.insert({ run })}`))
}))

const TickLive = Tick.toLayer(Effect.fnUntraced(function*({ context, scheduledAt }) {
  const sql = yield* SqlClient
  const row = { schedule: context.name, tick: DateTime.formatIso(scheduledAt) }
  yield* Effect.sleep(context.millis ?? 0)
  yield* Step.transaction("note", Effect.asVoid(sql`insert into ticks ${sql.insert(row)}`))
}))

const [, , url, name, leaseMillis] = process.argv

const Ready = Layer.effectDiscard(Effect.sync(() => void process.stdout.write("ready\n")))

const App = Ready.pipe(
  Layer.provideMerge(Layer.mergeAll(JobLive, TickLive)),
  Layer.provideMerge(Engine.layer({ name: name!, lease: `${Number(leaseMillis)} millis` })),
  Layer.provide(Postgres.layer({ url: url! })),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "Warn"))
)

NodeRuntime.runMain(Layer.launch(App))
