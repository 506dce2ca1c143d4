/** The port's methods about what is declared of schedules. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Control, SystemDb } from "../../SystemDb.ts"
import { type Database, hint, inTransaction, now, patiently, query } from "./database.ts"
import { storeError } from "./errors.ts"
import { texts } from "./parameters.ts"
import { type ScheduleStored, toSchedule } from "./rows.ts"
import { changeParams, statements } from "./schedules.ts"
import { transact } from "./transactions.ts"

export type ScheduleMethods = Pick<
  SystemDb["Service"],
  "findSchedule" | "findSchedules" | "listSchedules" | "findControl" | "changeSchedules"
>

/** A label as it stands among the others in their text. */
const labelText = ([key, value]: readonly [string, string]): string => JSON.stringify({ [key]: value }).slice(1, -1)

export const make = (db: Database): ScheduleMethods => {
  const s = statements(db.tables)

  const find = (method: string, names: ReadonlyArray<string>) =>
    Effect.map(query<ScheduleStored>(db, method, s.find, [texts(names)]), (rows) => rows.map(toSchedule))

  return {
    findSchedule: Effect.fn("SystemDb.findSchedule")(function*(name) {
      return Option.fromUndefinedOr((yield* find("findSchedule", [name]))[0])
    }),

    findSchedules: Effect.fn("SystemDb.findSchedules")((names) => find("findSchedules", names)),

    listSchedules: Effect.fn("SystemDb.listSchedules")(function*(filter, { after, limit }) {
      const any = (values: ReadonlyArray<string> | undefined) => values === undefined ? null : texts(values)
      const rows = yield* query<ScheduleStored>(db, "listSchedules", s.list, [
        filter.status ?? null,
        any(filter.workflow),
        any(filter.namePrefix),
        any(filter.owner),
        any(filter.externalId),
        any(filter.labels === undefined ? undefined : Object.entries(filter.labels).map(labelText)),
        after,
        limit,
        filter.ended ?? null
      ])
      return rows.map(toSchedule)
    }),

    findControl: Effect.fn("SystemDb.findControl")(function*(key) {
      return Option.fromUndefinedOr((yield* query<Control>(db, "findControl", s.findControl, [key]))[0])
    }),

    changeSchedules: Effect.fn("SystemDb.changeSchedules")(function*(change) {
      const params = [yield* now, change.id, ...changeParams(change)]
      const joined = yield* inTransaction(db)
      let failures = 0
      // Two statements, since one would see what was there when it began, and not when it got the lock.
      const once = db.sql.unsafe(s.lockChanges).pipe(
        Effect.andThen(
          db.sql.unsafe<{ readonly made: boolean; readonly written: boolean }>(s.change, params).unprepared
        ),
        joined ? db.sql.withTransaction : (change) => transact(db.sql, change),
        (change) => db.deadlines.statement("changeSchedules", change),
        Effect.tapError(() => Effect.sync(() => void failures++)),
        Effect.mapError(storeError("changeSchedules"))
      )
      const [row] = yield* joined ? once : patiently(db, "changeSchedules", once)
      const { made, written } = row as { readonly made: boolean; readonly written: boolean }
      // Made before by an earlier try of this call, it may not have been told.
      if (written || (made && failures > 0)) {
        const { triggers = [] } = change
        yield* hint(db, { _tag: "SchedulesChanged" }, ...triggers.length > 0 ? [{ _tag: "RunsReady" } as const] : [])
      }
      return written || made
    })
  }
}
