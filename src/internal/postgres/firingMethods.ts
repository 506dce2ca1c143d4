/** The port's methods about what schedules do: what is due, and what is recorded about it. */
import * as Effect from "effect/Effect"
import { ScheduleNotFound } from "../../Errors.ts"
import type { Control, Fired, Firing, Hint, SystemDb } from "../../SystemDb.ts"
import { type Database, hint, inTransaction, now, query, queryAgain, queryOnce } from "./database.ts"
import { compiler, statements } from "./firing.ts"
import { type DueRow, isRun, type PerhapsRun, toDue, toRun } from "./rows.ts"
import { audits, ticksOf } from "./ticks.ts"

export type FiringMethods = Pick<SystemDb["Service"], "dueSchedules" | "fire" | "enqueueTicks" | "triggerSchedule">

interface Clocked {
  readonly clockNow: Date
  readonly freezeKey: string | null
  readonly freezeValue: string
  readonly freezeTurn: number
}

type FiredRow = PerhapsRun & DueRow & Clocked & {
  readonly firing: string | null
  readonly movedTurn: number | null
  readonly movedOverlapTurn: number | null
  /** In the first row, when runs were to be cancelled or hooks to be started. */
  readonly cancelled?: ReadonlyArray<string> | null
  readonly hooked?: boolean | null
}

/** What became of one firing: it has a row for each of its ticks, or one that says how the schedule stands. */
const firedOf = ({ at, name, turn }: Firing, rows: ReadonlyArray<FiredRow>, known: boolean): Fired => {
  const [row] = rows
  if (row === undefined) return { _tag: "Stale", name, current: null }
  if (row.movedTurn !== null) {
    const runs = rows.filter(isRun).map(toRun)
    return { _tag: "Fired", name, turn: row.movedTurn, overlapTurn: row.movedOverlapTurn, runs }
  }
  const current = toDue(row)
  const early = known && current?.turn === turn && at > row.clockNow.getTime()
  return early ? { _tag: "Early", name } : { _tag: "Stale", name, current }
}

/** The first row has what concerns them all. */
const clockOf = (rows: ReadonlyArray<Clocked>): { readonly now: number; readonly freeze: Control | null } => {
  const { clockNow, freezeKey, freezeTurn, freezeValue } = rows[0] as Clocked
  return {
    now: clockNow.getTime(),
    freeze: freezeKey === null ? null : { key: freezeKey, value: freezeValue, turn: freezeTurn }
  }
}

const hintsOf = ({ cancelled, hooked }: Pick<FiredRow, "cancelled" | "hooked">, fired: ReadonlyArray<Fired>) => {
  const runIds = cancelled ?? []
  const hints: Array<Hint> = runIds.map((runId) => ({ _tag: "RunCancelled", runId }))
  if (runIds.length > 0) hints.push({ _tag: "RunsFinished", runIds })
  const enqueued = fired.some((one) => one._tag === "Fired" && one.runs.some(({ status }) => status === "Enqueued"))
  if (enqueued || hooked === true) hints.push({ _tag: "RunsReady" })
  return hints
}

export const make = (db: Database): FiringMethods => {
  const s = statements(db.tables)
  const compile = compiler(db.tables)
  return {
    dueSchedules: Effect.fn("SystemDb.dueSchedules")(function*(horizonMillis) {
      const rows = yield* query<DueRow & Clocked>(db, "dueSchedules", s.due, [yield* now, horizonMillis])
      return { ...clockOf(rows), schedules: rows.map(toDue).filter((schedule) => schedule !== null) }
    }),

    // Tried once: the scheduler must know that an answer was lost, since it may own runs that it has not heard of.
    fire: Effect.fn("SystemDb.fire")(function*(firings, freezeTurn) {
      const { params, sql } = compile(firings, yield* now, freezeTurn)
      const rows = yield* queryOnce<FiredRow>(db, "fire", sql, params)
      const clock = clockOf(rows)
      const known = (clock.freeze?.turn ?? null) === freezeTurn
      const byName = new Map<string, Array<FiredRow>>(firings.map(({ name }) => [name, []]))
      for (const row of rows) byName.get(row.firing ?? "")?.push(row)
      const fired = firings.map((firing) => firedOf(firing, byName.get(firing.name) ?? [], known))
      yield* hint(db, ...hintsOf(rows[0] as FiredRow, fired))
      return { ...clock, fired }
    }),

    enqueueTicks: Effect.fn("SystemDb.enqueueTicks")(function*(name, ticks, { settle, timeoutMillis }) {
      const { again, rows: [row] } = yield* queryAgain<{
        readonly found: boolean
        readonly created: ReadonlyArray<string>
      }>(
        db,
        "enqueueTicks",
        s.enqueueTicks,
        [yield* now, name, timeoutMillis, settle, ...ticksOf(ticks)]
      )
      if (row?.found !== true) return yield* new ScheduleNotFound({ schedule: name })
      if (again || row.created.length > 0) yield* hint(db, { _tag: "RunsReady" })
      return row.created
    }),

    triggerSchedule: Effect.fn("SystemDb.triggerSchedule")(function*({ audit, context, name, options, owner, run }) {
      const { again, rows: [row] } = yield* queryAgain<
        PerhapsRun & { readonly found: boolean; readonly made: boolean | null }
      >(
        db,
        "triggerSchedule",
        s.trigger,
        [
          yield* now,
          name,
          context,
          // Nobody may execute it before the commit.
          (yield* inTransaction(db)) ? null : owner,
          options.timeoutMillis,
          options.settle,
          ...ticksOf([run]),
          ...audits.params([{ change: run.runId, audit }])
        ]
      )
      if (row?.found !== true) return yield* new ScheduleNotFound({ schedule: name })
      if (!isRun(row)) return yield* Effect.die(new Error(`triggerSchedule: run id ${run.runId} was used before`))
      const made = row.made === true
      if ((again || made) && row.status === "Enqueued") yield* hint(db, { _tag: "RunsReady" })
      return { run: toRun(row), created: made }
    })
  }
}
