/**
 * Look-ups by a text that no store can keep find nothing, in every store alike: there can be nothing under it. Asked for as it is, it
 * would be refused by one store and taken for another text by the next.
 */
import * as Effect from "effect/Effect"
import { RunNotFound, ScheduleNotFound } from "../Errors.ts"
import type { SystemDb } from "../SystemDb.ts"
import { storable } from "./texts.ts"

type Store = SystemDb["Service"]

const kept = (values: ReadonlyArray<string> | undefined): ReadonlyArray<string> | undefined => values?.filter(storable)

/** Where a page goes on after a text that nothing is stored under: in the same place, or hardly before it. */
const cut = (text: string): string => text.split("\0", 1)[0]!.toWellFormed()

const noRows = Effect.succeed([])

/** The store, which is not asked for what cannot be there. */
export const lookups = (store: Store): Store => ({
  ...store,

  findRun: (runId) => storable(runId) ? store.findRun(runId) : Effect.succeedNone,
  awaitRun: (runId) => storable(runId) ? store.awaitRun(runId) : Effect.fail(new RunNotFound({ runId })),
  listSteps: (runId) => storable(runId) ? store.listSteps(runId) : noRows,
  cancel: (runId, reason) => storable(runId) ? store.cancel(runId, reason) : Effect.fail(new RunNotFound({ runId })),
  listRuns: (filter, { after, limit }) =>
    store.listRuns(
      { ...filter, workflow: kept(filter.workflow), schedule: kept(filter.schedule) },
      { limit, after: after === null ? null : { ...after, id: cut(after.id) } }
    ),

  findSchedule: (name) => storable(name) ? store.findSchedule(name) : Effect.succeedNone,
  findSchedules: (names) => store.findSchedules(names.filter(storable)),
  listSchedules: (filter, { after, limit }) =>
    store.listSchedules({
      ...filter,
      workflow: kept(filter.workflow),
      namePrefix: kept(filter.namePrefix),
      owner: kept(filter.owner),
      externalId: kept(filter.externalId)
    }, { limit, after: after === null ? null : cut(after) }),
  findControl: (key) => storable(key) ? store.findControl(key) : Effect.succeedNone,
  listAudits: (schedule, page) => schedule === null || storable(schedule) ? store.listAudits(schedule, page) : noRows,

  enqueueTicks: (name, ticks, options) =>
    storable(name) ? store.enqueueTicks(name, ticks, options) : Effect.fail(new ScheduleNotFound({ schedule: name })),
  triggerSchedule: (request) =>
    storable(request.name)
      ? store.triggerSchedule(request)
      : Effect.fail(new ScheduleNotFound({ schedule: request.name })),

  listHistory: (filter, { after, limit }) =>
    storable(filter.schedule)
      ? store.listHistory(filter, { limit, after: after === null ? null : { ...after, key: cut(after.key) } })
      : noRows,
  findDecisions: (schedule, instant) =>
    storable(schedule) ? store.findDecisions(schedule, instant) : Effect.succeed({ runs: [], entries: [] }),
  findPrevious: (runId) =>
    storable(runId) ? store.findPrevious(runId) : Effect.succeed({ success: null, failure: null }),

  findBackfill: (id) => storable(id) ? store.findBackfill(id) : Effect.succeedNone,
  listBackfills: (schedule, { after, limit }) =>
    schedule === null || storable(schedule)
      ? store.listBackfills(schedule, { limit, after: after === null ? null : { ...after, id: cut(after.id) } })
      : noRows
})
