/** Waiting is never silent: nothing for the first seconds, and then a line every few seconds for all who wait. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Something that is waited for, possibly: nothing is said of it before it has failed once. */
export interface Wait {
  /** It did not go this time either, and why. */
  readonly failed: (why: string) => Effect.Effect<void>
  readonly over: Effect.Effect<void>
}

export interface Waits {
  /** What answers, such as `the database "app" at localhost:5432`. */
  readonly where: string
  readonly open: (what: string) => Wait
  /** Says that the effect is waited for, for as long as it takes. */
  readonly aloud: <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface Waiting {
  readonly what: string
  readonly since: number
  why: string | undefined
}

const everyMillis = 3_000

const realTime = Clock.Clock.defaultValue()

/** However many wait for the same store, one line speaks for all. */
export const make = (where: string): Waits => {
  // In the order in which they began.
  const waiting = new Set<Waiting>()
  let telling: Fiber.Fiber<void> | undefined

  const tell = Effect.suspend(() => {
    const [oldest] = waiting
    const millis = realTime.currentTimeMillisUnsafe() - (oldest?.since ?? Number.POSITIVE_INFINITY)
    if (oldest === undefined || millis < everyMillis / 2) return Effect.void
    const why = oldest.why === undefined ? "" : `: ${oldest.why}`
    const others = waiting.size === 1 ? "" : ` (and ${waiting.size - 1} more wait)`
    return Effect.logWarning(`Waiting for ${Math.round(millis / 1000)} seconds for ${oldest.what}${others}${why}`)
  })
  const tellOn = Effect.provideService(
    Effect.forever(Effect.andThen(tell, Effect.sleep(everyMillis))),
    Clock.Clock,
    realTime
  )

  const begin = (one: Waiting) =>
    Effect.withFiber<void>((fiber) => {
      waiting.add(one)
      telling ??= Effect.runForkWith(fiber.context)(tellOn)
      return Effect.void
    })
  const end = (one: Waiting) =>
    Effect.sync(() => {
      waiting.delete(one)
      if (waiting.size > 0) return
      telling?.interruptUnsafe()
      telling = undefined
    })
  const now = (what: string): Waiting => ({ what, since: realTime.currentTimeMillisUnsafe(), why: undefined })

  return {
    where,
    open: (what) => {
      const one = now(what)
      return {
        failed: (why) =>
          Effect.suspend(() => {
            one.why = why
            return waiting.has(one) ? Effect.void : begin(one)
          }),
        over: Effect.suspend(() => waiting.has(one) ? end(one) : Effect.void)
      }
    },
    aloud: (what, effect) =>
      Effect.suspend(() => {
        const one = now(what)
        return Effect.acquireUseRelease(begin(one), () => effect, () => end(one))
      })
  }
}
