/** Asking the store on behalf of a run: again, for as long as its error can pass. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { StoreError } from "../Errors.ts"

const longestPauseMillis = 5_000

/** How often an error that nobody understands is asked about again, over about five seconds. */
const unclearTries = 6

/**
 * Asks the store on behalf of a run. What passes is asked again for as long as it takes: it is no failure of the run. What may
 * or may not pass is asked again for a few seconds, so that a hiccup makes nothing run twice, and fails then, as does at once
 * what can never succeed.
 */
export const ask = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  options: { readonly longestPauseMillis?: number } = {}
): Effect.Effect<A, E, R> => {
  const longest = options.longestPauseMillis ?? longestPauseMillis
  const again = (passing: number, unclear: number): Effect.Effect<A, E, R> =>
    Effect.catch(call, (error): Effect.Effect<A, E, R> => {
      if (!(error instanceof StoreError) || error.fate === "Fail") return Effect.fail(error)
      const passes = error.fate === "AskAgain"
      if (!passes && unclear === unclearTries) return Effect.fail(error)
      const millis = passes ? 50 * 2 ** passing : 100 * 2 ** unclear
      return Effect.andThen(
        pause(Math.min(longest, millis)),
        Effect.suspend(() => passes ? again(passing + 1, unclear) : again(passing, unclear + 1))
      )
    })
  return again(0, 0)
}

/** Half of it at least, by a chance that is not the body's, so that those who were in each other's way do not meet again. */
const pause = (millis: number): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.provideService(Random.next, Random.Random, Random.Random.defaultValue()),
    (fraction) => Effect.sleep(Math.ceil(millis * (1 + fraction) / 2))
  )
