/** What every test of the port stands on: a virtual clock, names of its own in a shared store, and waiting for facts. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import {
  type Lease,
  type NewRun,
  type NewSchedule,
  type NewStepRecord,
  type Run,
  type ScheduleRow,
  SystemDb,
  type TickRun,
  TimeSource
} from "../../src/SystemDb.ts"

/** Where the clock stands when a test begins. */
export const t0 = 1_900_000_000_000
export const second = 1_000
export const minute = 60 * second

export const lease = (run: Pick<Run, "id" | "epoch" | "owner">): Lease => ({
  runId: run.id,
  worker: run.owner ?? "",
  epoch: run.epoch
})

export const ids = (runs: ReadonlyArray<Pick<Run, "id">>) => runs.map((run) => run.id)

let fixtures = 0
const unique = () => `${(fixtures++).toString(36)}${globalThis.crypto.randomUUID().slice(0, 8)}`

/** Gives a test the store, with the clock at `t0`, and names that no other test uses. */
export const fixture = Effect.gen(function*() {
  yield* TestClock.setTime(t0)
  const db = yield* SystemDb
  const prefix = `${unique()}-`
  const name = (suffix: string) => `${prefix}${suffix}`
  const workflow = name("flow")

  const newRun = (suffix: string, changes: Partial<NewRun> = {}): NewRun => ({
    id: name(suffix),
    workflow,
    payload: "{}",
    owner: null,
    delayMillis: null,
    timeoutMillis: null,
    parent: null,
    ...changes
  })
  const newSchedule = (suffix: string, changes: Partial<NewSchedule> = {}): NewSchedule => ({
    name: name(suffix),
    workflow,
    cron: "0 0 6 * * *",
    timeZone: "Europe/Berlin",
    context: "{\"a\":1}",
    policies: "{}",
    application: null,
    nextAt: t0,
    ...changes
  })
  const run = (suffix: string) =>
    Effect.map(
      db.findRun(name(suffix)),
      (found): Run => Option.getOrThrowWith(found, () => new Error(`there is no run ${name(suffix)}`))
    )
  const schedule = (suffix: string) =>
    Effect.map(
      db.findSchedule(name(suffix)),
      (found): ScheduleRow => Option.getOrThrowWith(found, () => new Error(`there is no schedule ${name(suffix)}`))
    )

  return {
    db,
    prefix,
    name,
    workflow,
    newRun,
    newSchedule,
    newStep: (name: string, changes: Partial<NewStepRecord> = {}): NewStepRecord => ({
      name,
      key: "",
      occurrence: 1,
      kind: "Step",
      attempts: 1,
      errors: null,
      outcome: "1",
      wakeAt: null,
      startedAt: t0,
      ...changes
    }),
    tick: (suffix: string, at: number): TickRun => ({ runId: name(suffix), tick: at, scheduledAt: `at ${at}` }),
    run,
    schedule,
    /** Registers a worker that lives as long as the test. */
    worker: (leaseMillis = minute) => db.registerWorker({ application: name("app"), leaseMillis }),
    pulse: (worker: string, changes: Partial<Parameters<typeof db.pulse>[0]> = {}) =>
      db.pulse({ worker, leaseMillis: minute, maxAttempts: 3, suspects: [], ...changes }),
    /** Starts a run that the worker owns, and returns its lease. */
    owned: (suffix: string, worker: string, changes: Partial<NewRun> = {}) =>
      Effect.as(
        db.start(newRun(suffix, { owner: worker, ...changes })),
        { runId: name(suffix), worker, epoch: 1 } satisfies Lease
      ),
    claim: (worker: string, limit = 100) => db.claim({ worker, limit, workflows: [workflow] }),
    runs: (filter: { readonly workflow?: ReadonlyArray<string> } = {}) =>
      db.listRuns({ workflow: [workflow], ...filter }, { limit: 1000, after: null })
  }
})

/** The refusal with this tag, which the effect must end with. */
export const refused = <A, E extends { readonly _tag: string }, R, T extends E["_tag"]>(
  effect: Effect.Effect<A, E, R>,
  tag: T
): Effect.Effect<Extract<E, { readonly _tag: T }>, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual(error._tag, tag)
    return error as Extract<E, { readonly _tag: T }>
  })

/** Lets real time pass: what a store does outside this process needs some, and the virtual clock gives it none. */
export const breathe = TestClock.withLive(Effect.sleep("5 millis"))

/** Repeats the effect until what it returns satisfies the predicate, and returns that. */
export const settle = <A, E, R>(effect: Effect.Effect<A, E, R>, predicate: (value: A) => boolean) =>
  Effect.gen(function*() {
    for (let i = 0; i < 2000; i++) {
      const value = yield* effect
      if (predicate(value)) return value
      yield* breathe
    }
    return yield* Effect.die(new Error("the awaited fact did not come true in time"))
  })

/** Waits for the fiber, and moves the virtual clock meanwhile, so that whatever polls gets its turn. */
export const joinAsTimePasses = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  settle(
    Effect.andThen(TestClock.adjust("1 second"), Effect.sync(() => fiber.pollUnsafe())),
    (exit) => exit !== undefined
  ).pipe(Effect.andThen(Fiber.join(fiber)))

/** Runs a test under a clock of its own, which the store follows. */
export const virtual = <A, E, R>(
  test: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<Exclude<R, Scope.Scope>, TestClock.TestClock>> =>
  test.pipe(
    Effect.scoped,
    Effect.provideService(TimeSource, "fiber"),
    Effect.provide(TestClock.layer())
  ) as any

/** Declares one test of the port. */
export type Declare = (sentence: string, test: Effect.Effect<void, unknown, SystemDb | Scope.Scope>) => void
