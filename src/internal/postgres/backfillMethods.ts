/** The port's methods about backfills. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ScheduleNotFound } from "../../Errors.ts"
import type { Backfill, Hint, NewAudit, SystemDb } from "../../SystemDb.ts"
import { statements } from "./backfills.ts"
import { type Database, hint, now, query, queryAgain } from "./database.ts"
import { instant } from "./parameters.ts"
import { millis, type ScheduleStored, toSchedule } from "./rows.ts"
import { ticksOf } from "./ticks.ts"

export type BackfillMethods = Pick<
  SystemDb["Service"],
  "createBackfill" | "findBackfill" | "listBackfills" | "changeBackfill" | "dueBackfills" | "advanceBackfill"
>

interface BackfillRow {
  readonly backfillId: string
  readonly backfillSchedule: string
  readonly fromAt: Date
  readonly toAt: Date
  readonly newestFirst: boolean
  readonly concurrency: number
  readonly rerun: boolean
  readonly backfillContext: string | null
  readonly planned: string | null
  readonly backfillStatus: Backfill["status"]
  readonly cursor: Date | null
  readonly backfillStarted: number
  readonly existing: number
  readonly live: number
  readonly backfillTurn: number
  readonly backfillCreatedAt: Date
  readonly backfillUpdatedAt: Date
  readonly finishedAt: Date | null
}

const toBackfill = (row: BackfillRow): Backfill => ({
  id: row.backfillId,
  schedule: row.backfillSchedule,
  from: row.fromAt.getTime(),
  to: row.toAt.getTime(),
  newestFirst: row.newestFirst,
  concurrency: row.concurrency,
  rerun: row.rerun,
  context: row.backfillContext,
  planned: row.planned,
  status: row.backfillStatus,
  cursor: millis(row.cursor),
  started: row.backfillStarted,
  existing: row.existing,
  live: row.live,
  turn: row.backfillTurn,
  createdAt: row.backfillCreatedAt.getTime(),
  updatedAt: row.backfillUpdatedAt.getTime(),
  finishedAt: millis(row.finishedAt)
})

/** A row of an outer join, in which there may be no schedule. */
type PerhapsSchedule = ScheduleStored | { readonly [K in keyof ScheduleStored]: null }

const isSchedule = <Row extends PerhapsSchedule>(row: Row): row is Row & ScheduleStored => row.name !== null

/** What a try is known by after its answer was lost. Not of the fiber's Random: processes that share a seed share a store. */
const freshChange = Effect.sync(() => globalThis.crypto.randomUUID())

const auditOf = (change: string, audit: NewAudit): ReadonlyArray<string | null> => [
  change,
  audit.schedule,
  audit.action,
  audit.actor,
  audit.source,
  audit.reason,
  audit.before,
  audit.after
]

interface Changed {
  readonly changed: boolean
  /** An earlier try made the change, and its answer was lost. */
  readonly before: boolean
  readonly cancelled: ReadonlyArray<string>
}

const hintsOf = (status: Backfill["status"], { before, cancelled }: Changed): ReadonlyArray<Hint> => {
  if (status === "Active") return [{ _tag: "SchedulesChanged" }]
  if (status !== "Cancelled" || (cancelled.length === 0 && !before)) return []
  // Nobody knows which ones an earlier try cancelled, which comes to an empty list here.
  return [...cancelled.map((runId): Hint => ({ _tag: "RunCancelled", runId })), {
    _tag: "RunsFinished",
    runIds: cancelled
  }]
}

export const make = (db: Database): BackfillMethods => {
  const s = statements(db.tables)

  return {
    createBackfill: Effect.fn("SystemDb.createBackfill")(function*(backfill, audit) {
      const { concurrency, context, from, id, newestFirst, planned, rerun, schedule, to } = backfill
      const [row] = yield* query<BackfillRow & { readonly created: boolean }>(db, "createBackfill", s.create, [
        yield* now,
        id,
        schedule,
        instant(from),
        instant(to),
        newestFirst,
        concurrency,
        rerun,
        context,
        planned,
        ...auditOf(yield* freshChange, audit)
      ])
      if (row === undefined) return yield* new ScheduleNotFound({ schedule })
      if (row.created) yield* hint(db, { _tag: "SchedulesChanged" })
      return { created: row.created, backfill: toBackfill(row) }
    }),

    findBackfill: Effect.fn("SystemDb.findBackfill")(function*(id) {
      const [row] = yield* query<BackfillRow>(db, "findBackfill", s.find, [id])
      return Option.map(Option.fromUndefinedOr(row), toBackfill)
    }),

    listBackfills: Effect.fn("SystemDb.listBackfills")(function*(schedule, { after, limit }) {
      const params = [schedule, instant(after?.createdAt ?? null), after?.id ?? null, limit]
      return (yield* query<BackfillRow>(db, "listBackfills", s.list, params)).map(toBackfill)
    }),

    changeBackfill: Effect.fn("SystemDb.changeBackfill")(function*({ audit, id, status, turn }) {
      const [row] = yield* query<Changed>(db, "changeBackfill", s.change, [
        yield* now,
        id,
        turn,
        status,
        ...auditOf(yield* freshChange, audit)
      ])
      if (row === undefined || !(row.changed || row.before)) return false
      yield* hint(db, ...hintsOf(status, row))
      return true
    }),

    dueBackfills: Effect.fn("SystemDb.dueBackfills")(function*(limit) {
      const rows = yield* query<BackfillRow & PerhapsSchedule>(db, "dueBackfills", s.due, [limit])
      return rows.map((row) => ({ backfill: toBackfill(row), schedule: isSchedule(row) ? toSchedule(row) : null }))
    }),

    advanceBackfill: Effect.fn("SystemDb.advanceBackfill")(function*(advance) {
      const { cursor, done, id, settle, ticks, timeoutMillis, turn } = advance
      const { again, rows } = yield* queryAgain<{ readonly advanced: boolean; readonly started: boolean }>(
        db,
        "advanceBackfill",
        s.advance,
        [
          yield* now,
          id,
          turn,
          instant(cursor),
          done,
          timeoutMillis,
          settle,
          ...ticksOf(ticks)
        ]
      )
      const [row] = rows
      // A try whose answer was lost may have started them. That it is then said not to stand makes the caller look again.
      if (row?.started === true || again) yield* hint(db, { _tag: "RunsReady" })
      return row?.advanced === true
    })
  }
}
