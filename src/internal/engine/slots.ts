/** The runs a worker may execute at once. A run that only waits for long gives its slot to another. */
export class Slots {
  readonly #limit: number
  #taken = 0
  readonly #onFree: () => void

  constructor(limit: number, onFree: () => void) {
    this.#limit = limit
    this.#onFree = onFree
  }

  get free(): number {
    return Math.max(0, this.#limit - this.#taken)
  }

  /** Takes a slot; a run that comes back from a long wait takes it even when none is free. */
  take(): void {
    this.#taken++
  }

  give(): void {
    this.#taken--
    this.#onFree()
  }
}
