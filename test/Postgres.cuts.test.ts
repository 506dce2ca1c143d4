/**
 * A law of the methods that write: wherever its connection is cut, a method succeeds and leaves behind what it would have
 * without. All but `claim`, which fails when its answer is lost, and whose runs come back by `reconcile`.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Postgres from "../src/Postgres.ts"
import type { Lease, SystemDb } from "../src/SystemDb.ts"
import { filling } from "./conformance/backfills.ts"
import { contentOf, minute, noOptions, t0, virtual } from "./conformance/fixture.ts"
import { freshDatabase } from "./support/postgres.ts"
import { type Moment, proxyTo } from "./support/proxy.ts"

type Test = Effect.Success<typeof filling>

/** What has to be there first, and then the call. */
type Scenario = (test: Test) => Effect.Effect<Effect.Effect<unknown, unknown>, unknown, SystemDb | Scope.Scope>

/** A run that a worker whom nobody looks for owns. */
const owned = ({ name, newRun, db }: Test, suffix = "r"): Effect.Effect<Lease, unknown> =>
  Effect.as(db.start(newRun(suffix, { owner: name("w") })), { runId: name(suffix), worker: name("w"), epoch: 1 })

const succeeded = { status: "Succeeded", outcome: "1" } as const

/** Of an answer that says what the last try did, when it is one more that was needed: only that there is one. */
const any = Effect.asVoid

const scenarios: Record<string, Scenario> = {
  start: (t) => Effect.succeed(any(t.db.start(t.newRun("r")))),
  "start of a fresh run": (t) => Effect.succeed(any(t.db.start(t.newRun("r", { owner: t.name("w"), fresh: true })))),
  "start of a run that is there, by a new parent": (t) =>
    Effect.as(
      Effect.andThen(t.db.start(t.newRun("r")), owned(t, "parent")),
      t.db.start(t.newRun("r", { parent: t.name("parent") }))
    ),
  cancel: (t) => Effect.as(owned(t), t.db.cancel(t.name("r"), "why")),
  recordStep: (t) => Effect.map(owned(t), (lease) => t.db.recordStep(lease, t.newStep("s"))),
  finish: (t) => Effect.map(owned(t), (lease) => t.db.finish(lease, succeeded)),
  suspend: (t) => Effect.map(owned(t), (lease) => t.db.suspend(lease, t0 + minute)),
  release: (t) => Effect.map(owned(t), (lease) => t.db.release([lease])),
  reconcile: (t) => Effect.as(owned(t), t.db.reconcile({ worker: t.name("w"), held: [] })),
  isolate: (t) => Effect.map(owned(t), (lease) => t.db.isolate(lease, true)),
  // A worker whose session was cut looks like a dead one.
  pulse: (t) => Effect.map(t.worker(), (worker) => any(t.pulse(worker))),
  ownWorkflow: (t) =>
    Effect.succeed(t.db.ownWorkflow({ workflow: t.name("flow"), application: t.name("app"), formerly: [] })),
  setBodies: (t) => Effect.map(t.worker(), (worker) => t.db.setBodies(worker, [t.name("flow")])),
  changeSchedules: (t) =>
    Effect.map(t.schedule("s"), (row) =>
      t.db.changeSchedules(t.newChange({
        schedules: [{ name: row.name, turn: row.turn, content: { ...contentOf(row), note: "new" } }],
        audits: [t.newAudit()]
      }))),
  "changeSchedules that creates one with a run and a backfill": (t) => {
    const schedule = t.name("new")
    return Effect.succeed(
      t.db.changeSchedules(t.newChange({
        schedules: [{ name: schedule, turn: null, content: t.newSchedule("new") }],
        triggers: [{ ...noOptions, schedule, run: t.tick("tick", t0), context: null }],
        backfills: [{ ...t.newBackfill("b"), schedule }],
        audits: [t.newAudit({ schedule })]
      }))
    )
  },
  // Fails when its answer is lost, so that the scheduler learns how the schedule stands.
  "fire, until it is answered": (t) =>
    Effect.map(t.firing("s"), (firing) => any(Effect.retry(t.db.fire([firing], null), { times: 1 }))),
  enqueueTicks: (t) => Effect.succeed(any(t.db.enqueueTicks(t.name("s"), [t.tick("tick", t0)], noOptions))),
  triggerSchedule: (t) => Effect.succeed(any(t.trigger("s", t.tick("tick", t0)))),
  prune: (t) =>
    Effect.map(
      Effect.flatMap(owned(t), (lease) => t.db.finish(lease, succeeded)),
      () =>
        any(t.db.prune({ runsBefore: t0 + minute, runsKept: null, entriesBefore: null, entriesKept: null, limit: 9 }))
    ),
  createBackfill: (t) => Effect.succeed(t.create("b")),
  changeBackfill: (t) => Effect.as(t.create("b"), t.turnTo("b", "Paused")),
  advanceBackfill: (t) => Effect.as(t.create("b"), any(t.advance("b", [t.tick("tick", t0)], { cursor: t0 - minute })))
}

/** What is different each time. */
const assigned = new Set(["position", "turn", "revision", "change"])

describe("cut at any statement, in front of it or before its answer", () => {
  for (const [name, scenario] of Object.entries(scenarios)) {
    it.live(`${name} does what it would have done`, () =>
      Effect.gen(function*() {
        const { url } = yield* freshDatabase
        const proxy = yield* proxyTo(url)
        const context = yield* Layer.build(Postgres.layer({ url: proxy.url }))
        const onlooker = yield* Layer.build(Layer.fresh(Postgres.layer({ url })))
        const sql = Context.get(onlooker, PgClient)
        const tables = ["runs", "steps", "links", "schedules", "ledger", "audits", "backfills", "workflows"]

        /** What the call answers and leaves behind when the connection is cut where this many things were sent before. */
        const outcome = (skip: number, moment: Moment) =>
          virtual(Effect.gen(function*() {
            const test = yield* filling
            const call = yield* scenario(test)
            let sent = 0
            const cut = proxy.cutAt(() => sent++ === skip, moment)
            const answer = yield* call
            const wasCut = cut()
            const left = yield* Effect.forEach(tables, (table) =>
              sql.unsafe<{ row: unknown }>(
                `select to_jsonb(t) as row from effect_durable.${table} t where t::text like $1`,
                [`%${test.prefix}%`]
              ))
            // Else it would be pruned the next time.
            yield* sql`delete from effect_durable.runs`
            const plain = JSON.stringify({ answer, left }, (key, value) => assigned.has(key) ? undefined : value)
            return { wasCut, plain: JSON.parse(plain.replaceAll(test.prefix, "")) as unknown }
          })).pipe(Effect.provideContext(context))

        const whole = yield* outcome(Infinity, "before")
        let cuts = 0
        for (const moment of ["before", "answer"] as const) {
          for (let skip = 0;; skip++) {
            const { plain, wasCut } = yield* outcome(skip, moment)
            assert.deepStrictEqual(plain, whole.plain, `${moment} what was sent as number ${skip}`)
            if (!wasCut) break
            cuts++
          }
        }
        assert.isAbove(cuts, 1)
      }), 60_000)
  }
})
