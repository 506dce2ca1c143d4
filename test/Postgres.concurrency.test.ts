/** What waits for what on a real server: told by the sessions that wait, never by how long something takes. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as EffectSchedule from "effect/Schedule"
import { SqlClient } from "effect/sql/SqlClient"
import * as Postgres from "../src/Postgres.ts"
import * as Schedule from "../src/Schedule.ts"
import { type Lease, type NewRun, SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { freshDatabase } from "./support/postgres.ts"
import { stranger } from "./support/stranger.ts"

const store = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

const newRun = (id: string, owner: string | null): NewRun => ({
  id,
  workflow: "flow",
  payload: "{}",
  owner,
  delayMillis: null,
  timeoutMillis: null,
  parent: null
})
const newStep = {
  name: "s",
  key: "",
  occurrence: 1,
  kind: "Step" as const,
  attempts: 1,
  errors: null,
  outcome: "1",
  wakeAt: null,
  startedAt: 0
}
const leaseOf = (runId: string, worker: string): Lease => ({ runId, worker, epoch: 1 })

const until = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  Effect.repeat(effect, { schedule: EffectSchedule.spaced("10 millis"), until: holds })

/** How many sessions of this database wait for a lock of this kind. */
const waitingFor = (kind: "advisory" | "transactionid" | "tuple") =>
  SqlClient.use((sql) =>
    Effect.map(
      sql<{ n: number }>`select count(*)::int as n from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and wait_event = ${kind}`,
      ([row]) => row!.n
    )
  )

it.live("changes of schedules are made one after the other, also of different ones: all but the first wait", () =>
  Effect.gen(function*() {
    const [sql] = [yield* SqlClient, yield* PgClient]
    const Tick = Workflow.make("tick", { payload: Schedule.Tick() })
    const names = ["a", "b", "c"]
    yield* Schedule.apply(names.map((name) => Schedule.make(name, { workflow: Tick, cron: "@hourly" })))
    const [made, commit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const first = yield* Effect.forkChild(sql.withTransaction(
      Schedule.edit("a", { note: "first" }).pipe(
        Effect.andThen(Deferred.succeed(made, undefined)),
        Effect.andThen(Deferred.await(commit))
      )
    ))
    yield* Deferred.await(made)
    const others = yield* Effect.forEach(["b", "c"], (name) => Effect.forkChild(Schedule.edit(name, { note: "later" })))
    yield* until(waitingFor("advisory"), (n) => n === 2)
    yield* Deferred.succeed(commit, undefined)
    yield* Fiber.join(first)
    yield* Fiber.joinAll(others)
    const notes = (yield* Schedule.list()).map(({ name, note }) => [name, Option.getOrNull(note)])
    assert.deepStrictEqual(notes, [["a", "first"], ["b", "later"], ["c", "later"]])
  }).pipe(Effect.provide(store)))

it.live("a step recorded in a transaction holds its run until the commit: a takeover passes over it, a new owner waits", () =>
  Effect.gen(function*() {
    const [db, sql] = [yield* SystemDb, yield* SqlClient]
    const worker = yield* db.registerWorker({ application: "dying", leaseMillis: 60_000 })
    const other = yield* db.registerWorker({ application: "other", leaseMillis: 60_000 })
    yield* db.start(newRun("r", worker))
    const [recorded, commit] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const transaction = yield* Effect.forkChild(sql.withTransaction(
      db.recordStepInTransaction(leaseOf("r", worker), newStep).pipe(
        Effect.andThen(Deferred.succeed(recorded, undefined)),
        Effect.andThen(Deferred.await(commit))
      )
    ))
    yield* Deferred.await(recorded)
    yield* sql`update effect_durable.workers set lease_until = now() - interval '1 minute' where id = ${worker}`
    const pulse = db.pulse({ worker: other, leaseMillis: 60_000, suspects: [] })
    assert.strictEqual((yield* pulse).recovered, 0)
    const release = yield* Effect.forkChild(db.release([leaseOf("r", worker)]))
    yield* until(waitingFor("transactionid"), (n) => n === 1)
    yield* Deferred.succeed(commit, undefined)
    yield* Fiber.join(transaction)
    yield* Fiber.join(release)
    // Whoever has it now reads what was committed.
    const { runs } = yield* db.claim({ worker: other, limit: 1, workflows: ["flow"] })
    assert.deepStrictEqual(runs.map(({ run, steps }) => [run.epoch, steps.map(({ name }) => name)]), [[2, ["s"]]])
  }).pipe(Effect.scoped, Effect.provide(store)))

it.live("a run that a stranger holds is passed over by claims, and nobody waits for it", () =>
  Effect.gen(function*() {
    const db = yield* SystemDb
    const other = yield* stranger((yield* PgClient).config)
    for (const id of ["a", "b", "c"]) yield* db.start(newRun(id, null))
    assert.isTrue(yield* other.hold({ of: "run", key: "a" }))
    const claim = (limit: number) => db.claim({ worker: "w", limit, workflows: ["flow"] })
    const claimed = yield* Effect.raceFirst(
      Effect.map(claim(2), ({ runs }) => runs.map(({ run }) => run.id)),
      Effect.as(until(other.waiting, (n) => n > 0), "waits" as const)
    )
    assert.deepStrictEqual(claimed, ["b", "c"])
    yield* other.letGo
    assert.deepStrictEqual((yield* claim(2)).runs.map(({ run }) => run.id), ["a"])
  }).pipe(Effect.scoped, Effect.provide(store)))

it.live("a schedule that a stranger holds is passed over by a firing, which says that it has not moved", () =>
  Effect.gen(function*() {
    const db = yield* SystemDb
    const other = yield* stranger((yield* PgClient).config)
    const Tick = Workflow.make("tick", { payload: Schedule.Tick() })
    yield* Schedule.create(Schedule.make("s", { workflow: Tick, cron: "* * * * * *" }))
    const row = Option.getOrThrow(yield* db.findSchedule("s"))
    yield* other.hold({ of: "schedule", key: "s" })
    const { nextAt, pausedAt, pauseReason, resumeAt, state, status, turn, waitingSince, wakeAt } = row
    const fire = db.fire([{
      name: "s",
      turn,
      at: yield* db.now,
      live: null,
      overlapTurn: null,
      after: { nextAt, pausedAt, pauseReason, resumeAt, state, status, waitingSince, wakeAt },
      ticks: [],
      owner: null,
      timeoutMillis: null,
      settle: false,
      entries: [],
      cancels: [],
      settled: [],
      hooks: [],
      audit: null
    }], null)
    const { fired: [fired] } = yield* fire
    assert.strictEqual(fired?._tag === "Stale" ? fired.current?.turn : fired?._tag, turn)
    yield* other.letGo
    assert.strictEqual((yield* fire).fired[0]?._tag, "Fired")
  }).pipe(Effect.scoped, Effect.provide(store)))

it.live("a suspect that has renewed its lease since it was seen is not taken for dead, though its lock is missing", () =>
  Effect.gen(function*() {
    const [db, sql] = [yield* SystemDb, yield* SqlClient]
    const self = yield* db.registerWorker({ application: "self", leaseMillis: 60_000 })
    // A worker of a process that lost its session, and with it the lock, and goes on to renew its lease.
    const suspected = "suspected"
    yield* sql`insert into effect_durable.workers (id, application, lock_key, lease_until, renewed_at, started_at)
      values (${suspected}, 'app', 1234567, now() + interval '1 hour', now(), now())`
    yield* db.start(newRun("r", suspected))
    const pulse = (suspects: Parameters<typeof db.pulse>[0]["suspects"]) =>
      db.pulse({ worker: self, leaseMillis: 60_000, suspects })
    const first = yield* pulse([])
    assert.deepStrictEqual(first.suspects.map(({ worker }) => worker), [suspected])
    yield* sql`update effect_durable.workers set renewed_at = renewed_at + interval '1 second' where id = ${suspected}`
    const second = yield* pulse(first.suspects)
    assert.deepStrictEqual([second.recovered, second.suspects.length], [0, 1])
    // It has not renewed it since.
    const third = yield* pulse(second.suspects)
    assert.deepStrictEqual([third.recovered, third.suspects.length], [1, 0])
  }).pipe(Effect.scoped, Effect.provide(store)))
