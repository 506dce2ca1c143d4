// The ledger: every tick has one answer, and `explain` says it in words; for ticks to come too.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Engine from "effect-durable/Engine"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"

const Sync = Workflow.make("sync", { payload: Schedule.Tick() })
const SyncLive = Sync.toLayer(() => Workflow.sleep("70 minutes"))

const hourly = Schedule.make("sync", {
  workflow: Sync,
  cron: "@hourly",
  overlap: "skip",
  except: { cron: "0 0 3 * * *" }
})

const App = Layer.mergeAll(SyncLive, Schedule.layer([hourly])).pipe(
  Layer.provideMerge(Engine.layer({ name: "ledger" })),
  Layer.provideMerge(Memory.layer),
  Layer.provideMerge(TestClock.layer())
)

const hour = (instant: DateTime.DateTime) => DateTime.formatIso(instant).slice(11, 16)

const program = Effect.gen(function*() {
  yield* TestClock.adjust("230 minutes") // 01:00 runs until 02:10, 03:00 is excluded
  yield* Schedule.pause(hourly)
  yield* TestClock.adjust("2 hours")
  yield* Schedule.resume(hourly)
  yield* TestClock.adjust("10 minutes")

  // Tick by tick, oldest first.
  for (const { decision, tick } of yield* Schedule.ledger(hourly, { from: 0, to: "1970-01-02" })) {
    yield* Console.log(`${hour(tick)} ${decision._tag}`)
  }

  // As it is recorded, newest first: a pause is one entry, however long it was.
  const { entries } = yield* Schedule.history(hourly)
  for (const { count, decision, first, last } of entries) {
    const ticks = Option.match(count, { onNone: () => "not counted", onSome: (count) => `${count} tick` })
    yield* Console.log(`${hour(first)}-${hour(last)} ${decision._tag}, ${ticks}`)
  }

  for (const at of ["01:00", "02:00", "03:00", "04:00", "04:30", "08:00"]) {
    const { text } = yield* Schedule.explain(hourly, `1970-01-01T${at}:00Z`)
    yield* Console.log(`${at} ${text}`)
  }
})

NodeRuntime.runMain(Effect.provide(program, App))

// Prints:
// 01:00 Started
// 02:00 Overlapped
// 03:00 Excluded
// 04:00 Paused
// 05:00 Paused
// 06:00 Started
// 06:00-06:00 Started, 1 tick
// 04:00-05:00 Paused, not counted
// 03:00-03:00 Excluded, 1 tick
// 02:00-02:00 Overlapped, 1 tick
// 01:00-01:00 Started, 1 tick
// 01:00 It was started by its tick, on time, as run sched-sync-1970-01-01T01:00:00.000Z, which has Succeeded.
// 02:00 It did not start: run sched-sync-1970-01-01T01:00:00.000Z was live, and the overlap policy starts none beside it.
// 03:00 It did not start: a calendar excludes it (cron 0 0 3 * * *).
// 04:00 It did not start: the schedule was paused by an operator at 1970-01-01T03:50:00.000Z.
// 04:30 It is no tick of this schedule: the tick before is 1970-01-01T04:00:00.000Z, the one after 1970-01-01T05:00:00.000Z.
// 08:00 It has not come yet: it starts in 2 hours.
