/** The port's methods about runs, apart from those of their owners. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { IllegalTransition, RunConflict, RunNotFound, type StoreError, type ValueTooLarge } from "../../Errors.ts"
import type { NewRun, Run, Started, StepRecord, SystemDb } from "../../SystemDb.ts"
import { statuses } from "../lifecycle.ts"
import type { Compile, Written } from "./batch.ts"
import { type Database, hint, inTransaction, now, query, queryAgain, queryOnce, virtualTime } from "./database.ts"
import { instant, texts } from "./parameters.ts"
import { isRun, millis, type PerhapsRun, type RunRow, type StepRow, toRun, toStep } from "./rows.ts"
import { statements as runStatements } from "./runs.ts"
import { statements as stepStatements } from "./steps.ts"
import type { Waiters } from "./waiters.ts"
import type { Writer } from "./writer.ts"

export type RunMethods = Pick<
  SystemDb["Service"],
  "now" | "start" | "claim" | "findRun" | "awaitRun" | "listRuns" | "listSteps" | "cancel"
>

/** Which of some runs have ended, and which are not there (null). Tried once: whoever waits asks again anyway. */
export const ended =
  (db: Database) => (ids: ReadonlyArray<string>): Effect.Effect<ReadonlyMap<string, Run | null>, StoreError> => {
    const text = runStatements(db.tables).ended
    return Effect.map(
      queryOnce<PerhapsRun & { readonly asked: string }>(db, "awaitRun", text, [texts(ids)]),
      (rows) => new Map(rows.map((row) => [row.asked, isRun(row) ? toRun(row) : null]))
    )
  }

/** As far as an `int` counts. */
const endless = 2 ** 31 - 1

const created = (run: NewRun, deadline: number | null): Started =>
  run.owner !== null && run.delayMillis === null
    ? { created: true, status: "Running", owner: run.owner, epoch: 1, deadline }
    : { created: true, status: "Enqueued", owner: null, epoch: 0, deadline: null }

export const make = (db: Database, writer: Writer, waiters: Waiters, compile: Compile): RunMethods => {
  const runs = runStatements(db.tables)
  const steps = stepStatements(db.tables)

  const find = (method: string, runId: string): Effect.Effect<Run | undefined, StoreError> =>
    Effect.map(query<RunRow>(db, method, runs.find, [runId]), ([row]) => row === undefined ? undefined : toRun(row))

  /** The run that has this id already. One that was pruned meanwhile leaves its id to this one. */
  const existing = Effect.fnUntraced(function*(
    run: NewRun
  ): Effect.fn.Return<Started, RunConflict | ValueTooLarge | StoreError> {
    const known = yield* find("start", run.id)
    if (known === undefined) return yield* start(run)
    if (known.workflow !== run.workflow) {
      return yield* new RunConflict({ runId: run.id, workflow: run.workflow, existing: known.workflow })
    }
    // Whoever starts it in a body relies on it, and a child is kept for its parent anyway.
    if (run.parent !== null && run.parent !== known.parent) {
      const kept = yield* query(db, "start", runs.keep, [run.id, run.parent])
      if (kept.length === 0) return yield* start(run)
    }
    const { deadline, epoch, owner, status } = known
    return { created: false, status, owner, epoch, deadline }
  })

  const answer = (run: NewRun, { deadline, held }: Written): ReturnType<RunMethods["start"]> => {
    if (!held) return existing(run)
    const started = created(run, deadline)
    return started.owner === null ? Effect.as(hint(db, { _tag: "RunsReady" }), started) : Effect.succeed(started)
  }

  /** In the caller's transaction: on its connection, and enqueued, since nobody can execute it before the commit. */
  const startJoined = Effect.fnUntraced(function*(run: NewRun) {
    const enqueued = { ...run, owner: null }
    const virtual = yield* Effect.withFiber((fiber) => Effect.succeed(virtualTime(fiber)))
    const { params, read, sql } = compile([{ _tag: "Start", run: enqueued }], virtual)
    const [row] = yield* queryOnce(db, "start", sql, params)
    return yield* answer(enqueued, read(row as object)[0] as Written)
  })

  const start: RunMethods["start"] = (run) =>
    Effect.flatMap(inTransaction(db), (joined) =>
      joined
        ? startJoined(run)
        : Effect.flatMap(writer.write({ _tag: "Start", run }), (written) => answer(run, written)))

  const stepsOf = Effect.fnUntraced(function*(claimed: ReadonlyArray<Run>) {
    const byRun = new Map<string, Array<StepRecord>>()
    // Who is claimed for the first time has recorded nothing.
    const again = claimed.filter(({ epoch }) => epoch > 1).map(({ id }) => id)
    if (again.length === 0) return byRun
    for (const id of again) byRun.set(id, [])
    const rows = yield* query<StepRow & { readonly runId: string }>(db, "claim", steps.listMany, [texts(again)])
    for (const row of rows) byRun.get(row.runId)?.push(toStep(row))
    return byRun
  })

  const databaseNow = Effect.map(
    Effect.flatMap(now, (now) => query<{ readonly now: Date }>(db, "now", runs.now, [now])),
    ([row]) => (row as { readonly now: Date }).now.getTime()
  )

  return {
    now: Effect.withFiber((fiber) => {
      const virtual = virtualTime(fiber)
      return virtual === null ? databaseNow : Effect.succeed(virtual)
    }),

    start,

    // Tried once: the worker must know that an answer was lost, since it may own runs that it has not heard of.
    claim: Effect.fn("SystemDb.claim")(function*({ limit, maxAttempts, suspect, worker, workflows }) {
      const rows = yield* queryOnce<PerhapsRun & { readonly nextWake: Date | null; readonly suspects: boolean }>(
        db,
        "claim",
        suspect === true ? runs.claimSuspect : runs.claim,
        [yield* now, texts(workflows), limit, worker, maxAttempts ?? endless]
      )
      const claimed = rows.filter(isRun).map(toRun)
      const byRun = yield* stepsOf(claimed)
      return {
        runs: claimed.map((run) => ({ run, steps: byRun.get(run.id) ?? [] })),
        nextWake: millis(rows[0]?.nextWake ?? null),
        suspects: rows[0]?.suspects === true
      }
    }),

    findRun: Effect.fn("SystemDb.findRun")(function*(runId) {
      return Option.fromUndefinedOr(yield* find("findRun", runId))
    }),

    awaitRun: waiters.await,

    listRuns: Effect.fn("SystemDb.listRuns")(function*({ schedule, status, workflow }, { after, limit }) {
      const page = [texts(status ?? statuses), instant(after?.createdAt ?? null), after?.id ?? null, limit]
      const any = workflow === undefined ? null : texts(workflow)
      const rows = schedule !== undefined
        ? yield* query<RunRow>(db, "listRuns", runs.listOfSchedules, [...page, texts(schedule), any])
        : any !== null
        ? yield* query<RunRow>(db, "listRuns", runs.listOfWorkflows, [...page, any])
        : yield* query<RunRow>(db, "listRuns", runs.list, page)
      return rows.map(toRun)
    }),

    listSteps: Effect.fn("SystemDb.listSteps")(function*(runId) {
      return (yield* query<StepRow>(db, "listSteps", steps.list, [runId])).map(toStep)
    }),

    cancel: Effect.fn("SystemDb.cancel")(function*(runId, reason) {
      const { again, rows } = yield* queryAgain(db, "cancel", runs.cancel, [yield* now, runId, reason])
      if (rows.length === 0) {
        // The status found here can be newer than the refusal.
        const run = yield* find("cancel", runId)
        if (run === undefined) return yield* new RunNotFound({ runId })
        if (!again || run.status !== "Cancelled") {
          return yield* new IllegalTransition({ runId, command: "cancel", status: run.status })
        }
      }
      yield* hint(db, { _tag: "RunCancelled", runId }, { _tag: "RunsFinished", runIds: [runId] })
    })
  }
}
