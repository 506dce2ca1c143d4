/** A binary heap of what is to be done when: the earliest first. */
export class Heap<A extends { readonly at: number }> {
  #items: Array<A> = []

  get size(): number {
    return this.#items.length
  }

  /** The earliest item. */
  peek(): A | undefined {
    return this.#items[0]
  }

  push(item: A): void {
    const items = this.#items
    let index = items.length
    items.push(item)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (items[parent]!.at <= item.at) break
      items[index] = items[parent]!
      index = parent
    }
    items[index] = item
  }

  pop(): A | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (items.length > 0) this.#sink(last!, 0)
    return top
  }

  /** Replaces everything in it, in linear time. */
  fill(all: Iterable<A>): void {
    this.#items = [...all]
    for (let index = (this.#items.length >> 1) - 1; index >= 0; index--) this.#sink(this.#items[index]!, index)
  }

  /** Puts the item at the index or below it, wherever it belongs. */
  #sink(item: A, start: number): void {
    const items = this.#items
    let index = start
    for (;;) {
      let child = 2 * index + 1
      if (child >= items.length) break
      if (child + 1 < items.length && items[child + 1]!.at < items[child]!.at) child++
      if (items[child]!.at >= item.at) break
      items[index] = items[child]!
      index = child
    }
    items[index] = item
  }
}
