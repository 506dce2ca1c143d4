/** The port on Postgres, put together: what goes through the writer, what goes through the pool, and the hints of both. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidInput, SchemaTooNew, StoreError } from "../../Errors.ts"
import type { Hint, SystemDb } from "../../SystemDb.ts"
import { defaultMaxValueBytes, seal } from "../seal.ts"
import * as BackfillMethods from "./backfillMethods.ts"
import { compiler, type Written } from "./batch.ts"
import { type Database, joins, patiently } from "./database.ts"
import * as Deadline from "./deadline.ts"
import { bootError } from "./errors.ts"
import type { Fact } from "./facts.ts"
import * as FiringMethods from "./firingMethods.ts"
import * as Hints from "./hints.ts"
import * as LeasedMethods from "./leasedMethods.ts"
import * as LedgerMethods from "./ledgerMethods.ts"
import { migrate } from "./migrate.ts"
import { defaultSchema, tables } from "./names.ts"
import * as RunMethods from "./runMethods.ts"
import * as ScheduleMethods from "./scheduleMethods.ts"
import * as Session from "./session.ts"
import * as Waiters from "./waiters.ts"
import * as WorkerMethods from "./workerMethods.ts"
import * as Writer from "./writer.ts"

export interface Options {
  readonly schema?: string | undefined
  readonly maxValueBytes?: number | undefined
  readonly retryForMillis: number
  /** Behind a pooler nothing can be kept in a session: no LISTEN, no session lock, no setting. */
  readonly pooled: boolean
  /** Drops every hint, for tests. */
  readonly silent?: boolean | undefined
}

/** Waiting for others who migrate included. */
const migrateWithin = "10 minutes"

/** What a batch means to others. Starts are left to their callers, who know whether there is something to claim. */
const hintsOf = (facts: ReadonlyArray<Fact>, written: ReadonlyArray<Written>): ReadonlyArray<Hint> => {
  const runIds: Array<string> = []
  let suspended = false
  facts.forEach((fact, index) => {
    if (written[index]?.fresh !== true) return
    if (fact._tag === "Finish") runIds.push(fact.lease.runId)
    if (fact._tag === "Suspend") suspended = true
  })
  const hints: Array<Hint> = runIds.length > 0 ? [{ _tag: "RunsFinished", runIds }] : []
  return suspended ? [...hints, { _tag: "RunsReady" }] : hints
}

/** The port over a client. Brings the schema up to date first. */
export const make = Effect.fnUntraced(function*(
  client: PgClient,
  options: Options
): Effect.fn.Return<SystemDb["Service"], StoreError | SchemaTooNew | InvalidInput, Scope.Scope> {
  const { pooled, retryForMillis } = options
  const sql = client.withoutTransforms()
  const exclusive = sql.driver === "pglite"
  const deadlines = exclusive ? Deadline.none : Deadline.make(sql)
  const names = yield* tables(options.schema ?? defaultSchema)
  const migrated = migrate(sql, names)
  yield* patiently(
    Effect.catchTag(
      exclusive ? migrated : Deadline.answered(migrated, migrateWithin),
      "SqlError",
      (error) => Effect.fail(bootError("migrate")(error))
    ),
    retryForMillis
  )
  const hints = options.silent === true
    ? Hints.silent
    : exclusive
    ? yield* Hints.local
    : yield* Hints.shared(sql, names.channel, deadlines, { listen: !pooled })
  const session = exclusive
    ? Session.shared(sql)
    : yield* Session.dedicated(sql.config, names, { pooled, retryForMillis })
  // The only session there is waits for nobody.
  const starts = exclusive
    ? undefined
    : yield* Session.dedicated(sql.config, names, { pooled, lazy: true, retryForMillis })
  const db: Database = { sql, tables: names, hints, retryForMillis, exclusive, deadlines }
  const compile = compiler(names)
  const writer = yield* Writer.make({
    compile,
    execute: ({ params, sql }) => session.execute(sql, params),
    pooled,
    executeStarts: starts === undefined ? undefined : ({ params, sql }) => starts.execute(sql, params),
    executeAside: ({ params, sql: text }) =>
      deadlines.statement("aside", Effect.withTracerEnabled(sql.unsafe<object>(text, params).unprepared, false)),
    retryForMillis,
    onWritten: (facts, written) => hintsOf(facts, written).forEach(hints.publish)
  })
  const waiters = yield* Waiters.make(RunMethods.ended(db), hints)

  return seal({
    hints: hints.stream,
    exclusive: exclusive && options.silent !== true,
    joined: (fiber) => joins(sql, fiber),
    ...RunMethods.make(db, writer, waiters, compile),
    ...LeasedMethods.make(db, writer),
    ...WorkerMethods.make(db, session, starts),
    ...ScheduleMethods.make(db),
    ...FiringMethods.make(db),
    ...LedgerMethods.make(db),
    ...BackfillMethods.make(db)
  }, { maxValueBytes: options.maxValueBytes ?? defaultMaxValueBytes })
})
