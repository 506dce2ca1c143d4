/** Ledger entries as they are decided: ticks in a row with the same answer become one entry. */
import type { NewEntry } from "../../SystemDb.ts"
import type { Plan } from "./plan.ts"
import type { PutOff } from "./state.ts"

export type LedgerEntry = Omit<NewEntry, "schedule">

/**
 * What can be decided about a tick that becomes no run.
 *
 * `Overlapped`: runs were live · `Missed`: it was late, or its pause, or an edit, passed over it · `Coalesced`: another tick's run
 * stands for it · `Excluded`: by a calendar · `Skipped`: by an operator · `Frozen`: everything was · `Paused`: the schedule was.
 */
export type Decided = "Overlapped" | "Missed" | "Coalesced" | "Excluded" | "Skipped" | "Frozen" | "Paused"

const maxCounted = 100_000

const later = (tick: number, other: number | null): number | null => other === null ? null : Math.max(tick, other)

interface Open {
  readonly decision: Decided
  readonly reason: string | null
  readonly runId: string | null
  readonly first: number
  last: number
  count: number | null
}

interface Range {
  readonly decision: Decided
  readonly reason: string | null
  readonly first: number
  readonly last: number
  readonly counted: boolean
}

const countOf = (plan: Plan, first: number, last: number): number | null => {
  let count = 0
  for (let tick: number | null = first; tick !== null && tick <= last; tick = plan.next(tick)) {
    if (++count > maxCounted) return null
  }
  return count
}

export class Ledger {
  readonly #entries: Array<Open> = []
  /** Ticks that have their answer already, and get none as part of a range. */
  readonly #ahead: ReadonlyArray<number>
  /** The entry that the next tick may continue. */
  #open: Open | undefined = undefined

  constructor(ahead: ReadonlyArray<number> = []) {
    this.#ahead = ahead
  }

  get size(): number {
    return this.#entries.length
  }

  /** Ticks are added in order, each once. One with the same answer as the tick before it continues that one's entry. */
  add(tick: number, decision: Decided, reason: string | null, runId: string | null = null): void {
    const open = this.#open
    if (open !== undefined && open.decision === decision && open.reason === reason && open.runId === runId) {
      open.last = tick
      open.count!++
      return
    }
    this.#open = this.#push(tick, decision, reason, runId)
  }

  /** Adds a tick that others may have come after. */
  addAlone(tick: number, decision: Decided, reason: string | null, runId: string | null = null): void {
    this.#push(tick, decision, reason, runId)
  }

  /** Adds ticks in a row. */
  addRange(
    first: number,
    last: number,
    count: number | null,
    decision: Decided,
    reason: string | null,
    runId: string | null = null
  ): void {
    this.#entries.push({ decision, reason, runId, first, last, count })
  }

  /** Lets another tick's run stand for all that were coalesced into one of this decision. */
  redirect(reason: string, runId: string | null): void {
    this.#entries.forEach((entry, index) => {
      if (entry.decision === "Coalesced") this.#entries[index] = { ...entry, reason, runId }
    })
  }

  /** Says that the tick that comes now has another answer than an entry. */
  interrupt(): void {
    this.#open = undefined
  }

  #push(tick: number, decision: Decided, reason: string | null, runId: string | null): Open {
    const entry: Open = { decision, reason, runId, first: tick, last: tick, count: 1 }
    this.#entries.push(entry)
    return entry
  }

  /**
   * A pause is one entry, however many ticks fell in it: those that were due from `from` on and before `to`. Ticks that waited for
   * an answer when it began are passed over too. Gives the tick that the schedule goes on with.
   */
  addPause(plan: Plan, cursor: number | null, from: number, to: number): number | null {
    // A schedule that has ended has no ticks that a pause could keep from starting.
    if (cursor === null) return null
    const first = later(cursor, plan.firstDue(from))
    this.#addPassedOver(plan, cursor, first ?? from, "Paused")
    if (first === null) return null
    const next = later(first, plan.firstDue(to))
    const last = plan.prev(next ?? to)
    if (last !== null) this.#addRanges(plan, { decision: "Paused", reason: null, first, last, counted: false })
    return next
  }

  /** The same for ticks that were put off. Gives those that are due at `to` or later. */
  addPausedPutOff(putOff: ReadonlyArray<PutOff>, from: number, to: number): ReadonlyArray<PutOff> {
    for (const { at, tick } of putOff) {
      if (at < from) this.addAlone(tick, "Missed", "Paused")
      else if (at < to) this.addAlone(tick, "Paused", null)
    }
    return putOff.filter(({ at }) => at >= to)
  }

  /** The ticks that were due before `to` are passed over because of an edit. Gives the first that was not. */
  addEdit(plan: Plan, cursor: number | null, to: number): number | null {
    if (cursor === null) return null
    const next = later(cursor, plan.firstDue(to))
    this.#addPassedOver(plan, cursor, next ?? to, "Edited")
    return next
  }

  /** The ticks from the cursor on and before `to`, counted as far as that costs little. */
  #addPassedOver(plan: Plan, cursor: number | null, to: number, reason: "Paused" | "Edited"): void {
    const last = plan.prev(to)
    if (cursor === null || last === null) return
    this.#addRanges(plan, { decision: "Missed", reason, first: cursor, last, counted: true })
  }

  #addRanges(plan: Plan, range: Range): void {
    const { counted, decision, first, last, reason } = range
    if (last < first) return
    const ahead = this.#ahead.find((tick) => tick >= first && tick <= last)
    if (ahead !== undefined) {
      const [before, after] = [plan.prev(ahead), plan.next(ahead)]
      if (before !== null) this.#addRanges(plan, { ...range, last: before })
      if (after !== null) this.#addRanges(plan, { ...range, first: after })
      return
    }
    this.addRange(first, last, counted ? countOf(plan, first, last) : null, decision, reason)
  }

  entries(timing: string): ReadonlyArray<LedgerEntry> {
    return this.#entries.map((entry) => ({ ...entry, timing: entry.first === entry.last ? null : timing }))
  }
}
