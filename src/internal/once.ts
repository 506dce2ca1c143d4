/** Values that the library makes for a body: once per run, recorded, and the same on every replay. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Codec from "./codec.ts"
import { CurrentRun, type Execution } from "./execution.ts"
import { identifyOwn, type Own } from "./identity.ts"
import * as Outcome from "./outcome.ts"

/** A value of plain JSON, made once per run and the same on every replay. */
export const once = <A>(
  own: Own,
  make: (execution: Execution) => Effect.Effect<A>
): Effect.Effect<A, never, CurrentRun> =>
  CurrentRun.use((execution) =>
    Effect.withFiber((fiber) => {
      const id = identifyOwn(execution, fiber, own, "", "take it before the branches fork")
      const known = execution.recorded(id, "Value")
      if (known !== undefined) {
        return execution.inTurn(fiber, known, () => {
          const outcome = Outcome.parse(known.outcome!)
          return Effect.succeed(JSON.parse((outcome as { readonly value: string }).value) as A)
        })
      }
      return execution.perform(
        fiber,
        id,
        Effect.gen(function*() {
          const made = yield* make(execution)
          const outcome = Outcome.stringify(Outcome.fromSuccess(made, Codec.plainJson<A>()))
          const startedAt = yield* Clock.currentTimeMillis
          yield* execution.record({ ...id, kind: "Value", attempts: 1, errors: null, startedAt, outcome, wakeAt: null })
          return made
        })
      )
    })
  )
