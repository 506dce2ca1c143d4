/** Somebody who holds rows, of whichever store. */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hold, letGo, waiting } from "../../src/internal/memory/faults.ts"
import type { SystemDb } from "../../src/SystemDb.ts"
import { type Row, type Stranger, stranger } from "./stranger.ts"

type Store = SystemDb["Service"]

const inMemory = (db: Store): Stranger => {
  const held: Array<Row> = []
  const exists = ({ key, of }: Row) =>
    Effect.map(
      Effect.orDie<Option.Option<unknown>, unknown, never>(of === "run" ? db.findRun(key) : db.findSchedule(key)),
      Option.isSome
    )
  return {
    hold: Effect.fnUntraced(function*(row) {
      if (!(yield* exists(row))) return false
      if (yield* hold(db, row)) held.push(row)
      return true
    }),
    letGo: Effect.suspend(() => Effect.asVoid(Effect.forEach(held.splice(0), (row) => letGo(db, row)))),
    waiting: waiting(db)
  }
}

/** Of the store in the context: on a session of its own, where it is on Postgres. */
export const strangerOf = (db: Store) =>
  Effect.flatMap(
    Effect.serviceOption(PgClient),
    (sql) => Option.isSome(sql) ? stranger(sql.value.config) : Effect.succeed(inMemory(db))
  )
