/** Ledger entries as they are decided: ticks in a row with the same answer become one entry. */
import type { NewEntry } from "../../SystemDb.ts"
import type { Plan } from "./plan.ts"

export type LedgerEntry = Omit<NewEntry, "schedule">

/**
 * What can be decided about a tick that becomes no run.
 *
 * `Overlapped`: runs were live · `Missed`: it was late, or its pause, or an edit, passed over it · `Coalesced`: another tick's run
 * stands for it · `Excluded`: by a calendar · `Skipped`: by an operator · `Frozen`: everything was · `Paused`: the schedule was.
 */
export type Decided = "Overlapped" | "Missed" | "Coalesced" | "Excluded" | "Skipped" | "Frozen" | "Paused"

const maxCounted = 100_000

interface Open {
  readonly decision: Decided
  readonly reason: string | null
  readonly runId: string | null
  readonly first: number
  last: number
  count: number | null
}

export class Ledger {
  readonly #entries: Array<Open> = []
  /** The entry that the next tick may continue. */
  #open: Open | undefined = undefined

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
   * A pause is one entry, however many ticks fell in it: from the first of them to the last before `to`. Ticks that waited for an
   * answer when it began are passed over too.
   */
  addPause(plan: Plan, cursor: number | null, from: number, to: number): void {
    // A schedule that has ended has no ticks that a pause could keep from starting.
    if (cursor === null) return
    this.addPassedOver(plan, cursor, from, "Paused")
    const first = plan.next(Math.max(cursor, from) - 1)
    const last = plan.prev(to)
    if (first === null || last === null || last < first) return
    this.#entries.push({ decision: "Paused", reason: null, runId: null, first, last, count: null })
  }

  /** The ticks from the cursor on and before `to`, counted as far as that costs little. */
  addPassedOver(plan: Plan, cursor: number | null, to: number, reason: string): void {
    const last = plan.prev(to)
    if (cursor === null || last === null || last < cursor) return
    let count: number | null = 0
    for (let tick: number | null = cursor; tick !== null && tick <= last; tick = plan.next(tick)) {
      if (++count > maxCounted) {
        count = null
        break
      }
    }
    this.#entries.push({ decision: "Missed", reason, runId: null, first: cursor, last, count })
  }

  entries(timing: string): ReadonlyArray<LedgerEntry> {
    return this.#entries.map((entry) => ({ ...entry, timing: entry.first === entry.last ? null : timing }))
  }
}
