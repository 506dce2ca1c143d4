/** The port's methods about schedules. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ScheduleExists, ScheduleNotFound } from "../../Errors.ts"
import type { SystemDb } from "../../SystemDb.ts"
import type { Applied, DueSchedule, Fired, Firing, NewSchedule } from "../records.ts"
import { type Database, now, query, queryOnce, texts, virtualNow } from "./database.ts"
import { storeError } from "./errors.ts"
import { type DueRow, type RunRow, type ScheduleRowStored, toDue, toRun, toSchedule } from "./rows.ts"
import { statements } from "./schedules.ts"

export type ScheduleMethods = Pick<
  SystemDb["Service"],
  | "createSchedule"
  | "applySchedules"
  | "findSchedule"
  | "listSchedules"
  | "pauseSchedule"
  | "resumeSchedule"
  | "deleteSchedule"
  | "dueSchedules"
  | "fire"
  | "enqueueTicks"
  | "triggerSchedule"
>

const seconds = (millis: number | null): string | null => millis === null ? null : String(millis / 1000)

const definitionParams = (schedules: ReadonlyArray<NewSchedule>): ReadonlyArray<unknown> =>
  [
    schedules.map(({ name }) => name),
    schedules.map(({ workflow }) => workflow),
    schedules.map(({ cron }) => cron),
    schedules.map(({ timeZone }) => timeZone),
    schedules.map(({ context }) => context),
    schedules.map(({ policies }) => policies),
    schedules.map(({ application }) => application),
    schedules.map(({ nextAt }) => seconds(nextAt))
  ].map(texts)

const firingParams = (firings: ReadonlyArray<Firing>): ReadonlyArray<unknown> => {
  const ticks = firings.flatMap(({ name, ticks }) => ticks.map((tick) => ({ name, ...tick })))
  return [
    firings.map(({ name }) => name),
    firings.map(({ revision }) => String(revision)),
    firings.map(({ cursor }) => seconds(cursor)),
    firings.map(({ nextAt }) => seconds(nextAt)),
    firings.map(({ owner }) => owner),
    firings.map(({ ticks }) => seconds(ticks.at(-1)?.tick ?? null)),
    firings.map(({ ticks }) => ticks.at(-1)?.runId ?? null),
    ticks.map(({ name }) => name),
    ticks.map(({ runId }) => runId),
    ticks.map(({ tick }) => seconds(tick)),
    ticks.map(({ scheduledAt }) => JSON.stringify(scheduledAt))
  ].map(texts)
}

type FiredRow = RunRow & {
  readonly what: "moved" | "stayed"
  readonly firing: string
  readonly clockNow: Date
  readonly current: Omit<DueSchedule, "name"> | null
}

/** The answer to one firing from its rows: one for each run it started, or a single one that says it did not move. */
const firedOf = (firing: Firing, rows: ReadonlyArray<FiredRow>): Fired => {
  const { name } = firing
  const [row] = rows
  if (row!.what === "moved") {
    const runs = rows.filter(({ id }) => id !== null).map((
      { clockNow: _, current: _current, firing: _firing, what: _what, ...run }
    ) => toRun(run))
    return { _tag: "Fired", name, runs: runs.sort((a, b) => a.tick! - b.tick!) }
  }
  const current = row!.current === null ? null : { name, ...row!.current }
  const early = current !== null && current.revision === firing.revision && current.nextAt === firing.cursor &&
    firing.cursor > row!.clockNow.getTime()
  return early ? { _tag: "Early", name } : { _tag: "Stale", name, current }
}

export const make = (db: Database): ScheduleMethods => {
  const s = statements(db.tables)
  const changed = db.sql.afterCommit(Effect.sync(() => db.hints.publish({ _tag: "SchedulesChanged" })))
  const ready = db.sql.afterCommit(Effect.sync(() => db.hints.publish({ _tag: "RunsReady" })))

  return {
    createSchedule: Effect.fn("SystemDb.createSchedule")(function*(schedule) {
      const params = [yield* virtualNow, ...definitionParams([schedule])]
      const rows = yield* query(db, "createSchedule", s.create, params)
      if (rows.length === 0) return yield* new ScheduleExists({ name: schedule.name })
      yield* changed
    }),

    applySchedules: Effect.fn("SystemDb.applySchedules")(function*(schedules, { pruneApplication }) {
      const params = [yield* virtualNow, ...definitionParams(schedules), pruneApplication]
      // The lock comes in a statement of its own: the next one then sees everything that the one before it wrote.
      const [applied] = yield* db.sql.withTransaction(Effect.andThen(
        queryOnce(db, "applySchedules", s.lockApply, [`effect-durable/${db.tables.schema}/apply`]),
        queryOnce<Applied>(db, "applySchedules", s.apply, params)
      )).pipe(Effect.catchTag("SqlError", (error) => Effect.fail(storeError("applySchedules")(error))))
      yield* changed
      return applied!
    }),

    findSchedule: Effect.fn("SystemDb.findSchedule")(function*(name) {
      const [row] = yield* query<ScheduleRowStored>(db, "findSchedule", s.find, [name])
      return Option.map(Option.fromUndefinedOr(row), toSchedule)
    }),

    listSchedules: Effect.fn("SystemDb.listSchedules")(function*(filter, page) {
      const rows = yield* query<ScheduleRowStored>(db, "listSchedules", s.list, [
        filter.status ?? null,
        filter.workflow === undefined ? null : texts(filter.workflow),
        filter.namePrefix === undefined ? null : texts(filter.namePrefix),
        page.after,
        page.limit
      ])
      return rows.map(toSchedule)
    }),

    pauseSchedule: Effect.fn("SystemDb.pauseSchedule")(function*(name) {
      const rows = yield* query(db, "pauseSchedule", s.pause, [yield* virtualNow, name])
      if (rows.length === 0) return yield* new ScheduleNotFound({ name })
      yield* changed
    }),

    resumeSchedule: Effect.fn("SystemDb.resumeSchedule")(function*({ name, nextAt, revision }) {
      const params = [yield* virtualNow, seconds(nextAt), name, revision]
      const rows = yield* query(db, "resumeSchedule", s.resume, params)
      yield* changed
      return rows.length > 0
    }),

    deleteSchedule: Effect.fn("SystemDb.deleteSchedule")(function*(name) {
      const rows = yield* query(db, "deleteSchedule", s.delete, [name])
      if (rows.length === 0) return yield* new ScheduleNotFound({ name })
      yield* changed
    }),

    dueSchedules: Effect.fn("SystemDb.dueSchedules")(function*(horizonMillis) {
      const params = [yield* virtualNow, horizonMillis]
      const rows = yield* query<DueRow & { readonly clockNow: Date }>(db, "dueSchedules", s.due, params)
      const [clock] = rows
      return { now: clock!.clockNow.getTime(), schedules: rows.filter(({ name }) => name !== null).map(toDue) }
    }),

    fire: Effect.fn("SystemDb.fire")(function*(firings) {
      if (firings.length === 0) return { now: yield* now(db), fired: [] }
      const rows = yield* queryOnce<FiredRow>(db, "fire", s.fire, [yield* virtualNow, ...firingParams(firings)])
      const byName = Map.groupBy(rows, ({ firing }) => firing)
      const fired = firings.map((firing) => firedOf(firing, byName.get(firing.name)!))
      if (fired.some((one) => one._tag === "Fired" && one.runs.some(({ owner }) => owner === null))) yield* ready
      return { now: rows[0]!.clockNow.getTime(), fired }
    }),

    enqueueTicks: Effect.fn("SystemDb.enqueueTicks")(function*(name, ticks) {
      const [row] = yield* query<{ readonly found: boolean; readonly created: ReadonlyArray<string> }>(
        db,
        "enqueueTicks",
        s.enqueueTicks,
        [
          yield* virtualNow,
          name,
          texts(ticks.map(({ runId }) => runId)),
          texts(ticks.map(({ tick }) => seconds(tick))),
          texts(ticks.map(({ scheduledAt }) => JSON.stringify(scheduledAt)))
        ]
      )
      if (!row!.found) return yield* new ScheduleNotFound({ name })
      if (row!.created.length > 0) yield* ready
      return row!.created
    }),

    triggerSchedule: Effect.fn("SystemDb.triggerSchedule")(function*({ context, name, owner, run }) {
      const [row] = yield* query<RunRow>(db, "triggerSchedule", s.trigger, [
        yield* virtualNow,
        name,
        run.runId,
        seconds(run.tick),
        JSON.stringify(run.scheduledAt),
        context,
        owner
      ])
      if (row === undefined) return yield* new ScheduleNotFound({ name })
      if (owner === null) yield* ready
      return toRun(row)
    })
  }
}
