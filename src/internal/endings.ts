/** How runs end for whoever waits for them: on this process's own worker where the run executes here, and otherwise on the store. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { RunCancelled, RunDead, RunNotFound, RunTimedOut, type StoreError, type Undecodable } from "../Errors.ts"
import { type Run, SystemDb } from "../SystemDb.ts"
import * as Attendance from "./attendance.ts"
import * as Codec from "./codec.ts"
import { currentExecution } from "./inBody.ts"
import { isFinished } from "./lifecycle.ts"
import * as Outcome from "./outcome.ts"
import { Engine } from "./registry.ts"

export const find = (id: string): Effect.Effect<Run, RunNotFound | StoreError, SystemDb> =>
  SystemDb.use((db) =>
    Effect.flatMap(
      db.findRun(id),
      (run) => run._tag === "Some" ? Effect.succeed(run.value) : Effect.fail(new RunNotFound({ runId: id }))
    )
  )

export type Ended = Pick<Run, "status" | "outcome" | "attempt">

/** Waits on this process's own worker where the run executes here, and otherwise on the store. */
const ended = Effect.fnUntraced(function*(id: string): Effect.fn.Return<Ended, RunNotFound | StoreError, SystemDb> {
  const db = yield* SystemDb
  if (yield* Effect.withFiber((fiber) => Effect.succeed(db.joined(fiber)))) return yield* endedAlready(id)
  const registry = yield* Effect.serviceOption(Engine)
  const local = registry._tag === "Some" ? registry.value.local(id) : undefined
  const end = local === undefined ? undefined : yield* local.await
  if (end !== undefined) return end
  // An engine looks by itself for what nobody can execute.
  return yield* registry._tag === "Some"
    ? db.awaitRun(id)
    : Effect.raceFirst(db.awaitRun(id), Attendance.of(db).watch)
})

/**
 * In a transaction nothing is waited for: what was started in it begins only after its commit, and whatever else it waited for
 * could need what it holds.
 */
const endedAlready = Effect.fnUntraced(function*(
  id: string
): Effect.fn.Return<Ended, RunNotFound | StoreError, SystemDb> {
  const run = yield* find(id)
  if (isFinished(run.status)) return run
  return yield* Effect.die(
    new Error(
      `Run ${id} has not ended and cannot be awaited inside of a transaction: a run that is started in a transaction begins ` +
        "only after the commit. Await it after the transaction."
    )
  )
})

/** In a body, waiting for another run gives the slot to runs that have something to do, and outlasts an absent store. */
const waiting = <A, E, R>(wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const execution = currentExecution(fiber)
    return execution === undefined ? wait : execution.slot.during(execution.ask(wait), true)
  })

/** Waits for the end of a run. */
export const of = (id: string): Effect.Effect<Ended, RunNotFound | StoreError, SystemDb> => waiting(ended(id))

/** Ends as the run did. */
export const replay = <A, E, E2>(
  id: string,
  run: Ended,
  schemas: { readonly success: Schema.Codec<A, any>; readonly error: Schema.Codec<E, any> },
  onUndecodable: (error: Undecodable) => Effect.Effect<never, E2>
): Effect.Effect<A, E | E2 | RunCancelled | RunDead | RunTimedOut> => {
  if (run.status === "Cancelled") return Effect.fail(new RunCancelled({ runId: id }))
  if (run.status === "Dead") return Effect.fail(new RunDead({ runId: id, attempts: run.attempt }))
  return Outcome.replay(Outcome.parse(run.outcome!), {
    subject: `outcome of run ${id}`,
    success: Codec.fromSchema(schemas.success),
    error: Codec.fromSchema(schemas.error),
    onTimedOut: () => Effect.fail(new RunTimedOut({ runId: id })),
    onUndecodable
  })
}
