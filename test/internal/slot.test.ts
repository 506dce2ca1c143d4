/** The law of slots, over generated runs: as many work at once as there are slots at most, all get their turn, and none is lost. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { Slots } from "../../src/internal/engine/slots.ts"
import { type Host, Slot } from "../../src/internal/slot.ts"

const Act = Schema.Literals(["work", "wait", "wait long", "lose a race"])
type Act = typeof Act.Type

const within = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const upTo = (length: number) => Schema.isMaxLength(length)

/** Of each run its branches, and of each branch what it does. */
const Runs = Schema.Array(
  Schema.Array(Schema.Array(Act).check(upTo(5))).check(upTo(3))
).check(upTo(8))

/** Lets each operation under way end when it is told to, one after the other, in an order that a seed picks. */
class Pending {
  readonly all: Array<Deferred.Deferred<void>> = []
  readonly next = Effect.suspend(() => {
    const deferred = Deferred.makeUnsafe<void>()
    this.all.push(deferred)
    return Deferred.await(deferred)
  })
}

const settle = Effect.repeat(Effect.yieldNow, { times: 5 })

const hostOf = (slots: Slots): Host => ({
  suspendAfterMillis: 0,
  park: () => slots.give(),
  stand: (granted) => slots.stand(granted)
})

/** Does an operation that needs the slot, as an execution does. */
const perform = (slot: Slot, operation: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!slot.ready) return Effect.andThen(slot.taken, perform(slot, operation))
    slot.enter()
    return Effect.ensuring(operation, Effect.sync(() => slot.leave()))
  })

describe("slots", () => {
  it.effect.prop(
    "are taken by no more runs than there are at once, and all come back when the runs are over",
    [
      Arbitrary.schema(Runs),
      Arbitrary.schema(within(1, 3)),
      Arbitrary.schema(within(0, 1e6))
    ],
    ([runs, limit, seed]) =>
      Effect.gen(function*() {
        const slots = new Slots(limit, () => {})
        const pending = new Pending()
        const working = new Set<Slot>()
        const branch = (slot: Slot, acts: ReadonlyArray<Act>) =>
          Effect.forEach(acts, (act) => {
            switch (act) {
              case "work":
                return perform(
                  slot,
                  Effect.gen(function*() {
                    working.add(slot)
                    assert.isAtMost(working.size, limit)
                    yield* pending.next
                    working.delete(slot)
                  })
                )
              case "lose a race":
                return Effect.raceFirst(slot.during(Effect.never, true), slot.during(pending.next, false))
              default:
                return slot.during(pending.next, act === "wait long")
            }
          }, { discard: true })
        const fibers = yield* Effect.forEach(runs, (branches) => {
          const slot = new Slot(hostOf(slots), false)
          const body = Effect.forEach(branches, (acts) => branch(slot, acts), {
            concurrency: "unbounded",
            discard: true
          })
          return Effect.forkChild(
            Effect.ensuring(body, Effect.sync(() => slot.close() ? undefined : slots.give())),
            { startImmediately: true }
          )
        })
        let random = seed
        for (let idle = 0; idle < 3;) {
          yield* settle
          random = (random * 1_103_515_245 + 12_345) % 2_147_483_648
          const [one] = pending.all.splice(random % Math.max(1, pending.all.length), 1)
          if (one === undefined) idle++
          else yield* Deferred.succeed(one, undefined)
        }
        for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe(), "a run never got its turn")
        yield* Effect.forEach(fibers, Fiber.join)
        assert.strictEqual(slots.free, limit)
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect("a run with two long waits goes on when one of them ends, with others behind it in line", () =>
    Effect.gen(function*() {
      const slots = new Slots(1, () => {})
      slots.take()
      const slot = new Slot(hostOf(slots), true)
      const woken = yield* Deferred.make<void>()
      let worked = 0
      yield* Effect.forkChild(slot.during(Effect.never, true), { startImmediately: true })
      const branch = Effect.andThen(
        slot.during(Deferred.await(woken), true),
        perform(slot, Effect.sync(() => void worked++))
      )
      yield* Effect.forkChild(branch, { startImmediately: true })
      yield* settle
      // Another run has the slot meanwhile, and one more stands behind.
      assert.strictEqual(slots.free, 1)
      slots.take()
      yield* Deferred.succeed(woken, undefined)
      yield* settle
      let behind = 0
      slots.stand(() => void behind++)
      slots.give()
      yield* settle
      assert.deepStrictEqual([worked, behind], [1, 1])
      slot.doWithout()
    }))

  it.effect("pass along a line of any length, whose runs wait again at once or are over", () =>
    Effect.gen(function*() {
      const length = 20_000
      const slots = new Slots(1, () => {})
      slots.take()
      let passed = 0
      for (let n = 0; n < length; n++) {
        slots.stand(() => {
          passed++
          slots.give()
        })
      }
      slots.give()
      assert.strictEqual(passed, length)
      assert.strictEqual(slots.free, 1)
    }))
})
