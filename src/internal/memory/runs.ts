/** Runs: starting, claiming, finding, awaiting and cancelling them. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import { IllegalTransition, RunConflict, RunNotFound } from "../../Errors.ts"
import type { Hint, Run, RunFilter, Started, SystemDb } from "../../SystemDb.ts"
import { allows, isFinished } from "../lifecycle.ts"
import { atomic, byCodePoint, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<Store, "start" | "claim" | "findRun" | "awaitRun" | "listRuns" | "listSteps" | "cancel">

const started = (run: Run, created: boolean): Started => ({
  created,
  status: run.status,
  owner: run.owner,
  epoch: run.epoch,
  deadline: run.deadline
})

const start = (state: State): Store["start"] => (draft) =>
  atomic((now) => {
    const existing = state.runs.get(draft.id)
    if (existing !== undefined) {
      if (existing.workflow !== draft.workflow) {
        return Effect.fail(new RunConflict({ runId: draft.id, workflow: draft.workflow, existing: existing.workflow }))
      }
      if (draft.parent !== null && draft.parent !== existing.parent) state.link(draft.id, draft.parent)
      return Effect.succeed(started(existing, false))
    }
    const { delayMillis, owner } = draft
    const begin = owner !== null && delayMillis === null ? { owner } : { wakeAt: now + (delayMillis ?? 0) }
    const run = state.create({ ...draft, trace: draft.trace ?? null }, now, begin)
    if (run.status === "Enqueued") state.publish({ _tag: "RunsReady" })
    return Effect.succeed(started(run, true))
  })

const claim =
  (state: State): Store["claim"] => ({ limit, maxAttempts = Infinity, suspect = false, worker, workflows }) =>
    atomic((now) => {
      let suspects = false
      const waiting: Array<Run & { readonly wakeAt: number }> = []
      for (const id of state.live) {
        const run = state.runs.get(id)
        if (run === undefined || run.wakeAt === null || !workflows.includes(run.workflow)) continue
        if (!allows("claim", run.status)) continue
        const suspected = run.deaths > 0 && run.deaths >= maxAttempts
        if (suspected && !suspect && run.wakeAt <= now) suspects = true
        if (suspected === suspect) waiting.push({ ...run, wakeAt: run.wakeAt })
      }
      waiting.sort((a, b) => a.wakeAt - b.wakeAt || byCodePoint(a.id, b.id))
      const due = waiting
        .filter((run) => run.wakeAt <= now && !state.locks.run(run.id))
        .slice(0, suspect ? Math.min(limit, 1) : limit)
      const taken = new Set(due)
      const runs = due.map((run) => ({
        run: state.move("claim", run, {
          status: "Running",
          owner: worker,
          epoch: run.epoch + 1,
          wakeAt: null,
          isolated: false,
          startedAt: run.startedAt ?? now,
          deadline: run.deadline ?? (run.timeoutMillis === null ? null : now + run.timeoutMillis)
        }),
        steps: state.recorded(run.id)
      }))
      const nextWake = suspect ? null : waiting.find((run) => !taken.has(run))?.wakeAt ?? null
      return Effect.succeed({ runs, nextWake, suspects })
    })

/** Waits for a hint that may mean the end of this run. */
const ended = (hints: PubSub.Subscription<Hint>, runId: string) =>
  PubSub.take(hints).pipe(
    Effect.repeat({
      until: (hint) => hint._tag === "RunsFinished" && (hint.runIds.length === 0 || hint.runIds.includes(runId))
    })
  )

/** No hint of this store gets lost, and under a virtual clock each look costs as much as something that happens. */
const rarely = "1 day"

const awaitRun = (state: State): Store["awaitRun"] =>
  Effect.fnUntraced(function*(runId) {
    // Subscribed before the first look, so that no end falls between the two.
    const hints = yield* PubSub.subscribe(state.hints)
    while (true) {
      const run = state.runs.get(runId)
      if (run === undefined) return yield* new RunNotFound({ runId })
      if (isFinished(run.status)) return run
      yield* Effect.timeoutOption(ended(hints, runId), state.hinting ? rarely : "1 second")
    }
  }, Effect.scoped)

const matches = (filter: RunFilter) => (run: Run): boolean =>
  (filter.status?.includes(run.status) ?? true) &&
  (filter.workflow?.includes(run.workflow) ?? true) &&
  (filter.schedule === undefined || (run.schedule !== null && filter.schedule.includes(run.schedule)))

const newestFirst = (a: Pick<Run, "createdAt" | "id">, b: Pick<Run, "createdAt" | "id">): number =>
  b.createdAt - a.createdAt || byCodePoint(b.id, a.id)

/** Ends a run that has not ended. */
export const cancelRun = (state: State, run: Run, reason: string | null, now: number): void => {
  state.move("cancel", run, { status: "Cancelled", owner: null, wakeAt: null, finishedAt: now, reason })
  state.publish({ _tag: "RunCancelled", runId: run.id }, { _tag: "RunsFinished", runIds: [run.id] })
}

const cancel = (state: State): Store["cancel"] => (runId, reason) =>
  state.locks.until(
    () => !state.live.has(runId) || !state.locks.run(runId),
    atomic((now): ReturnType<Store["cancel"]> => {
      const run = state.runs.get(runId)
      if (run === undefined) return Effect.fail(new RunNotFound({ runId }))
      if (!allows("cancel", run.status)) {
        return Effect.fail(new IllegalTransition({ runId, command: "cancel", status: run.status }))
      }
      cancelRun(state, run, reason, now)
      return Effect.void
    })
  )

export const make = (state: State): Methods => ({
  start: start(state),
  claim: claim(state),
  findRun: (runId) => Effect.sync(() => Option.fromUndefinedOr(state.runs.get(runId))),
  awaitRun: awaitRun(state),
  listRuns: (filter, { after, limit }) =>
    Effect.sync(() =>
      Array.from(state.runs.values())
        .filter((run) => matches(filter)(run) && (after === null || newestFirst(after, run) < 0))
        .sort(newestFirst)
        .slice(0, limit)
    ),
  listSteps: (runId) => Effect.sync(() => state.recorded(runId)),
  cancel: cancel(state)
})
