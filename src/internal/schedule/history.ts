/** The ledger as people and programs read it: what became of each tick, and why. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { StoreError } from "../../Errors.ts"
import type { Entry, HistoryRow, Run, SystemDb } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import type { RunStatus } from "../lifecycle.ts"
import type { Span } from "./window.ts"

type Store = SystemDb["Service"]

/**
 * What was decided about a tick.
 *
 * - `Started`: it became a run; `lateBy` are the milliseconds from the tick to the run's creation
 * - `Overlapped`: runs were live (`Live`), its place in the buffer was taken (`BufferFull`), starts of another schedule under the
 *   same key waited before it (`Waiting`), a later start took its place (`Replaced`), or an operator dropped it from the buffer
 *   (`Dropped`); `by` is the run concerned
 * - `Missed`: nobody started it in time and the policy for that dropped it (`Down`), it lay before the window (`Window`) or beyond
 *   the cap (`Cap`), its start deadline passed (`Late`), a pause (`Paused`) or an edit (`Edited`) came before it was decided, or it
 *   waited when the schedule had started as many runs as it may (`Ended`)
 * - `Coalesced`: the run of a later tick stands for it
 * - `Excluded`: a calendar says so · `Skipped`: an operator · `Frozen`: all schedules were · `Paused`: this one was
 *
 * @category models
 * @since 0.1.0
 */
export type Decision =
  | {
    readonly _tag: "Started"
    readonly runId: string
    readonly status: RunStatus
    readonly cause: Cause
    readonly lateBy: number
    /** Why the run was cancelled, if it was. */
    readonly reason: Option.Option<string>
  }
  | {
    readonly _tag: "Overlapped"
    readonly reason: "Live" | "BufferFull" | "Waiting" | "Replaced" | "Dropped"
    readonly by: Option.Option<string>
  }
  | { readonly _tag: "Missed"; readonly reason: "Down" | "Late" | "Window" | "Cap" | "Paused" | "Edited" | "Ended" }
  | { readonly _tag: "Coalesced"; readonly into: string }
  | { readonly _tag: "Excluded"; readonly by: string }
  | { readonly _tag: "Skipped" }
  | { readonly _tag: "Frozen" }
  | { readonly _tag: "Paused" }

/**
 * Why a run of a schedule was started: by its tick in time, by its tick later on, by a backfill, or by hand.
 *
 * @category models
 * @since 0.1.0
 */
export type Cause = "schedule" | "catch-up" | "backfill" | "trigger"

/**
 * One line of a schedule's history: a decision about the ticks from `first` up to and including `last`.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryEntry {
  readonly first: DateTime.Utc
  readonly last: DateTime.Utc
  /** How many ticks; none where they were not counted, as in a pause. */
  readonly count: Option.Option<number>
  readonly decision: Decision
  readonly recordedAt: DateTime.Utc
}

const StoredOrigin = Schema.fromJsonString(Schema.Struct({
  cause: Schema.Literals(["schedule", "catch-up", "backfill", "trigger"]),
  previous: Schema.NullOr(Schema.Int),
  next: Schema.NullOr(Schema.Int)
}))
const decodeOrigin = Schema.decodeUnknownOption(StoredOrigin)

/** Why the run was started; runs of earlier versions do not say. */
export const originOf = (run: Pick<Run, "origin">): typeof StoredOrigin.Type =>
  Option.getOrElse(decodeOrigin(run.origin), () => ({ cause: "schedule" as const, previous: null, next: null }))

const started = (run: Run): Decision => ({
  _tag: "Started",
  runId: run.id,
  status: run.status,
  cause: originOf(run).cause,
  lateBy: Math.max(0, run.createdAt - run.tick!),
  reason: Option.fromNullOr(run.reason)
})

const decided = ({ decision, reason, runId }: Entry): Decision => {
  switch (decision as Decision["_tag"]) {
    case "Overlapped":
      return { _tag: "Overlapped", reason: (reason ?? "Live") as "Live", by: Option.fromNullOr(runId) }
    case "Coalesced":
      return { _tag: "Coalesced", into: runId ?? "" }
    case "Excluded":
      return { _tag: "Excluded", by: reason ?? "" }
    case "Skipped":
    case "Frozen":
    case "Paused":
      return { _tag: decision as "Paused" }
    default:
      return { _tag: "Missed", reason: (reason ?? "Down") as "Down" }
  }
}

export const ofEntry = (entry: Entry): HistoryEntry => ({
  first: DateTime.makeUnsafe(entry.first),
  last: DateTime.makeUnsafe(entry.last),
  count: Option.fromNullOr(entry.count),
  decision: decided(entry),
  recordedAt: DateTime.makeUnsafe(entry.recordedAt)
})

export const ofRun = (run: Run): HistoryEntry => ({
  first: DateTime.makeUnsafe(run.tick!),
  last: DateTime.makeUnsafe(run.tick!),
  count: Option.some(1),
  decision: started(run),
  recordedAt: DateTime.makeUnsafe(run.createdAt)
})

export const ofRow = ({ entry, run }: HistoryRow): HistoryEntry => run === null ? ofEntry(entry!) : ofRun(run)

// ── tick by tick ────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A tick and the one answer it got.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly tick: DateTime.Utc
  readonly decision: Decision
}

/** Where a tick has several records, the one that answers it: its own run, then its entry, then a run that was backfilled. */
const rank = (decision: Decision): number =>
  decision._tag === "Started" ? (decision.cause === "backfill" ? 2 : 0) : decision._tag === "Paused" ? 3 : 1

/** The ticks that an entry is about, of those in the span. */
function* ticksOf(entry: Entry, { from, to }: Span): Generator<number, void> {
  const timetable = entry.timing === null ? undefined : Result.getOrUndefined(Timing.fromText(entry.timing))
  if (timetable === undefined) {
    if (entry.first >= from && entry.first < to) yield entry.first
    return
  }
  const end = Math.min(entry.last, to - 1)
  for (let tick = timetable.next(Math.max(entry.first, from) - 1); tick !== null && tick <= end;) {
    yield tick
    tick = timetable.next(tick)
  }
}

const pageSize = 1_000

/** Every row of the window, and the entries that began before it and reach into it. */
const rowsOf = Effect.fnUntraced(function*(
  db: Store,
  schedule: string,
  { from, to }: Span
): Effect.fn.Return<ReadonlyArray<Pick<HistoryRow, "run" | "entry">>, StoreError> {
  const rows: Array<Pick<HistoryRow, "run" | "entry">> = []
  const before = yield* db.findDecisions(schedule, from)
  for (const entry of before.entries) if (entry.first < from) rows.push({ run: null, entry })
  for (let after: Pick<HistoryRow, "at" | "key"> | null = null;;) {
    const page: ReadonlyArray<HistoryRow> = yield* db.listHistory(
      { schedule, from, to, newestFirst: false },
      { limit: pageSize, after }
    )
    rows.push(...page)
    if (page.length < pageSize) return rows
    after = page.at(-1)!
  }
})

/** The answer to every tick of the window that has one, in order. Runs started by hand answer no tick. */
export const answers = Effect.fnUntraced(function*(
  db: Store,
  schedule: string,
  span: Span
): Effect.fn.Return<ReadonlyArray<Answer>, StoreError> {
  const found = new Map<number, Decision>()
  const add = (tick: number, decision: Decision) => {
    const known = found.get(tick)
    if (known === undefined || rank(decision) < rank(known)) found.set(tick, decision)
  }
  for (const { entry, run } of yield* rowsOf(db, schedule, span)) {
    if (run !== null) {
      const decision = started(run)
      if (originOf(run).cause !== "trigger") add(run.tick!, decision)
      continue
    }
    const decision = decided(entry!)
    for (const tick of ticksOf(entry!, span)) add(tick, decision)
  }
  return [...found].sort(([a], [b]) => a - b).map(([tick, decision]) => ({ tick: DateTime.makeUnsafe(tick), decision }))
})
