import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Embedded from "../src/Embedded.ts"
import { type NewRun, type NewStepRecord, SystemDb } from "../src/SystemDb.ts"

const minute = 60_000

const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "effect-durable-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const newRun = (id: string, owner: string | null): NewRun => ({
  id,
  workflow: "flow",
  payload: "{}",
  owner,
  delayMillis: null,
  timeoutMillis: null,
  parent: null
})

const newStep: NewStepRecord = {
  name: "s",
  key: "",
  occurrence: 1,
  kind: "Step",
  attempts: 1,
  errors: null,
  outcome: "1",
  wakeAt: null,
  startedAt: 0
}

it.live(
  "runs and their steps survive closing and opening the folder, and the next worker takes them over",
  () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const open = <A, E>(effect: Effect.Effect<A, E, SystemDb | Scope.Scope>) =>
        Effect.scoped(effect).pipe(Effect.provide(Embedded.layer({ dataDir }), { local: true }))

      const dead = yield* open(Effect.gen(function*() {
        const db = yield* SystemDb
        const sql = yield* Effect.serviceOption(SqlClient)
        const worker = yield* db.registerWorker({ application: "a", leaseMillis: 60_000 })
        yield* db.start(newRun("r", worker))
        yield* db.recordStep({ runId: "r", worker, epoch: 1 }, newStep)
        // As after a crash: the worker is registered, and its process is not there any more.
        yield* Effect.addFinalizer(() =>
          Effect.orDie(Option.getOrThrow(sql)`
          insert into effect_durable.workers select 'gone', 'a', 7, now() + interval '1 hour', now(), now()`).pipe(
            Effect.andThen(Effect.orDie(db.start(newRun("held", "gone"))))
          )
        )
        return worker
      }))

      yield* open(Effect.gen(function*() {
        const db = yield* SystemDb
        const worker = yield* db.registerWorker({ application: "a", leaseMillis: 60_000 })
        const pulse = { worker, leaseMillis: 60_000 }
        const { suspects } = yield* db.pulse({ ...pulse, suspects: [] })
        assert.deepStrictEqual(suspects.map((suspect) => suspect.worker), ["gone"])
        assert.strictEqual((yield* db.pulse({ ...pulse, suspects })).recovered, 1)
        const { runs } = yield* db.claim({ worker, limit: 9, workflows: ["flow"] })
        assert.deepStrictEqual(
          runs.map(({ run, steps }) => [run.id, run.epoch, run.attempt, steps.map(({ name }) => name)]).sort(),
          [["held", 2, 2, []], ["r", 2, 1, ["s"]]]
        )
        assert.notStrictEqual(worker, dead)
      }))
    }),
  minute
)

it.live(
  "recording a step inside of a transaction, which has the only session, is a defect and no deadlock",
  () =>
    Effect.gen(function*() {
      const [db, sql] = [yield* SystemDb, yield* SqlClient]
      assert.isTrue(db.exclusive)
      yield* db.start(newRun("r", "w"))
      const lease = { runId: "r", worker: "w", epoch: 1 }
      const exit = yield* Effect.exit(sql.withTransaction(db.recordStep(lease, newStep)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.isTrue(yield* sql.withTransaction(db.recordStepInTransaction(lease, newStep)))
      assert.strictEqual((yield* db.listSteps("r")).length, 1)
    }).pipe(Effect.provide(Embedded.layer())),
  minute
)
