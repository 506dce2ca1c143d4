/** The seam that every attempt of a step passes: a test may replace its effect, delay it, or see that it runs. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { StepId } from "../SystemDb.ts"
import { CurrentStep, type Execution } from "./execution.ts"

/** One try of a step's effect. */
export interface Attempt {
  readonly execution: Execution
  readonly id: StepId
  /** From 1. */
  readonly attempt: number
}

/** What becomes of a step's effect when it is tried. */
export const StepInterceptor = Context.Reference<
  (attempt: Attempt, effect: Effect.Effect<any, any, any>) => Effect.Effect<any, any, any>
>("effect-durable/StepInterceptor", { defaultValue: () => (_, effect) => effect })

/** The effect as this attempt of the step. */
export const asAttempt = <A, E, R>(
  attempt: Attempt,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.provideService(
    Effect.withFiber((fiber): Effect.Effect<A, E, R> => fiber.getRef(StepInterceptor)(attempt, effect)),
    CurrentStep,
    { name: attempt.id.name, attempt: attempt.attempt }
  )
