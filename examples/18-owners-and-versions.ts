// Schedules declared in code: what an application declares it owns, a list can be pruned, and an older version that starts late
// does not undo a newer one's list.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const Sync = Workflow.make("sync", { payload: Schedule.Tick() })
const sync = (name: string, cron: string) => Schedule.make(name, { workflow: Sync, cron })

// `Schedule.layer` does this when the application starts, with the engine's name and version.
const deploy = Effect.fnUntraced(function*(version: string, schedules: ReadonlyArray<Schedule.Any>, dryRun = false) {
  const applied = yield* Schedule.apply(schedules, { owner: "shop", version, prune: true, dryRun })
  const changed = applied.changed.map(({ fields, name }) => `${name} (${fields.map(({ field }) => field)})`)
  const superseded = Option.match(applied.supersededBy, {
    onNone: () => "",
    onSome: (newer) => `, superseded by ${newer}`
  })
  yield* Console.log(
    `${version}${dryRun ? ", dry run" : ""}: created ${applied.created.length}, changed ${changed.join() || "none"}, ` +
      `pruned ${applied.pruned.join() || "none"}${superseded}`
  )
})

const program = Effect.gen(function*() {
  const old = [sync("orders", "0 0 * * * *"), sync("stock", "0 0 6 * * *")]
  const next = [sync("orders", "0 30 * * * *")]
  yield* deploy("1.9.0", old)
  yield* deploy("1.10.0", next, true)
  yield* deploy("1.10.0", next)

  // A rolling deploy starts one more process of the old version: it changes nothing.
  yield* deploy("1.9.0", old)

  // Another application cannot take the schedule over by accident.
  const refused = yield* Effect.flip(Schedule.apply(next, { owner: "warehouse" }))
  yield* Console.log(refused.message)
})

NodeRuntime.runMain(Effect.provide(program, Memory.layer))

// Prints:
// 1.9.0: created 2, changed none, pruned none
// 1.10.0, dry run: created 0, changed orders (timing), pruned stock
// 1.10.0: created 0, changed orders (timing), pruned stock
// 1.9.0: created 0, changed none, pruned none, superseded by 1.10.0
// Schedule "orders" is declared by shop; choose another name, or remove it there.
