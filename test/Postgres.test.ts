import { assert, describe, it, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { SqlClient } from "effect/sql/SqlClient"
import * as Postgres from "../src/Postgres.ts"
import * as Schedule from "../src/Schedule.ts"
import { type NewRun, SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { freshDatabase } from "./support/postgres.ts"

const database = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

const newRun = (id: string, fields: Partial<NewRun> = {}): NewRun => ({
  id,
  workflow: "w",
  payload: "null",
  owner: null,
  delayMillis: null,
  timeoutMillis: null,
  parent: null,
  ...fields
})

const Hourly = Workflow.make("w", { payload: Schedule.Tick() })

const create = (name: string) => Schedule.create(Schedule.make(name, { workflow: Hourly, cron: "0 0 * * * *" }))

const trigger = (schedule: string) => ({
  name: schedule,
  run: { runId: `${schedule}-run`, tick: 0, scheduledAt: "1970-01-01T00:00:00Z", origin: "{}", startBy: null },
  options: { timeoutMillis: null, settle: false },
  context: null,
  owner: null,
  audit: { schedule, action: "trigger", actor: "test", source: null, reason: null, before: null, after: null }
})

const lease = (runId: string, worker: string) => ({ runId, worker, epoch: 1 })

const newStep = (name: string, outcome = "{}") => ({
  name,
  key: "",
  occurrence: 1,
  kind: "Step" as const,
  attempts: 1,
  errors: null,
  outcome,
  wakeAt: null,
  startedAt: 0
})

const found = (id: string) => SystemDb.use((db) => Effect.map(db.findRun(id), Option.isSome))

layer(database, { excludeTestServices: true, timeout: "1 minute" })("a caller's transaction", (it) => {
  const withTable = SqlClient.use((sql) => sql`create table if not exists orders (id text)`)
  const orders = (id: string) =>
    SqlClient.use((sql) => Effect.map(sql`select from orders where id = ${id}`, (rows) => rows.length))

  it.effect("what is started in it is there with the caller's rows when it commits", () =>
    Effect.gen(function*() {
      const [sql, db] = [yield* SqlClient, yield* SystemDb]
      yield* withTable
      const started = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`insert into orders values ('kept')`
        yield* create("kept")
        const { run } = yield* db.triggerSchedule({ ...trigger("kept"), owner: "worker" })
        assert.deepStrictEqual([run.status, run.owner], ["Enqueued", null])
        return yield* db.start(newRun("kept", { owner: "worker" }))
      }))
      // Nobody may execute it before the commit, so it is enqueued whatever was asked.
      assert.deepStrictEqual(started, { created: true, status: "Enqueued", owner: null, epoch: 0, deadline: null })
      assert.isTrue(yield* found("kept"))
      assert.isTrue(Option.isSome(yield* db.findSchedule("kept")))
      assert.strictEqual(yield* orders("kept"), 1)
    }))

  it.effect("what is started in it is gone with the caller's rows when it rolls back", () =>
    Effect.gen(function*() {
      const [sql, db] = [yield* SqlClient, yield* SystemDb]
      yield* withTable
      const exit = yield* Effect.exit(sql.withTransaction(Effect.gen(function*() {
        yield* sql`insert into orders values ('dropped')`
        yield* create("dropped")
        yield* db.triggerSchedule(trigger("dropped"))
        yield* db.start(newRun("dropped"))
        return yield* Effect.fail("no")
      })))
      assert.isTrue(Exit.isFailure(exit))
      assert.isFalse(yield* found("dropped"))
      assert.isFalse(yield* found("dropped-run"))
      assert.isTrue(Option.isNone(yield* db.findSchedule("dropped")))
      assert.strictEqual(yield* orders("dropped"), 0)
    }))

  it.effect("a step recorded in it goes when it rolls back, and one cannot be recorded beside it", () =>
    Effect.gen(function*() {
      const [sql, db] = [yield* SqlClient, yield* SystemDb]
      yield* db.start(newRun("steps", { owner: "worker" }))
      yield* Effect.exit(sql.withTransaction(Effect.gen(function*() {
        assert.isTrue(yield* db.recordStepInTransaction(lease("steps", "worker"), newStep("in")))
        yield* Effect.fail("no")
      })))
      const beside = yield* Effect.exit(sql.withTransaction(db.recordStep(lease("steps", "worker"), newStep("beside"))))
      assert.isTrue(Exit.hasDies(beside))
      assert.deepStrictEqual(yield* db.listSteps("steps"), [])
    }))

  it.effect("a step recorded twice in transactions tells the second one to roll back", () =>
    Effect.gen(function*() {
      const [sql, db] = [yield* SqlClient, yield* SystemDb]
      yield* db.start(newRun("twice", { owner: "worker" }))
      const record = sql.withTransaction(db.recordStepInTransaction(lease("twice", "worker"), newStep("s")))
      assert.deepStrictEqual([yield* record, yield* record], [true, false])
    }))

  it.effect("recording in a transaction outside of one is a defect that says what is needed", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      const exit = yield* Effect.exit(db.recordStepInTransaction(lease("x", "worker"), newStep("s")))
      assert.isTrue(Exit.hasDies(exit))
      assert.include(String(exit), "SqlClient that the store's own layer provides")
    }))
})

describe("migrations", () => {
  it.live("many processes may boot at once on an empty database", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const boot = Effect.provide(found("any"), Postgres.layer({ url }), { local: true })
      const booted = yield* Effect.all(Array.from({ length: 8 }, () => boot), { concurrency: "unbounded" })
      assert.deepStrictEqual(booted, booted.map(() => false))
    }))

  it.live("a schema newer than the code knows is refused, and not touched", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      yield* SqlClient.use((sql) => sql`insert into effect_durable.migrations (version, name) values (999, 'future')`)
        .pipe(
          Effect.provide(Postgres.layer({ url }))
        )
      const error = yield* Effect.flip(Effect.provide(found("any"), Postgres.layer({ url })))
      assert.deepInclude(error, { _tag: "SchemaTooNew", schema: "effect_durable", found: 999 })
    }))

  it.live("two schemas of one database know nothing of each other", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const inSchema = (schema: string) => Postgres.layer({ url, schema })
      yield* SystemDb.use((db) => db.start(newRun("r"))).pipe(Effect.provide(inSchema("one")))
      assert.isTrue(yield* Effect.provide(found("r"), inSchema("one")))
      assert.isFalse(yield* Effect.provide(found("r"), inSchema("two")))
    }))

  it.live("a schema's name that Postgres would fold or cut is refused", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.provide(found("any"), Postgres.layer({ url: "postgres://localhost:1/none", schema: "Mixed" }))
      )
      assert.strictEqual(error._tag, "InvalidInput")
    }))
})

describe("group commit", () => {
  it.live("a fact that the database refuses fails alone", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      yield* Effect.gen(function*() {
        const db = yield* SystemDb
        const ids = Array.from({ length: 100 }, (_, index) => index === 37 ? "bad\0id" : `r${index}`)
        const exits = yield* Effect.forEach(ids, (id) => Effect.exit(db.start(newRun(id))), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          exits.flatMap((exit, index) => Exit.isFailure(exit) ? [index] : []),
          [37]
        )
      }).pipe(Effect.provide(Postgres.layer({ url })))
    }))

  it.live(
    "facts survive losing every connection, again and again, and none is written twice",
    () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        yield* Effect.gen(function*() {
          const [sql, db] = [yield* SqlClient, yield* SystemDb]
          yield* db.start(newRun("r", { owner: "worker" }))
          let [terminated, written] = [0, 0]
          const terminate = Effect.gen(function*() {
            const before = written
            yield* Effect.ignore(sql`
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()`)
            terminated++
            // A slow machine may need longer to connect than anything that would be waited for here by the clock.
            yield* Effect.repeat(Effect.sleep("10 millis"), { until: () => written > before })
          })
          const killer = yield* Effect.forkChild(Effect.forever(terminate))
          const steps = Array.from({ length: 2000 }, (_, index) => `step-${index}`)
          yield* Effect.forEach(
            steps,
            (name) =>
              Effect.andThen(db.recordStep(lease("r", "worker"), newStep(name)), Effect.sync(() => void written++)),
            { concurrency: 20, discard: true }
          )
          killer.interruptUnsafe()
          assert.isAbove(terminated, 2)
          const recorded = (yield* db.listSteps("r")).map(({ name }) => name)
          assert.deepStrictEqual(recorded.toSorted(), steps.toSorted())
        }).pipe(Effect.provide(Postgres.layer({ url })))
      }),
    60_000
  )
})

describe("the worker's session", () => {
  const sessions = SqlClient.use((sql) =>
    sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`
  )
  const locks = SqlClient.use((sql) =>
    Effect.map(
      sql<{ n: number }>`select count(*)::int as n from pg_locks l join pg_database d on d.oid = l.database
        where l.locktype = 'advisory' and d.datname = current_database()`,
      ([row]) => row!.n
    )
  )

  it.live("a process whose transactions use up its connections goes on renewing its lease", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      yield* Effect.gen(function*() {
        const [db, sql] = [yield* SystemDb, yield* SqlClient]
        const worker = yield* db.registerWorker({ application: "a", leaseMillis: 60_000 })
        const held = yield* Deferred.make<void>()
        const began = yield* Effect.forEach([1, 2], () => Deferred.make<void>())
        const transactions = yield* Effect.forkChild(Effect.forEach(
          began,
          (latch) =>
            sql.withTransaction(sql`select 1`.pipe(
              Effect.andThen(Deferred.succeed(latch, undefined)),
              Effect.andThen(Deferred.await(held))
            )),
          { concurrency: "unbounded" }
        ))
        yield* Effect.forEach(began, Deferred.await)
        assert.isTrue((yield* db.pulse({ worker, leaseMillis: 60_000, suspects: [] })).alive)
        yield* Deferred.succeed(held, undefined)
        yield* Fiber.join(transactions)
      }).pipe(Effect.scoped, Effect.provide(Postgres.layer({ url, maxConnections: 2 })))
    }))

  it.live("an idle writer whose session was ended writes again, and the next pulse takes the lock again", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      yield* Effect.gen(function*() {
        const db = yield* SystemDb
        const worker = yield* db.registerWorker({ application: "a", leaseMillis: 60_000 })
        const pulse = db.pulse({ worker, leaseMillis: 60_000, suspects: [] })
        // A session that was told to end takes its time, and until it has ended its lock is not free.
        const settles = (held: number, effect: Effect.Effect<unknown, unknown>) =>
          Effect.repeat(Effect.andThen(Effect.delay(effect, "10 millis"), locks), { until: (n) => n === held })
        assert.strictEqual(yield* locks, 1)
        yield* sessions
        yield* settles(0, Effect.void)
        yield* pulse
        assert.strictEqual(yield* locks, 1)
        yield* sessions
        assert.isTrue((yield* db.start(newRun("after"))).created)
        yield* settles(1, pulse)
      }).pipe(Effect.scoped, Effect.provide(Postgres.layer({ url })))
    }))
})
