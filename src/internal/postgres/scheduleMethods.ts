/** The port's methods about schedules: defining them, and switching them on and off. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ScheduleExists, ScheduleNotFound } from "../../Errors.ts"
import type { Applied, NewSchedule, ScheduleRow, SystemDb } from "../../SystemDb.ts"
import { type Database, hint, inTransaction, now, patiently, query, queryAgain } from "./database.ts"
import { storeError } from "./errors.ts"
import { instant, instants, type Parameter, texts } from "./parameters.ts"
import { type ScheduleStored, toSchedule } from "./rows.ts"
import { statements } from "./schedules.ts"

type Store = SystemDb["Service"]
type Defining = Pick<Store, "createSchedule" | "applySchedules" | "findSchedule" | "listSchedules">
type Switching = Pick<Store, "pauseSchedule" | "resumeSchedule" | "deleteSchedule">

const definitions = (schedules: ReadonlyArray<NewSchedule>): ReadonlyArray<Parameter> => [
  texts(schedules.map(({ name }) => name)),
  texts(schedules.map(({ workflow }) => workflow)),
  texts(schedules.map(({ cron }) => cron)),
  texts(schedules.map(({ timeZone }) => timeZone)),
  texts(schedules.map(({ context }) => context)),
  texts(schedules.map(({ policies }) => policies)),
  texts(schedules.map(({ application }) => application)),
  instants(schedules.map(({ nextAt }) => nextAt))
]

/** Whether a row is what creating this schedule leaves. */
const isNew = (row: ScheduleRow, schedule: NewSchedule): boolean =>
  row.revision === 1 && row.workflow === schedule.workflow && row.cron === schedule.cron &&
  row.timeZone === schedule.timeZone && row.context === schedule.context && row.policies === schedule.policies &&
  row.application === schedule.application

const defining = (db: Database): Defining => {
  const s = statements(db.tables)

  const find = (method: string, name: string) =>
    Effect.map(
      query<ScheduleStored>(db, method, s.find, [name]),
      ([row]) => row === undefined ? undefined : toSchedule(row)
    )

  return {
    createSchedule: Effect.fn("SystemDb.createSchedule")(function*(schedule) {
      const params = [yield* now, ...definitions([schedule])]
      const { again, rows } = yield* queryAgain(db, "createSchedule", s.create, params)
      if (rows.length === 0) {
        const row = again ? yield* find("createSchedule", schedule.name) : undefined
        if (row === undefined || !isNew(row, schedule)) return yield* new ScheduleExists({ name: schedule.name })
      }
      yield* hint(db, { _tag: "SchedulesChanged" })
    }),

    applySchedules: Effect.fn("SystemDb.applySchedules")(function*(schedules, { pruneApplication }) {
      if (new Set(schedules.map(({ name }) => name)).size < schedules.length) {
        return yield* Effect.die(new Error("applySchedules: the names must be distinct"))
      }
      const params = [yield* now, ...definitions(schedules), pruneApplication]
      // Two statements, since one would see what was there when it began, and not when it got the lock.
      const once = db.sql.unsafe(s.lockApply).pipe(
        Effect.andThen(db.sql.unsafe<Applied>(s.apply, params)),
        db.sql.withTransaction,
        Effect.mapError(storeError("applySchedules"))
      )
      const [row] = yield* (yield* inTransaction(db)) ? once : patiently(once, db.retryForMillis)
      const { changed, created, pruned, unchanged } = row as Applied
      if (created.length + changed.length + pruned.length > 0) yield* hint(db, { _tag: "SchedulesChanged" })
      return { created, changed, unchanged, pruned }
    }),

    findSchedule: Effect.fn("SystemDb.findSchedule")(function*(name) {
      return Option.fromUndefinedOr(yield* find("findSchedule", name))
    }),

    listSchedules: Effect.fn("SystemDb.listSchedules")(function*({ namePrefix, status, workflow }, { after, limit }) {
      const rows = yield* query<ScheduleStored>(db, "listSchedules", s.list, [
        status ?? null,
        workflow === undefined ? null : texts(workflow),
        namePrefix === undefined ? null : texts(namePrefix),
        after,
        limit
      ])
      return rows.map(toSchedule)
    })
  }
}

const switching = (db: Database): Switching => {
  const s = statements(db.tables)
  return {
    pauseSchedule: Effect.fn("SystemDb.pauseSchedule")(function*(name) {
      const [row] = yield* query<{ readonly changed: boolean }>(db, "pauseSchedule", s.pause, [yield* now, name])
      if (row === undefined) return yield* new ScheduleNotFound({ name })
      if (row.changed) yield* hint(db, { _tag: "SchedulesChanged" })
    }),

    resumeSchedule: Effect.fn("SystemDb.resumeSchedule")(function*({ name, nextAt, revision }) {
      const rows = yield* query(db, "resumeSchedule", s.resume, [yield* now, instant(nextAt), name, revision])
      if (rows.length > 0) yield* hint(db, { _tag: "SchedulesChanged" })
      return rows.length > 0
    }),

    deleteSchedule: Effect.fn("SystemDb.deleteSchedule")(function*(name) {
      const { again, rows } = yield* queryAgain(db, "deleteSchedule", s.delete, [name])
      if (rows.length === 0 && !again) return yield* new ScheduleNotFound({ name })
      yield* hint(db, { _tag: "SchedulesChanged" })
    })
  }
}

export const make = (db: Database): Defining & Switching => ({ ...defining(db), ...switching(db) })
