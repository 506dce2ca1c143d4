/** The port's methods about runs and their steps. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { IllegalTransition, LeaseLost, RunConflict, RunNotFound, type StoreError } from "../../Errors.ts"
import type { SystemDb } from "../../SystemDb.ts"
import type { ClaimedRun, Lease, NewRun, NewStepRecord, Started } from "../records.ts"
import type { Compile } from "./batch.ts"
import { type Database, inTransaction, isoOf, query, queryOnce, texts, virtualNow } from "./database.ts"
import { type RunRow, type StepRow, toRun, toStep } from "./rows.ts"
import { statements } from "./runs.ts"
import type { Waiters } from "./waiters.ts"
import type { Writer } from "./writer.ts"

type Store = SystemDb["Service"]

export type RunMethods = Pick<
  Store,
  | "start"
  | "claim"
  | "findRun"
  | "awaitRun"
  | "listRuns"
  | "listSteps"
  | "cancel"
  | "recordStep"
  | "recordStepInTransaction"
  | "finish"
  | "suspend"
  | "release"
>

type Written = ReturnType<typeof statements>["written"]

type ClaimRow = RunRow & { readonly nextWake: Date | null }

export const readers = (db: Database) => {
  const s = statements(db.tables)
  const read = (method: string, text: string) => (ids: ReadonlyArray<string>) =>
    Effect.map(query<RunRow>(db, method, text, [texts(ids)]), (rows) => rows.map(toRun))
  return { find: read("findRun", s.find), ended: read("awaitRun", s.ended) }
}

export const make = (db: Database, writer: Writer, waiters: Waiters, compile: Compile): RunMethods => {
  const s = statements(db.tables)
  const { find } = readers(db)

  /** What is there already under this id: read on the unhappy path alone. */
  const existing = Effect.fnUntraced(function*(run: NewRun): Effect.fn.Return<Started, RunConflict | StoreError> {
    const [known] = yield* find([run.id])
    if (known === undefined) return yield* Effect.die(new Error(`Run ${run.id} was deleted while it was started`))
    if (known.workflow !== run.workflow) {
      return yield* new RunConflict({ runId: run.id, workflow: run.workflow, existing: known.workflow })
    }
    const { deadline, epoch, owner, status } = known
    return { created: false, status, owner, epoch, deadline }
  })

  const created = (run: NewRun, deadline: Date | null): Started => {
    const here = run.owner !== null && run.delayMillis === null
    return {
      created: true,
      status: here ? "Running" : "Enqueued",
      owner: here ? run.owner : null,
      epoch: here ? 1 : 0,
      deadline: deadline === null ? null : deadline.getTime()
    }
  }

  /** In the caller's transaction: never through the writer, enqueued, and the hint waits for the commit. */
  const startJoined = Effect.fnUntraced(function*(run: NewRun) {
    const enqueued = { ...run, owner: null }
    const batch = compile([{ _tag: "Start", run: enqueued }], yield* virtualNow)
    const rows = yield* query(db, "start", batch.sql, batch.params)
    if (rows.length === 0) return yield* existing(run)
    yield* db.sql.afterCommit(Effect.sync(() => db.hints.publish({ _tag: "RunsReady" })))
    return created(enqueued, null)
  })

  /**
   * A write that the fence refused holds all the same when this lease made it before and only the answer was lost: read once,
   * on the unhappy path alone.
   */
  const fenced = (
    lease: Lease,
    write: ReturnType<Writer["write"]>,
    written: (text: Written) => { readonly text: string; readonly params: ReadonlyArray<unknown> }
  ) =>
    Effect.flatMap(write, ({ held }) => {
      if (held) return Effect.void
      const { params, text } = written(s.written)
      return Effect.flatMap(query(db, "recordStep", text, params), (rows) =>
        rows.length > 0 ? Effect.void : Effect.fail(new LeaseLost({ runId: lease.runId, epoch: lease.epoch })))
    })

  return {
    start: Effect.fnUntraced(function*(run) {
      if (yield* inTransaction(db)) return yield* startJoined(run)
      const written = yield* writer.write({ _tag: "Start", run })
      if (!written.held) return yield* existing(run)
      if (run.owner === null || run.delayMillis !== null) db.hints.publish({ _tag: "RunsReady" })
      return created(run, written.deadline)
    }),

    claim: Effect.fn("SystemDb.claim")(function*({ limit, worker, workflows }) {
      const now = yield* virtualNow
      const answer = yield* queryOnce<ClaimRow>(db, "claim", s.claim, [now, texts(workflows), limit, worker])
      const nextWake = answer[0]?.nextWake?.getTime() ?? null
      const rows = answer.filter(({ id }) => id !== null).map(({ nextWake: _, ...row }) => row)
      const again = rows.filter(({ epoch }) => epoch > 1).map(({ id }) => id)
      const steps = again.length === 0
        ? []
        : yield* query<StepRow & { readonly runId: string }>(db, "claim", s.stepsOf, [texts(again)])
      const byRun = Map.groupBy(steps, ({ runId }) => runId)
      const runs = rows.map((row): ClaimedRun => ({
        run: toRun(row),
        steps: (byRun.get(row.id) ?? []).map(toStep)
      }))
      return { runs, nextWake }
    }),

    findRun: Effect.fn("SystemDb.findRun")(function*(runId) {
      const [run] = yield* find([runId])
      return Option.fromUndefinedOr(run)
    }),

    awaitRun: waiters.await,

    listRuns: Effect.fn("SystemDb.listRuns")(function*(filter, page) {
      const list = (values: ReadonlyArray<string> | undefined) => values === undefined ? null : texts(values)
      const rows = yield* query<RunRow>(db, "listRuns", s.list, [
        list(filter.status),
        list(filter.workflow),
        list(filter.schedule),
        page.after === null ? null : isoOf(page.after.createdAt),
        page.after?.id ?? null,
        page.limit
      ])
      return rows.map(toRun)
    }),

    listSteps: Effect.fn("SystemDb.listSteps")(function*(runId) {
      const rows = yield* query<StepRow>(db, "listSteps", s.stepsOf, [texts([runId])])
      return rows.map(toStep)
    }),

    cancel: Effect.fn("SystemDb.cancel")(function*(runId) {
      const changed = yield* query(db, "cancel", s.cancel, [yield* virtualNow, runId])
      if (changed.length === 0) {
        // The status read here can be newer than the refusal.
        const [run] = yield* find([runId])
        return run === undefined
          ? yield* new RunNotFound({ runId })
          : yield* new IllegalTransition({ runId, command: "cancel", status: run.status })
      }
      yield* db.sql.afterCommit(Effect.sync(() => {
        db.hints.publish({ _tag: "RunCancelled", runId })
        db.hints.publish({ _tag: "RunsFinished", runIds: [runId] })
      }))
    }),

    recordStep: (lease, step) =>
      fenced(lease, writer.write({ _tag: "Step", lease, step }), ({ step: text }) => ({
        text,
        params: [lease.runId, step.name, step.key, step.occurrence, lease.epoch]
      })),

    recordStepInTransaction: Effect.fnUntraced(function*(lease: Lease, step: NewStepRecord) {
      if (!(yield* inTransaction(db))) {
        return yield* Effect.die(new Error("Step.transaction needs the SqlClient that the store's own layer provides"))
      }
      const batch = compile([{ _tag: "Step", lease, step }], yield* virtualNow)
      const rows = yield* query(db, "recordStepInTransaction", batch.sql, batch.params)
      if (rows.length === 0) return yield* new LeaseLost({ runId: lease.runId, epoch: lease.epoch })
      const [held] = rows as ReadonlyArray<{ readonly id: string | null }>
      return held!.id === "fresh"
    }),

    finish: (lease, end) =>
      fenced(
        lease,
        writer.write({ _tag: "Finish", lease, status: end.status, outcome: end.outcome }),
        ({ finish: text }) => ({ text, params: [lease.runId, lease.worker, lease.epoch] })
      ),

    suspend: (lease, wakeAt) =>
      fenced(lease, writer.write({ _tag: "Suspend", lease, wakeAt }), ({ suspend: text }) => ({
        text,
        params: [lease.runId, lease.epoch]
      })),

    release: Effect.fn("SystemDb.release")(function*(leases) {
      if (leases.length === 0) return
      yield* query(db, "release", s.release, [
        yield* virtualNow,
        texts(leases.map(({ runId }) => runId)),
        texts(leases.map(({ worker }) => worker)),
        texts(leases.map(({ epoch }) => String(epoch)))
      ])
      db.hints.publish({ _tag: "RunsReady" })
    })
  }
}
