/** How time passes in a test: from one instant at which something is due to the next, each left only when all is at rest. */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Execution } from "../execution.ts"
import type { VirtualClock } from "./clock.ts"

export interface Course {
  /** Moves the clock to this instant, by way of everything that is due until then. */
  readonly to: (at: number) => Effect.Effect<void>
  /** Moves the clock until the effect has ended. */
  readonly until: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Sleeps that end later are an engine's way to wait for ever. */
const farMillis = 3_650 * 86_400_000

export const make = (
  clock: VirtualClock,
  executions: () => ReadonlyArray<Execution>,
  patienceMillis: number
): Effect.Effect<Course> =>
  Effect.map(Semaphore.make(1), (semaphore) => {
    /** Bodies that were waited for in vain: whatever they wait for, only the test or the clock can bring it. */
    const stuck = new WeakSet<Execution>()

    /** The bodies that do something which takes real time, such as a request. */
    const busy = () =>
      executions().filter((execution) => !execution.idle && !clock.asleep(execution) && !stuck.has(execution))

    /** Lets fibers run until none of them has anything left to do. Promises that need no I/O settle on the way. */
    const settle = Effect.gen(function*() {
      for (let quiet = 0; quiet < 2;) {
        const before = clock.progress()
        yield* Effect.yieldNow
        // One is this fiber's own.
        quiet = clock.progress() - before <= 1 ? quiet + 1 : 0
      }
    })

    const rest = Effect.gen(function*() {
      yield* settle
      for (let waited = 0; busy().length > 0; waited++) {
        if (waited >= patienceMillis) return busy().forEach((execution) => stuck.add(execution))
        yield* clock.withLive(Effect.sleep(1))
        yield* settle
      }
    })

    /** Moves on to the next instant at which something is due, if it comes in time. */
    const step = (limit: number) =>
      Effect.suspend(() => {
        const next = clock.next()
        return next > limit ? Effect.succeed(false) : Effect.as(Effect.andThen(clock.set(next), rest), true)
      })

    const to = Effect.fnUntraced(function*(at: number) {
      if (at < clock.now()) return yield* Effect.die(new Error("A test's time cannot go back"))
      yield* rest
      while (yield* step(at));
      yield* clock.set(at)
      yield* rest
    }, semaphore.withPermits(1))

    const until = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.gen(function*() {
        const limit = clock.now() + farMillis / 2
        const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
        const ended = Effect.gen(function*() {
          yield* rest
          for (;;) {
            const exit = fiber.pollUnsafe()
            if (exit !== undefined) return yield* exit
            if (yield* step(limit)) continue
            return yield* Effect.die(new Error("Nothing is due any more, and what is waited for has not come"))
          }
        })
        return yield* Effect.ensuring(ended, Effect.sync(() => fiber.interruptUnsafe()))
      }).pipe(semaphore.withPermits(1))

    return { to, until }
  })
