/** The port on Postgres, put together: what goes through the writer, what goes through the pool, and the hints of both. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidInput, SchemaTooNew, StoreError } from "../../Errors.ts"
import type { Hint, SystemDb } from "../../SystemDb.ts"
import { defaultMaxValueBytes, seal } from "../seal.ts"
import * as BackfillMethods from "./backfillMethods.ts"
import { compiler, type Written } from "./batch.ts"
import * as BodyMethods from "./bodyMethods.ts"
import { bootError } from "./boot.ts"
import { type Database, joins, type Patience, patiently } from "./database.ts"
import * as Deadline from "./deadline.ts"
import type { Fact } from "./facts.ts"
import * as FiringMethods from "./firingMethods.ts"
import * as Grants from "./grants.ts"
import * as Hints from "./hints.ts"
import * as LeasedMethods from "./leasedMethods.ts"
import * as LedgerMethods from "./ledgerMethods.ts"
import { migrate } from "./migrate.ts"
import { defaultSchema, type Tables, tables } from "./names.ts"
import * as RunMethods from "./runMethods.ts"
import * as ScheduleMethods from "./scheduleMethods.ts"
import * as Session from "./session.ts"
import * as Waiters from "./waiters.ts"
import * as WorkerMethods from "./workerMethods.ts"
import * as Writer from "./writer.ts"

export interface Options extends Patience {
  readonly schema?: string | undefined
  readonly maxValueBytes?: number | undefined
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

/** A schema that is up to date and may be used. */
const ready = (sql: PgClient, names: Tables, { waits }: Options, exclusive: boolean) => {
  const migrated = Grants.explained(migrate(sql, names, undefined, waits), sql, names)
  return Effect.catchTag(
    exclusive
      ? migrated
      : Effect.andThen(Deadline.answered(migrated, migrateWithin), Grants.check(sql, names)),
    "SqlError",
    (error) => Effect.fail(bootError("migrate", sql.config)(error))
  )
}

/** The port over a client. Brings the schema up to date first. */
export const make = Effect.fnUntraced(function*(
  client: PgClient,
  options: Options
): Effect.fn.Return<SystemDb["Service"], StoreError | SchemaTooNew | InvalidInput, Scope.Scope> {
  const { pooled, retryForMillis, waits } = options
  const patience: Patience = { retryForMillis, waits }
  const sql = client.withoutTransforms()
  const exclusive = sql.driver === "pglite"
  const deadlines = exclusive ? Deadline.none : Deadline.make(sql)
  const names = yield* tables(options.schema ?? defaultSchema)
  yield* patiently(patience, "migrate", ready(sql, names, options, exclusive))
  const hints = options.silent === true
    ? Hints.silent
    : exclusive
    ? yield* Hints.local
    : yield* Hints.shared(sql, names.channel, deadlines, { listen: !pooled })
  const session = exclusive
    ? Session.shared(sql)
    : yield* Session.dedicated(sql.config, names, { ...patience, pooled })
  // The only session there is waits for nobody.
  const starts = exclusive
    ? undefined
    : yield* Session.dedicated(sql.config, names, { ...patience, pooled, lazy: true })
  const db: Database = { ...patience, sql, tables: names, hints, exclusive, deadlines }
  const compile = compiler(names)
  const writer = yield* Writer.make({
    compile,
    execute: ({ params, sql }) => session.execute(sql, params),
    pooled,
    executeStarts: starts === undefined ? undefined : ({ params, sql }) => starts.execute(sql, params),
    executeAside: ({ params, sql: text }) =>
      deadlines.statement("aside", Effect.withTracerEnabled(sql.unsafe<object>(text, params).unprepared, false)),
    ...patience,
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
    ...BodyMethods.make(db),
    ...ScheduleMethods.make(db),
    ...FiringMethods.make(db),
    ...LedgerMethods.make(db),
    ...BackfillMethods.make(db)
  }, { maxValueBytes: options.maxValueBytes ?? defaultMaxValueBytes })
})
