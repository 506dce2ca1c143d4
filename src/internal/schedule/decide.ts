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
import { passing, type State, type Stretch, tallied } from "./state.ts"
import { frozenAt, latenessOf } from "./stretch.ts"
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
    & Pick<DueSchedule, "status" | "nextAt" | "wakeAt" | "waitingSince" | "pausedAt" | "pauseReason" | "resumeAt">
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

/** How many runs the schedule's ticks may start still; null for any number. */
export const runsLeft = (
  { maxRuns }: Policies,
  started: number,
  { countedFrom }: Pick<State, "countedFrom">
): number | null => maxRuns === null ? null : Math.max(0, maxRuns - (started - countedFrom))

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
  // What an earlier schedule of the name started is no concern of this one.
  for (const { runId, status, tick } of row.ended.filter(({ createdAt }) => createdAt >= row.createdAt)) {
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

/** Whether the time that the schedule was paused for is over. */
export const isOver = ({ resumeAt, status }: Standing, now: number): boolean =>
  status === "Paused" && resumeAt !== null && resumeAt <= now

/**
 * How the schedule stands now, once a pause that has run its time was ended. One for failures begins now, or takes the end from a
 * pause that has one: what failed as often as it may does not go on by itself.
 */
const standing = (row: Standing, pauseReason: string | null, now: number): Standing => {
  if (row.status === "Active") {
    return pauseReason === null ? active : { status: "Paused", pausedAt: now, pauseReason, resumeAt: null }
  }
  return pauseReason === null || row.resumeAt === null ? row : { ...row, pauseReason, resumeAt: null }
}

// ── ticks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const whyMissed = {
  Down: "nobody started them in time",
  Late: "their start deadline had passed",
  Window: "they were older than the catch-up window",
  Cap: "more ticks were late than the catch-up cap lets start"
} as const
const missedReasons = Object.keys(whyMissed) as ReadonlyArray<keyof typeof whyMissed>

/** One event for all that was dropped in this decision. */
const missed = (entries: ReadonlyArray<LedgerEntry>): ReadonlyArray<Happened> => {
  const dropped = entries.filter(({ decision, reason }) =>
    decision === "Missed" && missedReasons.some((known) => known === reason)
  )
  if (dropped.length === 0) return []
  const tick = Math.min(...dropped.map(({ first }) => first))
  const lastTick = Math.max(...dropped.map(({ last }) => last))
  const count = dropped.reduce((sum, entry) => sum + (entry.count ?? 0), 0)
  const reasons = missedReasons.filter((reason) => dropped.some((entry) => entry.reason === reason))
  const because = reasons.map((reason) => whyMissed[reason]).join(", or ")
  const reason = `${count} tick${count === 1 ? " was" : "s were"} dropped because ${because}`
  return [{ event: "missed", tick, lastTick, count, runId: null, failures: 0, reason }]
}

/** The pass over what waits and over the ticks that are due. */
class Pass {
  readonly admission: Admission
  readonly #subject: Subject
  readonly #plan: Plan
  readonly #now: number
  readonly #limits: Limits
  readonly #ledger: Ledger
  /** How many runs its ticks may start still. */
  readonly #left: number
  #skipNext: number
  #skips: ReadonlyArray<number>
  #ahead: ReadonlyArray<number>
  #cursor: number | null = null

  constructor(subject: Subject, plan: Plan, now: number, limits: Limits, ledger: Ledger) {
    const { policies, row, state } = subject
    this.#subject = subject
    this.#plan = plan
    this.#now = now
    this.#limits = limits
    this.#ledger = ledger
    this.#left = runsLeft(policies, row.started, state) ?? Infinity
    this.admission = new Admission(row, policies.overlap, { starts: limits.starts, runs: this.#left })
    this.#skipNext = state.skipNext
    this.#skips = state.skips
    this.#ahead = state.ahead
    for (const pending of state.buffered) this.#admit(pending, true)
    for (const { at, tick } of state.putOff) if (at <= now) this.#startPutOff(tick, at)
  }

  get remembered(): Pick<State, "skipNext" | "skips" | "buffered" | "putOff" | "ahead"> {
    return {
      putOff: this.#subject.state.putOff.filter(({ at }) => at > this.#now),
      skipNext: this.#skipNext,
      skips: this.#skips,
      buffered: this.admission.buffered,
      ahead: this.#ahead
    }
  }

  /** Whether it is known that it starts no further run. What starts now may turn out to be there already, and does not count then. */
  get ended(): boolean {
    return this.#left <= 0 && this.#ahead.length === 0
  }

  /** Whether it starts no further run if those that start now are new. */
  get spent(): boolean {
    return this.#left <= this.admission.starts.length
  }

  /** Decides the ticks from the cursor on that are due; where the cursor stands then, and the stretch that is not done. */
  run(cursor: number | null): { readonly nextAt: number | null; readonly stretch: Stretch | null } {
    this.#cursor = cursor
    let nextAt = cursor
    let stretch = this.#subject.state.stretch
    for (let looked = 0; nextAt !== null; looked++) {
      // Before one that was started, and may be the last, there are ticks still.
      if (this.spent && this.#ahead.length === 0) break
      if (this.#plan.dueAt(nextAt) > this.#now || this.#full(looked)) break
      stretch = this.#stretchOf(nextAt, stretch)
      this.#decide(nextAt, stretch)
      nextAt = this.#plan.next(nextAt)
    }
    const isOver = this.spent && this.#ahead.length === 0
    const done = nextAt === null || stretch === null || isOver || this.#plan.dueAt(nextAt) >= stretch.edge
    this.#noteReplaced()
    return { nextAt, stretch: done ? null : stretch }
  }

  /** Starts that gave way are answered by the last one, which stands for what was to be coalesced into them, too. */
  #noteReplaced(): void {
    const { firstRun, replaced, starts } = this.admission
    // What waited may be of another timing.
    const isOld = (tick: number) => this.#cursor === null || tick < this.#cursor
    for (let index = 0; index < replaced.length;) {
      const begin = index++
      while (
        index < replaced.length && !isOld(replaced[begin]!) && this.#plan.next(replaced[index - 1]!) === replaced[index]
      ) index++
      this.#ledger.addRange(replaced[begin]!, replaced[index - 1]!, index - begin, "Overlapped", "Replaced", firstRun)
    }
    if (replaced.length > 0) this.#ledger.redirect(iso(starts[0]!.tick), firstRun)
  }

  #full(looked: number): boolean {
    const { entries, starts, ticks } = this.#limits
    const size = this.#ledger.size + this.admission.replaced.length
    return looked >= ticks || this.admission.starts.length >= starts || size >= entries
  }

  /**
   * The stretch that the tick belongs to. Of one that only the latest tick starts for, that one comes first: what is said of the
   * others is then what has become of it.
   */
  #stretchOf(tick: number, underWay: Stretch | null): Stretch | null {
    const { state } = this.#subject
    const remaining = { ...this.#subject, state: { ...state, skipNext: this.#skipNext, skips: this.#skips } }
    const stretch = latenessOf(underWay, this.#plan, remaining, tick, this.#now)
    if (stretch === null || stretch === underWay || stretch.mode !== "latest" || stretch.target === null) return stretch
    const start: Start = { tick: stretch.target, cause: "catch-up" }
    const known = this.#ahead.includes(start.tick)
    const refusal = known ? undefined : this.admission.admit(start, false)
    if (refusal !== undefined) return { ...stretch, refused: refusal }
    if (!known) this.#ahead = [...this.#ahead, start.tick].sort((a, b) => a - b)
    const waits = this.admission.buffered.some((pending) => pending.tick === start.tick)
    return waits ? { ...stretch, refused: this.admission.obstacle } : stretch
  }

  #decide(tick: number, stretch: Stretch | null): void {
    const { freezes, row, timetable } = this.#subject
    if (tick === this.#ahead[0]) {
      this.#ahead = this.#ahead.slice(1)
      return this.#ledger.interrupt()
    }
    const excluded = timetable.excluded(tick)
    if (excluded !== null) return this.#ledger.add(tick, "Excluded", excluded)
    if (this.#skips.includes(tick)) {
      this.#skips = this.#skips.filter((skip) => skip !== tick)
      return this.#ledger.add(tick, "Skipped", null)
    }
    if (this.#skipNext > 0) {
      this.#skipNext--
      return this.#ledger.add(tick, "Skipped", null)
    }
    if (frozenAt(freezes, tick)) return this.#ledger.add(tick, "Frozen", null)
    if (stretch === null || this.#plan.dueAt(tick) >= stretch.edge) {
      return this.#admit({ tick, cause: "schedule" }, false)
    }

    if (stretch.mode === "none") return this.#ledger.add(tick, "Missed", "Down")
    if (stretch.windowFrom !== null && tick < stretch.windowFrom) return this.#ledger.add(tick, "Missed", "Window")
    if (stretch.mode === "all") {
      if (stretch.capFrom !== null && tick < stretch.capFrom) return this.#ledger.add(tick, "Missed", "Cap")
      return this.#admit({ tick, cause: "catch-up" }, false)
    }
    if (stretch.refused !== undefined) {
      return this.#ledger.add(tick, "Overlapped", stretch.refused.reason, stretch.refused.by)
    }
    if (stretch.target === null) return this.#ledger.add(tick, "Missed", this.#isTooLate(tick) ? "Late" : "Down")
    return this.#ledger.add(tick, "Coalesced", iso(stretch.target), runIdOf(row, stretch.target))
  }

  /** One that was put off over an edit is judged like any other, but alone. */
  #startPutOff(tick: number, at: number): void {
    const { freezes, policies: { catchUp, graceMillis }, state: { resumed } } = this.#subject
    if (this.#skips.includes(tick)) {
      this.#skips = this.#skips.filter((skip) => skip !== tick)
      return this.#ledger.addAlone(tick, "Skipped", null)
    }
    if (frozenAt(freezes, tick)) return this.#ledger.addAlone(tick, "Frozen", null)
    const asked = resumed !== null && at <= resumed.at
    const late = asked || at < this.#now - graceMillis
    if (late && !asked && catchUp.mode === "none") return this.#ledger.addAlone(tick, "Missed", "Down")
    if (late && catchUp.windowMillis !== null && tick < this.#now - catchUp.windowMillis) {
      return this.#ledger.addAlone(tick, "Missed", "Window")
    }
    if (this.#left <= this.admission.starts.length) return this.#ledger.addAlone(tick, "Missed", "Ended")
    this.#admit({ tick, cause: late ? "catch-up" : "schedule" }, false)
    this.#ledger.interrupt()
  }

  #isTooLate(tick: number): boolean {
    const { startDeadlineMillis } = this.#subject.policies
    return startDeadlineMillis !== null && tick + startDeadlineMillis < this.#now
  }

  #admit(start: Start, waited: boolean): void {
    if (this.#isTooLate(start.tick)) {
      return waited
        ? this.#ledger.addAlone(start.tick, "Missed", "Late")
        : this.#ledger.add(start.tick, "Missed", "Late")
    }
    // One that waited from when more runs were allowed.
    if (waited && this.#left <= 0) return this.#ledger.addAlone(start.tick, "Missed", "Ended")
    const refusal = this.admission.admit(start, waited)
    if (refusal === undefined) return this.#ledger.interrupt()
    if (waited) return this.#ledger.addAlone(start.tick, "Overlapped", refusal.reason, refusal.by)
    return this.#ledger.add(start.tick, "Overlapped", refusal.reason, refusal.by)
  }
}

// ── everything ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Decides about a schedule as it stands at `now`. Deciding again about what the decision leaves, at the same time, goes on where
 * it stopped, and has nothing left to do once `wakeAt` lies ahead.
 */
export const decide = (subject: Subject, now: number, limit: Limits = limits): Decision => {
  const { policies, row, state, timetable } = subject
  const ticks = plan(row.name, timetable, policies)
  const ledger = new Ledger(state.ahead)
  const over = isOver(row, now)
  const [from, to] = [row.pausedAt ?? row.resumeAt!, row.resumeAt!]
  const cursor = over ? ledger.addPause(ticks, row.nextAt, from, to) : row.nextAt
  const putOff = over ? ledger.addPausedPutOff(state.putOff, from, to) : state.putOff
  const { ahead } = passing(state, cursor)
  const { events, failures, pauseReason, settled } = settle(subject)
  const stands = standing(over ? active : row, pauseReason, now)

  if (stands.status === "Paused") {
    // What is on its way when it pauses itself is left for whoever resumes it.
    return {
      settled,
      cancels: [],
      starts: [],
      reliesOnLive: false,
      entries: ledger.entries(timetable.text),
      events,
      after: {
        ...pick(stands),
        nextAt: cursor,
        wakeAt: stands.resumeAt,
        waitingSince: null,
        state: { ...state, failures, ahead, putOff, dropped: tallied(state.dropped, ledger.entries(timetable.text)) }
      }
    }
  }

  const pass = new Pass({ ...subject, state: { ...state, ahead, putOff } }, ticks, now, limit, ledger)
  const { nextAt: next, stretch } = pass.run(cursor)
  const { admission, remembered } = pass
  const nextAt = pass.ended ? null : next
  const entries = ledger.entries(timetable.text)
  return {
    settled,
    starts: admission.starts,
    cancels: admission.cancels,
    reliesOnLive: admission.consulted,
    entries,
    events: [...events, ...missed(entries)],
    after: {
      ...pick(stands),
      nextAt,
      wakeAt: nextAt !== null && pass.spent ? now : wakeAt(ticks, nextAt, remembered, policies),
      waitingSince: waitingSince(subject, admission, now),
      state: {
        ...state,
        ...remembered,
        dropped: tallied(state.dropped, entries),
        failures,
        stretch,
        resumed: nextAt === null || (state.resumed !== null && nextAt > state.resumed.at) ? null : state.resumed
      }
    }
  }
}

/** When a schedule that is Active has to be looked at. */
export const wakeAt = (
  { dueAt }: Pick<Plan, "dueAt">,
  nextAt: number | null,
  { buffered, putOff }: Pick<State, "buffered" | "putOff">,
  { startDeadlineMillis }: Pick<Policies, "startDeadlineMillis">
): number | null => {
  const [waiting] = buffered
  // When what waits is too late: others may be waiting behind it.
  const tooLate = waiting === undefined || startDeadlineMillis === null
    ? Infinity
    : waiting.tick + startDeadlineMillis + 1
  const first = Math.min(nextAt === null ? Infinity : dueAt(nextAt), tooLate, ...putOff.map(({ at }) => at))
  return first === Infinity ? null : first
}

/** Since it waits for the start after the last one that was made: those who share a scope take turns. */
const waitingSince = ({ row, state }: Subject, { buffered, starts }: Admission, now: number): number | null => {
  const [first] = buffered
  if (first === undefined) return null
  const waitsOn = starts.length === 0 && state.buffered.some(({ tick }) => tick === first.tick)
  return waitsOn ? row.waitingSince ?? now : now
}

const pick = ({ pauseReason, pausedAt, resumeAt, status }: Standing): Standing => ({
  status,
  pausedAt,
  pauseReason,
  resumeAt
})
