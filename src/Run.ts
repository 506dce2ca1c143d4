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
import type * as Stream from "effect/Stream"
import type {
  IllegalTransition,
  InvalidInput,
  RunCancelled,
  RunDead,
  RunNotFound,
  RunTimedOut,
  StoreError,
  Undecodable
} from "./Errors.ts"
import * as Endings from "./internal/endings.ts"
import { notInBody } from "./internal/inBody.ts"
import type { RunStatus } from "./internal/lifecycle.ts"
import * as names from "./internal/names.ts"
import * as Pages from "./internal/pages.ts"
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
  await: Effect.flatMap(Endings.of(id), (run) => Endings.replay(id, run, schemas, Effect.fail)),
  info: Endings.find(id),
  status: Effect.map(Endings.find(id), (run) => run.status),
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

const cursorOf = ({ createdAt, id }: Run) => ({ createdAt, id })

/**
 * Lists all runs of the filter; or a page of them, where `limit` says how many: pass its last row as `after` to get the next one.
 * Of many, {@link stream} keeps no more than a page in memory.
 *
 * Order:   newest first, ties by id descending
 * Cost:    1 round trip for each 500
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (
  filter: RunFilter = {},
  page: Partial<Page<Pick<Run, "createdAt" | "id">>> = {}
): Effect.Effect<ReadonlyArray<Run>, StoreError, SystemDb> =>
  SystemDb.use((db) => Pages.list((page) => db.listRuns(filter, page), cursorOf, page))

/**
 * Every run of the filter, read a page at a time as the stream is pulled.
 *
 * Order:   newest first, ties by id descending
 *
 * @category operations
 * @since 0.1.0
 */
export const stream = (filter: RunFilter = {}): Stream.Stream<Run, StoreError, SystemDb> =>
  Pages.stream(
    (page) => SystemDb.use((db) => db.listRuns(filter, page)),
    cursorOf,
    null as ReturnType<typeof cursorOf> | null
  )
