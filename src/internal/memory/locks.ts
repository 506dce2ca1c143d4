/** Rows of the memory store that a transaction of somebody else's holds, as in a store that others reach. */
import * as Effect from "effect/Effect"

/** A row that can be held. */
export interface Row {
  readonly of: "run" | "schedule"
  /** The run's id, or the schedule's name. */
  readonly key: string
}

const keyOf = ({ key, of }: Row): string => `${of} ${key}`

export class Locks {
  readonly #held = new Set<string>()
  readonly #waiting = new Set<() => void>()
  #changing = false

  /** How many calls wait for a row to be let go. */
  get waiting(): number {
    return this.#waiting.size
  }

  run(id: string): boolean {
    return this.#held.size > 0 && this.#held.has(keyOf({ of: "run", key: id }))
  }

  schedule(name: string): boolean {
    return this.#held.size > 0 && this.#held.has(keyOf({ of: "schedule", key: name }))
  }

  /** False when somebody else holds it. */
  hold(row: Row): boolean {
    if (this.#held.has(keyOf(row))) return false
    this.#held.add(keyOf(row))
    return true
  }

  letGo(row: Row): void {
    this.#held.delete(keyOf(row))
    this.#wake()
  }

  #wake(): void {
    // Those that wait now: one that finds its row held by another waits again.
    const all = [...this.#waiting]
    for (const wake of all) wake()
  }

  readonly #change: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const wake = () => {
      this.#waiting.delete(wake)
      resume(Effect.void)
    }
    this.#waiting.add(wake)
    return Effect.sync(() => this.#waiting.delete(wake))
  })

  #when<A, E, R>(ready: () => boolean, call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => ready() ? call : Effect.andThen(this.#change, this.#when(ready, call)))
  }

  /** Makes the call once it need not wait for anybody; asked again whenever a row is let go. */
  until<A, E, R>(free: () => boolean, call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.#when(() => this.#held.size === 0 || free(), call)
  }

  /** The same for changes of schedules, which are made one after the other: who waits for a row makes the next ones wait. */
  inTurn<A, E, R>(free: () => boolean, call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const turn = Effect.acquireUseRelease(
      Effect.sync(() => void (this.#changing = true)),
      () => this.until(free, call),
      () =>
        Effect.sync(() => {
          this.#changing = false
          this.#wake()
        })
    )
    return this.#when(() => !this.#changing, turn)
  }
}
