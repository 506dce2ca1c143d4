// Several processes on one Postgres: each tick runs once, in one of them, with no leader among them. DATABASE_URL says where
// the database is. This file is the first process, and starts itself twice more.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Postgres from "effect-durable/Postgres"
import * as Run from "effect-durable/Run"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const Sync = Workflow.make("distributed-sync", { payload: Schedule.Tick() })

const App = Sync.toLayer(() => Effect.void).pipe(
  Layer.provideMerge(Engine.layer({ name: "distributed" })),
  Layer.provideMerge(Postgres.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)

const startProcess = Effect.acquireRelease(
  Effect.sync(() => spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), "another"])),
  (child) => Effect.sync(() => child.kill())
)

const everySecond = Schedule.make("every-second", { workflow: Sync, cron: "* * * * * *" })

const first = Effect.gen(function*() {
  yield* startProcess
  yield* startProcess
  yield* Schedule.apply([everySecond])

  // Wait for five ticks, then look at what ran.
  yield* Stream.fromEffectRepeat(Effect.delay(Run.list({ schedule: ["every-second"] }), "200 millis")).pipe(
    Stream.takeUntil((runs) => runs.length >= 5),
    Stream.runDrain
  )
  yield* Schedule.pause(everySecond)

  const runs = yield* Run.list({ schedule: ["every-second"] })
  const ticks = runs.map(({ tick }) => tick! / 1000).toReversed()
  yield* Console.log(`every second has its tick: ${ticks.every((tick, index) => tick === ticks[0]! + index)}`)
  yield* Console.log(`every tick has one run: ${new Set(ticks).size === runs.length}`)
}).pipe(Effect.scoped, Effect.provide(App))

NodeRuntime.runMain(process.argv[2] === "another" ? Layer.launch(App) : first)

// Prints:
// every second has its tick: true
// every tick has one run: true
