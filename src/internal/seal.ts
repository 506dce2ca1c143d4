/**
 * What every store shares at its door: values over the limit are refused before anything is written, look-ups by what cannot be
 * there find nothing, and every call passes the `Interceptor` seam.
 */
import * as Effect from "effect/Effect"
import { ValueTooLarge } from "../Errors.ts"
import { Interceptor, type SystemDb } from "../SystemDb.ts"
import { maxKeptBytes } from "./kept.ts"
import { lookups } from "./lookups.ts"

type Store = SystemDb["Service"]

/** 8 MB of JSON text, in UTF-8. */
export const defaultMaxValueBytes = 8 * 1024 * 1024

/** What of a schedule is written by whoever declares it, and may have any size. */
const texts = ["context", "timing", "policies", "jsonSchema", "labels", "state", "note"] as const

const intercepted = <Args extends ReadonlyArray<any>, A, E, R>(
  method: keyof Store,
  call: (...args: Args) => Effect.Effect<A, E, R>
) =>
(...args: Args): Effect.Effect<A, E, R> => Effect.withFiber((fiber) => fiber.getRef(Interceptor)(method, call(...args)))

/** Wraps a store's methods; what an implementation's layer provides is always sealed. */
export const seal = (given: Store, options: { readonly maxValueBytes: number }): Store => {
  const store = lookups(given)
  const oversized = (
    field: string,
    value: string | null,
    limit = options.maxValueBytes
  ): ValueTooLarge | undefined => {
    // A UTF-16 unit is at most 3 bytes of UTF-8, so most values need no counting.
    if (value === null || value.length * 3 <= limit) return undefined
    const bytes = Buffer.byteLength(value)
    return bytes > limit ? new ValueTooLarge({ field, bytes, limit }) : undefined
  }
  const checked = <A, E, R>(refusal: ValueTooLarge | undefined, call: Effect.Effect<A, E, R>) =>
    refusal === undefined ? call : Effect.fail(refusal)
  const stepTooLarge = (
    step: { readonly name: string; readonly outcome: string | null; readonly errors: string | null }
  ) =>
    oversized(`outcome of step ${step.name}`, step.outcome) ??
      // They are bounded as they are, and no run fails because of them.
      oversized(`errors of step ${step.name}`, step.errors, Math.max(options.maxValueBytes, maxKeptBytes))

  return {
    now: Effect.withFiber((fiber) => fiber.getRef(Interceptor)("now", store.now)),
    hints: store.hints,
    exclusive: store.exclusive,
    joined: store.joined,
    start: intercepted("start", (run) => checked(oversized("payload", run.payload), store.start(run))),
    claim: intercepted("claim", store.claim),
    findRun: intercepted("findRun", store.findRun),
    awaitRun: intercepted("awaitRun", store.awaitRun),
    listRuns: intercepted("listRuns", store.listRuns),
    listSteps: intercepted("listSteps", store.listSteps),
    cancel: intercepted("cancel", store.cancel),
    recordStep: intercepted("recordStep", (lease, step) => checked(stepTooLarge(step), store.recordStep(lease, step))),
    recordStepInTransaction: intercepted(
      "recordStepInTransaction",
      (lease, step) => checked(stepTooLarge(step), store.recordStepInTransaction(lease, step))
    ),
    finish: intercepted(
      "finish",
      (lease, end) => checked(oversized("outcome", end.outcome), store.finish(lease, end))
    ),
    suspend: intercepted("suspend", store.suspend),
    registerWorker: intercepted("registerWorker", store.registerWorker),
    pulse: intercepted("pulse", store.pulse),
    isolate: intercepted("isolate", store.isolate),
    release: intercepted("release", store.release),
    reconcile: intercepted("reconcile", store.reconcile),
    ownWorkflow: intercepted("ownWorkflow", store.ownWorkflow),
    setBodies: intercepted("setBodies", store.setBodies),
    listBodies: Effect.withFiber((fiber) => fiber.getRef(Interceptor)("listBodies", store.listBodies)),
    listUnattended: intercepted("listUnattended", store.listUnattended),
    findSchedule: intercepted("findSchedule", store.findSchedule),
    findSchedules: intercepted("findSchedules", store.findSchedules),
    listSchedules: intercepted("listSchedules", store.listSchedules),
    findControl: intercepted("findControl", store.findControl),
    changeSchedules: intercepted("changeSchedules", (change) => {
      for (const { content, name } of change.schedules) {
        for (const field of content === null ? [] : texts) {
          const refusal = oversized(`${field} of schedule ${name}`, content?.[field] ?? null)
          if (refusal !== undefined) return Effect.fail(refusal)
        }
      }
      for (const { key, value } of change.controls) {
        const refusal = oversized(`value of control ${key}`, value)
        if (refusal !== undefined) return Effect.fail(refusal)
      }
      for (const { context, schedule } of [...change.triggers ?? [], ...change.backfills ?? []]) {
        const refusal = oversized(`context of runs of schedule ${schedule}`, context)
        if (refusal !== undefined) return Effect.fail(refusal)
      }
      return store.changeSchedules(change)
    }),
    listAudits: intercepted("listAudits", store.listAudits),
    dueSchedules: intercepted("dueSchedules", store.dueSchedules),
    fire: intercepted("fire", store.fire),
    enqueueTicks: intercepted("enqueueTicks", store.enqueueTicks),
    triggerSchedule: intercepted(
      "triggerSchedule",
      (request) => checked(oversized("context", request.context), store.triggerSchedule(request))
    ),
    listHistory: intercepted("listHistory", store.listHistory),
    findDecisions: intercepted("findDecisions", store.findDecisions),
    findPrevious: intercepted("findPrevious", store.findPrevious),
    prune: intercepted("prune", store.prune),
    createBackfill: intercepted("createBackfill", store.createBackfill),
    findBackfill: intercepted("findBackfill", store.findBackfill),
    listBackfills: intercepted("listBackfills", store.listBackfills),
    changeBackfill: intercepted("changeBackfill", store.changeBackfill),
    dueBackfills: intercepted("dueBackfills", store.dueBackfills),
    advanceBackfill: intercepted("advanceBackfill", store.advanceBackfill)
  }
}
