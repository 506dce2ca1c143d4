/**
 * Runs: durable executions of a workflow, known by their ids.
 *
 * A {@link Handle} is a plain value: an id and the schemas to read its outcome with. It can be made at any time, in any
 * process that reaches the store; making one reads nothing.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import {
  type IllegalTransition,
  type InvalidInput,
  RunCancelled,
  RunDead,
  RunNotFound,
  RunTimedOut,
  type StoreError,
  type Undecodable
} from "./Errors.ts"
import * as Attendance from "./internal/attendance.ts"
import * as Codec from "./internal/codec.ts"
import { currentExecution, notInBody } from "./internal/inBody.ts"
import { isFinished, type RunStatus } from "./internal/lifecycle.ts"
import * as names from "./internal/names.ts"
import * as Outcome from "./internal/outcome.ts"
import { Engine } from "./internal/registry.ts"
import { type Page, type Run, type RunFilter, type StepRecord, SystemDb } from "./SystemDb.ts"

/**
 * The ways a run can end without its own success or failure, and the ways reading its end can fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type AwaitError = RunCancelled | RunTimedOut | RunDead | RunNotFound | Undecodable | StoreError

/**
 * A run, typed by its workflow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Handle<A, E> {
  readonly id: string
  /**
   * Waits for the run to end, wherever it executes, and ends as it did: with its success, its typed failure or, as a defect,
   * its defect. A run that was cancelled, timed out or given up fails with an error that says so.
   */
  readonly await: Effect.Effect<A, E | AwaitError, SystemDb>
  /** The run as it is stored now. */
  readonly info: Effect.Effect<Run, RunNotFound | StoreError, SystemDb>
  readonly status: Effect.Effect<RunStatus, RunNotFound | StoreError, SystemDb>
  /**
   * Ends the run now: its fiber, wherever it executes, is interrupted and its finalizers run. Nothing is undone. Steps that
   * are recorded stay recorded. Refused when the run has ended already. A body does it to
   * another run in a step, and fails where it does it outside of one.
   */
  readonly cancel: Effect.Effect<void, RunNotFound | IllegalTransition | StoreError, SystemDb>
  /**
   * Every step recorded so far, with attempts and errors, in the order they were recorded. Of the errors of a step that was retried
   * often the first three and the last five are kept. The reason for which a run is undone is among them, as `Workflow.failure`.
   */
  readonly steps: Effect.Effect<ReadonlyArray<StepRecord>, StoreError, SystemDb>
}

type Ended = Pick<Run, "status" | "outcome" | "attempt">

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

const find = (id: string): Effect.Effect<Run, RunNotFound | StoreError, SystemDb> =>
  SystemDb.use((db) =>
    Effect.flatMap(
      db.findRun(id),
      (run) => run._tag === "Some" ? Effect.succeed(run.value) : Effect.fail(new RunNotFound({ runId: id }))
    )
  )

const end = (id: string, reason: string | null) =>
  Effect.andThen(notInBody("Run.cancel", id), SystemDb.use((db) => db.cancel(id, reason)))

/**
 * The handle of a run by its id, with the schemas its workflow has.
 *
 * @category constructors
 * @since 0.1.0
 */
export const handle = <A, E>(id: string, schemas: {
  readonly success: Schema.Codec<A, any>
  readonly error: Schema.Codec<E, any>
}): Handle<A, E> => ({
  id,
  await: Effect.flatMap(waiting(ended(id)), (run): Effect.Effect<A, E | AwaitError> => {
    if (run.status === "Cancelled") return Effect.fail(new RunCancelled({ runId: id }))
    if (run.status === "Dead") return Effect.fail(new RunDead({ runId: id, attempts: run.attempt }))
    return Outcome.replay(Outcome.parse(run.outcome!), {
      subject: `outcome of run ${id}`,
      success: Codec.fromSchema(schemas.success),
      error: Codec.fromSchema(schemas.error),
      onTimedOut: () => Effect.fail(new RunTimedOut({ runId: id })),
      onUndecodable: Effect.fail
    })
  }),
  info: find(id),
  status: Effect.map(find(id), (run) => run.status),
  cancel: end(id, null),
  steps: SystemDb.use((db) => db.listSteps(id))
})

/**
 * Ends a run of any workflow now. See {@link Handle}. The reason is kept with the run, so it must be text that can be stored. A
 * body does it to another run in a step, and fails where it does it outside of one.
 *
 * @category operations
 * @since 0.1.0
 */
export const cancel = (
  id: string,
  options?: { readonly reason?: string | undefined }
): Effect.Effect<void, InvalidInput | RunNotFound | IllegalTransition | StoreError, SystemDb> =>
  Effect.flatMap(
    options?.reason === undefined ? Effect.succeed(null) : names.checkText("reason", options.reason),
    (reason) => end(id, reason)
  )

/**
 * The stored row of a run of any workflow.
 *
 * @category operations
 * @since 0.1.0
 */
export const get = (id: string): Effect.Effect<Option.Option<Run>, StoreError, SystemDb> =>
  SystemDb.use((db) => db.findRun(id))

/**
 * Lists runs, newest first, a page at a time: pass the last row of a page as `after` to get the next one.
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (
  filter: RunFilter = {},
  page: Partial<Page<Pick<Run, "createdAt" | "id">>> = {}
): Effect.Effect<ReadonlyArray<Run>, StoreError, SystemDb> =>
  SystemDb.use((db) => db.listRuns(filter, { limit: page.limit ?? 100, after: page.after ?? null }))
