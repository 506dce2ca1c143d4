import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Heap } from "../../../src/internal/engine/heap.ts"
import { StoreClock } from "../../../src/internal/schedule/storeClock.ts"

const Numbers = Schema.Array(Schema.Int)

const drain = (heap: Heap<{ readonly at: number }>): ReadonlyArray<number> => {
  const drained: Array<number> = []
  for (let next = heap.pop(); next !== undefined; next = heap.pop()) drained.push(next.at)
  return drained
}

it.effect.prop(
  "a heap gives back what it was filled with and what was pushed, the earliest first",
  [Numbers, Numbers],
  ([
    filled,
    pushed
  ]) =>
    Effect.sync(() => {
      const heap = new Heap<{ readonly at: number }>()
      heap.fill(filled.map((at) => ({ at })))
      for (const at of pushed) heap.push({ at })
      assert.strictEqual(heap.size, filled.length + pushed.length)
      assert.deepStrictEqual(drain(heap), [...filled, ...pushed].sort((a, b) => a - b))
    })
)

it.effect.prop(
  "the estimate of the store's clock is never ahead of it, and as close as the quickest of the last answers",
  [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 500 }))).check(Schema.isMinLength(1))],
  ([delays]) =>
    Effect.sync(() => {
      const clock = new StoreClock()
      delays.forEach((delay, index) => clock.observe(1_000_000 + index * 1_000, index * 1_000 + delay))
      const local = delays.length * 1_000
      const behind = 1_000_000 + local - clock.at(local)
      assert.strictEqual(behind, Math.min(...delays.slice(-8)))
    })
)

it.effect("a store whose clock was set back is believed", () =>
  Effect.sync(() => {
    const clock = new StoreClock()
    clock.observe(1_000_000, 0)
    clock.reset(900_000, 10)
    assert.strictEqual(clock.at(20), 900_010)
  }))
