/** Version 7 UUIDs from the fiber's Clock and Random: in order of time, and reproducible in a seeded test. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

const below = (bits: number): Effect.Effect<number> =>
  Effect.map(Random.next, (fraction) => Math.floor(fraction * 2 ** bits))

export const v7: Effect.Effect<string> = Effect.gen(function*() {
  const time = hex(yield* Clock.currentTimeMillis, 12)
  const version = hex(0x7000 + (yield* below(12)), 4)
  const variant = hex(0x8000 + (yield* below(14)), 4)
  const node = hex(yield* below(48), 12)
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}-${node}`
})
