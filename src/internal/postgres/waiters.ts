/** Everybody who waits for a run to end: woken by hints, and by one poll for all of them together. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { RunNotFound, type StoreError } from "../../Errors.ts"
import { isFinished } from "../lifecycle.ts"
import type { Run } from "../records.ts"
import type { Hints } from "./hints.ts"

export interface Waiters {
  readonly await: (runId: string) => Effect.Effect<Run, RunNotFound | StoreError>
}

const pollMillis = 1_000

/** `find` reads those of the given runs that exist, `ended` those that have ended; one statement each. */
export const make = Effect.fnUntraced(function*(
  find: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Run>, StoreError>,
  ended: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Run>, StoreError>,
  hints: Hints
): Effect.fn.Return<Waiters, never, Scope.Scope> {
  const waiting = new Map<string, Set<Deferred.Deferred<Run>>>()
  const suspects = new Set<string>()
  const bell = yield* Queue.sliding<void>(1)

  const look = Effect.gen(function*() {
    const ids = [...suspects]
    suspects.clear()
    if (ids.length === 0) return
    for (const run of yield* ended(ids)) {
      for (const deferred of waiting.get(run.id) ?? []) Deferred.doneUnsafe(deferred, Effect.succeed(run))
    }
  })

  const suspectAll = () => waiting.forEach((_, id) => suspects.add(id))

  const poll = Effect.gen(function*() {
    const hinted = yield* Effect.raceFirst(
      Effect.as(Queue.take(bell), true),
      Effect.as(Effect.sleep(pollMillis), false)
    )
    if (!hinted) suspectAll()
    yield* Effect.catch(look, () => Effect.sync(suspectAll))
  })

  const follow = Stream.runForEach(hints.stream, (hint) =>
    Effect.sync(() => {
      if (hint._tag === "RunsFinished") {
        if (hint.runIds.length === 0) suspectAll()
        for (const id of hint.runIds) if (waiting.has(id)) suspects.add(id)
      } else if (hint._tag === "RunCancelled" && waiting.has(hint.runId)) {
        suspects.add(hint.runId)
      }
      if (suspects.size > 0) Queue.offerUnsafe(bell, undefined)
    }))

  yield* Effect.forkScoped(Effect.provideService(Effect.forever(poll), Clock.Clock, Clock.Clock.defaultValue()))
  yield* Effect.forkScoped(follow, { startImmediately: true })

  return {
    await: Effect.fnUntraced(function*(runId) {
      const deferred = yield* Deferred.make<Run>()
      const others = waiting.get(runId) ?? new Set()
      waiting.set(runId, others.add(deferred))
      const leave = Effect.sync(() => {
        others.delete(deferred)
        if (others.size === 0) waiting.delete(runId)
      })
      return yield* Effect.gen(function*() {
        // Read after the waiter is in place, so that no end falls between.
        const [run] = yield* find([runId])
        if (run === undefined) return yield* new RunNotFound({ runId })
        return isFinished(run.status) ? run : yield* Deferred.await(deferred)
      }).pipe(Effect.ensuring(leave))
    })
  }
})
