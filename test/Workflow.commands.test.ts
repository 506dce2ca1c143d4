import { assert, it } from "@effect/vitest"
import * as Backfill from "effect-durable/Backfill"
import * as Run from "effect-durable/Run"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import type { SystemDb } from "effect-durable/SystemDb"
import * as Workflow from "effect-durable/Workflow"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { single, whileTimePasses } from "./support/engine.ts"

const Beat = Workflow.make("beat", { payload: Schedule.Tick() })
const beat = Schedule.make("beat", { workflow: Beat, cron: "@daily" })
const Operator = Workflow.make("operator")

/** What becomes of a run whose body does this. */
const performing = (effect: Effect.Effect<unknown, unknown, any>) =>
  Effect.gen(function*() {
    const body = Operator.toLayer(() => Effect.asVoid(Effect.ignore(effect)) as Effect.Effect<void>)
    const process = yield* single(body)
    yield* process.run(Effect.orDie(Schedule.create(beat)))
    yield* process.run(Effect.orDie(Operator.start(undefined, { runId: "other", delay: "1 day" })))
    const exit = yield* whileTimePasses(process.run(Operator.execute(undefined, { runId: "operator" })))
    const schedule = yield* process.run(Effect.map(Schedule.get("beat"), Option.getOrThrow))
    return { exit, schedule, other: yield* process.find("other") }
  }).pipe(Effect.scoped)

const commands: Record<string, Effect.Effect<unknown, unknown, SystemDb>> = {
  create: Schedule.create({ ...beat, name: "another" }),
  apply: Schedule.apply([]),
  edit: Schedule.edit("beat", { note: "x" }),
  pause: Schedule.pause("beat"),
  resume: Schedule.resume("beat"),
  pauseAll: Schedule.pauseAll({}),
  trigger: Schedule.trigger("beat"),
  backfill: Schedule.backfill("beat", { from: 0, to: 86_400_000 }),
  "Backfill.start": Backfill.start("beat", { from: 0, to: 86_400_000 }),
  freeze: Schedule.freeze(),
  remove: Schedule.remove("beat"),
  "Run.cancel": Run.cancel("other"),
  "a handle's cancel": Operator.handle("other").cancel
}

for (const [name, command] of Object.entries(commands)) {
  it.effect(`${name} in a body and in no step fails the run and changes nothing, whatever the body makes of it`, () =>
    Effect.gen(function*() {
      const { exit, other, schedule } = yield* performing(command)
      assert.isTrue(Exit.isFailure(exit))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "put it into a step")
      assert.strictEqual(schedule.status, "Active")
      assert.strictEqual(other.status, "Enqueued")
    }))
}

it.effect("in a step they are done, once", () =>
  Effect.gen(function*() {
    const operator = { name: "body", source: null }
    const pausing = Effect.provideService(Effect.orDie(Schedule.pause("beat")), Schedule.CurrentOperator, operator)
    const steps = Effect.andThen(Step.run("pause", pausing), Step.run("cancel", Effect.orDie(Run.cancel("other"))))
    const { exit, other, schedule } = yield* performing(steps)
    assert.isTrue(Exit.isSuccess(exit))
    assert.deepStrictEqual([schedule.status, other.status], ["Paused", "Cancelled"])
  }))

it.effect("what only reads may be asked in a body", () =>
  Effect.gen(function*() {
    const { exit } = yield* performing(Effect.andThen(Schedule.get("beat"), Run.get("other")))
    assert.isTrue(Exit.isSuccess(exit))
  }))
