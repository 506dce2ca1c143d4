/**
 * Schedules as the store keeps them: values as JSON text, instants as epoch milliseconds.
 *
 * The store does not understand timings, policies or states; it compares and swaps. Every write gives a schedule a new `turn`,
 * and whoever decides about it names the turn it looked at, so that a decision made about something else is never recorded.
 */
import type { BackfillStatus, RunStatus, ScheduleStatus } from "./lifecycle.ts"
import type { Run } from "./records.ts"

// ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What was declared about a schedule, in code or by an operator.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleDefinition {
  readonly name: string
  readonly workflow: string
  /** JSON text: when it ticks. */
  readonly timing: string
  /** JSON text. */
  readonly context: string
  /** The identity of the schema that wrote the context; null when it was written without one. */
  readonly contextSchema: string | null
  /** JSON text: the JSON Schema of the context, for tools without the code. */
  readonly jsonSchema: string | null
  /** JSON text. */
  readonly policies: string
  /** The scope in which its runs must not overlap: schedules with the same text share one. Null when they may without limit. */
  readonly overlap: string | null
  /** Who declared it in code, or null when it was created at run time. */
  readonly owner: string | null
  /** JSON text: an object of strings, keys in code point order. */
  readonly labels: string
  readonly externalId: string | null
}

/**
 * Everything about a schedule that a change writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleContent extends ScheduleDefinition {
  readonly status: ScheduleStatus
  /**
   * One more for each change of the definition or the status. Given by the store to one that is created: higher than any of an
   * earlier schedule of the name.
   */
  readonly revision: number
  /** The first tick that is not decided; null when there is none to come. */
  readonly nextAt: number | null
  /** When the scheduler must look at it; null when only a change or the end of a run can make that necessary. */
  readonly wakeAt: number | null
  /** Since when starts wait for runs of its overlap scope to end, each after the one before it was made; null when none waits. */
  readonly waitingSince: number | null
  /** JSON text: what has to be remembered from one decision to the next. */
  readonly state: string
  readonly pausedAt: number | null
  readonly pauseReason: string | null
  /** When a pause ends by itself. */
  readonly resumeAt: number | null
  /** What an operator wrote about it. */
  readonly note: string | null
}

/**
 * A schedule as it is stored, with what became of its last tick.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleRow extends ScheduleContent {
  /** Another number after every write, firing included; no number is used twice in a store. */
  readonly turn: number
  /** How many runs its ticks have started. */
  readonly started: number
  /** A number of its own where there were runs of an earlier schedule of the name when it was created; null otherwise. */
  readonly incarnation: number | null
  readonly lastTick: number | null
  readonly lastRunId: string | null
  readonly lastRunStatus: RunStatus | null
  readonly createdAt: number
  readonly updatedAt: number
}

/**
 * Which schedules to list. Values of one field are alternatives; fields are combined with AND. `namePrefix` is literal:
 * `%` and `_` have no special meaning. Of `labels` all must be there.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleFilter {
  readonly status?: ScheduleStatus | undefined
  /** Whether it has neither a next tick nor a reason to be looked at. */
  readonly ended?: boolean | undefined
  readonly workflow?: ReadonlyArray<string> | undefined
  readonly namePrefix?: ReadonlyArray<string> | undefined
  readonly owner?: ReadonlyArray<string> | undefined
  readonly externalId?: ReadonlyArray<string> | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
}

// ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Who changed what and why. `before` and `after` are JSON text of what changed.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewAudit {
  /** Null when it is about all schedules. */
  readonly schedule: string | null
  readonly action: string
  readonly actor: string
  /** From where: an application, the CLI, an address. */
  readonly source: string | null
  readonly reason: string | null
  readonly before: string | null
  readonly after: string | null
}

/**
 * An audit record as it is stored. `position` grows with time and is unique in the store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Audit extends NewAudit {
  readonly position: number
  readonly at: number
}

/**
 * A value that concerns more than one schedule, such as the global freeze, and its turn: see `ScheduleRow.turn`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control {
  readonly key: string
  /** JSON text. */
  readonly value: string
  readonly turn: number
}

/**
 * A run that is started with the schedule that a change creates. Its tick is no tick of the schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewTrigger extends TickOptions {
  readonly schedule: string
  readonly run: TickRun
  /** JSON text given to the run instead of the schedule's context; null for that. */
  readonly context: string | null
}

/**
 * A change of any number of schedules and controls, made as a whole or not at all: each must stand at the turn given, and
 * null there says that it must not exist. A null `content` or `value` deletes. Names and keys must be distinct.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleChange {
  /** The identity of this change, fresh for each. */
  readonly id: string
  readonly schedules: ReadonlyArray<{
    readonly name: string
    readonly turn: number | null
    /** Its `name` must be the same. */
    readonly content: ScheduleContent | null
  }>
  readonly controls: ReadonlyArray<{
    readonly key: string
    readonly turn: number | null
    readonly value: string | null
  }>
  /** Of schedules that the change creates: runs to enqueue, which count as live. A run id that exists is passed over. */
  readonly triggers?: ReadonlyArray<NewTrigger> | undefined
  /** Of schedules that the change creates. The change is not made while one of the ids is taken. */
  readonly backfills?: ReadonlyArray<NewBackfill> | undefined
  readonly entries: ReadonlyArray<NewEntry>
  /** At least one: the audit is how a change is recognised that was made although its answer was lost. */
  readonly audits: ReadonlyArray<NewAudit>
}

// ── the ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What was decided about ticks that became no run: all ticks of the schedule from `first` on up to and including `last`.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewEntry {
  readonly schedule: string
  readonly first: number
  readonly last: number
  /** How many ticks; null when they were not counted. */
  readonly count: number | null
  readonly decision: string
  readonly reason: string | null
  /** The run that the decision refers to. */
  readonly runId: string | null
  /** JSON text: the timing that says which ticks there were; null when `first` is the only one. */
  readonly timing: string | null
}

/**
 * A ledger entry as it is stored. `position` grows with time and is unique in the store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry extends NewEntry {
  readonly position: number
  readonly recordedAt: number
}

/**
 * A run of the schedule, or a ledger entry: one of the two is null. `at` is the run's tick or the entry's first. `key` makes
 * the order total: `r` and the run's id, or `e` and the entry's position in 19 digits.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryRow {
  readonly at: number
  readonly key: string
  readonly run: Run | null
  readonly entry: Entry | null
}

/**
 * The part of a history to read: `from` is in it, `to` is not; null leaves that end open. Compared with `HistoryRow.at`.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryFilter {
  readonly schedule: string
  readonly from: number | null
  readonly to: number | null
  readonly newestFirst: boolean
}

// ── firing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A run that has not ended, in the overlap scope of a schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiveRun {
  readonly runId: string
  readonly schedule: string
  readonly tick: number
  readonly createdAt: number
}

/**
 * A run that has ended and that the scheduler has not taken note of.
 *
 * @category models
 * @since 0.1.0
 */
export interface EndedRun {
  readonly runId: string
  readonly tick: number
  readonly status: RunStatus
  readonly createdAt: number
  readonly finishedAt: number
}

/**
 * What the scheduler holds of a schedule: what a decision about it depends on.
 *
 * @category models
 * @since 0.1.0
 */
export interface DueSchedule extends
  Pick<
    ScheduleRow,
    | "name"
    | "workflow"
    | "timing"
    | "policies"
    | "overlap"
    | "status"
    | "revision"
    | "turn"
    | "nextAt"
    | "wakeAt"
    | "waitingSince"
    | "started"
    | "incarnation"
    | "createdAt"
    | "state"
    | "pausedAt"
    | "pauseReason"
    | "resumeAt"
  >
{
  /** The turn of its overlap scope: every start under it raises it, and every change of who waits in it. Null without one. */
  readonly overlapTurn: number | null
  /**
   * All runs that ticks and triggers of the schedules of its overlap scope started and that have not ended, in the code point
   * order of their ids; empty without a scope. What an earlier schedule of a name started does not count.
   */
  readonly live: ReadonlyArray<LiveRun>
  /** The other schedules of its overlap scope whose starts wait since earlier than those of this one, longest first, ties by name. */
  readonly behind: ReadonlyArray<string>
  /** Runs started with `settle` that have ended, oldest end first (ties by id), at most 100. */
  readonly ended: ReadonlyArray<EndedRun>
}

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
  /** JSON text, see `Run.origin`. */
  readonly origin: string
  readonly startBy: number | null
}

/**
 * How runs of a schedule are started, beside what their tick says.
 *
 * @category models
 * @since 0.1.0
 */
export interface TickOptions {
  readonly timeoutMillis: number | null
  /** Whether the scheduler has to take note of their end. */
  readonly settle: boolean
}

/**
 * A run that an event starts: a hook. Passed over when its id was used before.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookRun {
  readonly id: string
  readonly workflow: string
  readonly payload: string
}

/**
 * One decision about one schedule, to be recorded if it still stands as the decision took it: at this turn, with these
 * live runs, its overlap scope at that turn, and with the database's clock having reached `at`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Firing extends TickOptions {
  readonly name: string
  readonly turn: number
  /** The instant it was decided for. */
  readonly at: number
  /** The ids of the live runs it relies on, in code point order; null when it relies on none. */
  readonly live: ReadonlyArray<string> | null
  /** The turn of the overlap scope it relies on; null when it relies on none. */
  readonly overlapTurn: number | null

  /** How the schedule stands afterwards. */
  readonly after: Pick<
    ScheduleContent,
    "status" | "nextAt" | "wakeAt" | "waitingSince" | "state" | "pausedAt" | "pauseReason" | "resumeAt"
  >

  /** The runs to start, in order. A run id that exists is passed over. */
  readonly ticks: ReadonlyArray<TickRun>
  /** The worker that will execute the runs at once, or null to enqueue them. */
  readonly owner: string | null
  readonly entries: ReadonlyArray<Omit<NewEntry, "schedule">>
  /** Runs to cancel, of those that have not ended. */
  readonly cancels: ReadonlyArray<{ readonly runId: string; readonly reason: string }>
  /** Ended runs that need no further note. */
  readonly settled: ReadonlyArray<string>
  readonly hooks: ReadonlyArray<HookRun>
  readonly audit: NewAudit | null
}

/**
 * What became of one {@link Firing}. `Fired`: it is recorded, under the new `turn` (and that of the overlap scope, when it
 * has one), and `runs` were created. `Early`: the database's clock has not reached the instant. `Stale`: somebody else
 * fired, changed or deleted it, or holds its row; `current` says how it stands now, null when it is gone.
 *
 * @category models
 * @since 0.1.0
 */
export type Fired =
  | {
    readonly _tag: "Fired"
    readonly name: string
    readonly turn: number
    readonly overlapTurn: number | null
    readonly runs: ReadonlyArray<Run>
  }
  | { readonly _tag: "Early"; readonly name: string }
  | { readonly _tag: "Stale"; readonly name: string; readonly current: DueSchedule | null }

// ── backfills ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A backfill as it is asked for: the ticks from `from` on and before `to`, each becoming a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewBackfill {
  readonly id: string
  readonly schedule: string
  readonly from: number
  readonly to: number
  readonly newestFirst: boolean
  /** How many of its runs may be live at once. */
  readonly concurrency: number
  /** Whether a tick that has a run gets another one. */
  readonly rerun: boolean
  /** JSON text given to its runs instead of the schedule's context; null for that. */
  readonly context: string | null
  /** JSON text: the timing and the bounds it was planned with. Null in those of earlier versions, which take the schedule's. */
  readonly planned: string | null
}

/**
 * A backfill as it is stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backfill extends NewBackfill {
  readonly status: BackfillStatus
  /** Where it goes on: the next instant to look at, in its direction; null when every tick has been looked at. */
  readonly cursor: number | null
  /** Ticks that became runs. */
  readonly started: number
  /** Ticks passed over because they had a run. */
  readonly existing: number
  /** Runs of it that have not ended. */
  readonly live: number
  /** As `ScheduleRow.turn`. */
  readonly turn: number
  readonly createdAt: number
  readonly updatedAt: number
  readonly finishedAt: number | null
}

/**
 * One stretch of a backfill: starts runs for these ticks and moves its cursor, if it is Active and still stands at this turn.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackfillAdvance extends TickOptions {
  readonly id: string
  readonly turn: number
  readonly ticks: ReadonlyArray<TickRun>
  readonly cursor: number | null
  /** Every tick has been looked at and every run has ended. */
  readonly done: boolean
}
