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
import type * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type {
  IllegalTransition,
  LeaseLost,
  RunConflict,
  RunNotFound,
  ScheduleNotFound,
  StoreError,
  ValueTooLarge
} from "./Errors.ts"
import type {
  ClaimedRun,
  Hint,
  Lease,
  NewRun,
  NewStepRecord,
  Page,
  Prune,
  Pulse,
  Released,
  Run,
  RunFilter,
  Started,
  StepRecord,
  Suspect,
  Unattended
} from "./internal/records.ts"
import type {
  Audit,
  Backfill,
  BackfillAdvance,
  Control,
  DueSchedule,
  Entry,
  Fired,
  Firing,
  HistoryFilter,
  HistoryRow,
  NewAudit,
  NewBackfill,
  ScheduleChange,
  ScheduleFilter,
  ScheduleRow,
  TickOptions,
  TickRun
} from "./internal/scheduleRecords.ts"

export type {
  ClaimedRun,
  Hint,
  Lease,
  NewRun,
  NewStepRecord,
  Page,
  Prune,
  Pulse,
  Released,
  Run,
  RunFilter,
  Started,
  StepId,
  StepRecord,
  Suspect,
  Unattended
} from "./internal/records.ts"
export type {
  Audit,
  Backfill,
  BackfillAdvance,
  Control,
  DueSchedule,
  EndedRun,
  Entry,
  Fired,
  Firing,
  HistoryFilter,
  HistoryRow,
  HookRun,
  LiveRun,
  NewAudit,
  NewBackfill,
  NewEntry,
  NewTrigger,
  ScheduleChange,
  ScheduleContent,
  ScheduleDefinition,
  ScheduleFilter,
  ScheduleRow,
  TickOptions,
  TickRun
} from "./internal/scheduleRecords.ts"

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

  /** Whether this fiber is in a transaction of the store's own SQL client, which what it calls here joins. */
  readonly joined: (fiber: Fiber.Fiber<unknown, unknown>) => boolean

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Starts a run, or finds the run that has this id, which retention then keeps as long as its new `parent` lives. A second round
   * trip only when it existed, and a third when it has to be kept.
   */
  readonly start: (run: NewRun) => Effect.Effect<Started, RunConflict | ValueTooLarge | StoreError>

  /**
   * Takes up to `limit` runs of these workflows whose wake time has come. No two workers get the same run; epoch and,
   * at the first claim, deadline are set. `nextWake` is the earliest wake time still ahead. A second round trip when one
   * of the runs has recorded steps. Order: earliest wake first, ties by id.
   *
   * Runs with `maxAttempts` deaths in a row or more are suspects and passed over; `suspects` says that one of them is due. With
   * `suspect` it is the other way round: it takes the suspect that is due first, and nothing else.
   */
  readonly claim: (request: {
    readonly worker: string
    readonly limit: number
    readonly workflows: ReadonlyArray<string>
    /** Default: nothing is a suspect. */
    readonly maxAttempts?: number | undefined
    readonly suspect?: boolean | undefined
  }) => Effect.Effect<
    { readonly runs: ReadonlyArray<ClaimedRun>; readonly nextWake: number | null; readonly suspects: boolean },
    StoreError
  >

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

  /** Ends a run that has not finished, at once, for this reason; its worker learns it by hint or by its next write. */
  readonly cancel: (
    runId: string,
    reason: string | null
  ) => Effect.Effect<void, RunNotFound | IllegalTransition | StoreError>

  // ── what the owner of a run writes, fenced by its lease; all wait through an absent store, and but for
  // ── `recordStepInTransaction` die in a transaction, whose rollback would not take back what they wrote ──────────────

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

  /** Gives the run up until `wakeAt`, when any worker may claim it. `trace` is the span it goes on under, unless it has one. */
  readonly suspend: (lease: Lease, wakeAt: number, trace?: string | null) => Effect.Effect<void, LeaseLost | StoreError>

  // ── workers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Registers a worker under a fresh id and holds its session lock until the scope closes. Closing the scope hands back
   * what the worker still owns. `workflows` is what it has bodies for; a worker that does not say may have any.
   */
  readonly registerWorker: (request: {
    readonly application: string
    readonly leaseMillis: number
    readonly workflows?: ReadonlyArray<string> | undefined
  }) => Effect.Effect<string, StoreError, Scope.Scope>

  /**
   * Renews the worker's lease and takes the runs of dead workers: those whose lease has expired, and those among
   * `suspects` whose session lock is still missing and who have not renewed their lease since. A run of a dead worker is
   * enqueued with one death more, or with none when that worker had recorded something of it; one that was isolated, and had
   * recorded nothing, is Dead.
   *
   * A worker whose own lease had expired takes nobody for dead, nor does one that says it cannot tell (`judges`, true by default):
   * when nobody could reach the store, those who live have to come back first. For the same reason a worker that was not heard of
   * since the server started is not taken for dead until that is half a lease ago.
   */
  readonly pulse: (request: {
    readonly worker: string
    readonly leaseMillis: number
    readonly suspects: ReadonlyArray<Suspect>
    readonly judges?: boolean | undefined
  }) => Effect.Effect<Pulse, StoreError>

  /**
   * Says whether the run's worker executes nothing else: set before the run begins, and taken back before anything else does.
   */
  readonly isolate: (lease: Lease, isolated: boolean) => Effect.Effect<void, LeaseLost | StoreError>

  /**
   * Hands these runs back: enqueued again, to be claimed at once or after the delay of their `handBack`, attempt unchanged.
   * Leases that are lost are passed over. A second round trip when somebody else holds a run's row, which is waited for.
   */
  readonly release: (leases: ReadonlyArray<Released>) => Effect.Effect<void, StoreError>

  /**
   * Compares what a worker believes to hold with what it owns. Runs it owns and does not hold are handed back (the answer to
   * a claim or a start was lost), but for those whose row somebody else holds just now; the ids it holds without owning them are
   * returned. Not while a claim is under way.
   */
  readonly reconcile: (request: {
    readonly worker: string
    readonly held: ReadonlyArray<{ readonly runId: string; readonly epoch: number }>
  }) => Effect.Effect<ReadonlyArray<string>, StoreError>

  // ── bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Says that an application has a body for the workflow, and learns to which application the workflow belongs: to this one, if
   * it belonged to none before or to one that is `formerly`.
   */
  readonly ownWorkflow: (request: {
    readonly workflow: string
    readonly application: string
    readonly formerly: ReadonlyArray<string>
  }) => Effect.Effect<string, StoreError>

  /** Says what a worker has bodies for, from now on. Nothing when it is not registered. */
  readonly setBodies: (worker: string, workflows: ReadonlyArray<string>) => Effect.Effect<void, StoreError>

  /** What live workers have bodies for; null when one of them does not say. Order: by name, by code point. */
  readonly listBodies: Effect.Effect<ReadonlyArray<string> | null, StoreError>

  /**
   * The workflows whose runs have been due for at least so long, although no worker that lived in that time has a body for them.
   * None as long as there is one that does not say. A few looks at an index for each workflow there is. Order: by name, by code
   * point.
   */
  readonly listUnattended: (graceMillis: number) => Effect.Effect<ReadonlyArray<Unattended>, StoreError>

  // ── schedules ──────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly findSchedule: (name: string) => Effect.Effect<Option.Option<ScheduleRow>, StoreError>

  /** Those of these names that exist. Order: by name, by code point. */
  readonly findSchedules: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<ScheduleRow>, StoreError>

  /** Order: by name, by code point. `after` is the last name of the page before. */
  readonly listSchedules: (
    filter: ScheduleFilter,
    page: Page<string>
  ) => Effect.Effect<ReadonlyArray<ScheduleRow>, StoreError>

  readonly findControl: (key: string) => Effect.Effect<Option.Option<Control>, StoreError>

  /**
   * Makes a change as a whole and audits it; false, and nothing is written, when something does not stand at the turn given
   * or the id of a backfill is taken, and the caller must look again. A change that was made before, by its id, is true and not made again. Two round trips.
   */
  readonly changeSchedules: (change: ScheduleChange) => Effect.Effect<boolean, ValueTooLarge | StoreError>

  /** Of one schedule, or of what concerns all (null). Order: newest first (by position). `after` is the last position. */
  readonly listAudits: (
    schedule: string | null,
    page: Page<number>
  ) => Effect.Effect<ReadonlyArray<Audit>, StoreError>

  /**
   * The schedules that need a look before now + `horizonMillis`: their wake time comes, their starts wait, or runs of theirs
   * ended that are not settled. Order: by wake time (none last), then name. Also the store's clock and the control `freeze`.
   */
  readonly dueSchedules: (horizonMillis: number) => Effect.Effect<{
    readonly now: number
    readonly freeze: Control | null
    readonly schedules: ReadonlyArray<DueSchedule>
  }, StoreError>

  /**
   * Records all of these in one statement; each stands or falls by itself. Names must be distinct, and so must overlap scopes
   * that are relied on. `freezeTurn` is the turn of the control `freeze` that the caller knows: when it has another one
   * every firing is Stale. The answer's `freeze` is how it stands.
   */
  readonly fire: (
    firings: ReadonlyArray<Firing>,
    freezeTurn: number | null
  ) => Effect.Effect<{
    readonly now: number
    readonly freeze: Control | null
    readonly fired: ReadonlyArray<Fired>
  }, StoreError>

  /** Enqueues a run for each of these ticks with the schedule's present context; the ids of those created. */
  readonly enqueueTicks: (
    name: string,
    ticks: ReadonlyArray<TickRun>,
    options: TickOptions
  ) => Effect.Effect<ReadonlyArray<string>, ScheduleNotFound | StoreError>

  /**
   * Starts one run of the schedule's workflow now, with its context or the one given, and audits it. Finds the run when the
   * schedule has one of this id. Dies when another schedule or nobody's run has it.
   */
  readonly triggerSchedule: (request: {
    readonly name: string
    readonly run: TickRun
    readonly options: TickOptions
    readonly context: string | null
    readonly owner: string | null
    readonly audit: NewAudit
  }) => Effect.Effect<{ readonly run: Run; readonly created: boolean }, ScheduleNotFound | ValueTooLarge | StoreError>

  // ── the ledger ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs and entries of a schedule together. Order: by `at`, then `key`. `after` is the last row of the page before. */
  readonly listHistory: (
    filter: HistoryFilter,
    page: Page<Pick<HistoryRow, "at" | "key">>
  ) => Effect.Effect<ReadonlyArray<HistoryRow>, StoreError>

  /**
   * What is recorded about one instant: the schedule's runs for it, oldest first (ties by id), and the entries that cover it,
   * newest first, looked for among the 100 that begin last before it.
   */
  readonly findDecisions: (
    schedule: string,
    instant: number
  ) => Effect.Effect<{ readonly runs: ReadonlyArray<Run>; readonly entries: ReadonlyArray<Entry> }, StoreError>

  /**
   * What the runs before this one came to: of those that the same schedule started of the same workflow for earlier instants, the
   * last by tick (ties by id) that Succeeded, and the last that Failed or is Dead. Neither for a run that no schedule started, or
   * whose schedule was deleted; what an earlier schedule of the name started does not count.
   */
  readonly findPrevious: (
    runId: string
  ) => Effect.Effect<{ readonly success: Run | null; readonly failure: Run | null }, StoreError>

  /**
   * Deletes what is too old, in one small batch; how many rows of each kind. Call again until it deletes none. No run that a live
   * one may start again goes: its child, or one that it was given. Rows are counted for some hundred schedules at a time: when
   * these have nothing left, a later call goes on with others. Four more round trips when there are runs to delete.
   */
  readonly prune: (
    request: Prune
  ) => Effect.Effect<{ readonly runs: number; readonly entries: number }, StoreError>

  // ── backfills ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Stores a new backfill, Active. The one that is there, when its id was used before. */
  readonly createBackfill: (
    backfill: NewBackfill,
    audit: NewAudit
  ) => Effect.Effect<{ readonly created: boolean; readonly backfill: Backfill }, ScheduleNotFound | StoreError>

  readonly findBackfill: (id: string) => Effect.Effect<Option.Option<Backfill>, StoreError>

  /** Order: newest first (`createdAt`, then id, both descending). Of one schedule, or of all (null). */
  readonly listBackfills: (
    schedule: string | null,
    page: Page<Pick<Backfill, "createdAt" | "id">>
  ) => Effect.Effect<ReadonlyArray<Backfill>, StoreError>

  /**
   * Gives it another status if it still stands at this turn; false when it does not. Cancelled also cancels its runs that
   * are Enqueued.
   */
  readonly changeBackfill: (request: {
    readonly id: string
    readonly turn: number
    readonly status: Exclude<Backfill["status"], "Done">
    readonly audit: NewAudit
  }) => Effect.Effect<boolean, StoreError>

  /**
   * Active backfills that can go on: with ticks to look at and fewer live runs than they may have, or with nothing left but to
   * be Done. Order: oldest first (`createdAt`, then id).
   * With the schedule of each, null when it was deleted.
   */
  readonly dueBackfills: (limit: number) => Effect.Effect<
    ReadonlyArray<{ readonly backfill: Backfill; readonly schedule: ScheduleRow | null }>,
    StoreError
  >

  /** False when it does not stand at this turn or is not Active. */
  readonly advanceBackfill: (advance: BackfillAdvance) => Effect.Effect<boolean, StoreError>
}>()("effect-durable/SystemDb (provide Postgres.layer, Embedded.layer or Memory.layer)") {}

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
