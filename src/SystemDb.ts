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
import type {
  Applied,
  ClaimedRun,
  DueSchedule,
  Fired,
  Firing,
  Hint,
  Lease,
  NewRun,
  NewSchedule,
  NewStepRecord,
  Page,
  Pulse,
  Run,
  RunFilter,
  ScheduleFilter,
  ScheduleRow,
  Started,
  StepRecord,
  Suspect,
  TickRun
} from "./internal/records.ts"

export type {
  Applied,
  ClaimedRun,
  DueSchedule,
  Fired,
  Firing,
  Hint,
  Lease,
  NewRun,
  NewSchedule,
  NewStepRecord,
  Page,
  Pulse,
  Run,
  RunFilter,
  ScheduleFilter,
  ScheduleRow,
  Started,
  StepId,
  StepRecord,
  Suspect,
  TickRun
} from "./internal/records.ts"

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

  /** True when no other process can reach this store, so that whoever uses it need not poll for what others did. */
  readonly exclusive: boolean

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
   * run's row until then. False when the step has an outcome already: an earlier commit went through although its answer was
   * lost, and the caller must roll back. Dies when the fiber is in no such transaction; does not wait through an absent store.
   */
  readonly recordStepInTransaction: (
    lease: Lease,
    step: NewStepRecord
  ) => Effect.Effect<boolean, LeaseLost | ValueTooLarge | StoreError>

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

  /** Hands these runs back: enqueued again, to be claimed at once, attempt unchanged. Leases that are lost are passed over. */
  readonly release: (leases: ReadonlyArray<Lease>) => Effect.Effect<void, StoreError>

  /**
   * Compares what a worker believes to hold with what it owns. Runs it owns and does not hold are handed back (the answer to
   * a claim or a start was lost); the ids it holds without owning them are returned. Not while a claim is under way.
   */
  readonly reconcile: (request: {
    readonly worker: string
    readonly held: ReadonlyArray<{ readonly runId: string; readonly epoch: number }>
  }) => Effect.Effect<ReadonlyArray<string>, StoreError>

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
