/** The port's methods about workers. */
import * as Effect from "effect/Effect"
import * as EffectSchedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import type { Pulse, SystemDb } from "../../SystemDb.ts"
import { backoff, type Database, hint, now, patiently, query, queryOnce } from "./database.ts"
import { within } from "./deadline.ts"
import { storeError } from "./errors.ts"
import { instants, ints, texts } from "./parameters.ts"
import type { Session } from "./session.ts"
import { statements } from "./workers.ts"

export type WorkerMethods = Pick<SystemDb["Service"], "registerWorker" | "pulse">

interface PulseRow extends Pick<Pulse, "alive" | "recovered" | "dead"> {
  readonly unlocked: boolean
  readonly suspectIds: ReadonlyArray<string>
  readonly suspectTimes: ReadonlyArray<Date>
}

/** Whoever cannot say goodbye in this time is found dead by others. */
const farewell = "2 seconds"

/** Not from the fiber's Random: processes with the same seed must not have the same id. */
const suffix = Effect.sync(() => globalThis.crypto.randomUUID().replaceAll("-", "").slice(-16))

/** Others take those for dead who do not come back soon. */
const often = EffectSchedule.min([backoff, EffectSchedule.spaced("300 millis")])

/** `pulses` is where pulses go, if not by the pool. */
export const make = (db: Database, session: Session, pulses: Session | undefined): WorkerMethods => {
  const s = statements(db.tables)

  const retire = (id: string) =>
    Effect.flatMap(
      now,
      (now) =>
        within(queryOnce(db, "retire", s.retire, [now, id]), farewell, () => Effect.succeed([])).pipe(
          Effect.flatMap((handedBack) => handedBack.length > 0 ? hint(db, { _tag: "RunsReady" }) : Effect.void),
          Effect.ignore
        )
    )

  /** Not by the pool, which a process may use up and live all the same. */
  const pulse = (params: ReadonlyArray<unknown>) =>
    pulses === undefined
      ? query<PulseRow>(db, "pulse", s.pulse, params)
      : patiently(
        db,
        "pulse",
        Effect.mapError(
          pulses.execute(s.pulse, params) as Effect.Effect<ReadonlyArray<PulseRow>, SqlError>,
          storeError("pulse")
        ),
        often
      )

  return {
    registerWorker: Effect.fn("SystemDb.registerWorker")(function*({ application, leaseMillis, workflows }) {
      const id = `${application}-${yield* suffix}`
      // The lock first: a worker without it would be suspected.
      const key = yield* patiently(db, "registerWorker", Effect.mapError(session.lock, storeError("registerWorker")))
      // Before it is tried: the answer may be lost, or nobody wait for it any more.
      yield* Effect.addFinalizer(() => retire(id))
      yield* query(db, "registerWorker", s.register, [
        yield* now,
        id,
        application,
        key,
        leaseMillis,
        workflows === undefined ? null : texts(workflows)
      ])
      return id
    }),

    pulse: Effect.fn("SystemDb.pulse")(function*({ judges = true, leaseMillis, suspects, worker }) {
      const [row] = yield* pulse([
        yield* now,
        worker,
        leaseMillis,
        texts(suspects.map((suspect) => suspect.worker)),
        instants(suspects.map(({ renewedAt }) => renewedAt)),
        ints(Array.from(session.keys)),
        db.exclusive,
        judges
      ])
      const { alive, dead, recovered, suspectIds, suspectTimes, unlocked } = row as PulseRow
      if (unlocked) yield* Effect.ignore(session.relock)
      if (recovered > 0) yield* hint(db, { _tag: "RunsReady" })
      if (dead.length > 0) yield* hint(db, { _tag: "RunsFinished", runIds: dead })
      return {
        alive,
        suspects: suspectIds.map((worker, index) => ({ worker, renewedAt: (suspectTimes[index] as Date).getTime() })),
        recovered,
        dead
      }
    })
  }
}
