/**
 * The one port to the store: where runs, steps, schedules and workers are kept, and the only coordinator there is.
 *
 * Every method is one atomic fact. Values cross as JSON text and instants as epoch milliseconds, so an implementation
 * knows nothing about schemas. Three layers implement it: `Postgres.layer`, `Embedded.layer` (PGlite in the process) and
 * `Memory.layer` (for tests, under a virtual clock). You provide one of them; you rarely call this service yourself.
 *
 * Not in here: transactions. An SQL transaction travels in the fiber, so `start` called inside `sql.withTransaction` of
 * the same client joins it and commits or rolls back with the caller's own writes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type {
  IllegalTransition,
  LeaseLost,
  RunConflict,
  RunNotFound,
  ScheduleExists,
  ScheduleNotFound,
  StoreError,
  ValueTooLarge
} from "./Errors.ts"
import type { RunStatus, ScheduleStatus } from "./internal/lifecycle.ts"

/**
 * A run as it is stored. Instants are epoch milliseconds of the database's clock.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly id: string
  readonly workflow: string
  readonly status: RunStatus
  /** JSON text. */
  readonly payload: string
  /** JSON text of the outcome, once the run Succeeded or Failed. */
  readonly outcome: string | null
  /** The worker that owns the run, or that ended it. */
  readonly owner: string | null
  /** How many owners the run has had. */
  readonly epoch: number
  /** 1, and one more for each worker that died while it owned the run. */
  readonly attempt: number
  /** From when a worker may claim the run; only while Enqueued or Suspended. */
  readonly wakeAt: number | null
  /** When the run times out; set when it is first claimed. */
  readonly deadline: number | null
  readonly timeoutMillis: number | null
  readonly schedule: string | null
  readonly tick: number | null
  readonly parent: string | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
}

/**
 * What `start` needs to know. With an `owner` the run begins Running, owned by that worker under epoch 1, without being
 * enqueued first; the caller must then execute it. `owner` is ignored inside a caller's transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewRun {
  readonly id: string
  readonly workflow: string
  readonly payload: string
  readonly owner: string | null
  readonly delayMillis: number | null
  readonly timeoutMillis: number | null
  readonly parent: string | null
}

/**
 * What became of a `start`. When `created` is false the run existed already and the other fields describe it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Started {
  readonly created: boolean
  readonly status: RunStatus
  readonly owner: string | null
  readonly epoch: number
  readonly deadline: number | null
}

/**
 * The right to write for a run: it holds as long as the run is Running, with this owner and this epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly runId: string
  readonly worker: string
  readonly epoch: number
}

/**
 * The identity of a step in its run: its name, the caller's key (`""` when none) and the occurrence of both, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepId {
  readonly name: string
  readonly key: string
  readonly occurrence: number
}

/**
 * A step as it is stored. With `outcome` null it is still open: a sleep (see `wakeAt`), or a step between attempts.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepRecord extends StepId {
  readonly kind: "Step" | "Transaction" | "Sleep" | "Value" | "Undo"
  /** How many attempts were made. */
  readonly attempts: number
  /** JSON text: an array with the outcome of every attempt that failed, or null when none did. */
  readonly errors: string | null
  readonly outcome: string | null
  readonly wakeAt: number | null
  readonly startedAt: number
  readonly recordedAt: number
}

/**
 * A step as it is written; the store adds `recordedAt`.
 *
 * @category models
 * @since 0.1.0
 */
export type NewStepRecord = Omit<StepRecord, "recordedAt">

/**
 * A claimed run and every step recorded for it, in the order they were recorded.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClaimedRun {
  readonly run: Run
  readonly steps: ReadonlyArray<StepRecord>
}

/**
 * A schedule as its definition is stored. `nextAt` is where the cursor goes when the schedule is new or its cron or time
 * zone changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewSchedule {
  readonly name: string
  readonly workflow: string
  readonly cron: string
  readonly timeZone: string
  /** JSON text. */
  readonly context: string
  /** JSON text: the policies. */
  readonly policies: string
  /** The application that declared it in code, or null when it was created at run time. */
  readonly application: string | null
  readonly nextAt: number | null
}

/**
 * A schedule as it is stored, with what became of its last tick.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleRow extends NewSchedule {
  readonly status: ScheduleStatus
  /** Raised by every change of the definition or the status. */
  readonly revision: number
  readonly lastTick: number | null
  readonly lastRunId: string | null
  readonly lastRunStatus: RunStatus | null
  readonly createdAt: number
  readonly updatedAt: number
}

/**
 * What the scheduler holds of a schedule that is due soon.
 *
 * @category models
 * @since 0.1.0
 */
export type DueSchedule = Pick<
  ScheduleRow,
  "name" | "workflow" | "cron" | "timeZone" | "policies" | "revision"
> & { readonly nextAt: number }

/**
 * A tick to turn into a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface TickRun {
  readonly runId: string
  readonly tick: number
  /** The tick as the payload writes it. */
  readonly scheduledAt: string
}

/**
 * Moves one schedule's cursor from `cursor` to `nextAt` and starts a run for each of `ticks`, if the cursor still stands
 * there, the revision is still the same and the database's clock has reached the cursor.
 *
 * @category models
 * @since 0.1.0
 */
export interface Firing {
  readonly name: string
  readonly revision: number
  readonly cursor: number
  readonly nextAt: number | null
  readonly ticks: ReadonlyArray<TickRun>
  /** The worker that will execute the runs at once, or null to enqueue them. */
  readonly owner: string | null
}

/**
 * What became of one {@link Firing}. `Fired`: the cursor moved, `runs` were created (a run id that existed is not listed).
 * `Early`: the database's clock has not reached the cursor. `Stale`: somebody else fired, edited, paused or deleted it;
 * `current` says how it stands now, if it is still there and Active.
 *
 * @category models
 * @since 0.1.0
 */
export type Fired =
  | { readonly _tag: "Fired"; readonly name: string; readonly runs: ReadonlyArray<Run> }
  | { readonly _tag: "Early"; readonly name: string }
  | { readonly _tag: "Stale"; readonly name: string; readonly current: DueSchedule | null }

/**
 * Which schedules to list. Values of one field are alternatives; fields are combined with AND. `namePrefix` is literal:
 * `%` and `_` have no special meaning.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleFilter {
  readonly status?: ScheduleStatus | undefined
  readonly workflow?: ReadonlyArray<string> | undefined
  readonly namePrefix?: ReadonlyArray<string> | undefined
}

/**
 * Which runs to list. Values of one field are alternatives; fields are combined with AND.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunFilter {
  readonly status?: ReadonlyArray<RunStatus> | undefined
  readonly workflow?: ReadonlyArray<string> | undefined
  readonly schedule?: ReadonlyArray<string> | undefined
}

/**
 * A page of a list: at most `limit` rows strictly after the row `after` stands for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page<After> {
  readonly limit: number
  readonly after: After | null
}

/**
 * What `applySchedules` did, by name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Applied {
  readonly created: ReadonlyArray<string>
  readonly changed: ReadonlyArray<string>
  readonly unchanged: ReadonlyArray<string>
  readonly pruned: ReadonlyArray<string>
}

/**
 * A worker suspected to be dead: its session lock was missing, and its lease was last renewed at `renewedAt`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Suspect {
  readonly worker: string
  readonly renewedAt: number
}

/**
 * What one pulse found. When `alive` is false the worker was declared dead meanwhile and owns nothing any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pulse {
  readonly alive: boolean
  readonly suspects: ReadonlyArray<Suspect>
  /** Runs taken from dead workers and enqueued again. */
  readonly recovered: number
  /** Runs given up because their attempts are used up. */
  readonly dead: ReadonlyArray<string>
}

/**
 * Says that something changed. Losing one costs latency (until the next poll), never correctness.
 *
 * @category models
 * @since 0.1.0
 */
export type Hint =
  /** Runs were enqueued, handed back, or will wake at an instant not known before. */
  | { readonly _tag: "RunsReady" }
  /** These runs ended; an empty list means "some did". */
  | { readonly _tag: "RunsFinished"; readonly runIds: ReadonlyArray<string> }
  | { readonly _tag: "RunCancelled"; readonly runId: string }
  | { readonly _tag: "SchedulesChanged" }

/**
 * The store. Unless said otherwise a method costs one round trip, is atomic, and fails with `StoreError` alone.
 *
 * @category services
 * @since 0.1.0
 */
export class SystemDb extends Context.Service<SystemDb, {
  /** The store's clock, which decides what is due. */
  readonly now: Effect.Effect<number, StoreError>

  /** What changed, here and in other processes, from now on. Never fails; reconnects by itself. */
  readonly hints: Stream.Stream<Hint>

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Starts a run, or finds the run that has this id. A second round trip only when it existed. */
  readonly start: (run: NewRun) => Effect.Effect<Started, RunConflict | ValueTooLarge | StoreError>

  /**
   * Takes up to `limit` runs of these workflows whose wake time has come. No two workers get the same run; epoch and,
   * at the first claim, deadline are set. `nextWake` is the earliest wake time still ahead. A second round trip when one
   * of the runs has recorded steps. Order: earliest wake first, ties by id.
   */
  readonly claim: (request: {
    readonly worker: string
    readonly limit: number
    readonly workflows: ReadonlyArray<string>
  }) => Effect.Effect<{ readonly runs: ReadonlyArray<ClaimedRun>; readonly nextWake: number | null }, StoreError>

  readonly findRun: (runId: string) => Effect.Effect<Option.Option<Run>, StoreError>

  /** Waits until the run has ended and returns it. Waits through an absent store. */
  readonly awaitRun: (runId: string) => Effect.Effect<Run, RunNotFound | StoreError>

  /** Order: newest first (`createdAt`, then id, both descending). `after` is the last row of the page before. */
  readonly listRuns: (
    filter: RunFilter,
    page: Page<Pick<Run, "createdAt" | "id">>
  ) => Effect.Effect<ReadonlyArray<Run>, StoreError>

  /** Every step recorded for a run, in the order they were recorded; empty when there is no such run. */
  readonly listSteps: (runId: string) => Effect.Effect<ReadonlyArray<StepRecord>, StoreError>

  /** Ends a run that has not finished, at once; its worker learns it by hint or by its next write. */
  readonly cancel: (runId: string) => Effect.Effect<void, RunNotFound | IllegalTransition | StoreError>

  // ── what the owner of a run writes, fenced by its lease; all wait through an absent store ──────────────────────────

  /** Writes a step's record, durable when this returns. A record with an outcome is never replaced. */
  readonly recordStep: (
    lease: Lease,
    step: NewStepRecord
  ) => Effect.Effect<void, LeaseLost | ValueTooLarge | StoreError>

  /**
   * The same inside the caller's open transaction on the store's own SQL client, so that both commit together; holds the
   * run's row until then. Dies when the fiber is in no such transaction. Does not wait through an absent store.
   */
  readonly recordStepInTransaction: (
    lease: Lease,
    step: NewStepRecord
  ) => Effect.Effect<void, LeaseLost | ValueTooLarge | StoreError>

  /** Ends the run: Succeeded or Failed. */
  readonly finish: (
    lease: Lease,
    end: { readonly status: "Succeeded" | "Failed"; readonly outcome: string }
  ) => Effect.Effect<void, LeaseLost | ValueTooLarge | StoreError>

  /** Gives the run up until `wakeAt`, when any worker may claim it. */
  readonly suspend: (lease: Lease, wakeAt: number) => Effect.Effect<void, LeaseLost | StoreError>

  // ── workers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Registers a worker under a fresh id and holds its session lock until the scope closes. Closing the scope hands back
   * what the worker still owns.
   */
  readonly registerWorker: (request: {
    readonly application: string
    readonly leaseMillis: number
  }) => Effect.Effect<string, StoreError, Scope.Scope>

  /**
   * Renews the worker's lease and takes the runs of dead workers: those whose lease has expired, and those among
   * `suspects` whose session lock is still missing and who have not renewed their lease since.
   */
  readonly pulse: (request: {
    readonly worker: string
    readonly leaseMillis: number
    readonly maxAttempts: number
    readonly suspects: ReadonlyArray<Suspect>
  }) => Effect.Effect<Pulse, StoreError>

  /** Hands back the runs of this lease's worker: enqueued again, to be claimed at once, attempt unchanged. */
  readonly release: (leases: ReadonlyArray<Lease>) => Effect.Effect<void, StoreError>

  // ── schedules ──────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly createSchedule: (schedule: NewSchedule) => Effect.Effect<void, ScheduleExists | ValueTooLarge | StoreError>

  /**
   * Creates or replaces all of these, or none. Status, cursor and history of a replaced schedule stay, but a changed cron
   * or time zone moves the cursor to its `nextAt`. With `pruneApplication`, deletes the schedules that application
   * declared earlier and does not list now. Names must be distinct.
   */
  readonly applySchedules: (
    schedules: ReadonlyArray<NewSchedule>,
    options: { readonly pruneApplication: string | null }
  ) => Effect.Effect<Applied, ValueTooLarge | StoreError>

  readonly findSchedule: (name: string) => Effect.Effect<Option.Option<ScheduleRow>, StoreError>

  /** Order: by name, by code point. `after` is the last name of the page before. */
  readonly listSchedules: (
    filter: ScheduleFilter,
    page: Page<string>
  ) => Effect.Effect<ReadonlyArray<ScheduleRow>, StoreError>

  /** A schedule that is Paused already stays as it is. */
  readonly pauseSchedule: (name: string) => Effect.Effect<void, ScheduleNotFound | StoreError>

  /**
   * Makes a Paused schedule Active with its cursor at `nextAt`, if its revision is still the one given; false when it is
   * not, and the caller must look again.
   */
  readonly resumeSchedule: (request: {
    readonly name: string
    readonly revision: number
    readonly nextAt: number | null
  }) => Effect.Effect<boolean, StoreError>

  /** Deletes the schedule; its runs stay. */
  readonly deleteSchedule: (name: string) => Effect.Effect<void, ScheduleNotFound | StoreError>

  /** The Active schedules whose cursor stands before now + `horizonMillis`, and the store's clock. */
  readonly dueSchedules: (
    horizonMillis: number
  ) => Effect.Effect<{ readonly now: number; readonly schedules: ReadonlyArray<DueSchedule> }, StoreError>

  /** Fires all of these in one statement; each stands or falls by itself. Names must be distinct. */
  readonly fire: (
    firings: ReadonlyArray<Firing>
  ) => Effect.Effect<{ readonly now: number; readonly fired: ReadonlyArray<Fired> }, StoreError>

  /** Enqueues a run for each of these ticks with the schedule's present context; the ids of those created. */
  readonly enqueueTicks: (
    name: string,
    ticks: ReadonlyArray<TickRun>
  ) => Effect.Effect<ReadonlyArray<string>, ScheduleNotFound | StoreError>

  /** Starts one run of the schedule's workflow now, with its context or the one given. Not for ids used before. */
  readonly triggerSchedule: (request: {
    readonly name: string
    readonly run: TickRun
    readonly context: string | null
    readonly owner: string | null
  }) => Effect.Effect<Run, ScheduleNotFound | ValueTooLarge | StoreError>
}>()("effect-durable/SystemDb") {}

/**
 * Where SQL stores take the time from. `"database"`, the default, is the only right choice in production: processes'
 * clocks disagree. `"fiber"` uses the fiber's `Clock`, so that one test can drive every store with `TestClock`.
 *
 * @category references
 * @since 0.1.0
 */
export const TimeSource = Context.Reference<"database" | "fiber">("effect-durable/SystemDb/TimeSource", {
  defaultValue: () => "database"
})

/**
 * The seam every store call passes: a test may delay, fail or stop a call by its method name.
 *
 * @category references
 * @since 0.1.0
 */
export const Interceptor = Context.Reference<
  <A, E, R>(method: keyof SystemDb["Service"], call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
>("effect-durable/SystemDb/Interceptor", { defaultValue: () => (_, call) => call })
