// What operators do: skip ticks, pause for a while, freeze everything, edit without losing another's edit; and who did it, read
// back from the audit.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
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

const hourly = (name: string, team: string) =>
  Schedule.make(name, { workflow: Sync, cron: "@hourly", labels: { team } })

const program = Effect.gen(function*() {
  yield* Schedule.apply([hourly("orders", "shop"), hourly("stock", "shop"), hourly("wages", "staff")])

  yield* Schedule.skipNext("orders", 1, { reason: "the source is being moved" })
  yield* Schedule.skip("orders", "1970-01-01T03:00:00Z")
  yield* Schedule.pause("wages", { until: "1970-01-01T12:00:00Z", reason: "until payday is over" })
  for (const { skipped, tick } of yield* Schedule.upcoming("orders", 3)) {
    yield* Console.log(`${DateTime.formatIso(tick)} ${Option.getOrElse(skipped, () => "will start")}`)
  }

  // Many at once, by their labels.
  yield* Console.log(`paused: ${yield* Schedule.pauseAll({ labels: { team: "shop" } })}`)
  yield* Console.log(`resumed: ${yield* Schedule.resumeAll({ labels: { team: "shop" } })}`)

  // Everything, in all processes.
  yield* Schedule.freeze({ reason: "the database is being upgraded" })
  const frozen = yield* Schedule.frozen
  yield* Console.log(
    `frozen: ${Option.map(frozen, ({ by, reason }) => `${by}, ${Option.getOrNull(reason)}`).pipe(Option.getOrNull)}`
  )
  yield* Schedule.thaw()

  // Two editors read the same revision; the second is told of the first.
  const [orders] = yield* Schedule.list({ namePrefix: "orders" })
  const { revision } = orders!
  yield* Schedule.edit("orders", { cron: "0 30 * * * *", note: "on the half hour" }, { revision })
  const conflict = yield* Effect.flip(Schedule.edit("orders", { overlap: "skip" }, { revision }))
  yield* Console.log(conflict.message)

  for (const { action, actor, after, reason } of (yield* Schedule.audit("orders")).toReversed()) {
    const why = Option.match(reason, { onNone: () => "", onSome: (reason) => ` (${reason})` })
    yield* Console.log(`${actor}: ${action}${why} ${action === "create" ? "" : JSON.stringify(after)}`.trimEnd())
  }
}).pipe(Effect.provideService(Schedule.CurrentOperator, { name: "mia", source: "command line" }))

NodeRuntime.runMain(Effect.provide(program, Memory.layer.pipe(Layer.provideMerge(TestClock.layer()))))

// Prints:
// 1970-01-01T01:00:00.000Z skipped by mia at 1970-01-01T00:00:00.000Z: the source is being moved
// 1970-01-01T02:00:00.000Z will start
// 1970-01-01T03:00:00.000Z skipped by mia at 1970-01-01T00:00:00.000Z
// paused: orders,stock
// resumed: orders,stock
// frozen: mia, the database is being upgraded
// Schedule "orders" is at revision 6 and not 5 any more; read it again and decide anew.
// mia: create
// mia: skipNext (the source is being moved) {"skipNext":1,"skips":[]}
// mia: skip {"skipNext":1,"skips":["1970-01-01T03:00:00.000Z"]}
// mia: pause {"status":"Paused","reason":null,"until":null}
// mia: resume {"status":"Active","reason":null,"until":null}
// mia: edit {"timing":{"cron":"0 30 * * * *"},"note":"on the half hour"}
