/** What every test of the port stands on: a virtual clock, names of its own in a shared store, and waiting for facts. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import {
  type DueSchedule,
  type Entry,
  type Fired,
  type Firing,
  type Lease,
  type NewAudit,
  type NewEntry,
  type NewRun,
  type NewStepRecord,
  type Run,
  type ScheduleChange,
  type ScheduleContent,
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

/** The part of a row that a change writes. */
export const contentOf = (row: ScheduleRow): ScheduleContent => {
  const {
    createdAt: _,
    incarnation: __,
    lastRunId: ___,
    lastRunStatus: ____,
    lastTick: _____,
    started: ______,
    turn: _______,
    updatedAt: ________,
    ...content
  } = row
  return content
}

/** What the scheduler holds of the schedule, when it has no overlap scope and no run of it ended. */
export const dueOf = (row: ScheduleRow, changes: Partial<DueSchedule> = {}): DueSchedule => ({
  name: row.name,
  workflow: row.workflow,
  timing: row.timing,
  policies: row.policies,
  overlap: row.overlap,
  status: row.status,
  revision: row.revision,
  turn: row.turn,
  nextAt: row.nextAt,
  wakeAt: row.wakeAt,
  waitingSince: row.waitingSince,
  started: row.started,
  incarnation: row.incarnation,
  createdAt: row.createdAt,
  state: row.state,
  pausedAt: row.pausedAt,
  pauseReason: row.pauseReason,
  resumeAt: row.resumeAt,
  overlapTurn: null,
  live: [],
  behind: [],
  ended: [],
  ...changes
})

export const noOptions = { timeoutMillis: null, settle: false } as const

/** What a run has that no schedule started. */
export const unscheduled = {
  schedule: null,
  tick: null,
  origin: null,
  overlap: null,
  startBy: null,
  backfill: null,
  reason: null
} as const

/** What a test says about a firing; of what stands afterwards as little as it likes. */
type Changes = Partial<Omit<Firing, "after">> & { readonly after?: Partial<Firing["after"]> }

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
  const newSchedule = (suffix: string, changes: Partial<ScheduleContent> = {}): ScheduleContent => ({
    name: name(suffix),
    workflow,
    timing: "{\"cron\":\"0 0 6 * * *\"}",
    context: "{\"a\":1}",
    contextSchema: null,
    jsonSchema: null,
    policies: "{}",
    overlap: null,
    owner: null,
    labels: "{}",
    externalId: null,
    status: "Active",
    revision: 1,
    nextAt: t0,
    wakeAt: changes.nextAt === undefined ? t0 : changes.nextAt,
    waitingSince: null,
    state: "{}",
    pausedAt: null,
    pauseReason: null,
    resumeAt: null,
    note: null,
    ...changes
  })
  const newAudit = (changes: Partial<NewAudit> = {}): NewAudit => ({
    schedule: name("s"),
    action: "test",
    actor: "tester",
    source: null,
    reason: null,
    before: null,
    after: null,
    ...changes
  })
  const newEntry = (changes: Partial<NewEntry> = {}): NewEntry => ({
    schedule: name("s"),
    first: t0,
    last: t0,
    count: 1,
    decision: "skipped",
    reason: null,
    runId: null,
    timing: null,
    ...changes
  })
  const newChange = (changes: Partial<ScheduleChange> = {}): ScheduleChange => ({
    id: unique(),
    schedules: [],
    controls: [],
    entries: [],
    // Not of a schedule of the test, which thus has only the audits that the test is about.
    audits: [newAudit({ schedule: name("fixture") })],
    ...changes
  })
  const turns = (names: ReadonlyArray<string>) =>
    Effect.map(db.findSchedules(names), (rows) => new Map(rows.map((row) => [row.name, row.turn])))
  /** Creates these schedules, or replaces them, whatever turn they stand at. */
  const put = (...contents: ReadonlyArray<ScheduleContent>) =>
    Effect.gen(function*() {
      const known = yield* turns(contents.map((content) => content.name))
      const schedules = contents.map((content) => ({
        name: content.name,
        turn: known.get(content.name) ?? null,
        content
      }))
      assert.isTrue(yield* db.changeSchedules(newChange({ schedules })))
    })
  const tick = (suffix: string, at: number): TickRun => ({
    runId: name(suffix),
    tick: at,
    scheduledAt: `at ${at}`,
    origin: "{\"cause\":\"schedule\"}",
    startBy: null
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

  const firing = (suffix: string, changes: Changes = {}): Effect.Effect<Firing> =>
    Effect.map(Effect.orDie(db.findSchedule(name(suffix))), (found) => {
      const row = Option.getOrUndefined(found)
      const { after, ...others } = changes
      return {
        name: name(suffix),
        turn: row?.turn ?? 0,
        at: t0,
        live: null,
        overlapTurn: null,
        after: {
          status: "Active",
          nextAt: t0 + minute,
          wakeAt: t0 + minute,
          waitingSince: null,
          state: "{}",
          pausedAt: null,
          pauseReason: null,
          resumeAt: null,
          ...after
        },
        ticks: [tick(`${suffix}-tick`, t0)],
        owner: null,
        timeoutMillis: null,
        settle: false,
        entries: [],
        cancels: [],
        settled: [],
        hooks: [],
        audit: null,
        ...others
      }
    })
  const fire = (suffix: string, changes: Changes = {}) =>
    Effect.flatMap(
      firing(suffix, changes),
      (firing) =>
        Effect.map(db.fire([firing], null), ({ fired: [fired] }): Fired => {
          if (fired === undefined) throw new Error("nothing became of the firing")
          return fired
        })
    )
  /** How the schedule stands, which a firing at a turn that nothing has is told. */
  const seen = (suffix: string) =>
    Effect.map(fire(suffix, { turn: -1 }), (fired): DueSchedule => {
      if (fired._tag !== "Stale" || fired.current === null) throw new Error(`there is no schedule ${suffix}`)
      return fired.current
    })

  return {
    db,
    prefix,
    name,
    workflow,
    newRun,
    newSchedule,
    newAudit,
    newEntry,
    newChange,
    put,
    audits: (suffix: string) => db.listAudits(name(suffix), { limit: 1000, after: null }),
    entries: (suffix: string) =>
      Effect.map(
        db.listHistory(
          { schedule: name(suffix), from: null, to: null, newestFirst: false },
          { limit: 1000, after: null }
        ),
        (rows) => rows.flatMap(({ entry }): ReadonlyArray<Entry> => entry === null ? [] : [entry])
      ),
    /** Changes the schedule that is there. */
    edit: (suffix: string, changes: Partial<ScheduleContent>) =>
      Effect.flatMap(schedule(suffix), (row) => put({ ...contentOf(row), ...changes, revision: row.revision + 1 })),
    pause: (suffix: string) =>
      Effect.flatMap(
        schedule(suffix),
        (row) => put({ ...contentOf(row), status: "Paused", wakeAt: null, pausedAt: t0, revision: row.revision + 1 })
      ),
    drop: (suffix: string) =>
      Effect.gen(function*() {
        const turn = (yield* turns([name(suffix)])).get(name(suffix)) ?? null
        const change = newChange({ schedules: [{ name: name(suffix), turn, content: null }] })
        assert.isTrue(yield* db.changeSchedules(change))
      }),
    /** A firing of the schedule as it stands, which moves it a minute on. */
    firing,
    /** What becomes of such a firing. */
    fire,
    seen,
    trigger: (suffix: string, run: TickRun, changes: { context?: string | null; owner?: string | null } = {}) =>
      db.triggerSchedule({
        name: name(suffix),
        run,
        options: noOptions,
        context: null,
        owner: null,
        audit: newAudit({ schedule: name(suffix), action: "trigger" }),
        ...changes
      }),
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
    tick,
    run,
    schedule,
    /** Registers a worker that lives as long as the test. */
    worker: (leaseMillis = minute) => db.registerWorker({ application: name("app"), leaseMillis }),
    pulse: (worker: string, changes: Partial<Parameters<typeof db.pulse>[0]> = {}) =>
      db.pulse({ worker, leaseMillis: minute, suspects: [], ...changes }),
    /** Starts a run that the worker owns, and returns its lease. */
    owned: (suffix: string, worker: string, changes: Partial<NewRun> = {}) =>
      Effect.as(
        db.start(newRun(suffix, { owner: worker, ...changes })),
        { runId: name(suffix), worker, epoch: 1 } satisfies Lease
      ),
    claim: (worker: string, limit = 100) => db.claim({ worker, limit, workflows: [workflow] }),
    /** Takes the suspect that is due first, where one lost owner makes a suspect. */
    isolate: (worker: string) =>
      Effect.tap(
        db.claim({ worker, limit: 9, workflows: [workflow], maxAttempts: 1, suspect: true }),
        ({ runs }) => Effect.forEach(runs, ({ run }) => db.isolate(lease(run), true))
      ),
    /** Lets a run that nobody can own be found dead by a worker, once, and have its next owner be alone with it and gone too. */
    doom: (worker: string) =>
      Effect.gen(function*() {
        yield* db.pulse({ worker, leaseMillis: 1_000_000, suspects: [] })
        const { runs } = yield* db.claim({
          worker: name("nobody"),
          limit: 1,
          workflows: [workflow],
          maxAttempts: 1,
          suspect: true
        })
        yield* Effect.forEach(runs, ({ run }) => db.isolate(lease(run), true))
      }),
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
