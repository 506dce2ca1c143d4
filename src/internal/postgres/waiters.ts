/**
 * Everybody in this process who waits for a run to end. Hints say where to look, and a poll looks at all of them; either way
 * one statement reads whatever there is to look at by the time the last one is through.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { RunNotFound, type StoreError } from "../../Errors.ts"
import type { Run } from "../records.ts"
import { loop } from "../supervise.ts"
import { live } from "./database.ts"
import type { Hints } from "./hints.ts"

export interface Waiters {
  readonly await: (runId: string) => Effect.Effect<Run, RunNotFound | StoreError>
}

type Waiter = Deferred.Deferred<Run, RunNotFound | StoreError>

const poll = "1 second"
const largestLook = 1000

/** `ended` reads which of some runs have ended, and which are not there (null). */
export const make = Effect.fnUntraced(function*(
  ended: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Run | null>, StoreError>,
  hints: Hints
): Effect.fn.Return<Waiters, never, Scope.Scope> {
  const waiting = new Map<string, Set<Waiter>>()
  const suspects = new Set<string>()
  const bell = yield* Queue.sliding<void>(1)

  const suspect = (runId: string): void => {
    if (!waiting.has(runId)) return
    suspects.add(runId)
    Queue.offerUnsafe(bell, undefined)
  }
  const suspectAll = (): void => waiting.forEach((_, runId) => suspect(runId))

  const settle = (runId: string, end: Effect.Effect<Run, RunNotFound | StoreError>): void => {
    for (const waiter of waiting.get(runId) ?? []) Deferred.doneUnsafe(waiter, end)
  }

  const look = Effect.gen(function*() {
    const ids = Array.from(suspects).slice(0, largestLook)
    for (const id of ids) suspects.delete(id)
    if (suspects.size > 0) Queue.offerUnsafe(bell, undefined)
    if (ids.length === 0) return
    const found = yield* Effect.result(ended(ids))
    if (found._tag === "Success") {
      for (const [runId, run] of found.success) {
        settle(runId, run === null ? Effect.fail(new RunNotFound({ runId })) : Effect.succeed(run))
      }
    } else if (!found.failure.retryable) {
      for (const id of ids) settle(id, Effect.fail(found.failure))
    }
  })

  const follow = Stream.runForEach(hints.stream, (hint) =>
    Effect.sync(() => {
      if (hint._tag !== "RunsFinished") return
      if (hint.runIds.length === 0) suspectAll()
      else hint.runIds.forEach(suspect)
    }))

  yield* Effect.forkScoped(live(loop("look", Effect.andThen(Queue.take(bell), look))))
  yield* Effect.forkScoped(live(loop("poll", Effect.delay(Effect.sync(suspectAll), poll))))
  // In real time, since a loop may wait; the stream has no time of its own.
  yield* Effect.forkScoped(live(loop("follow", follow)), { startImmediately: true })

  return {
    await: (runId) =>
      Effect.suspend(() => {
        const waiter: Waiter = Deferred.makeUnsafe()
        const others = waiting.get(runId) ?? new Set()
        waiting.set(runId, others.add(waiter))
        suspect(runId)
        return Effect.ensuring(
          Deferred.await(waiter),
          Effect.sync(() => {
            others.delete(waiter)
            if (others.size === 0 && waiting.get(runId) === others) waiting.delete(runId)
          })
        )
      })
  }
})
