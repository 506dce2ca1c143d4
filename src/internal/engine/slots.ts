/**
 * The runs a worker may execute at once. A run that only waits for long gives its slot to another, and stands in line for one
 * when it goes on: whoever stands there comes before anything new.
 */
export class Slots {
  readonly #limit: number
  readonly #onFree: () => void
  /** In the order they came. */
  readonly #line = new Set<() => void>()
  #taken = 0
  /** Given and not yet passed on. */
  #given = 0
  #giving = false

  constructor(limit: number, onFree: () => void) {
    this.#limit = limit
    this.#onFree = onFree
  }

  /** How many can be taken at once by what is new. */
  get free(): number {
    return this.#line.size > 0 ? 0 : this.#limit - this.#taken
  }

  /** Takes one that is free. */
  take(): void {
    this.#taken++
  }

  /** Takes one now or as soon as it is this one's turn, and says so; what is returned leaves the line. */
  stand(granted: () => void): () => void {
    if (this.free > 0) {
      this.take()
      granted()
      return () => {}
    }
    this.#line.add(granted)
    return () => void this.#line.delete(granted)
  }

  give(): void {
    this.#given++
    // Whoever gets one may give it on at once, and a long line of those would be a deep stack.
    if (this.#giving) return
    this.#giving = true
    while (this.#given > 0) {
      this.#given--
      this.#pass()
    }
    this.#giving = false
  }

  #pass(): void {
    const [next] = this.#line
    if (next === undefined) {
      this.#taken--
      return this.#onFree()
    }
    this.#line.delete(next)
    next()
  }
}
