/** Runs, steps and workers as the store keeps them: values as JSON text, instants as epoch milliseconds. */
import type { RunStatus } from "./lifecycle.ts"

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
  /** How many workers in a row died while they owned the run and had recorded nothing new of it. */
  readonly deaths: number
  /** Whether its worker executes nothing else meanwhile: it is a suspect. Only while Running. */
  readonly isolated: boolean
  /** How often in a row it was handed back because of an error of the store that nobody understands. */
  readonly handbacks: number
  /** From when a worker may claim the run; only while Enqueued or Suspended. */
  readonly wakeAt: number | null
  /** When the run times out; set when it is first claimed. */
  readonly deadline: number | null
  readonly timeoutMillis: number | null
  readonly schedule: string | null
  readonly tick: number | null
  /** JSON text: why a scheduled run was started, see `Origin`. */
  readonly origin: string | null
  /** Under which text it counts as live for its schedule; null for backfilled runs and those that no schedule started. */
  readonly overlap: string | null
  /** The instant after which it must not start any more. */
  readonly startBy: number | null
  /** The backfill that started it. */
  readonly backfill: string | null
  /** Why it was cancelled or, as long as it has not ended, why it was handed back last. */
  readonly reason: string | null
  readonly parent: string | null
  /** JSON text: the span that its spans hang under, `{ traceId, spanId, sampled }`; null when there is none. */
  readonly trace: string | null
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
  /** The span it is started in. */
  readonly trace?: string | null | undefined
  /** True for an id that was made for this run and is known to nobody else yet. */
  readonly fresh?: boolean | undefined
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
 * A lease that is given up. With `handBack` something stood in the way of the run: it may be claimed only after the delay, keeps
 * the reason, and counts that it was handed back once more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Released extends Lease {
  readonly handBack?: { readonly reason: string; readonly delayMillis: number } | undefined
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
  /** A Failure is why the run fails, recorded before its undo steps begin; there is at most one. */
  readonly kind: "Step" | "Transaction" | "Sleep" | "Value" | "Undo" | "Failure"
  /** How many attempts were made. */
  readonly attempts: number
  /** JSON text: an array with the outcomes of attempts that failed, of many the first three and the last five; null when none did. */
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
 * A workflow whose runs wait, since the first of them became due, although no live worker has a body for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unattended {
  readonly workflow: string
  /** How many; a thousand when there are more. */
  readonly runs: number
  readonly since: number
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

// ── retention ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What is too old to be kept. Only runs that have ended are pruned, with their steps.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prune {
  /** Runs created before this instant. */
  readonly runsBefore: number | null
  /** Of each schedule, runs older than its newest `runsKept` ended ones. */
  readonly runsKept: number | null
  /** Ledger entries and audit records recorded before this instant. */
  readonly entriesBefore: number | null
  /** Of each schedule, ledger entries older than its newest `entriesKept`. */
  readonly entriesKept: number | null
  /** The most rows of each kind that one call deletes. */
  readonly limit: number
}
