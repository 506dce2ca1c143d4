/** The port's methods about bodies. */
import * as Effect from "effect/Effect"
import type { SystemDb, Unattended } from "../../SystemDb.ts"
import { statements } from "./bodies.ts"
import { type Database, now, query } from "./database.ts"
import { texts } from "./parameters.ts"

export type BodyMethods = Pick<SystemDb["Service"], "ownWorkflow" | "setBodies" | "listBodies" | "listUnattended">

type UnattendedRow = Omit<Unattended, "since"> & { readonly since: Date }

export const make = (db: Database): BodyMethods => {
  const s = statements(db.tables)
  return {
    ownWorkflow: Effect.fn("SystemDb.ownWorkflow")(function*({ application, formerly, workflow }) {
      const rows = yield* query<{ readonly application: string }>(db, "ownWorkflow", s.own, [
        yield* now,
        workflow,
        application,
        texts(formerly)
      ])
      return rows[0]!.application
    }),

    setBodies: Effect.fn("SystemDb.setBodies")(function*(worker, workflows) {
      yield* query(db, "setBodies", s.set, [worker, texts(workflows)])
    }),

    listBodies: Effect.map(
      Effect.flatMap(now, (now) => query<{ readonly name: string | null }>(db, "listBodies", s.list, [now])),
      (rows) => {
        const names = rows.map(({ name }) => name)
        return names.every((name) => name !== null) ? names : null
      }
    ),

    listUnattended: Effect.fn("SystemDb.listUnattended")(function*(graceMillis) {
      const rows = yield* query<UnattendedRow>(db, "listUnattended", s.unattended, [yield* now, graceMillis])
      return rows.map(({ since, ...row }) => ({ ...row, since: since.getTime() }))
    })
  }
}
