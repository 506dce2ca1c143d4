import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import { compiler } from "../src/internal/postgres/batch.ts"
import { tables } from "../src/internal/postgres/names.ts"
import * as Postgres from "../src/Postgres.ts"
import { type Lease, type NewRun, type NewStepRecord, SystemDb } from "../src/SystemDb.ts"
import { freshDatabase, testServer } from "./support/postgres.ts"

const store = (options: Postgres.StoreOptions = {}) =>
  Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url, ...options })))

const newRun = (id: string, owner: string | null = "w"): NewRun => ({
  id,
  workflow: "flow",
  payload: "{}",
  owner,
  delayMillis: null,
  timeoutMillis: null,
  parent: null
})

const newStep = (name: string, outcome: string | null = "1"): NewStepRecord => ({
  name,
  key: "",
  occurrence: 1,
  kind: "Step",
  attempts: 1,
  errors: null,
  outcome,
  wakeAt: null,
  startedAt: 0
})

const lease = (runId: string): Lease => ({ runId, worker: "w", epoch: 1 })
const succeeded = { status: "Succeeded" as const, outcome: "1" }

/** Waits until a session of this database waits for a lock. */
const someoneWaits = SqlClient.use((sql) =>
  Effect.repeat(
    Effect.delay(
      sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      "10 millis"
    ),
    { until: (rows) => rows.length > 0 }
  )
)

it.live("of facts of every kind at once, some of them refused, each gets its own answer", () =>
  Effect.gen(function*() {
    const db = yield* SystemDb
    const numbers = Array.from({ length: 40 }, (_, n) => n)
    yield* Effect.forEach(numbers, (n) => db.start(newRun(`r${n}`)), { concurrency: "unbounded" })
    // Every fourth step and end is refused by its fence, every fourth start meets a run, and one step is refused by the
    // database.
    const held = (n: number) => ({ ...lease(`r${n}`), epoch: n % 4 === 0 ? 7 : 1 })
    const facts = numbers.flatMap((n): ReadonlyArray<Effect.Effect<Exit.Exit<unknown, unknown>>> => [
      Effect.exit(db.start(newRun(`s${n % 4 === 0 ? 1 : n}`))),
      Effect.exit(db.recordStep(held(n), newStep(n === 13 ? "nul\0" : "step"))),
      Effect.exit(n < 20 ? db.finish(held(n), succeeded) : db.suspend(held(n), 0))
    ])
    const exits = yield* Effect.all(facts, { concurrency: "unbounded" })
    for (const n of numbers) {
      const [started, recorded, ended] = exits.slice(n * 3).map(Exit.isSuccess)
      assert.deepStrictEqual([started, recorded, ended], [true, n % 4 !== 0 && n !== 13, n % 4 !== 0], `${n}`)
    }
    const created = exits.filter((exit) =>
      Exit.isSuccess(exit) && (exit.value as { readonly created?: boolean } | undefined)?.created === true
    )
    assert.strictEqual(created.length, 30)
  }).pipe(Effect.provide(store())))

it.live("of a step and the end of its run at the same moment neither is lost", () =>
  Effect.gen(function*() {
    const db = yield* SystemDb
    for (let n = 0; n < 20; n++) {
      yield* db.start(newRun(`r${n}`))
      yield* Effect.all([
        db.recordStep(lease(`r${n}`), newStep("open", null)),
        db.recordStep(lease(`r${n}`), newStep("open")),
        db.recordStep(lease(`r${n}`), newStep("other")),
        db.finish(lease(`r${n}`), succeeded)
      ], { concurrency: "unbounded" })
      const steps = yield* db.listSteps(`r${n}`)
      assert.deepStrictEqual(steps.map(({ name, outcome }) => [name, outcome]), [["open", "1"], ["other", "1"]])
    }
  }).pipe(Effect.provide(store())))

it.live("a fact that was committed although its answer was lost is answered as if it had come", () =>
  Effect.gen(function*() {
    const [db, sql] = [yield* SystemDb, yield* PgClient]
    const compile = compiler(yield* tables("effect_durable"))
    const held = lease("r")
    // What the writer asks for again after a lost answer has been written before.
    const before = (...facts: Parameters<typeof compile>[0]) => {
      const { params, sql: text } = compile(facts, null)
      return sql.unsafe(text, params)
    }
    yield* before({ _tag: "Start", run: newRun("r") })
    assert.deepStrictEqual(yield* db.start(newRun("r")), {
      created: false,
      status: "Running",
      owner: "w",
      epoch: 1,
      deadline: null
    })
    yield* before({ _tag: "Step", lease: held, step: newStep("s") })
    yield* db.recordStep(held, newStep("s"))
    yield* before({ _tag: "Finish", lease: held, ...succeeded })
    yield* db.finish(held, succeeded)
    yield* db.recordStep(held, newStep("s"))
    assert.strictEqual((yield* db.listSteps("r")).length, 1)
  }).pipe(Effect.provide(store())))

it.live("an id that somebody starts in an open transaction delays nobody but who starts it too", () =>
  Effect.gen(function*() {
    const [db, sql] = [yield* SystemDb, yield* SqlClient]
    const [open, commit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    yield* db.start(newRun("a"))
    const transaction = yield* Effect.forkChild(sql.withTransaction(
      db.start(newRun("x", null)).pipe(
        Effect.andThen(Deferred.succeed(open, undefined)),
        Effect.andThen(Deferred.await(commit))
      )
    ))
    yield* Deferred.await(open)
    const waiting = yield* Effect.forkChild(db.start(newRun("x")), { startImmediately: true })
    yield* someoneWaits
    const names = Array.from({ length: 20 }, (_, n) => `s${n}`)
    yield* Effect.forEach(names, (name) => db.recordStep(lease("a"), newStep(name)), { concurrency: "unbounded" })
    assert.strictEqual((yield* db.listSteps("a")).length, 20)
    assert.isUndefined(waiting.pollUnsafe())
    yield* Deferred.succeed(commit, undefined)
    yield* Fiber.join(transaction)
    const started = yield* Fiber.join(waiting)
    assert.deepStrictEqual([started.created, started.status], [false, "Enqueued"])
  }).pipe(Effect.provide(store())))

it.live("what is gathered when the layer closes is written before it has closed", () =>
  Effect.gen(function*() {
    const { url } = yield* freshDatabase
    const ids = Array.from({ length: 300 }, (_, n) => `r${n}`)
    yield* SystemDb.use((db) =>
      Effect.forEach(ids, (id) => Effect.forkDetach(db.start(newRun(id)), { startImmediately: true }))
    ).pipe(Effect.provide(Postgres.layer({ url }), { local: true }))
    const runs = yield* SystemDb.use((db) => db.listRuns({}, { limit: 1000, after: null })).pipe(
      Effect.provide(Postgres.layer({ url }), { local: true })
    )
    assert.strictEqual(runs.length, 300)
  }))

it.live("a fiber that is interrupted while it waits just stops waiting", () =>
  Effect.gen(function*() {
    const db = yield* SystemDb
    const fibers = yield* Effect.forEach(["a", "b", "c"], (id) =>
      Effect.forkChild(db.start(newRun(id)), { startImmediately: true }))
    yield* Fiber.interruptAll(fibers)
    for (const fiber of fibers) {
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }
    assert.isTrue((yield* db.start(newRun("d"))).created)
  }).pipe(Effect.provide(store())))

it.live(
  "a start fails when the database stays away for longer than retryFor; what a run's owner writes waits",
  () =>
    Effect.gen(function*() {
      const server = yield* testServer({ durable: false })
      yield* Effect.gen(function*() {
        const db = yield* SystemDb
        yield* db.start(newRun("r"))
        yield* server.stop("immediate")
        const recorded = yield* Effect.forkChild(db.recordStep(lease("r"), newStep("s")), { startImmediately: true })
        const error = yield* Effect.flip(db.start(newRun("another")))
        assert.isTrue(error._tag === "StoreError" && error.method === "start" && error.retryable, String(error))
        assert.isUndefined(recorded.pollUnsafe())
        yield* server.start
        yield* Fiber.join(recorded)
        assert.strictEqual((yield* db.listSteps("r")).length, 1)
      }).pipe(Effect.provide(Postgres.layer({ url: server.url, retryFor: "300 millis" }), { local: true }))
    }).pipe(Effect.scoped),
  60_000
)
