/** What a schedule begins with when it is created: a run, a backfill, or both. */
import * as Effect from "effect/Effect"
import { InvalidInput, type StoreError, type Undecodable } from "../../Errors.ts"
import type { NewBackfill, NewTrigger, ScheduleContent } from "../../SystemDb.ts"
import { door } from "./actor.ts"
import { request, type StartOptions } from "./backfillRequest.ts"
import type { Beginning } from "./change.ts"
import { triggered } from "./commands.ts"
import type { Target } from "./definition.ts"
import { type TriggerOptions, triggerRequest } from "./starting.ts"

export interface Asked {
  readonly trigger: TriggerOptions | undefined
  readonly backfill: StartOptions | undefined
}

interface Begun extends Beginning {
  readonly triggers: ReadonlyArray<NewTrigger>
  readonly backfills: ReadonlyArray<NewBackfill>
}

/** The schedule has fields of the same names. */
const within = (part: keyof Asked) => <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | InvalidInput> =>
  Effect.mapError(effect, (error) =>
    error instanceof InvalidInput
      ? new InvalidInput({ field: `${part}.${error.field}`, reason: error.reason })
      : error)

export const beginning = Effect.fnUntraced(function*(
  content: ScheduleContent,
  workflow: Target,
  now: number,
  { backfill, trigger }: Asked
): Effect.fn.Return<Begun, InvalidInput | Undecodable | StoreError> {
  const row = { ...content, incarnation: null }
  const started = trigger === undefined ? [] : [
    yield* Effect.gen(function*() {
      yield* door(trigger.reason)
      return yield* triggered(row, workflow, yield* triggerRequest(trigger), Effect.succeed(now))
    }).pipe(within("trigger"))
  ]
  const filled = backfill === undefined ? [] : [
    yield* Effect.gen(function*() {
      yield* door(backfill.reason)
      return yield* (yield* request(backfill))(row, workflow)
    }).pipe(within("backfill"))
  ]
  return {
    triggers: started.map(({ audit: _, ...run }) => run),
    backfills: filled.map(({ asked }) => asked),
    audits: [...started, ...filled].map(({ audit }) => audit)
  }
})
