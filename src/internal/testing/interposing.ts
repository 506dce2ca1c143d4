/** What a test does in the place of steps' effects, and how it reads back what became of them. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import { StepTimedOut, type Undecodable } from "../../Errors.ts"
import type { StepRecord } from "../../SystemDb.ts"
import * as Codec from "../codec.ts"
import type { Attempt } from "../interposed.ts"
import * as Outcome from "../outcome.ts"
import { isOf } from "./points.ts"

type Replacement = (effect: Effect.Effect<any, any>) => Effect.Effect<unknown, unknown>

/**
 * Which step, of any workflow and key unless they are given; with `nth`, only the n-th of its attempts from now on.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepFilter {
  readonly step: string
  readonly workflow?: string | { readonly name: string } | undefined
  readonly key?: string | undefined
  readonly nth?: number | undefined
}

/** Where the replacements of a test stand. */
export interface Stand {
  readonly intercept: (attempt: Attempt, effect: Effect.Effect<any, any, any>) => Effect.Effect<any, any, any>
  readonly add: (which: StepFilter, replacement: Replacement) => void
  /** Are told of every attempt that begins. */
  readonly watchers: Set<(attempt: Attempt) => void>
}

export const make = (isDead: (worker: string) => boolean): Stand => {
  const replaced: Array<{ readonly which: StepFilter; readonly by: Replacement; left: number | undefined }> = []
  const watchers = new Set<(attempt: Attempt) => void>()
  return {
    watchers,
    add: (which, by) => void replaced.push({ which, by, left: which.nth }),
    intercept: (attempt, effect) => {
      const { execution, id } = attempt
      // What a process that died had at hand does not go on.
      if (isDead(execution.lease.worker)) return Effect.never
      for (const watch of watchers) watch(attempt)
      return replaced
        .filter((replacement) => {
          const { name, key } = id
          if (!isOf(replacement.which, { workflow: execution.run.workflow, step: name, key })) return false
          return replacement.left === undefined || --replacement.left === 0
        })
        .reduce((effect: Effect.Effect<any, any, any>, { by }) => by(effect as Effect.Effect<any, any>), effect)
    }
  }
}

/** How the step of a record with an outcome ended. */
export const exitOf = <A, E>(record: StepRecord, subject: string, options: {
  readonly success: Schema.Codec<A, any> | undefined
  readonly error: Schema.Codec<E, any> | undefined
}): Effect.Effect<Exit.Exit<A, E | StepTimedOut>, Undecodable> => {
  // Beside the step's own failures, which may be anything.
  let undecodable: Undecodable | undefined
  const replayed = Outcome.replay(Outcome.parse(record.outcome!), {
    subject,
    success: Codec.make(options.success) as Codec.Codec<A>,
    error: record.kind === "Undo" ? Codec.described : Codec.make(options.error) as Codec.Codec<E>,
    onTimedOut: () => Effect.fail(new StepTimedOut({ step: record.name })),
    onUndecodable: (error) => {
      undecodable = error
      return Effect.die(error)
    }
  })
  return Effect.flatMap(
    Effect.exit(replayed as Effect.Effect<A, E | StepTimedOut>),
    (exit) => undecodable === undefined ? Effect.succeed(exit) : Effect.fail(undecodable)
  )
}
