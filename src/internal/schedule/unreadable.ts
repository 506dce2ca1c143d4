/** A context that the code cannot read any more: the schedule that gave it pauses itself, so that nothing loops. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { StoreError } from "../../Errors.ts"
import type { Run, SystemDb } from "../../SystemDb.ts"
import * as texts from "../texts.ts"
import { CurrentOperator, policy } from "./actor.ts"
import { change } from "./change.ts"
import * as Pausing from "./pausing.ts"

/** Whether the run was given the context that the schedule still has; one that was mended meanwhile goes on. */
const sameContext = (payload: string, context: string): boolean => payload.includes(`"context":${context}`)

/** Pauses the schedule of a run whose payload does not decode, unless it has another context by now. */
export const pauseUnreadable = (
  db: SystemDb["Service"],
  run: Run,
  reason: string
): Effect.Effect<void, StoreError> =>
  change(db, run.schedule!, texts.clean(reason), (standing) =>
    Result.succeed(
      standing.content.status === "Active" && sameContext(run.payload, standing.content.context)
        ? Result.getOrThrow(Pausing.pause(standing, { reason: texts.clean(reason), until: null }))
        : undefined
    )).pipe(
      Effect.provideService(CurrentOperator, policy),
      // One that is gone, or cannot be read itself, does not fire.
      Effect.catchTags({
        ScheduleNotFound: () => Effect.void,
        Undecodable: () => Effect.void,
        ValueTooLarge: () => Effect.void
      }),
      Effect.asVoid
    )
