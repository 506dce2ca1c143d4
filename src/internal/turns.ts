/**
 * The order in which a replay gives its records back: that in which they came to their outcome, as far as the body asks for it.
 *
 * Branches that ran side by side do so again. What one of them comes to is given to it when the records of before have been
 * given, and when its siblings have come to theirs: a failure, or the winner of a race, ends them, and what they had done must be
 * known by then. What the body does not come to any more is not waited for: nothing is, once all rest.
 */
import * as Effect from "effect/Effect"
import type { StepRecord } from "../SystemDb.ts"

/** Turns of the other fibers in which nothing is asked for, after which they rest. */
const restTurns = 12
const lookMillis = 100
/** Fewer than after which a replay is stopped that makes no progress. */
const patientLooks = 30

/** When a record came to its outcome, where that is not when it was first written. */
const laterOutcome = ({ attempts, kind, outcome, recordedAt, wakeAt }: StepRecord): number | null =>
  kind === "Sleep" ? wakeAt : attempts > 1 && outcome !== null ? recordedAt : null

/** The place of every record, from records in the order of their first write. */
const placesOf = (records: ReadonlyArray<StepRecord>): Map<StepRecord, number> => {
  // The earliest instant from each place on. Clocks may go back; this grows.
  const from = records.map(({ recordedAt }) => recordedAt)
  for (let index = from.length - 2; index >= 0; index--) from[index] = Math.min(from[index]!, from[index + 1]!)
  const lastUntil = (at: number): number => {
    let [low, high] = [0, from.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (from[middle]! <= at) low = middle + 1
      else high = middle
    }
    return low - 0.5
  }
  const keyed = records.map((record, index) => {
    const later = laterOutcome(record)
    return [record, later === null ? index : Math.max(index, lastUntil(later))] as const
  })
  keyed.sort(([, a], [, b]) => a - b)
  return new Map(keyed.map(([record], place) => [record, place]))
}

export class Turns {
  readonly #places: Map<StepRecord, number>
  readonly #gone: Array<boolean> = []
  /** Who waits, and how to let the one with the lowest place go on. */
  readonly #waiting = new Map<number, () => void>()
  #next = 0
  #unasked: number
  /** Grows with everything that a branch does here. */
  #progress = 0

  constructor(records: ReadonlyArray<StepRecord>) {
    this.#places = placesOf(records)
    this.#unasked = this.#places.size
  }

  /** The place of a record among all, or undefined when it has none. */
  placeOf(record: StepRecord): number | undefined {
    return this.#places.get(record)
  }

  /** Whether there are records that the body has not come to. */
  get pending(): boolean {
    return this.#unasked > 0
  }

  /** Says that the body has come to this record. */
  ask(record: StepRecord): void {
    if (!this.#places.has(record)) return
    this.#unasked--
    this.#progress++
  }

  /** Whether all that was there before this record has been given back. */
  isDue(record: StepRecord): boolean {
    const place = this.#places.get(record)
    return place === undefined || place <= this.#next
  }

  /** Says that the body is given this record. */
  take(record: StepRecord): void {
    const place = this.#places.get(record)
    if (place === undefined) return
    this.#progress++
    this.#gone[place] = true
    while (this.#gone[this.#next] === true) this.#next++
    this.#wake()
  }

  /** Waits until the record is due, or the others rest; with patience, for those that sleep or ask somebody else. */
  wait(record: StepRecord, patient: boolean): Effect.Effect<void> {
    const place = this.#places.get(record)
    if (place === undefined) return Effect.void
    const limit = patient ? restTurns + patientLooks : restTurns
    const parked = Effect.callback<void>((resume) => {
      this.#waiting.set(place, () => resume(Effect.void))
    })
    const wait = (rested: number): Effect.Effect<void> => {
      if (!this.pending && this.isDue(record)) return Effect.void
      // Of several that wait the earliest goes on first.
      if (this.#lowest() !== place) return Effect.andThen(parked, Effect.suspend(() => wait(0)))
      if (rested >= limit) {
        this.#next = Math.max(this.#next, place)
        return Effect.void
      }
      const before = this.#progress
      return Effect.andThen(
        rested < restTurns ? Effect.yieldNow : Effect.sleep(lookMillis),
        Effect.suspend(() => wait(before === this.#progress ? rested + 1 : 0))
      )
    }
    return Effect.suspend(() => {
      this.#waiting.set(place, () => {})
      return Effect.ensuring(
        wait(0),
        Effect.sync(() => {
          this.#waiting.delete(place)
          this.#wake()
        })
      )
    })
  }

  #lowest(): number {
    let lowest = Number.POSITIVE_INFINITY
    for (const place of this.#waiting.keys()) lowest = Math.min(lowest, place)
    return lowest
  }

  #wake(): void {
    this.#waiting.get(this.#lowest())?.()
  }
}
