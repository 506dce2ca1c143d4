/** Suspects: runs whose workers died of something, again and again, are executed alone, so that one which is to blame shows. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as EffectSchedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { StoreError } from "../../Errors.ts"
import type { ClaimedRun, Lease, SystemDb } from "../../SystemDb.ts"
import { ask } from "../ask.ts"
import type { Settings } from "./options.ts"
import type { Signals, Worker } from "./worker.ts"

type Store = SystemDb["Service"]

export interface Isolation {
  /** Tries the suspect that is due first, when it is time; how long until then. Does not wait for what becomes of it. */
  readonly inTurn: Effect.Effect<number, StoreError>
}

/** For so long a worker that has other runs executes these before it tries the next suspect. */
const respiteMillis = 10_000
/** A suspect that neither ends nor waits nor records anything has others wait for so long, and twice as long with every death more. */
const aloneMillis = 300_000

export const make = Effect.fnUntraced(function*(
  db: Store,
  settings: Settings,
  worker: Worker,
  signals: Signals
): Effect.fn.Return<Isolation, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let nextAt = 0

  /** Makes room as a graceful stop does; whether everything has gone. */
  const makeRoom = Effect.gen(function*() {
    yield* worker.drain(() => true)
    yield* worker.emptied
    return worker.empty
  })

  /** Until this is said nothing else begins here. */
  const endIsolation = (lease: Lease) =>
    Effect.suspend(() => worker.executes(lease) ? ask(db.isolate(lease, false)) : Effect.void).pipe(
      Effect.retry({
        schedule: EffectSchedule.spaced("5 seconds"),
        while: (error) => error instanceof StoreError
      })
    )

  const handBack = (lease: Lease) =>
    db.release([{
      ...lease,
      handBack: {
        reason: "It is to be executed alone, and the worker has bodies that do not stop",
        delayMillis: respiteMillis
      }
    }])

  const execute = (suspect: ClaimedRun, lease: Lease) =>
    Effect.gen(function*() {
      const { run } = suspect
      if (!(yield* makeRoom)) return yield* handBack(lease)
      yield* ask(db.isolate(lease, true))
      yield* Effect.logWarning(
        `Run ${run.id} is executed alone: ${run.deaths} workers in a row died while they executed it and others`
      )
      worker.submit(suspect, lease.worker)
      const patience = aloneMillis * 2 ** (run.deaths - settings.maxAttempts)
      yield* Effect.timeoutOption(worker.rested(run.id), patience)
      yield* endIsolation(lease)
    }).pipe(
      Effect.catchTag("LeaseLost", () => Effect.void),
      Effect.catchCause((cause) =>
        Effect.andThen(
          Effect.sync(signals.reconcile),
          Effect.logWarning(`Run ${lease.runId} could not be executed alone`, cause)
        )
      ),
      Effect.ensuring(Effect.sync(() => {
        worker.suspect = undefined
        signals.claim()
      }))
    )

  return {
    inTurn: Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const { id, workflows } = worker
      if (id === undefined || worker.stuck) return respiteMillis
      if (!worker.empty && now < nextAt) return nextAt - now
      nextAt = now + respiteMillis
      // Owned before anything makes room for it, so that one worker does, and only for a run that it has.
      yield* db.claim({ worker: id, limit: 1, workflows, maxAttempts: settings.maxAttempts, suspect: true }).pipe(
        Effect.tap(({ runs: [suspect] }) =>
          Effect.suspend(() => {
            if (suspect === undefined) return Effect.void
            const lease = { runId: suspect.run.id, worker: id, epoch: suspect.run.epoch }
            worker.suspect = lease
            return Effect.forkIn(execute(suspect, lease), scope)
          })
        ),
        Effect.tapCause(() => Effect.sync(signals.reconcile))
      )
      return respiteMillis
    })
  }
})
