/** Loops that never die silently: a pass that fails is logged, counted and tried again with backoff. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { loopFailures } from "./telemetry.ts"

const longestWaitMillis = 5_000
const rarelyMillis = 60_000

/** For what would otherwise be said again and again: at most once a minute, in real time. */
export const rarely = <A>(say: (about: A) => Effect.Effect<void>) => {
  const clock = Clock.Clock.defaultValue()
  let next = 0
  return (about: A): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = clock.currentTimeMillisUnsafe()
      if (now < next) return Effect.void
      next = now + rarelyMillis
      return say(about)
    })
}

/** Runs `pass` for ever. It waits by itself for its next time; after failures in a row the wait here grows, to 5 seconds at most. */
export const loop = <E, R>(
  name: string,
  pass: Effect.Effect<void, E, R>,
  longestMillis = longestWaitMillis
): Effect.Effect<never, never, R> =>
  Effect.suspend(() => {
    let failures = 0
    const supervised = Effect.matchCauseEffect(pass, {
      onSuccess: () =>
        Effect.sync(() => {
          failures = 0
        }),
      // Not reached when the loop itself is interrupted; a pass that interrupts itself has failed like any other.
      onFailure: (cause) => {
        failures++
        return Effect.logWarning(`The ${name} loop failed and is tried again`, cause).pipe(
          Effect.andThen(Metric.update(Metric.withAttributes(loopFailures, { loop: name }), 1)),
          Effect.andThen(Effect.sleep(Math.min(longestMillis, 100 * 2 ** failures)))
        )
      }
    })
    return Effect.forever(supervised)
  })
