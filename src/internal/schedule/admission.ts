/** Overlap: which starts are let through while runs are live, and what becomes of the others. */
import type { LiveRun } from "../../SystemDb.ts"
import type { Start } from "./decide.ts"
import type { OverlapRule } from "./policies.ts"
import { runIdOf } from "./ticks.ts"

/** A tick that does not start because of another run. */
export interface Refusal {
  readonly tick: number
  /** The run in whose way it would be, or that takes its place. */
  readonly by: string | null
  readonly reason: "Live" | "BufferFull" | "Replaced"
}

export class Admission {
  readonly #schedule: string
  readonly #rule: OverlapRule
  readonly #cancels: Array<{ readonly runId: string; readonly reason: string }> = []
  readonly #live: Array<string>
  readonly #unlimited: boolean
  #starts: Array<Start> = []
  #buffered: Array<Start> = []
  #consulted = false

  constructor(schedule: string, rule: OverlapRule, live: ReadonlyArray<LiveRun>) {
    this.#schedule = schedule
    this.#rule = rule
    this.#unlimited = rule.mode === "allow" && rule.max === null
    // The oldest first, since it is the one to name.
    this.#live = [...live]
      .sort((a, b) => a.createdAt - b.createdAt || a.tick - b.tick || (a.runId < b.runId ? -1 : 1))
      .map(({ runId }) => runId)
  }

  /** The starts let through, in order. */
  get starts(): ReadonlyArray<Start> {
    return this.#starts
  }

  /** The starts that wait, in order. */
  get buffered(): ReadonlyArray<Start> {
    return this.#buffered
  }

  get cancels(): ReadonlyArray<{ readonly runId: string; readonly reason: string }> {
    return this.#cancels
  }

  /** Whether it mattered which runs are live. */
  get consulted(): boolean {
    return this.#consulted
  }

  /**
   * Starts it, lets it wait or refuses it; the tick that is refused, if any, which can be an earlier one. One that waited before
   * goes on waiting when it cannot start; so does one for which this decision has no room any more.
   */
  admit(start: Start, waited: boolean, maxStarts: number): Refusal | undefined {
    if (this.#unlimited) {
      if (waited && this.#starts.length >= maxStarts) this.#buffered.push(start)
      else this.#starts.push(start)
      return undefined
    }
    this.#consulted = true
    const { max, mode } = this.#rule
    if (mode === "cancelOther") return this.#replace(start)
    const atOnce = mode === "allow" ? max ?? Infinity : 1
    const free = this.#live.length + this.#starts.length < atOnce && this.#starts.length < maxStarts
    if (free && this.#buffered.length === 0) {
      this.#starts.push(start)
      return undefined
    }
    const room = mode === "bufferOne" ? 1 : mode === "bufferAll" ? max ?? Infinity : 0
    if (waited || this.#buffered.length < room) {
      this.#buffered.push(start)
      return undefined
    }
    return { tick: start.tick, by: this.#inTheWay(), reason: room > 0 ? "BufferFull" : "Live" }
  }

  #inTheWay(): string | null {
    const first = this.#starts[0]
    return this.#live[0] ?? (first === undefined ? null : runIdOf(this.#schedule, first.tick))
  }

  /** Of several starts in one decision only the last one is made: a run cannot be started and cancelled in one statement. */
  #replace(start: Start): Refusal | undefined {
    const by = runIdOf(this.#schedule, start.tick)
    const replaced = this.#starts[0]
    this.#starts = [start]
    this.#cancels.length = 0
    for (const runId of this.#live) this.#cancels.push({ runId, reason: `Replaced by run ${by}` })
    return replaced === undefined ? undefined : { tick: replaced.tick, by, reason: "Replaced" }
  }
}
