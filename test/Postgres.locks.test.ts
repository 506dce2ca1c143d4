/** What becomes of the library's statements beside locks: strangers', and each other's. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { StoreError } from "../src/Errors.ts"
import { statements } from "../src/internal/postgres/ledger.ts"
import { tables } from "../src/internal/postgres/names.ts"
import { texts } from "../src/internal/postgres/parameters.ts"
import * as Postgres from "../src/Postgres.ts"
import { type Lease, type NewRun, type NewStepRecord, SystemDb } from "../src/SystemDb.ts"
import { freshDatabase } from "./support/postgres.ts"

const store = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url, maxConnections: 6 })))

const newRun = (id: string, fields: Partial<NewRun> = {}): NewRun => ({
  id,
  workflow: "flow",
  payload: "{}",
  owner: null,
  delayMillis: null,
  timeoutMillis: null,
  parent: null,
  ...fields
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

const lease = (runId: string, worker = "w"): Lease => ({ runId, worker, epoch: 1 })
const succeeded = { status: "Succeeded", outcome: "1" } as const
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

/** Somebody's transaction that has done this much and stays open until it is told how to end. */
const open = Effect.fnUntraced(function*(effect: Effect.Effect<unknown, unknown, PgClient>) {
  const sql = yield* PgClient
  const [done, end] = [yield* Deferred.make<void>(), yield* Deferred.make<void, "rolled back">()]
  const transaction = sql.withTransaction(
    effect.pipe(Effect.andThen(Deferred.succeed(done, undefined)), Effect.andThen(Deferred.await(end)))
  )
  const fiber = yield* Effect.forkScoped(Effect.exit(transaction), { startImmediately: true })
  yield* Effect.raceFirst(Deferred.await(done), Effect.flatMap(Fiber.join(fiber), (exit) => Effect.die(exit)))
  return {
    commit: Effect.andThen(Deferred.succeed(end, undefined), Fiber.join(fiber)),
    rollback: Effect.andThen(Deferred.fail(end, "rolled back"), Fiber.join(fiber))
  }
})

const query = (text: string, params: ReadonlyArray<unknown> = []) =>
  PgClient.use((sql) => sql.unsafe<Record<string, unknown>>(text, params))

/** Holds these runs' rows, as somebody at a prompt would. */
const hold = (...ids: ReadonlyArray<string>) =>
  open(query(`select from effect_durable.runs where id in (${ids.map((id) => `'${id}'`).join(", ")}) for update`))

/** Lets a worker's runs be taken over by a transaction that is not committed yet. */
const takeOver = (...ids: ReadonlyArray<string>) =>
  open(query(
    `update effect_durable.runs set status = 'Enqueued', owner = null, attempt = 2, wake_at = now()
      where id in (${ids.map((id) => `'${id}'`).join(", ")})`
  ))

const begun = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forkScoped(Effect.exit(effect), { startImmediately: true })

/** As much of the store's work as shows that it is not held up. */
const others = Effect.gen(function*() {
  const db = yield* SystemDb
  const name = globalThis.crypto.randomUUID()
  for (const n of numbers(5)) {
    const id = `${name}-${n}`
    yield* db.start(newRun(id, { owner: "w", fresh: n % 2 === 0 }))
    yield* db.recordStep(lease(id), newStep("s"))
    yield* n < 3 ? db.finish(lease(id), succeeded) : db.suspend(lease(id), 0)
  }
})

const statusOf = (id: string): Effect.Effect<string | undefined, StoreError, SystemDb> =>
  Effect.map(SystemDb.use((db) => db.findRun(id)), (run) => Option.getOrUndefined(run)?.status)

describe("somebody holds a run's row", () => {
  it.live("and nobody waits but who writes for that run, whatever it is and however many there are", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      const ids = numbers(30).map((n) => `r${n}`)
      for (const id of ids) yield* db.start(newRun(id, { owner: "w" }))
      const stranger = yield* hold(...ids)
      const writes = yield* Effect.forEach(ids, (id, n) =>
        begun(
          n % 3 === 0 ? db.recordStep(lease(id), newStep("s")) : n % 3 === 1
            ? db.finish(lease(id), succeeded)
            : db.suspend(lease(id), 0)
        ))
      yield* others
      yield* db.claim({ worker: "v", limit: 9, workflows: ["flow"] })
      assert.isTrue(writes.every((write) => write.pollUnsafe() === undefined))
      yield* stranger.commit
      assert.isTrue((yield* Effect.forEach(writes, Fiber.join)).every(Exit.isSuccess))
      for (const [n, id] of ids.entries()) {
        assert.strictEqual((yield* db.listSteps(id)).length, n % 3 === 0 ? 1 : 0)
        assert.strictEqual(yield* statusOf(id), ["Running", "Succeeded", "Suspended"][n % 3])
      }
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("and what holds already is answered at once", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      for (const id of ["a", "b", "c"]) yield* db.start(newRun(id, { owner: "w" }))
      const again = [
        db.recordStep(lease("a"), newStep("s")),
        db.finish(lease("b"), succeeded),
        db.suspend(lease("c"), 0)
      ]
      yield* Effect.all(again)
      const stranger = yield* hold("a", "b", "c")
      yield* Effect.all(again)
      const late = yield* Effect.exit(db.finish({ ...lease("a"), epoch: 7 }, succeeded))
      assert.include(String(late), "LeaseLost")
      yield* stranger.rollback
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("of a step that is open, and nobody waits but who writes that step", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      yield* db.start(newRun("r", { owner: "w" }))
      yield* db.recordStep(lease("r"), newStep("s", null))
      const stranger = yield* open(query("select from effect_durable.steps for update"))
      const step = yield* begun(db.recordStep(lease("r"), newStep("s")))
      yield* others
      assert.isUndefined(step.pollUnsafe())
      yield* stranger.commit
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(step)))
      assert.deepStrictEqual((yield* db.listSteps("r")).map(({ outcome }) => outcome), ["1"])
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("and those that are handed back beside it are, and it is once it is let go", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      for (const id of ["a", "b", "c", "d"]) yield* db.start(newRun(id, { owner: "w" }))
      const stranger = yield* hold("a", "d")
      const released = yield* begun(db.release([lease("a"), lease("b"), { ...lease("d"), epoch: 7 }]))
      assert.deepStrictEqual(yield* db.reconcile({ worker: "w", held: [{ runId: "a", epoch: 1 }] }), [])
      yield* Effect.repeat(statusOf("b"), { until: (status) => status === "Enqueued" })
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "c", "d"], statusOf), [
        "Running",
        "Enqueued",
        "Enqueued",
        "Running"
      ])
      assert.isUndefined(released.pollUnsafe())
      yield* stranger.commit
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(released)))
      assert.strictEqual(yield* statusOf("a"), "Enqueued")
      yield* db.reconcile({ worker: "w", held: [] })
      assert.strictEqual(yield* statusOf("d"), "Enqueued")
    }).pipe(Effect.scoped, Effect.provide(store)))
})

describe("a takeover is under way", () => {
  it.live("and a step is written before it or not at all", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      const ids = numbers(20).map((n) => `r${n}`)
      for (const id of ids) yield* db.start(newRun(id, { owner: "w" }))
      const taken = yield* takeOver(...ids)
      const writes = yield* Effect.forEach(ids, (id) => begun(db.recordStep(lease(id), newStep("s"))))
      yield* others
      const count = Effect.map(query("select from effect_durable.steps where run_id like 'r%'"), ({ length }) => length)
      assert.strictEqual(yield* count, 0)
      yield* taken.commit
      for (const write of writes) assert.include(String(yield* Fiber.join(write)), "LeaseLost")
      assert.strictEqual(yield* count, 0)
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("and an end or a suspension is written before it or not at all", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      const ids = numbers(20).map((n) => `r${n}`)
      for (const id of ids) yield* db.start(newRun(id, { owner: "w" }))
      const taken = yield* takeOver(...ids)
      const writes = yield* Effect.forEach(ids, (id, n) =>
        begun(n % 2 === 0 ? db.finish(lease(id), succeeded) : db.suspend(lease(id), 0)))
      yield* others
      yield* taken.commit
      for (const write of writes) {
        assert.include(String(yield* Fiber.join(write)), "LeaseLost")
      }
      assert.deepStrictEqual(
        yield* Effect.forEach(ids, statusOf),
        ids.map(() =>
          "Enqueued"
        )
      )
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("and all of them are written when it is rolled back", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      for (const id of ["a", "b", "c"]) yield* db.start(newRun(id, { owner: "w" }))
      const taken = yield* takeOver("a", "b", "c")
      const writes = yield* Effect.forEach([
        db.recordStep(lease("a"), newStep("s")),
        db.finish(lease("b"), succeeded),
        db.suspend(lease("c"), 0)
      ], begun)
      yield* others
      yield* taken.rollback
      for (const write of writes) assert.isTrue(Exit.isSuccess(yield* Fiber.join(write)))
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "c"], statusOf), ["Running", "Succeeded", "Suspended"])
    }).pipe(Effect.scoped, Effect.provide(store)))
})

describe("somebody has started ids and not committed", () => {
  const blocked = numbers(40).map((n) => `x${n}`)
  const stranger = Effect.flatMap(SystemDb, (db) => open(Effect.forEach(blocked, (id) => db.start(newRun(id)))))

  for (const end of ["commit", "rollback"] as const) {
    it.live(`and only who starts these ids waits, until they ${end}`, () =>
      Effect.gen(function*() {
        const db = yield* SystemDb
        const before = yield* stranger
        const starts = yield* Effect.forEach(blocked, (id) => begun(db.start(newRun(id))))
        yield* others
        const beside = numbers(40).map((n) => `y${n}`)
        const started = yield* Effect.forEach(beside, (id) => db.start(newRun(id)), { concurrency: "unbounded" })
        assert.isTrue(started.every(({ created }) => created))
        yield* others
        assert.isTrue(starts.every((start) => start.pollUnsafe() === undefined))
        yield* before[end]
        for (const start of starts) {
          const exit = yield* Fiber.join(start)
          assert.strictEqual(Exit.isSuccess(exit) && exit.value.created, end === "rollback")
        }
      }).pipe(Effect.scoped, Effect.provide(store)), 30_000)
  }

  it.live("and a start gives up when they do not for longer than it may take", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      yield* Effect.gen(function*() {
        const db = yield* SystemDb
        const before = yield* stranger
        const error = yield* Effect.flip(db.start(newRun("x1")))
        assert.deepInclude(error, { _tag: "StoreError", method: "start", retryable: true })
        yield* before.commit
      }).pipe(Effect.scoped, Effect.provide(Postgres.layer({ url, retryFor: "300 millis" })))
    }))
})

describe("two workers claim at once", () => {
  it.live("and while the first one's claim is not committed, the other gets all the rest", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      for (const workflow of ["a", "b", "c"]) {
        for (const n of numbers(10)) yield* db.start(newRun(`${workflow}${n}`, { workflow }))
      }
      const claimed: Array<string> = []
      const claim = (worker: string, limit: number, workflows = ["a", "b", "c"]) =>
        Effect.map(db.claim({ worker, limit, workflows }), ({ runs }) => {
          const ids = runs.map(({ run }) => run.id)
          claimed.push(...ids)
          return ids
        })
      const first = yield* open(claim("first", 7))
      const second = yield* open(claim("second", 7, ["a"]))
      assert.strictEqual(claimed.length, 10, "of one workflow there are three left")
      const third = yield* open(claim("third", 7))
      const fourth = yield* claim("fourth", 100)
      assert.deepStrictEqual([claimed.length, new Set(claimed).size], [30, 30])
      assert.strictEqual(fourth.length, 13)
      for (const other of [first, second, third]) yield* other.commit
      assert.deepStrictEqual(yield* claim("fifth", 100), [])
    }).pipe(Effect.scoped, Effect.provide(store)))
})

describe("retention", () => {
  const far = {
    runsBefore: Number.MAX_SAFE_INTEGER / 2,
    runsKept: null,
    entriesBefore: null,
    entriesKept: null,
    limit: 9
  }
  const ended = (id: string) =>
    SystemDb.use((db) => Effect.andThen(db.start(newRun(id, { owner: "w" })), db.finish(lease(id), succeeded)))

  it.live("passes over a run that a live run is about to rely on", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      yield* ended("r")
      yield* db.start(newRun("parent", { owner: "w" }))
      const relying = yield* open(db.start(newRun("r", { parent: "parent" })))
      assert.strictEqual((yield* db.prune(far)).runs, 0)
      yield* relying.commit
      assert.strictEqual((yield* db.prune(far)).runs, 0)
      yield* db.finish(lease("parent"), succeeded)
      assert.strictEqual((yield* db.prune(far)).runs, 2)
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("asks again who relies on a run after it has got hold of it", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      yield* ended("r")
      yield* db.start(newRun("parent", { owner: "w" }))
      const { deleteRuns, lockRuns } = statements(yield* tables("effect_durable"))
      // Found by retention just before, it is relied on now.
      yield* db.start(newRun("r", { parent: "parent" }))
      const ids = [texts(["r"])]
      assert.deepStrictEqual(yield* query(lockRuns, ids), [{ id: "r" }])
      assert.deepStrictEqual(yield* query(deleteRuns, ids), [{ runs: 0 }])
    }).pipe(Effect.scoped, Effect.provide(store)))

  it.live("leaves a run's id to whoever starts it while it is being deleted", () =>
    Effect.gen(function*() {
      const db = yield* SystemDb
      yield* ended("r")
      yield* db.start(newRun("parent", { owner: "w" }))
      const deleting = yield* open(query("delete from effect_durable.runs where id = 'r'"))
      const start = yield* begun(db.start(newRun("r", { parent: "parent" })))
      yield* others
      assert.isUndefined(start.pollUnsafe())
      yield* deleting.commit
      const exit = yield* Fiber.join(start)
      assert.isTrue(Exit.isSuccess(exit) && exit.value.created)
    }).pipe(Effect.scoped, Effect.provide(store)))
})
