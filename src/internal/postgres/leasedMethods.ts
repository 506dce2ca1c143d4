/** The port's methods for the owner of a run, fenced by its lease. Only `recordStepInTransaction` joins a transaction. */
import * as Effect from "effect/Effect"
import { LeaseLost, type StoreError } from "../../Errors.ts"
import type { Lease, Released, SystemDb } from "../../SystemDb.ts"
import { type Database, hint, inTransaction, joins, now, query, queryOnce } from "./database.ts"
import type { Fact } from "./facts.ts"
import { floats, instant, ints, texts } from "./parameters.ts"
import { statements as runStatements } from "./runs.ts"
import { statements as stepStatements } from "./steps.ts"
import { statements as workerStatements } from "./workers.ts"
import type { Writer } from "./writer.ts"

export type LeasedMethods = Pick<
  SystemDb["Service"],
  "recordStep" | "recordStepInTransaction" | "finish" | "suspend" | "isolate" | "release" | "reconcile"
>

interface Recorded {
  readonly held: boolean
  readonly written: boolean
}

interface ReleaseRow {
  readonly released: number
  readonly busy: ReadonlyArray<string>
}

interface Reconciled {
  readonly lost: ReadonlyArray<string>
  readonly handedBack: number
}

export const make = (db: Database, writer: Writer): LeasedMethods => {
  const runs = runStatements(db.tables)
  const steps = stepStatements(db.tables)
  const workers = workerStatements(db.tables)

  const lost = ({ epoch, runId }: Lease) => Effect.fail(new LeaseLost({ runId, epoch }))

  const write = (
    lease: Lease,
    fact: Exclude<Fact, { readonly _tag: "Start" }>
  ): Effect.Effect<void, LeaseLost | StoreError> => {
    const written = Effect.flatMap(writer.write(fact), ({ held }) => held ? Effect.void : lost(lease))
    return Effect.withFiber((fiber) =>
      joins(db.sql, fiber)
        // Written at once it would stay when the transaction rolls back; and where there is one session, it would wait for that.
        ? Effect.die(new Error("A run cannot record anything inside of sql.withTransaction, save by Step.transaction"))
        : written
    )
  }

  /** Those that it passed over because somebody holds their rows. */
  const releaseAll = Effect.fnUntraced(function*(text: string, leases: ReadonlyArray<Released>) {
    const [row] = yield* query<ReleaseRow>(db, "release", text, [
      yield* now,
      texts(leases.map(({ runId }) => runId)),
      texts(leases.map(({ worker }) => worker)),
      ints(leases.map(({ epoch }) => epoch)),
      texts(leases.map(({ handBack }) => handBack?.reason ?? null)),
      floats(leases.map(({ handBack }) => handBack?.delayMillis ?? 0))
    ])
    const { busy, released } = row as ReleaseRow
    if (released > 0) yield* hint(db, { _tag: "RunsReady" })
    return busy
  })

  return {
    recordStep: (lease, step) => write(lease, { _tag: "Step", lease, step }),

    recordStepInTransaction: Effect.fnUntraced(function*(lease, step) {
      if (!(yield* inTransaction(db))) {
        return yield* Effect.die(new Error("Step.transaction needs the SqlClient that the store's own layer provides"))
      }
      const [row] = yield* queryOnce<Recorded>(db, "recordStepInTransaction", steps.record, [
        yield* now,
        lease.runId,
        lease.worker,
        lease.epoch,
        step.name,
        step.key,
        step.occurrence,
        step.kind,
        step.attempts,
        step.errors,
        step.outcome,
        instant(step.wakeAt),
        instant(step.startedAt)
      ])
      const { held, written } = row as Recorded
      return held ? written : yield* lost(lease)
    }),

    finish: (lease, { outcome, status }) => write(lease, { _tag: "Finish", lease, status, outcome }),

    suspend: (lease, wakeAt, trace = null) => write(lease, { _tag: "Suspend", lease, wakeAt, trace }),

    isolate: Effect.fn("SystemDb.isolate")(function*(lease, isolated) {
      const { epoch, runId, worker } = lease
      const held = yield* query(db, "isolate", workers.isolate, [runId, worker, epoch, isolated])
      if (held.length === 0) return yield* lost(lease)
    }),

    release: Effect.fn("SystemDb.release")(function*(leases) {
      if (leases.length === 0) return
      const busy = yield* releaseAll(runs.release, leases)
      // Nobody else is kept waiting for those that somebody holds.
      if (busy.length > 0) yield* releaseAll(runs.releaseBusy, leases.filter(({ runId }) => busy.includes(runId)))
    }),

    reconcile: Effect.fn("SystemDb.reconcile")(function*({ held, worker }) {
      const [row] = yield* query<Reconciled>(db, "reconcile", workers.reconcile, [
        yield* now,
        worker,
        texts(held.map(({ runId }) => runId)),
        ints(held.map(({ epoch }) => epoch))
      ])
      const { handedBack, lost } = row as Reconciled
      if (handedBack > 0) yield* hint(db, { _tag: "RunsReady" })
      return lost
    })
  }
}
