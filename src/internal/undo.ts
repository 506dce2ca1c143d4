/** What undoes a step: said with the step or after it, registered when the step has succeeded, run when the run fails. */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { RunTimedOut, Undecodable } from "../Errors.ts"
import type { StepId } from "../SystemDb.ts"
import type { Codec } from "./codec.ts"
import type { Execution } from "./execution.ts"
import { bounded } from "./ids.ts"
import * as Outcome from "./outcome.ts"

/** Undoes a value; it is told why the run fails. */
export type Undo = (value: any, cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, any>

/** The name of an undo step that was given none. */
export const nameFor = (step: string): string => bounded(`undo ${step}`)

/** Why a run fails, as its undo steps are told: the same when they go on after a crash. */
export const causeOf = <E>(runId: string, outcome: Outcome.Outcome, error: Codec<E>): Cause.Cause<unknown> => {
  switch (outcome._tag) {
    case "Failure":
      return Result.match(error.decode(outcome.error), {
        onSuccess: (error) => Cause.fail<unknown>(error),
        onFailure: (reason) => Cause.die(new Undecodable({ subject: `error of run ${runId}`, reason }))
      })
    case "Defect":
      return Cause.die(Outcome.reviveDefect(outcome.defect))
    default:
      return Cause.fail(new RunTimedOut({ runId }))
  }
}

/** Registers an undo step, with what the body has at hand where the step stands. `perform` runs an effect as that step. */
export const register = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  id: StepId,
  undo: (cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, any>,
  perform: (
    fiber: Fiber.Fiber<unknown, unknown>,
    effect: Effect.Effect<void, unknown, any>
  ) => Effect.Effect<unknown, unknown, any>
): void => {
  const context = fiber.context as Context.Context<any>
  execution.undo.push({
    name: id.name,
    effect: (cause) => {
      const effect = Effect.asVoid(Effect.suspend(() => undo(cause)))
      // The body's scope has closed by the time this runs, so it gets one of its own.
      return Effect.provideContext(Effect.scoped(Effect.withFiber((fiber) => perform(fiber, effect))), context)
    }
  })
}
