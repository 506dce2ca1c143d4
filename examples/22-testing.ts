// The test kit: an application's own layers under a virtual clock. A year of ticks takes a moment, a worker crashes at the step
// the test names, and every run ends as it should.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Testing from "effect-durable/Testing"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const Payroll = Workflow.make("payroll", { payload: Schedule.Tick() })

let paid = 0
const PayrollLive = Payroll.toLayer(
  Effect.fn("payroll")(function*() {
    yield* Step.run("pay", Effect.sync(() => paid++))
    yield* Workflow.sleep("2 days")
    yield* Step.run("report", Effect.void)
  })
)

const monthly = Schedule.make("payroll", { workflow: Payroll, cron: "0 0 9 LW * *", timeZone: "Europe/Berlin" })

const AppTest = Layer.mergeAll(PayrollLive, Schedule.layer([monthly])).pipe(
  Layer.provideMerge(Testing.layer({ at: "2026-01-01T00:00:00Z", workers: 2 }))
)

const program = Effect.gen(function*() {
  yield* Testing.crashAfterStep({ workflow: Payroll, step: "pay" })
  yield* Testing.advance("370 days")

  const answers = yield* Testing.ledger(monthly)
  const days = answers.map(({ tick }) => DateTime.formatIsoDateUtc(tick).slice(5))
  yield* Console.log(`paid ${paid} times, on the last working days: ${days.join(", ")}`)

  const [crash] = yield* Testing.crashes
  yield* Console.log(`a worker crashed after step ${crash!.step} at ${DateTime.formatIso(crash!.at)}`)
  const runs = yield* Testing.runs(monthly)
  yield* Console.log(`attempts: ${runs.map(({ attempt }) => attempt).join(" ")}`)
  yield* Console.log(`statuses: ${[...new Set(runs.map(({ status }) => status))].join(" ")}`)
})

NodeRuntime.runMain(Effect.provide(program, AppTest))

// Prints:
// paid 12 times, on the last working days: 01-30, 02-27, 03-31, 04-30, 05-29, 06-30, 07-31, 08-31, 09-30, 10-30, 11-30, 12-31
// a worker crashed after step pay at 2026-01-30T08:00:00.000Z
// attempts: 2 1 1 1 1 1 1 1 1 1 1 1
// statuses: Succeeded
