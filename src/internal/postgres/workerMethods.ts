/** The port's methods about workers. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { SystemDb } from "../../SystemDb.ts"
import * as uuids from "../uuid.ts"
import { type Database, query, texts, virtualNow } from "./database.ts"
import { storeError } from "./errors.ts"
import { statements } from "./workers.ts"

export type WorkerMethods = Pick<SystemDb["Service"], "registerWorker" | "pulse" | "reconcile">

interface PulseRow {
  readonly alive: boolean
  readonly locked: boolean
  readonly recovered: number
  readonly dead: ReadonlyArray<string>
  readonly suspectIds: ReadonlyArray<string>
  readonly suspectTimes: ReadonlyArray<Date>
}

export const make = (db: Database, lockClass: number): WorkerMethods => {
  const s = statements(db.tables, lockClass)

  return {
    registerWorker: Effect.fn("SystemDb.registerWorker")(function*({ application, leaseMillis }) {
      const id = `${application}-${yield* uuids.v7}`
      const key = yield* Random.nextIntBetween(1, 2 ** 31 - 1)
      const retire = Effect.gen(function*() {
        yield* db.session.unlock(key)
        yield* Effect.ignore(query(db, "registerWorker", s.retire, [yield* virtualNow, id]))
        db.hints.publish({ _tag: "RunsReady" })
      })
      yield* Effect.acquireRelease(
        // The lock first: a worker without one would be suspected at once.
        Effect.andThen(
          Effect.mapError(db.session.lock(key), storeError("registerWorker")),
          Effect.flatMap(
            virtualNow,
            (now) => query(db, "registerWorker", s.register, [now, id, application, key, leaseMillis])
          )
        ),
        () => retire
      )
      return id
    }),

    pulse: Effect.fn("SystemDb.pulse")(function*({ leaseMillis, maxAttempts, suspects, worker }) {
      const [row] = yield* query<PulseRow>(db, "pulse", s.pulse, [
        yield* virtualNow,
        worker,
        leaseMillis,
        maxAttempts,
        texts(suspects.map((suspect) => suspect.worker)),
        texts(suspects.map(({ renewedAt }) => String(renewedAt / 1000)))
      ])
      const { alive, dead, locked, recovered, suspectIds, suspectTimes } = row!
      if (!locked) yield* Effect.mapError(db.session.relock, storeError("pulse"))
      if (recovered > 0) db.hints.publish({ _tag: "RunsReady" })
      if (dead.length > 0) db.hints.publish({ _tag: "RunsFinished", runIds: dead })
      return {
        alive,
        dead,
        recovered,
        suspects: alive
          ? suspectIds.map((worker, index) => ({ worker, renewedAt: suspectTimes[index]!.getTime() }))
          : []
      }
    }),

    reconcile: Effect.fn("SystemDb.reconcile")(function*({ held, worker }) {
      const [row] = yield* query<{ readonly lost: ReadonlyArray<string>; readonly handedBack: number }>(
        db,
        "reconcile",
        s.reconcile,
        [
          yield* virtualNow,
          worker,
          texts(held.map(({ runId }) => runId)),
          texts(held.map(({ epoch }) => String(epoch)))
        ]
      )
      if (row!.handedBack > 0) db.hints.publish({ _tag: "RunsReady" })
      return row!.lost
    })
  }
}
