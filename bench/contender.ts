// Our side of the benchmark: the same work, driven by the same lines on standard input.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Postgres from "effect-durable/Postgres"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import { createInterface } from "node:readline"

const Noop = Workflow.make("noop")
const NoopLive = Noop.toLayer(() => Effect.void)

const TenSteps = Workflow.make("ten-steps")
const TenStepsLive = TenSteps.toLayer(Effect.fnUntraced(function*() {
  for (let step = 0; step < 10; step++) yield* Step.run(`step-${step}`, Effect.succeed(step))
}))

const ticks: Array<[schedule: number, scheduledAt: number, ranAt: number]> = []
const Tick = Workflow.make("tick", { payload: Schedule.Tick(Schema.Int) })
const TickLive = Tick.toLayer(({ context, scheduledAt }) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    ticks.push([context, DateTime.toEpochMillis(scheduledAt), now])
  })
)

const workflows = { noop: Noop, tenSteps: TenSteps }

type Command =
  | { readonly kind: "stop" }
  | {
    readonly kind: "runs"
    readonly workflow: keyof typeof workflows
    readonly count: number
    readonly inFlight: number
  }
  | { readonly kind: "schedules"; readonly count: number; readonly seconds: number }

const schedules = Effect.fnUntraced(function*(count: number, seconds: number) {
  const names = Array.from({ length: count }, (_, index) => `every-second-${index}`)
  yield* Schedule.apply(
    names.map((name, index) => Schedule.make(name, { workflow: Tick, cron: "* * * * * *", context: index }))
  )
  yield* Effect.sleep(`${seconds} seconds`)
  // All of them at one instant.
  yield* Schedule.freeze()
  return ticks
})

const perform = Effect.fnUntraced(function*(command: Exclude<Command, { kind: "stop" }>) {
  if (command.kind === "schedules") return { ticks: yield* schedules(command.count, command.seconds) }
  const started = performance.now()
  yield* Effect.forEach(
    Array.from({ length: command.count }),
    () => workflows[command.workflow].execute(),
    { concurrency: command.inFlight, discard: true }
  )
  return { millis: performance.now() - started }
})

const reply = (value: unknown) => Effect.sync(() => void process.stdout.write(`${JSON.stringify(value)}\n`))

const main = Effect.gen(function*() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  yield* reply({ ready: true })
  while (true) {
    const line = yield* Effect.promise(() => lines.next())
    if (line.done === true) return
    const command: Command = JSON.parse(line.value)
    if (command.kind === "stop") return
    yield* reply(yield* perform(command))
  }
})

const App = Layer.mergeAll(NoopLive, TenStepsLive, TickLive).pipe(
  Layer.provideMerge(Engine.layer({ name: "bench", concurrency: 2000 })),
  Layer.provideMerge(Postgres.layer({ url: process.argv[2]! })),
  Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Warn"))
)

NodeRuntime.runMain(Effect.provide(main, App))
