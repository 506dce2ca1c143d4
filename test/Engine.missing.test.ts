import { assert, it } from "@effect/vitest"
import * as Run from "effect-durable/Run"
import * as Schedule from "effect-durable/Schedule"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"

const Nothing = Workflow.make("nothing")

/** What somebody reads who has left a layer out and the compiler unheard. */
const read = (effect: Effect.Effect<unknown, unknown, any>) =>
  Effect.map(
    Effect.exit(effect as Effect.Effect<unknown, unknown>),
    (exit) => Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
  )

it.effect("without a store, whoever starts, awaits or lists reads which layers there are to add", () =>
  Effect.gen(function*() {
    for (const effect of [Nothing.start(), Nothing.handle("r").await, Run.list(), Schedule.pause("s")]) {
      for (const layer of ["Postgres.layer", "Embedded.layer", "Memory.layer"]) {
        assert.include(yield* read(effect), layer)
      }
    }
  }))

it.effect("without an engine, the layer of a body or of schedules reads that it is the engine's layer to add", () =>
  Effect.gen(function*() {
    for (const layer of [Nothing.toLayer(() => Effect.void), Schedule.layer([])]) {
      assert.include(yield* read(Effect.scoped(Layer.build(layer as Layer.Layer<never>))), "Engine.layer")
    }
  }))

it.effect("outside of a body, a step reads that only a workflow's body has it", () =>
  Effect.gen(function*() {
    assert.include(yield* read(Step.run("s", Effect.void)), "only a workflow's body")
  }))
