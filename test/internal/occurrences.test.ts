import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Occurrences } from "../../src/internal/occurrences.ts"

/** Uses a name in the fiber at hand, for as long as the effect takes; the occurrence, or what it was refused with. */
const user = (occurrences: Occurrences) => (name: string, during: Effect.Effect<unknown> = Effect.void, key = "") =>
  Effect.withFiber((fiber): Effect.Effect<number | "refused"> => {
    const id = occurrences.next(fiber, name, key)
    if (id === undefined) return Effect.succeed("refused")
    occurrences.enter(fiber, id)
    return Effect.as(Effect.ensuring(during, Effect.sync(() => occurrences.leave(id))), id.occurrence)
  })

/** Runs the effect in a fiber that is a run's body, as the engine does. */
const asBody = <A, E>(make: (use: ReturnType<typeof user>) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const occurrences = new Occurrences()
    const fiber = yield* Effect.forkChild(make(user(occurrences)))
    occurrences.branch(fiber)
    return yield* Fiber.join(fiber)
  })

const yields = Effect.repeat(Effect.yieldNow, { times: 5 })

describe("occurrences", () => {
  it.effect("count each name and key by itself", () =>
    Effect.gen(function*() {
      const found = yield* asBody((use) =>
        Effect.all([use("a"), use("a"), use("b"), use("a", Effect.void, "k"), use("a"), use("a", Effect.void, "k")])
      )
      assert.deepStrictEqual(found, [1, 2, 1, 1, 3, 2])
    }))

  it.effect("do not mistake a name with a key for another name", () =>
    Effect.gen(function*() {
      const found = yield* asBody((use) =>
        Effect.all([use("ab"), use("a", Effect.void, "b"), use("a", Effect.void, "b\u0000")])
      )
      assert.deepStrictEqual(found, [1, 1, 1])
    }))

  it.effect("are in order in a fiber, in those it forks afterwards, and again in itself", () =>
    Effect.gen(function*() {
      const found = yield* asBody((use) =>
        Effect.all([
          use("a"),
          Effect.timeout(use("a", yields), "1 second"),
          Effect.flatMap(Effect.forkChild(Effect.timeout(use("a", yields), "1 second")), Fiber.join),
          use("a")
        ])
      )
      assert.deepStrictEqual(found, [1, 2, 3, 4])
    }))

  it.effect("are in order in fibers one of which ended before the other was forked", () =>
    Effect.gen(function*() {
      const found = yield* asBody((use) =>
        Effect.forEach([1, 2, 3, 4], () =>
          Effect.flatMap(Effect.forkChild(Effect.andThen(yields, use("a", yields))), Fiber.join))
      )
      assert.deepStrictEqual(found, [1, 2, 3, 4])
    }))

  it.effect("are refused in fibers that live at the same time", () =>
    Effect.gen(function*() {
      const found = yield* asBody((use) =>
        Effect.forEach([1, 2, 3], () => use("a", yields), { concurrency: "unbounded" })
      )
      assert.deepStrictEqual(found, [1, "refused", "refused"])
    }))

  it.effect("are refused in a fiber that was forked before its parent's use, and in a parent beside its child", () =>
    Effect.gen(function*() {
      const late = yield* asBody((use) =>
        Effect.gen(function*() {
          const child = yield* Effect.forkChild(Effect.andThen(yields, use("a")))
          yield* use("a")
          return yield* Fiber.join(child)
        })
      )
      assert.strictEqual(late, "refused")
      const beside = yield* asBody((use) =>
        Effect.gen(function*() {
          const child = yield* Effect.forkChild(use("a", yields), { startImmediately: true })
          const own = yield* use("a")
          yield* Fiber.join(child)
          return own
        })
      )
      assert.strictEqual(beside, "refused")
    }))

  it.effect("are refused, although in order, in a fiber after one it forked before it used anything itself", () =>
    Effect.gen(function*() {
      // Nothing tells this fiber from one that only happens to be later than its sibling, and guessing would be silent.
      const found = yield* asBody((use) =>
        Effect.timeout(Effect.all([Effect.timeout(use("a", yields), "1 second"), use("a")]), "2 seconds")
      )
      assert.deepStrictEqual(found, [1, "refused"])
      const used = yield* asBody((use) =>
        Effect.timeout(Effect.all([use("b"), Effect.timeout(use("a", yields), "1 second"), use("a")]), "2 seconds")
      )
      assert.deepStrictEqual(used, [1, 1, 2])
    }))

  it.effect("keep nothing for each round of a loop", () =>
    Effect.gen(function*() {
      const before = process.memoryUsage().heapUsed
      const last = yield* asBody((use) =>
        Effect.gen(function*() {
          let last: unknown
          for (let n = 0; n < 20_000; n++) last = yield* Effect.timeoutOption(use("a", Effect.yieldNow), "1 second")
          return last
        })
      )
      assert.include(String(last), "20000")
      assert.isBelow(process.memoryUsage().heapUsed - before, 100_000_000)
    }))
})
