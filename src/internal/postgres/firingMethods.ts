/** The port's methods about what schedules do: what is due, and the runs that come of it. */
import * as Effect from "effect/Effect"
import { ScheduleNotFound } from "../../Errors.ts"
import type { Fired, Firing, SystemDb, TickRun } from "../../SystemDb.ts"
import { type Database, hint, now, query, queryOnce } from "./database.ts"
import { instant, instants, ints, type Parameter, texts } from "./parameters.ts"
import { type DueRow, isRun, type PerhapsRun, toDue, toRun } from "./rows.ts"
import { statements } from "./schedules.ts"

export type FiringMethods = Pick<SystemDb["Service"], "dueSchedules" | "fire" | "enqueueTicks" | "triggerSchedule">

interface Clocked {
  readonly clockNow: Date
}

type FiredRow = PerhapsRun & DueRow & Clocked & {
  readonly firing: string | null
  readonly moved: boolean
}

/** `scheduledAt` becomes a JSON string here, since SQL would not escape all of it. */
const ticksOf = (ticks: ReadonlyArray<TickRun>): ReadonlyArray<Parameter> => [
  texts(ticks.map(({ runId }) => runId)),
  instants(ticks.map(({ tick }) => tick)),
  texts(ticks.map(({ scheduledAt }) => JSON.stringify(scheduledAt)))
]

const firingParams = (firings: ReadonlyArray<Firing>): ReadonlyArray<Parameter> => [
  texts(firings.map(({ name }) => name)),
  ints(firings.map(({ revision }) => revision)),
  instants(firings.map(({ cursor }) => cursor)),
  instants(firings.map(({ nextAt }) => nextAt)),
  texts(firings.map(({ owner }) => owner)),
  instants(firings.map(({ ticks }) => ticks.at(-1)?.tick ?? null)),
  texts(firings.map(({ ticks }) => ticks.at(-1)?.runId ?? null)),
  texts(firings.flatMap(({ name, ticks }) => ticks.map(() => name))),
  ...ticksOf(firings.flatMap(({ ticks }) => ticks))
]

/** What became of one firing: it has a row for each of its ticks, or one that says how the schedule stands. */
const firedOf = ({ cursor, name, revision }: Firing, rows: ReadonlyArray<FiredRow>): Fired => {
  const [row] = rows
  if (row === undefined) return { _tag: "Stale", name, current: null }
  if (row.moved) return { _tag: "Fired", name, runs: rows.filter(isRun).map(toRun) }
  const current = toDue(row)
  const early = current?.revision === revision && current.nextAt === cursor && cursor > row.clockNow.getTime()
  return early ? { _tag: "Early", name } : { _tag: "Stale", name, current }
}

const clockOf = (rows: ReadonlyArray<Clocked>): number => (rows[0] as Clocked).clockNow.getTime()

export const make = (db: Database): FiringMethods => {
  const s = statements(db.tables)
  return {
    dueSchedules: Effect.fn("SystemDb.dueSchedules")(function*(horizonMillis) {
      const rows = yield* query<DueRow & Clocked>(db, "dueSchedules", s.due, [yield* now, horizonMillis])
      return { now: clockOf(rows), schedules: rows.map(toDue).filter((schedule) => schedule !== null) }
    }),

    // Tried once: the scheduler must know that an answer was lost, since it may own runs that it has not heard of.
    fire: Effect.fn("SystemDb.fire")(function*(firings) {
      const rows = yield* queryOnce<FiredRow>(db, "fire", s.fire, [yield* now, ...firingParams(firings)])
      const byName = new Map<string, Array<FiredRow>>(firings.map(({ name }) => [name, []]))
      for (const row of rows) byName.get(row.firing ?? "")?.push(row)
      const fired = firings.map((firing) => firedOf(firing, byName.get(firing.name) ?? []))
      const enqueued = fired.some((one) => one._tag === "Fired" && one.runs.some(({ status }) => status === "Enqueued"))
      if (enqueued) yield* hint(db, { _tag: "RunsReady" })
      return { now: clockOf(rows), fired }
    }),

    enqueueTicks: Effect.fn("SystemDb.enqueueTicks")(function*(name, ticks) {
      const [row] = yield* query<{ readonly found: boolean; readonly created: ReadonlyArray<string> }>(
        db,
        "enqueueTicks",
        s.enqueueTicks,
        [yield* now, name, ...ticksOf(ticks)]
      )
      if (row?.found !== true) return yield* new ScheduleNotFound({ name })
      if (row.created.length > 0) yield* hint(db, { _tag: "RunsReady" })
      return row.created
    }),

    triggerSchedule: Effect.fn("SystemDb.triggerSchedule")(function*({ context, name, owner, run }) {
      const [row] = yield* query<PerhapsRun & { readonly found: boolean }>(db, "triggerSchedule", s.trigger, [
        yield* now,
        name,
        run.runId,
        instant(run.tick),
        JSON.stringify(run.scheduledAt),
        context,
        owner
      ])
      if (row?.found !== true) return yield* new ScheduleNotFound({ name })
      if (!isRun(row)) return yield* Effect.die(new Error(`triggerSchedule: run id ${run.runId} was used before`))
      if (owner === null) yield* hint(db, { _tag: "RunsReady" })
      return toRun(row)
    })
  }
}
