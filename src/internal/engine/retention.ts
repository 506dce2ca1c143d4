/** Forgets what is too old: in small batches with pauses between them, so that nobody waits for it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../Errors.ts"
import type { Prune, SystemDb } from "../../SystemDb.ts"
import { loop } from "../supervise.ts"
import type { Kept } from "./options.ts"

type Store = SystemDb["Service"]

const batchSize = 500
const pauseMillis = 100

const before = (now: number, ageMillis: number | null): number | null => ageMillis === null ? null : now - ageMillis

const request = ({ ledgerAgeMillis, ledgerCount, runsAgeMillis, runsCount }: Kept, now: number): Prune => ({
  runsBefore: before(now, runsAgeMillis),
  runsKept: runsCount,
  entriesBefore: before(now, ledgerAgeMillis),
  entriesKept: ledgerCount,
  limit: batchSize
})

/** Deletes all that is too old now. Several processes may do so at once: each row is deleted by one of them. */
const prune = Effect.fnUntraced(function*(db: Store, kept: Kept): Effect.fn.Return<void, StoreError> {
  const due = request(kept, yield* db.now)
  let runs = 0
  let entries = 0
  for (let pruned = yield* db.prune(due); pruned.runs + pruned.entries > 0; pruned = yield* db.prune(due)) {
    runs += pruned.runs
    entries += pruned.entries
    yield* Effect.sleep(pauseMillis)
  }
  if (runs + entries > 0) yield* Effect.logInfo(`Pruned ${runs} runs and ${entries} entries of ledger and audit`)
})

/** Prunes now and after every interval, until the scope closes. */
export const start = (db: Store, kept: Kept): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.forkScoped(loop("retention", Effect.andThen(prune(db, kept), Effect.sleep(kept.intervalMillis))))
  )
