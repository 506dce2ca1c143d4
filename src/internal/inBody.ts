/** Whether a fiber is in the body of a run, outside of its steps: what it does there it does again on every replay. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { CurrentRun, CurrentStep, type Execution } from "./execution.ts"

/** The execution whose body the fiber is in; not inside of a step. */
export const currentExecution = (fiber: Fiber.Fiber<unknown, unknown>): Execution | undefined =>
  fiber.getRef(CurrentStep) !== undefined
    ? undefined
    : Context.getOrUndefined(fiber.context as Context.Context<CurrentRun>, CurrentRun)

/**
 * Refuses a command in a body, where each replay would give it again: the run fails, and no handler hides it. In a step it is given
 * once, as any other effect. What it does to its own run, after which there is no replay, is its own.
 */
export const notInBody = (command: string, runId?: string): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const execution = currentExecution(fiber)
    return execution === undefined || execution.run.id === runId ? Effect.void : Effect.die(execution.refuse(
      command,
      `it changes what lies outside of the run, and each replay would do that again; put it into a step: ` +
        `Step.run("a name", …)`
    ))
  })
