/** What became, or will become, of one instant, in plain words; and the ticks to come. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ScheduleNotFound, StoreError, Undecodable } from "../../Errors.ts"
import type { Control, ScheduleRow } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import { find, type Store } from "./change.ts"
import { type Read, read } from "./definition.ts"
import * as Freeze from "./freeze.ts"
import { type Decision, type HistoryEntry, ofEntry, ofRun } from "./history.ts"
import { iso } from "./ticks.ts"

/**
 * What is known of an instant of a schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface Explanation {
  readonly instant: DateTime.Utc
  /** Whether it is a tick of the timing as it is now. */
  readonly isTick: boolean
  /** Everything recorded about it: its runs, oldest first, then what was decided, newest first. */
  readonly recorded: ReadonlyArray<HistoryEntry>
  /** One sentence or two, for people. */
  readonly text: string
}

/**
 * A tick to come.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upcoming {
  readonly tick: DateTime.Utc
  /** When its run starts: the tick, or later by its jitter. */
  readonly startsAt: DateTime.Utc
  /** Its day has a clock change in the schedule's time zone. */
  readonly clockChange: Option.Option<"spring-forward" | "fall-back">
  /** Why it will not start, as far as that is known. */
  readonly skipped: Option.Option<string>
}

// ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const units: ReadonlyArray<readonly [millis: number, name: string]> = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1_000, "second"]
]

/** The one or two largest units, for people. */
export const inWords = (millis: number): string => {
  const words: Array<string> = []
  let left = millis
  for (const [size, name] of units) {
    const count = Math.floor(left / size)
    if (count === 0 || words.length === 2) continue
    words.push(`${count} ${name}${count === 1 ? "" : "s"}`)
    left -= count * size
  }
  return words.length === 0 ? `${millis} ms` : words.join(" ")
}

const causes = {
  schedule: "by its tick",
  "catch-up": "late, to catch up",
  backfill: "by a backfill",
  trigger: "by hand"
} as const

const missed = {
  Down: "nobody started it in time, and the policy drops late ticks",
  Late: "it could not start before its start deadline",
  Window: "it was older than the catch-up window when somebody looked",
  Cap: "more ticks were late than the catch-up cap lets start",
  Paused: "the schedule was paused before it had started",
  Edited: "the schedule was edited before it had started"
} as const

const overlapped = {
  Live: "was live",
  BufferFull: "was live and the buffer was full",
  Replaced: "took its place",
  Dropped: "was live, and an operator dropped it from the buffer"
} as const

const sentence = (decision: Decision): string => {
  switch (decision._tag) {
    case "Started": {
      const late = decision.lateBy < 1_000 ? "on time" : `${inWords(decision.lateBy)} after its instant`
      const reason = Option.match(decision.reason, { onNone: () => "", onSome: (reason) => ` (${reason})` })
      return `It was started ${
        causes[decision.cause]
      }, ${late}, as run ${decision.runId}, which is ${decision.status}${reason}.`
    }
    case "Overlapped": {
      const by = Option.getOrElse(decision.by, () => "another run")
      return `It did not start: ${Option.isSome(decision.by) ? "run " : ""}${by} ${overlapped[decision.reason]}.`
    }
    case "Missed":
      return `It did not start: ${missed[decision.reason]}.`
    case "Coalesced":
      return `It did not start by itself: run ${decision.into} of a later tick stands for it.`
    case "Excluded":
      return `It did not start: a calendar excludes it (${decision.by}).`
    case "Skipped":
      return "It did not start: an operator skipped it."
    case "Frozen":
      return "It did not start: all schedules were frozen."
    case "Paused":
      return "It did not start: the schedule was paused."
  }
}

// ── what is to come ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Why a tick that is not decided will not start, as far as that is known; `ahead` counts the ticks before it. */
const obstacle = (
  row: ScheduleRow,
  { plan, state, timetable }: Read,
  freeze: Control | null,
  tick: number,
  ahead: number
): string | undefined => {
  const excluded = timetable.excluded(tick)
  if (excluded !== null) return `excluded: ${excluded}`
  if (state.skips.includes(tick) || ahead < state.skipNext) return "skipped by an operator"
  if (row.status === "Paused" && (row.resumeAt === null || plan.dueAt(tick) < row.resumeAt)) {
    return "the schedule is paused"
  }
  return Freeze.on(freeze) === undefined ? undefined : "all schedules are frozen"
}

/** The next ticks that are not decided, in order. */
export const upcoming = Effect.fnUntraced(function*(
  db: Store,
  name: string,
  count: number
): Effect.fn.Return<ReadonlyArray<Upcoming>, ScheduleNotFound | Undecodable | StoreError> {
  const row = yield* find(db, name)
  const schedule = yield* Effect.fromResult(read(row))
  const now = yield* db.now
  const freeze = Option.getOrNull(yield* db.findControl(Freeze.key))
  const { plan, policies, state, timetable } = schedule
  let left = policies.maxRuns === null ? Infinity : policies.maxRuns - state.started - state.buffered.length
  const ticks: Array<Upcoming> = []
  // What fell in a pause is decided when it ends, and is not to come.
  let tick = row.nextAt === null || row.nextAt > now || row.status === "Active" ? row.nextAt : plan.next(now)
  let counted = 0
  while (tick !== null && ticks.length < count && left > 0) {
    const skipped = obstacle(row, schedule, freeze, tick, counted)
    if (skipped === undefined) left--
    // Those that a calendar excludes do not count as skipped.
    if (timetable.excluded(tick) === null && !state.skips.includes(tick)) counted++
    ticks.push({
      tick: DateTime.makeUnsafe(tick),
      startsAt: DateTime.makeUnsafe(plan.dueAt(tick)),
      clockChange: Option.fromNullOr(Timing.clockChange(timetable, tick)),
      skipped: Option.fromUndefinedOr(skipped)
    })
    tick = plan.next(tick)
  }
  return ticks
})

// ── one instant ─────────────────────────────────────────────────────────────────────────────────────────────────────

const undecided = (row: ScheduleRow, schedule: Read, instant: number, now: number, freeze: Control | null): string => {
  const { plan, state } = schedule
  if (plan.next(instant - 1) !== instant) {
    const next = plan.next(instant)
    const [before, after] = [plan.prev(instant), next]
    const near = [
      before === null ? "" : `the tick before is ${iso(before)}`,
      after === null ? "" : `the one after ${iso(after)}`
    ]
      .filter((text) => text !== "")
    return `It is no tick of this schedule${near.length === 0 ? "" : `: ${near.join(", ")}`}.`
  }
  if (state.buffered.some(({ tick }) => tick === instant)) return "It waits for live runs to end, and starts then."
  if (row.nextAt === null && instant > now) return "The schedule has ended: it starts no further run."
  if (row.nextAt === null || instant < row.nextAt) {
    return instant < row.createdAt
      ? "It came before the schedule was created."
      : "Nothing is recorded about it: its record was pruned, or it was no tick when it came."
  }
  const reason = obstacle(row, schedule, freeze, instant, Infinity)
  const due = plan.dueAt(instant)
  if (reason !== undefined) return `It is not decided yet; as things stand it does not start: ${reason}.`
  return due > now
    ? `It has not come yet: it starts in ${inWords(due - now)}.`
    : `It is due since ${inWords(now - due)} and starts as soon as an engine looks at it.`
}

export const explain = Effect.fnUntraced(function*(
  db: Store,
  name: string,
  instant: number
): Effect.fn.Return<Explanation, ScheduleNotFound | Undecodable | StoreError> {
  const row = yield* find(db, name)
  const schedule = yield* Effect.fromResult(read(row))
  const found = yield* db.findDecisions(name, instant)
  // An entry over several ticks is about this instant only if it was one of them.
  const entries = found.entries.filter((entry) => {
    if (entry.timing === null || entry.decision === "Paused") return true
    const timing = Timing.fromText(entry.timing)
    return timing._tag === "Success" && timing.success.next(instant - 1) === instant
  })
  const recorded = [...found.runs.map(ofRun), ...entries.map(ofEntry)]
  const isTick = schedule.plan.next(instant - 1) === instant
  const ticked = recorded.filter(({ decision }) => isTick || decision._tag !== "Paused")
  const freeze = ticked.length === 0 ? Option.getOrNull(yield* db.findControl(Freeze.key)) : null
  const text = ticked.length === 0
    ? undecided(row, schedule, instant, yield* db.now, freeze)
    : ticked.map(({ decision }) => sentence(decision)).join(" ")
  return { instant: DateTime.makeUnsafe(instant), isTick, recorded: ticked, text }
})

export const describe = Effect.fnUntraced(function*(
  db: Store,
  name: string
): Effect.fn.Return<string, ScheduleNotFound | Undecodable | StoreError> {
  const row = yield* find(db, name)
  const { timetable } = yield* Effect.fromResult(read(row))
  return timetable.describe()
})
