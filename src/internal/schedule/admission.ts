/** Overlap: which starts are let through while runs are live, and what becomes of the others. */
import type { DueSchedule } from "../../SystemDb.ts"
import type { Start } from "./decide.ts"
import type { OverlapRule } from "./policies.ts"
import { type Named, runIdOf } from "./ticks.ts"

/** Why a tick does not start. */
export interface Refusal {
  readonly reason: "Live" | "BufferFull" | "Waiting"
  /** The run in whose way it would be; none when it would only overtake a start that waits. */
  readonly by: string | null
}

export class Admission {
  readonly #schedule: Named
  readonly #rule: OverlapRule
  readonly #cancels: Array<string> = []
  readonly #replaced: Array<number> = []
  readonly #live: Array<string>
  readonly #behind: string | null
  readonly #unlimited: boolean
  readonly #limits: { readonly starts: number; readonly runs: number }
  #starts: Array<Start> = []
  #buffered: Array<Start> = []
  #consulted = false

  /** `limits.starts` are for this decision; `limits.runs` is how many more runs there may be at all. */
  constructor(
    { behind, incarnation, live, name }: Pick<DueSchedule, "behind" | "incarnation" | "live" | "name">,
    rule: OverlapRule,
    limits: { readonly starts: number; readonly runs: number }
  ) {
    this.#schedule = { name, incarnation }
    this.#rule = rule
    this.#behind = behind[0] ?? null
    this.#limits = limits
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

  /** Ticks whose starts were let through and then gave way to the one that is, in order. */
  get replaced(): ReadonlyArray<number> {
    return this.#replaced
  }

  /** The run of the first start. */
  get firstRun(): string | null {
    const first = this.#starts[0]
    return first === undefined ? null : runIdOf(this.#schedule, first.tick)
  }

  get cancels(): ReadonlyArray<{ readonly runId: string; readonly reason: string }> {
    const by = this.firstRun
    const reason = by === null ? `Makes room for schedule ${this.#behind}` : `Replaced by run ${by}`
    return this.#cancels.map((runId) => ({ runId, reason }))
  }

  /** Whether it mattered which runs are live, and who waits. */
  get consulted(): boolean {
    return this.#consulted
  }

  /** What keeps a start from being let through now. */
  get obstacle(): Refusal {
    return this.#behind === null
      ? { reason: "Live", by: this.#live[0] ?? this.firstRun }
      : { reason: "Waiting", by: null }
  }

  /**
   * Starts it, lets it wait or refuses it. One that waited before goes on waiting when it cannot start; so does one for which this
   * decision has no room any more. Nothing overtakes a start of another schedule that waits in the same scope.
   */
  admit(start: Start, waited: boolean): Refusal | undefined {
    const { runs, starts } = this.#limits
    const most = Math.min(starts, runs)
    if (this.#unlimited) {
      if (waited && this.#starts.length >= most) this.#buffered.push(start)
      else this.#starts.push(start)
      return undefined
    }
    this.#consulted = true
    const { max, mode } = this.#rule
    if (mode === "cancelOther") return this.#replace(start)
    const atOnce = mode === "allow" ? max ?? Infinity : 1
    const free = this.#behind === null && this.#live.length + this.#starts.length < atOnce && this.#starts.length < most
    if (free && this.#buffered.length === 0) {
      this.#starts.push(start)
      return undefined
    }
    const room = mode === "bufferOne" ? 1 : mode === "bufferAll" ? max ?? Infinity : 0
    if (waited || (this.#buffered.length < room && this.#starts.length + this.#buffered.length < runs)) {
      this.#buffered.push(start)
      return undefined
    }
    return room > 0 ? { ...this.obstacle, reason: "BufferFull" } : this.obstacle
  }

  /**
   * Of several starts in one decision only the last one is made: a run cannot be started and cancelled in one statement. What is
   * live is cancelled also for a start of another schedule that waits.
   */
  #replace(start: Start): Refusal | undefined {
    if (this.#cancels.length === 0) this.#cancels.push(...this.#live)
    if (this.#behind !== null) return this.obstacle
    this.#replaced.push(...this.#starts.map(({ tick }) => tick))
    this.#starts = [start]
    return undefined
  }
}
