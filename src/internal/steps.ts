/** Steps as they are said and found again: identified, replayed or performed, and undone. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as EffectSchedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import { StepTimedOut } from "../Errors.ts"
import type { StepId, StepRecord } from "../SystemDb.ts"
import * as Attempts from "./attempts.ts"
import * as Codec from "./codec.ts"
import * as Durations from "./durations.ts"
import { CurrentRun, type Execution } from "./execution.ts"
import { identify } from "./identity.ts"
import * as Outcome from "./outcome.ts"
import { unstacked } from "./tracing.ts"
import * as Undo from "./undo.ts"

/** The options of any step. */
export interface Erased {
  readonly key?: string | undefined
  readonly success?: Schema.Codec<any, any> | undefined
  readonly error?: Schema.Codec<any, any> | undefined
  readonly retry?: EffectSchedule.Schedule<unknown, any> | undefined
  readonly timeout?: Duration.Input | undefined
  readonly undo?: Undo.Undo | undefined
  readonly undoName?: string | undefined
}

/** Something to undo a step with, and its options as a step. */
export interface UndoStep {
  readonly name: string
  readonly undo: Undo.Undo
  readonly options: Erased
}

/** A step as it is said. */
export interface Step {
  readonly kind: StepRecord["kind"]
  readonly name: string
  readonly options: Erased
  readonly live: Live
  readonly undos: ReadonlyArray<UndoStep>
}

/** Registers what undoes a success; with its record, when that was there before. */
type Succeeded = (value: any, record?: StepRecord) => void

/** What the effects are that are steps as they stand, for who adds something to be undone with. */
const steps = new WeakMap<Effect.Effect<any, any, any>, Step>()

export const replayed = (execution: Execution, record: StepRecord, outcome: string, options: Erased) =>
  Outcome.replay(Outcome.parse(outcome), {
    subject: `outcome of step ${record.name} in run ${execution.run.id}`,
    success: Codec.make(options.success),
    error: Codec.make(options.error),
    onTimedOut: () => Effect.fail(new StepTimedOut({ step: record.name })),
    onUndecodable: Effect.die
  })

export type Live = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  step: Attempts.Attempts<any, any>,
  open: StepRecord | undefined
) => Effect.Effect<any, any, any>

/** Milliseconds, or null when there is no time-out. A defect when it is none that can be. */
const timeoutOf = (name: string, { timeout }: Erased): number | null =>
  Result.getOrThrowWith(Durations.timeout(`timeout of step ${name}`, timeout), (refusal) => refusal)

/** Finds the step's record and replays it, or performs it. */
const perform = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  kind: StepRecord["kind"],
  id: StepId,
  options: Erased,
  live: Live,
  succeeded: Succeeded = () => {}
): Effect.Effect<any, any, any> => {
  const record = execution.recorded(id, kind)
  if (record === undefined) return begin(execution, fiber, kind, id, options, live, succeeded, undefined)
  if (record.outcome === null) {
    return execution.inTurn(
      fiber,
      record,
      () => begin(execution, fiber, kind, id, options, live, succeeded, record)
    )
  }
  const replay = replayed(execution, record, record.outcome, options)
  // At once, and not in its turn: the branch may be ended before.
  if (Exit.isExit(replay) && Exit.isSuccess(replay)) succeeded(replay.value, record)
  return execution.inTurn(fiber, record, () => replay)
}

/** Goes on with a step that has no outcome. */
const begin = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  kind: StepRecord["kind"],
  id: StepId,
  options: Erased,
  live: Live,
  succeeded: Succeeded,
  open: StepRecord | undefined
): Effect.Effect<any, any, any> => {
  const timeout = timeoutOf(id.name, options)
  const step: Attempts.Attempts<any, any> = {
    id,
    kind,
    success: Codec.make(options.success),
    error: kind === "Undo" ? Codec.described : Codec.make(options.error),
    timeout: timeout === null ? undefined : Duration.millis(timeout),
    retry: options.retry,
    succeeded
  }
  return Effect.withSpan(live(execution, fiber, step, open), `Step.${id.name}`, {
    ...unstacked,
    attributes: { "run.id": execution.run.id }
  })
}

/** A step whose effect is run until it has an outcome. */
export const attempted = (effect: Effect.Effect<any, any, any>): Live => (execution, fiber, step, open) =>
  Attempts.run(execution, fiber, effect, step, open)

/** Where it stands, not when it runs, an undo step gets its identity: concurrent branches register in an order of chance. */
const identifyUndo = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  { name, options, undo }: UndoStep
): Succeeded => {
  timeoutOf(name, options)
  const id = identify(execution, fiber, name, options.key)
  return (value, record) =>
    Undo.register(
      execution,
      fiber,
      id,
      record,
      (cause) => undo(value, cause),
      (fiber, effect) => perform(execution, fiber, "Undo", id, options, attempted(effect))
    )
}

/** A step of the run whose body the fiber is in. */
export const make = (step: Step): Effect.Effect<any, any, any> => {
  const effect = CurrentRun.use((execution) =>
    Effect.withFiber((fiber) => {
      const registers = step.undos.map((undo) => identifyUndo(execution, fiber, undo))
      const id = identify(execution, fiber, step.name, step.options.key)
      return perform(execution, fiber, step.kind, id, step.options, step.live, (value, record) => {
        for (const register of registers) register(value, record)
      })
    })
  )
  steps.set(effect, step)
  return effect
}

/** What undoes a step by its own options. */
export const undosOf = (name: string, { key, undo, undoName }: Erased): ReadonlyArray<UndoStep> =>
  undo === undefined ? [] : [{ name: undoName ?? Undo.nameFor(name), undo, options: { key } }]

/** Adds something to undo an effect with: to the step, when it is one, or else to whatever it does, once it has succeeded. */
export const withUndo = (self: Effect.Effect<any, any, any>, undo: UndoStep): Effect.Effect<any, any, any> => {
  const step = steps.get(self)
  if (step !== undefined) return make({ ...step, undos: [...step.undos, undo] })
  return CurrentRun.use((execution) =>
    Effect.withFiber((fiber) => {
      const register = identifyUndo(execution, fiber, undo)
      return Effect.uninterruptibleMask((restore) =>
        Effect.map(restore(self), (value) => {
          register(value)
          return value
        })
      )
    })
  )
}
