/** The statements lock in one order, so they can wait for each other and never for ever. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Postgres from "../src/Postgres.ts"
import { SystemDb } from "../src/SystemDb.ts"
import { filling } from "./conformance/backfills.ts"
import { commands } from "./conformance/commands.ts"
import { minute, noOptions, t0, virtual } from "./conformance/fixture.ts"
import { Course } from "./conformance/model.ts"
import { freshDatabase } from "./support/postgres.ts"
import type { Stranger } from "./support/stranger.ts"

const rounds = 5
const sessions = 6
const sequences = 8

const deadlocks = PgClient.use((sql) =>
  Effect.andThen(
    sql`select pg_stat_force_next_flush()`,
    Effect.map(
      sql<{ readonly n: number }>`
        select deadlocks::int as n from pg_stat_database where datname = current_database()`,
      ([row]) => row!.n
    )
  )
)

/** Some are refused, since others are at the same rows; here it only counts that each has an answer. */
const together = <R>(effects: ReadonlyArray<Effect.Effect<unknown, unknown, R>>) =>
  Effect.forEach(effects, (effect) => Effect.exit(effect), { concurrency: "unbounded", discard: true })

it.live(
  "whatever writes for many runs at once takes the same ones in one order, given them in any",
  () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const process = () => Layer.build(Layer.fresh(Postgres.layer({ url, maxConnections: 12 })))
      const stores = [yield* process(), yield* process()]
      const [one, other] = yield* Effect.forEach(stores, (store) => Effect.provideContext(SystemDb, store))
      yield* virtual(
        Effect.gen(function*() {
          const f = yield* filling
          const dbs = [one!, other!]
          const owner = yield* f.worker()
          for (let round = 0; round < rounds; round++) {
            const suffix = `s${round}`
            yield* f.put(f.newSchedule(suffix, { overlap: f.name("scope") }))
            yield* f.create(`b${round}`, { schedule: f.name(suffix) })
            const ids = Array.from({ length: 500 }, (_, n) => `${round}-${n}`)
            const orders = [ids, ids.toReversed()]
            const ticks = (order: ReadonlyArray<string>) => order.map((id) => f.tick(id, t0))
            const both = <A>(each: (db: typeof dbs[number], order: ReadonlyArray<string>) => A) =>
              dbs.flatMap((db) => orders.map((order) => each(db, order)))
            const leases = (order: ReadonlyArray<string>) =>
              order.map((id) => ({ runId: f.name(id), worker: owner, epoch: 1 }))

            yield* together([
              ...both((db, order) => db.enqueueTicks(f.name(suffix), ticks(order), noOptions)),
              ...orders.map((order) => f.fire(suffix, { ticks: ticks(order), settle: true })),
              ...orders.map((order) => f.advance(`b${round}`, ticks(order))),
              ...both((db, order) =>
                together(order.slice(200, 260).map((id) => db.start(f.newRun(id, { workflow: f.workflow, owner }))))
              )
            ])
            yield* together([
              ...dbs.map((db) => db.claim({ worker: owner, limit: 200, workflows: [f.workflow] })),
              ...both((db, order) => db.release(leases(order))),
              ...dbs.map((db) => db.reconcile({ worker: owner, held: [] })),
              ...both((db, order) =>
                together(
                  leases(order).slice(200, 260).map((lease, n) =>
                    n % 2 === 0
                      ? db.recordStep(lease, f.newStep("s"))
                      : db.finish(lease, { status: "Failed", outcome: "1" })
                  )
                )
              )
            ])
            const cancels = (order: ReadonlyArray<string>) =>
              order.map((id) => ({ runId: f.name(id), reason: "another comes" }))
            yield* together([
              ...orders.map((order) => f.fire(suffix, { ticks: [], cancels: cancels(order) })),
              ...orders.map((order) => f.fire(suffix, { ticks: [], settled: order.map(f.name) })),
              f.turnTo(`b${round}`, "Cancelled"),
              ...dbs.map((db) => db.claim({ worker: owner, limit: 200, workflows: [f.workflow] })),
              ...both((db, order) => db.release(leases(order))),
              ...both((db, order) => together(order.slice(200, 220).map((id) => db.cancel(f.name(id), null)))),
              f.pause(suffix)
            ])
            const old = { runsBefore: t0 + minute, runsKept: 0, entriesBefore: null, entriesKept: null, limit: 300 }
            yield* together([...dbs, ...dbs, ...dbs].map((db) => db.prune(old)))
          }
        }).pipe(Effect.provideContext(stores[0]!))
      )
      assert.strictEqual(yield* Effect.provideContext(deadlocks, stores[0]!), 0)
    }).pipe(Effect.scoped),
  120_000
)

/** Here the sessions are strangers enough to each other. */
const nobody: Stranger = { hold: () => Effect.succeed(false), letGo: Effect.void, waiting: Effect.succeed(0) }

it.live(
  "processes that do everything at once on the same runs and schedules never block each other for good",
  () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const stores = yield* Effect.forEach(
        Array.from({ length: sessions }),
        () => Layer.build(Layer.fresh(Postgres.layer({ url, listen: false })))
      )
      let answers = 0
      const course = (store: typeof stores[number]) =>
        Effect.gen(function*() {
          const course = new Course({ db: yield* SystemDb, stranger: nobody }, "shared-")
          yield* Effect.exit(course.begin)
          for (const sequence of yield* Arbitrary.sampleEffect(commands, { count: sequences })) {
            for (const command of sequence) {
              yield* Effect.exit(course.answer(command))
              answers++
            }
          }
        }).pipe(Effect.provideContext(store))
      yield* virtual(Effect.gen(function*() {
        const fibers = yield* Effect.forEach(stores, (store) => Effect.forkChild(course(store)))
        for (const fiber of fibers) yield* Fiber.join(fiber)
      }))
      assert.isAbove(answers, 100)
      assert.strictEqual(yield* Effect.provideContext(deadlocks, stores[0]!), 0)
    }).pipe(Effect.scoped),
  120_000
)
