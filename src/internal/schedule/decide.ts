/**
 * What to do about a schedule: the one place where its policies are applied, pure.
 *
 * `decide` takes a schedule, what it remembers, its runs as far as they matter, and the time; it answers with everything that is
 * to be recorded, so that one statement can record it. Every tick from the cursor on gets exactly one answer: a start, a place
 * in the buffer, or a ledger entry.
 *
 * A tick is judged in this order: bounds, exclusion, an operator's skip, the freeze, lateness, the start deadline, overlap.
 */
import type { DueSchedule } from "../../SystemDb.ts"
import type { Timetable } from "../../Timing.ts"
import { Admission } from "./admission.ts"
import type { Happened } from "./events.ts"
import { Ledger, type LedgerEntry } from "./ledger.ts"
import { type Plan, plan } from "./plan.ts"
import type { Policies } from "./policies.ts"
import type { State, Stretch } from "./state.ts"
import { latenessOf } from "./stretch.ts"
import { iso, runIdOf } from "./ticks.ts"

/** Why a run of a schedule was started. */
export type Cause = "schedule" | "catch-up" | "backfill" | "trigger"

/** A run to start for a tick. */
export interface Start {
  readonly tick: number
  readonly cause: "schedule" | "catch-up"
}

/** A stretch of time in which everything was frozen; open as long as `to` is null. */
export interface Freeze {
  readonly from: number
  readonly to: number | null
}

/** What a decision is about. */
export interface Subject {
  readonly row: Omit<DueSchedule, "timing" | "policies" | "state" | "revision" | "turn" | "overlapTurn" | "workflow">
  readonly timetable: Timetable
  readonly policies: Policies
  readonly state: State
  readonly freezes: ReadonlyArray<Freeze>
}

export interface Decision {
  readonly starts: ReadonlyArray<Start>
  readonly entries: ReadonlyArray<LedgerEntry>
  readonly cancels: ReadonlyArray<{ readonly runId: string; readonly reason: string }>
  /** Ended runs that were taken note of. */
  readonly settled: ReadonlyArray<string>
  readonly events: ReadonlyArray<Happened>
  /** Whether it depends on which runs are live. */
  readonly reliesOnLive: boolean
  readonly after:
    & Pick<DueSchedule, "status" | "nextAt" | "wakeAt" | "waiting" | "pausedAt" | "pauseReason" | "resumeAt">
    & {
      readonly state: State
    }
}

/** How much one decision does at most; the rest is left to the next one. */
export interface Limits {
  readonly starts: number
  readonly entries: number
  readonly ticks: number
}

/** Ten thousand ticks are looked at in about a millisecond. */
export const limits: Limits = { starts: 500, entries: 500, ticks: 10_000 }

type Standing = Pick<Decision["after"], "status" | "pausedAt" | "pauseReason" | "resumeAt">

// ── runs that ended ─────────────────────────────────────────────────────────────────────────────────────────────────

interface Settlement {
  readonly failures: number
  readonly settled: ReadonlyArray<string>
  readonly events: Array<Happened>
  readonly pauseReason: string | null
}

const times = (count: number): string => count === 1 ? "1 time" : `${count} times`

/** Counts failures in a row, oldest end first. A run that was cancelled says nothing about either. */
const settle = ({ policies, row, state }: Subject): Settlement => {
  let failures = state.failures
  let pauseReason: string | null = null
  const events: Array<Happened> = []
  for (const { runId, status, tick } of row.ended) {
    const about = { tick, lastTick: tick, count: 1, runId }
    if (status === "Failed" || status === "Dead") {
      failures++
      const reason = `Run ${runId} is ${status}; the schedule has failed ${times(failures)} in a row`
      if (policies.onFailure !== null) events.push({ ...about, event: "failure", failures, reason })
      if (policies.pauseAfterFailures !== null && failures >= policies.pauseAfterFailures) {
        pauseReason = `${failures} failures in a row, the last one in run ${runId}`
      }
    } else if (status === "Succeeded") {
      const reason = `Run ${runId} succeeded after the schedule had failed ${times(failures)} in a row`
      if (failures > 0 && policies.onRecovered !== null) events.push({ ...about, event: "recovered", failures, reason })
      if (policies.heartbeat !== null) events.push({ ...about, event: "success", failures: 0, reason: "" })
      failures = 0
      pauseReason = null
    }
  }
  return { failures, settled: row.ended.map(({ runId }) => runId), events, pauseReason }
}

// ── a pause ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const active: Standing = { status: "Active", pausedAt: null, pauseReason: null, resumeAt: null }

/**
 * How the schedule stands now. A pause that has run its time ends at the instant it was to end, whenever that is noticed; one
 * for failures begins now, unless the schedule is Paused already.
 */
const standing = ({ row }: Subject, pauseReason: string | null, now: number): Standing => {
  if (row.status === "Paused" && (row.resumeAt === null || row.resumeAt > now)) return row
  return pauseReason === null ? active : { status: "Paused", pausedAt: now, pauseReason, resumeAt: null }
}

// ── ticks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const missedReasons: ReadonlyArray<string | null> = ["Down", "Late", "Window", "Cap"]

const frozenAt = (freezes: ReadonlyArray<Freeze>, tick: number): boolean =>
  freezes.some(({ from, to }) => from <= tick && (to === null || tick < to))

/** One event for all that was dropped in this decision. */
const missed = (entries: ReadonlyArray<LedgerEntry>): ReadonlyArray<Happened> => {
  const dropped = entries.filter(({ decision, reason }) => decision === "Missed" && missedReasons.includes(reason))
  if (dropped.length === 0) return []
  const tick = Math.min(...dropped.map(({ first }) => first))
  const lastTick = Math.max(...dropped.map(({ last }) => last))
  const count = dropped.reduce((sum, entry) => sum + (entry.count ?? 0), 0)
  const reason = `${count} tick${count === 1 ? " was" : "s were"} dropped because nobody started them in time`
  return [{ event: "missed", tick, lastTick, count, runId: null, failures: 0, reason }]
}

/** The pass over what waits and over the ticks that are due. */
class Pass {
  readonly ledger = new Ledger()
  readonly admission: Admission
  readonly #subject: Subject
  readonly #plan: Plan
  readonly #now: number
  readonly #limits: Limits
  #started: number
  #skipNext: number
  #skips: ReadonlyArray<number>

  constructor(subject: Subject, plan: Plan, now: number, limits: Limits) {
    this.#subject = subject
    this.#plan = plan
    this.#now = now
    this.#limits = limits
    this.admission = new Admission(subject.row.name, subject.policies.overlap, subject.row.live)
    this.#started = subject.state.started
    this.#skipNext = subject.state.skipNext
    this.#skips = subject.state.skips
    for (const pending of subject.state.buffered) this.#admit(pending, true)
  }

  get remembered(): Pick<State, "started" | "skipNext" | "skips" | "buffered"> {
    return {
      // Counted only where it matters, so that the state of most schedules never changes.
      started: this.#subject.policies.maxRuns === null ? this.#subject.state.started : this.#started,
      skipNext: this.#skipNext,
      skips: this.#skips,
      buffered: this.admission.buffered
    }
  }

  get #exhausted(): boolean {
    const { maxRuns } = this.#subject.policies
    return maxRuns !== null && this.#started + this.admission.buffered.length >= maxRuns
  }

  /** Decides the ticks from the cursor on that are due; where the cursor stands then, and the stretch that is not done. */
  run(cursor: number | null): { readonly nextAt: number | null; readonly stretch: Stretch | null } {
    let nextAt = cursor
    let stretch = this.#subject.state.stretch
    for (let looked = 0; nextAt !== null; looked++) {
      if (this.#exhausted) return { nextAt: null, stretch: null }
      if (this.#plan.dueAt(nextAt) > this.#now || this.#full(looked)) break
      stretch = latenessOf(stretch, this.#plan, this.#subject, nextAt, this.#now)
      this.#decide(nextAt, stretch)
      nextAt = this.#plan.next(nextAt)
    }
    const done = nextAt === null || stretch === null || this.#plan.dueAt(nextAt) >= stretch.edge
    return { nextAt, stretch: done ? null : stretch }
  }

  #full(looked: number): boolean {
    const { entries, starts, ticks } = this.#limits
    return looked >= ticks || this.admission.starts.length >= starts || this.ledger.size >= entries
  }

  #decide(tick: number, stretch: Stretch | null): void {
    const { freezes, row, timetable } = this.#subject
    const excluded = timetable.excluded(tick)
    if (excluded !== null) return this.ledger.add(tick, "Excluded", excluded)
    if (this.#skips.includes(tick)) {
      this.#skips = this.#skips.filter((skip) => skip !== tick)
      return this.ledger.add(tick, "Skipped", null)
    }
    if (this.#skipNext > 0) {
      this.#skipNext--
      return this.ledger.add(tick, "Skipped", null)
    }
    if (frozenAt(freezes, tick)) return this.ledger.add(tick, "Frozen", null)
    if (stretch !== null && this.#plan.dueAt(tick) < stretch.edge) {
      if (stretch.mode === "none") return this.ledger.add(tick, "Missed", "Down")
      if (stretch.windowFrom !== null && tick < stretch.windowFrom) return this.ledger.add(tick, "Missed", "Window")
      if (stretch.mode === "latest" && tick !== stretch.target) {
        // Without one nothing could start that the search has seen.
        if (stretch.target === null) return this.ledger.add(tick, "Missed", "Down")
        return this.ledger.add(tick, "Coalesced", iso(stretch.target), runIdOf(row.name, stretch.target))
      }
      if (stretch.capFrom !== null && tick < stretch.capFrom) return this.ledger.add(tick, "Missed", "Cap")
      return this.#admit({ tick, cause: "catch-up" }, false)
    }
    this.#admit({ tick, cause: "schedule" }, false)
  }

  #admit(start: Start, waited: boolean): void {
    const { policies } = this.#subject
    const { startDeadlineMillis } = policies
    if (startDeadlineMillis !== null && start.tick + startDeadlineMillis < this.#now) {
      return waited ? this.ledger.addAlone(start.tick, "Missed", "Late") : this.ledger.add(start.tick, "Missed", "Late")
    }
    const refusal = this.admission.admit(start, waited, this.#limits.starts)
    if (refusal?.tick === start.tick) return this.ledger.add(start.tick, "Overlapped", refusal.reason, refusal.by)
    if (refusal !== undefined) {
      this.ledger.addAlone(refusal.tick, "Overlapped", refusal.reason, refusal.by)
      this.#started--
    }
    this.ledger.interrupt()
    if (this.admission.starts.at(-1) === start) this.#started++
  }
}

// ── everything ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Decides about a schedule as it stands at `now`. Deciding again about what the decision leaves, at the same time, goes on where
 * it stopped, and has nothing left to do once `wakeAt` lies ahead.
 */
export const decide = (subject: Subject, now: number, limit: Limits = limits): Decision => {
  const { row, state, timetable } = subject
  const settlement = settle(subject)
  const stands = standing(subject, settlement.pauseReason, now)
  const base = { settled: settlement.settled, cancels: [], starts: [], reliesOnLive: false }

  if (stands.status === "Paused") {
    // What is on its way when it pauses itself is left for whoever resumes it.
    return {
      ...base,
      entries: [],
      events: settlement.events,
      after: {
        ...pick(stands),
        nextAt: row.nextAt,
        wakeAt: stands.resumeAt,
        waiting: false,
        state: { ...state, failures: settlement.failures }
      }
    }
  }

  const ticks = plan(subject.row.name, timetable, subject.policies)
  const pass = new Pass(subject, ticks, now, limit)
  const resumed = row.status === "Paused" ? (row.resumeAt ?? now) : null
  if (resumed !== null) pass.ledger.addPause(ticks, row.nextAt, row.pausedAt ?? resumed, resumed)
  const cursor = resumed === null || row.nextAt === null || row.nextAt >= resumed ? row.nextAt : ticks.next(resumed - 1)
  const { nextAt, stretch } = pass.run(cursor)
  const { admission, ledger, remembered } = pass
  const entries = ledger.entries(timetable.text)
  return {
    ...base,
    starts: admission.starts,
    cancels: admission.cancels,
    reliesOnLive: admission.consulted,
    entries,
    events: [...settlement.events, ...missed(entries)],
    after: {
      ...pick(stands),
      nextAt,
      wakeAt: nextAt === null ? null : ticks.dueAt(nextAt),
      waiting: remembered.buffered.length > 0,
      state: {
        ...remembered,
        failures: settlement.failures,
        stretch,
        resumed: nextAt === null || (state.resumed !== null && nextAt > state.resumed.at) ? null : state.resumed
      }
    }
  }
}

const pick = ({ pauseReason, pausedAt, resumeAt, status }: Standing): Standing => ({
  status,
  pausedAt,
  pauseReason,
  resumeAt
})
