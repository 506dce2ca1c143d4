// A durable backfill: a job of its own, newest day first, two runs at a time. It outlives the process that asked for it, can be
// watched, paused and cancelled, and leaves alone what ran already. `Schedule.backfill` (06) enqueues all of a window at once.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Backfill from "effect-durable/Backfill"
import * as Embedded from "effect-durable/Embedded"
import * as Engine from "effect-durable/Engine"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"

const Daily = Workflow.make("daily", { payload: Schedule.Tick() })

let live = 0
let most = 0
const days: Array<string> = []
const count = Effect.acquireUseRelease(
  Effect.sync(() => most = Math.max(most, ++live)),
  () => Effect.sleep("20 millis"),
  () => Effect.sync(() => live--)
)

const DailyLive = Daily.toLayer(({ scheduledAt }) =>
  Effect.sync(() => days.push(DateTime.formatIsoDateUtc(scheduledAt))).pipe(Effect.andThen(Step.run("count", count)))
)

const daily = Schedule.make("daily-report", { workflow: Daily, cron: "@daily" })

const program = Effect.gen(function*() {
  yield* Schedule.create(daily)
  yield* Schedule.backfill(daily, { from: "2026-01-03", to: "2026-01-05" }).pipe(
    Effect.flatMap(Effect.forEach(({ handle }) => handle.await))
  )
  days.length = 0
  most = 0

  const window = { from: "2026-01-01", to: "2026-01-08" }
  const plan = yield* Backfill.plan(daily, window)
  yield* Console.log(`${plan.count} ticks, ${plan.existing} have a run`)

  const { id } = yield* Backfill.start(daily, { ...window, id: "week-one", order: "newest", concurrency: 2 })
  const done = yield* Backfill.await(id)
  yield* Console.log(`${done.status}: ${done.started} started, ${done.existing} had a run`)
  yield* Console.log(`never more than ${most} at a time; the first were ${days.slice(0, 2).sort().join(" and ")}`)

  // The same id is the same job.
  const again = yield* Backfill.start(daily, { ...window, id: "week-one" })
  yield* Console.log(`again: ${again.status}`)
})

const App = DailyLive.pipe(
  Layer.provideMerge(Engine.layer({ name: "backfilling" })),
  Layer.provideMerge(Embedded.layer()),
  Layer.provideMerge(Logger.layer([]))
)

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// 7 ticks, 2 have a run
// Done: 5 started, 2 had a run
// never more than 2 at a time; the first were 2026-01-06 and 2026-01-07
// again: Done
