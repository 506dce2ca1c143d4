/** What the owner of a run writes, fenced by its lease. */
import * as Effect from "effect/Effect"
import { LeaseLost } from "../../Errors.ts"
import type { Lease, NewStepRecord, Released, Run, SystemDb } from "../../SystemDb.ts"
import { atomic, label, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<
  Store,
  "recordStep" | "recordStepInTransaction" | "finish" | "suspend" | "isolate" | "release" | "reconcile"
>

const holds = (run: Run, lease: Lease): boolean =>
  run.status === "Running" && run.owner === lease.worker && run.epoch === lease.epoch

/** The run, if the lease still gives the right to write for it. */
const leased = (state: State, lease: Lease): Run | undefined => {
  const run = state.runs.get(lease.runId)
  return run !== undefined && holds(run, lease) ? run : undefined
}

const lost = (lease: Lease) => Effect.fail(new LeaseLost({ runId: lease.runId, epoch: lease.epoch }))

const write = (state: State, lease: Lease, step: NewStepRecord, now: number): void => {
  const steps = state.steps.get(lease.runId) ?? new Map()
  state.steps.set(lease.runId, steps)
  // A map keeps the place of a key that it has, and so a record written again the place of its first write.
  steps.set(label(step), {
    epoch: lease.epoch,
    record: {
      name: step.name,
      key: step.key,
      occurrence: step.occurrence,
      kind: step.kind,
      attempts: step.attempts,
      errors: step.errors,
      outcome: step.outcome,
      wakeAt: step.wakeAt,
      startedAt: step.startedAt,
      recordedAt: now
    }
  })
}

/** Makes the call once it may write for this lease: a row that is held is waited for, by those who would write it. */
const free = <A, E>(state: State, lease: Lease, call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  state.locks.until(() => leased(state, lease) === undefined || !state.locks.run(lease.runId), call)

const recordStep = (state: State): Store["recordStep"] => (lease, step) =>
  // Also for a lease that is lost: the row is locked first, and then looked at.
  state.locks.until(() => !state.runs.has(lease.runId) || !state.locks.run(lease.runId), record(state, lease, step))

const record = (state: State, lease: Lease, step: NewStepRecord) =>
  atomic((now) => {
    const existing = state.steps.get(lease.runId)?.get(label(step))
    const recorded = existing !== undefined && existing.record.outcome !== null
    // A write whose acknowledgement was lost is asked for again, perhaps after the run has moved on.
    if (recorded && existing.epoch === lease.epoch) return Effect.void
    if (leased(state, lease) === undefined) return lost(lease)
    if (!recorded) write(state, lease, step, now)
    return Effect.void
  })

const finish = (state: State): Store["finish"] => (lease, { outcome, status }) =>
  free(
    state,
    lease,
    atomic((now) => {
      const run = leased(state, lease)
      if (run === undefined) {
        const ended = state.runs.get(lease.runId)
        const again = ended !== undefined && (ended.status === "Succeeded" || ended.status === "Failed") &&
          ended.owner === lease.worker && ended.epoch === lease.epoch
        return again ? Effect.void : lost(lease)
      }
      const command = status === "Succeeded" ? "succeed" : "fail"
      state.move(command, run, {
        status,
        outcome,
        wakeAt: null,
        finishedAt: now,
        handbacks: 0,
        ...(command === "succeed" && { reason: null })
      })
      state.publish({ _tag: "RunsFinished", runIds: [run.id] })
      return Effect.void
    })
  )

/** Whether the run's owner has recorded anything of it. */
export const progressed = (state: State, { epoch, id }: Run): boolean =>
  Array.from(state.steps.get(id)?.values() ?? []).some((step) => step.epoch === epoch)

/** A run's deaths, when it is given up in good order. */
const deathsLeft = (state: State, run: Run): number => progressed(state, run) ? 0 : run.deaths

const suspend = (state: State): Store["suspend"] => (lease, wakeAt, trace = null) =>
  free(
    state,
    lease,
    atomic(() => {
      const run = leased(state, lease)
      if (run === undefined) {
        const given = state.runs.get(lease.runId)
        return given?.status === "Suspended" && given.epoch === lease.epoch ? Effect.void : lost(lease)
      }
      state.move("suspend", run, {
        status: "Suspended",
        owner: null,
        wakeAt,
        handbacks: 0,
        trace: run.trace ?? trace,
        deaths: deathsLeft(state, run)
      })
      state.publish({ _tag: "RunsReady" })
      return Effect.void
    })
  )

const isolate = (state: State): Store["isolate"] => (lease, isolated) =>
  free(
    state,
    lease,
    atomic(() => {
      const run = leased(state, lease)
      if (run === undefined) return lost(lease)
      state.put({ ...run, isolated })
      return Effect.void
    })
  )

/** Enqueues these Running runs again, attempt unchanged. */
export const handBack = (
  state: State,
  runs: ReadonlyArray<Run>,
  now: number,
  why: (run: Run) => Released["handBack"] = () => undefined
): void => {
  for (const run of runs) {
    const trouble = why(run)
    state.move("release", run, {
      status: "Enqueued",
      owner: null,
      wakeAt: now + (trouble?.delayMillis ?? 0),
      deaths: deathsLeft(state, run),
      ...(trouble !== undefined && { reason: trouble.reason, handbacks: run.handbacks + 1 })
    })
  }
  if (runs.length > 0) state.publish({ _tag: "RunsReady" })
}

const anyLocked = (state: State, runs: ReadonlyArray<Run>): boolean => runs.some(({ id }) => state.locks.run(id))

const release = (state: State): Store["release"] => (leases) => {
  const runs = () => Array.from(new Set(leases.flatMap((lease) => leased(state, lease) ?? [])))
  return state.locks.until(
    () => !anyLocked(state, runs()),
    atomic((now) => {
      handBack(
        state,
        runs(),
        now,
        (run) => leases.find((lease) => lease.runId === run.id && holds(run, lease))?.handBack
      )
      return Effect.void
    })
  )
}

/** A run that somebody holds is left for the next comparison. */
const reconcile = (state: State): Store["reconcile"] => ({ held, worker }) =>
  atomic((now) => {
    const leases = held.map(({ epoch, runId }) => ({ runId, worker, epoch }))
    const forgotten = state.running((owner) => owner === worker)
      .filter((run) => !leases.some((lease) => lease.runId === run.id && holds(run, lease)))
    const lost = leases.filter((lease) => leased(state, lease) === undefined).map(({ runId }) => runId)
    handBack(state, forgotten.filter(({ id }) => !state.locks.run(id)), now)
    return Effect.succeed(lost)
  })

export const make = (state: State): Methods => ({
  recordStep: recordStep(state),
  recordStepInTransaction: () =>
    Effect.die(new Error("The memory store has no SQL client, so no transaction can hold a step's record.")),
  finish: finish(state),
  suspend: suspend(state),
  isolate: isolate(state),
  release: release(state),
  reconcile: reconcile(state)
})
