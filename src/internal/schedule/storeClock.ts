/**
 * What the store's clock shows now, as far as its answers tell.
 *
 * An answer carries the store's time and arrives later than that, so what it says about the difference between the two clocks
 * is too low by the time it took to arrive, and never too high. The highest of the last few is the best, and the estimate stays
 * at or just below the truth: asking then is not early, and is late by less than a round trip.
 */
const samples = 8

export class StoreClock {
  #offsets: Array<number> = []
  #offset = 0

  /** The store's time when this process's monotonic clock shows `local`, both in milliseconds. */
  at(local: number): number {
    return local + this.#offset
  }

  observe(store: number, local: number): void {
    this.#offsets.push(store - local)
    if (this.#offsets.length > samples) this.#offsets.shift()
    this.#offset = Math.max(...this.#offsets)
  }

  /** Forgets what it knew: the store's clock was set back. */
  reset(store: number, local: number): void {
    this.#offsets = []
    this.observe(store, local)
  }
}
