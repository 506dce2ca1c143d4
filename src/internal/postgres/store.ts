/** The port on Postgres, put together: what goes through the writer, what goes through the pool, and the hints of both. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidInput, SchemaTooNew, StoreError } from "../../Errors.ts"
import type { SystemDb } from "../../SystemDb.ts"
import type { Hint } from "../records.ts"
import { defaultMaxValueBytes, seal } from "../seal.ts"
import * as uuids from "../uuid.ts"
import { compiler, type Fact } from "./batch.ts"
import { type Database, now } from "./database.ts"
import { storeError } from "./errors.ts"
import * as Hints from "./hints.ts"
import { migrate } from "./migrations.ts"
import { tables } from "./names.ts"
import * as RunMethods from "./runMethods.ts"
import * as ScheduleMethods from "./scheduleMethods.ts"
import * as Session from "./session.ts"
import * as Waiters from "./waiters.ts"
import * as WorkerMethods from "./workerMethods.ts"
import { statements as workerStatements } from "./workers.ts"
import * as Writer from "./writer.ts"

export interface Options {
  readonly schema?: string | undefined
  readonly maxValueBytes?: number | undefined
  readonly retryForMillis: number
  /** "shared": by NOTIFY too; "local": in this process alone; "none": for tests. */
  readonly hints: "shared" | "local" | "none"
  /** Whether the client has a single connection, which then serves as the writer's too. */
  readonly exclusive: boolean
}

/** A number for the advisory locks of one schema, the same in every process (FNV-1a). */
const lockClassOf = (schema: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < schema.length; index++) hash = Math.imul(hash ^ schema.charCodeAt(index), 0x01000193)
  return hash | 0
}

const hintsOf = (facts: ReadonlyArray<Fact>, written: ReadonlyArray<Writer.Written>): ReadonlyArray<Hint> => {
  const finished: Array<string> = []
  let suspended = false
  facts.forEach((fact, index) => {
    if (!written[index]!.held) return
    if (fact._tag === "Finish") finished.push(fact.lease.runId)
    suspended ||= fact._tag === "Suspend"
  })
  const hints: Array<Hint> = finished.length > 0 ? [{ _tag: "RunsFinished", runIds: finished }] : []
  return suspended ? [...hints, { _tag: "RunsReady" }] : hints
}

/** The port over a client. Migrates first. */
export const make = Effect.fnUntraced(function*(
  sql: PgClient,
  options: Options
): Effect.fn.Return<SystemDb["Service"], StoreError | SchemaTooNew | InvalidInput, Scope.Scope> {
  const names = yield* tables(options.schema ?? "effect_durable")
  yield* migrate(sql, names).pipe(
    Effect.catchTag("SqlError", (error) => Effect.fail(storeError("migrate")(error)))
  )
  const hints = options.hints === "none"
    ? Hints.silent
    : options.hints === "local"
    ? yield* Hints.local
    : yield* Hints.shared(sql, `effect_durable_${names.schema}`, yield* uuids.v7)
  const lockClass = lockClassOf(names.schema)
  const locks = workerStatements(names, lockClass)
  const session = options.exclusive
    ? Session.shared((text, params) => sql.unsafe(text, params), locks)
    : yield* Session.dedicated(sql.config, locks)
  const db: Database = { sql, tables: names, session, hints, retryForMillis: options.retryForMillis }
  const compile = compiler(names)
  const writer = yield* Writer.make({
    compile,
    execute: ({ params, sql }) => session.execute(sql, params),
    retryForMillis: options.retryForMillis,
    onWritten: (facts, written) => hintsOf(facts, written).forEach(hints.publish)
  })
  const readers = RunMethods.readers(db)
  const waiters = yield* Waiters.make(readers.find, readers.ended, hints)

  return seal({
    now: now(db),
    hints: hints.stream,
    exclusive: options.exclusive,
    ...RunMethods.make(db, writer, waiters, compile),
    ...WorkerMethods.make(db, lockClass),
    ...ScheduleMethods.make(db)
  }, { maxValueBytes: options.maxValueBytes ?? defaultMaxValueBytes })
})
