/** Starting runs that this process executes itself when it has a free slot for them. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ClaimedRun, NewRun, Started } from "../SystemDb.ts"
import { Engine } from "./registry.ts"

interface Beginning<A, E> {
  readonly workflow: string
  readonly runId: string
  /** Set when the run may not begin now. */
  readonly later?: boolean
  /** Asks the store to start the run, as this worker's or nobody's. */
  readonly start: (owner: string | null) => Effect.Effect<A, E>
  /** The run that was created here, from the answer. */
  readonly claimed: (started: A) => Effect.Effect<ClaimedRun>
}

/** The run as its insert left it, when this worker owns it. */
export const begun = (run: Omit<NewRun, "owner">, { deadline, epoch, owner }: Started): Effect.Effect<ClaimedRun> =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    run: {
      ...run,
      status: "Running",
      outcome: null,
      owner,
      epoch,
      attempt: 1,
      deaths: 0,
      isolated: false,
      handbacks: 0,
      wakeAt: null,
      deadline,
      schedule: null,
      tick: null,
      origin: null,
      overlap: null,
      startBy: null,
      backfill: null,
      reason: null,
      trace: run.trace ?? null,
      createdAt: now,
      startedAt: now,
      finishedAt: null
    },
    steps: []
  }))

/**
 * Starts the run, and executes it here at once when this process has a free slot for it. Interruptible only while the store is
 * asked, and then nobody knows whether the run exists: if it does, it is handed to any worker. From the answer on nothing comes
 * in between: a run owned by this worker must not be forgotten.
 */
export const begin = <A extends Pick<Started, "created" | "status" | "owner">, E extends { readonly _tag: string }>(
  { claimed, later = false, runId, start, workflow }: Beginning<A, E>
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
    const registry = Option.getOrUndefined(yield* Effect.serviceOption(Engine))
    const reservation = later ? undefined : registry?.reserve(workflow, runId)
    const started = yield* Effect.onError(restore(start(reservation?.worker ?? null)), (cause) =>
      Effect.sync(() => {
        const refused = Cause.findErrorOption(cause)
        if (Option.isSome(refused) && refused.value._tag !== "StoreError") reservation?.free()
        else reservation?.abandon()
      }))
    if (reservation === undefined) return started
    if (started.status !== "Running" || started.owner !== reservation.worker) reservation.free()
    // It existed, under this worker: a claim of it is on its way here, or the first answer to this start was lost.
    else if (!started.created) reservation.abandon()
    else reservation.submit(yield* claimed(started))
    return started
  }))
