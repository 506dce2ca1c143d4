/** The port's methods about the ledger: what was decided, what was changed, and forgetting both. */
import * as Effect from "effect/Effect"
import type { Audit, Entry, SystemDb } from "../../SystemDb.ts"
import { type Database, patiently, query } from "./database.ts"
import { storeError } from "./errors.ts"
import { statements } from "./ledger.ts"
import { instant, texts } from "./parameters.ts"
import { isRun, type PerhapsRun, type RunRow, toRun } from "./rows.ts"
import { transact } from "./transactions.ts"

export type LedgerMethods = Pick<
  SystemDb["Service"],
  "listAudits" | "listHistory" | "findDecisions" | "findPrevious" | "prune"
>

type AuditRow = Omit<Audit, "at"> & { readonly at: Date }

interface EntryRow {
  readonly position: number
  readonly entrySchedule: string
  readonly first: Date
  readonly last: Date
  readonly count: number | null
  readonly decision: string
  readonly entryReason: string | null
  readonly entryRunId: string | null
  readonly timing: string | null
  readonly recordedAt: Date
}

interface Pruned {
  readonly oldRuns: ReadonlyArray<string>
  readonly entries: number
  readonly runsAfter: string
  readonly entriesAfter: string
}

/** A run or an entry, with nothing but nulls for the other. */
type PageRow = PerhapsRun & (EntryRow | { readonly [K in keyof EntryRow]: null })

const isEntry = <Row extends PageRow>(row: Row): row is Row & EntryRow => row.position !== null

const toEntry = (row: EntryRow): Entry => ({
  position: row.position,
  schedule: row.entrySchedule,
  first: row.first.getTime(),
  last: row.last.getTime(),
  count: row.count,
  decision: row.decision,
  reason: row.entryReason,
  runId: row.entryRunId,
  timing: row.timing,
  recordedAt: row.recordedAt.getTime()
})

export const make = (db: Database): LedgerMethods => {
  const s = statements(db.tables)
  /** The schedule up to which the past was counted. Of this process alone: nothing depends on where it begins. */
  const after = { runs: "", entries: "" }

  /** Two statements, since one would see who relies on them when it began, and not when it got the locks. */
  const deleteRuns = (ids: ReadonlyArray<string>) =>
    db.sql.unsafe<{ readonly id: string }>(s.lockRuns, [texts(ids)]).unprepared.pipe(
      Effect.flatMap((locked) =>
        db.sql.unsafe<{ readonly runs: number }>(s.deleteRuns, [texts(locked.map(({ id }) => id))]).unprepared
      ),
      (deletion) => db.deadlines.statement("prune", transact(db.sql, deletion)),
      Effect.mapBoth({ onSuccess: ([row]) => row?.runs ?? 0, onFailure: storeError("prune") }),
      (once) => patiently(db, "prune", once)
    )

  return {
    listAudits: Effect.fn("SystemDb.listAudits")(function*(schedule, { after, limit }) {
      const rows = schedule === null
        ? yield* query<AuditRow>(db, "listAudits", s.auditsOfAll, [after, limit])
        : yield* query<AuditRow>(db, "listAudits", s.auditsOf, [after, limit, schedule])
      return rows.map((row): Audit => ({ ...row, at: row.at.getTime() }))
    }),

    listHistory: Effect.fn("SystemDb.listHistory")(function*({ from, newestFirst, schedule, to }, { after, limit }) {
      const rows = yield* query<PageRow & { readonly at: Date; readonly key: string }>(
        db,
        "listHistory",
        newestFirst ? s.historyBackwards : s.history,
        [schedule, instant(from), instant(to), instant(after?.at ?? null), after?.key ?? null, limit]
      )
      return rows.map((row) => ({
        at: row.at.getTime(),
        key: row.key,
        run: isRun(row) ? toRun(row) : null,
        entry: isEntry(row) ? toEntry(row) : null
      }))
    }),

    findDecisions: Effect.fn("SystemDb.findDecisions")(function*(schedule, at) {
      const rows = yield* query<PageRow>(db, "findDecisions", s.decisions, [schedule, instant(at)])
      return { runs: rows.filter(isRun).map(toRun), entries: rows.filter(isEntry).map(toEntry) }
    }),

    findPrevious: Effect.fn("SystemDb.findPrevious")(function*(runId) {
      const runs = (yield* query<RunRow>(db, "findPrevious", s.previous, [runId])).map(toRun)
      return {
        success: runs.find(({ status }) => status === "Succeeded") ?? null,
        failure: runs.find(({ status }) => status !== "Succeeded") ?? null
      }
    }),

    prune: Effect.fn("SystemDb.prune")(function*({ entriesBefore, entriesKept, limit, runsBefore, runsKept }) {
      const [row] = yield* query<Pruned>(db, "prune", s.prune, [
        instant(runsBefore),
        runsKept,
        instant(entriesBefore),
        entriesKept,
        limit,
        after.runs,
        after.entries
      ])
      const { entries, entriesAfter, oldRuns, runsAfter } = row as Pruned
      const runs = oldRuns.length === 0 ? 0 : yield* deleteRuns(oldRuns)
      // A slice is done when it has nothing left.
      if (runs === 0) after.runs = runsAfter
      if (entries === 0) after.entries = entriesAfter
      return { runs, entries }
    })
  }
}
