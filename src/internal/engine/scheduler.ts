/**
 * Fires schedules: holds those that are due soon in a heap, sleeps until the first of them, and asks the store to fire all that
 * are due in one statement. Whether a tick is due, and whose it is, the store decides; here it is only decided when to ask.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StoreError } from "../../Errors.ts"
import type { DueSchedule, Fired, Firing, Run, SystemDb } from "../../SystemDb.ts"
import type { Registry, Reservation } from "../registry.ts"
import { countLimit, decide, type Decision, tickLimit } from "../schedule/decide.ts"
import { StoreClock } from "../schedule/storeClock.ts"
import { ofTick } from "../schedule/ticks.ts"
import { type Timetable, Timetables } from "../schedule/timetables.ts"
import { tickLateness, ticksFired, ticksMissed } from "../telemetry.ts"
import { Heap } from "./heap.ts"
import { makeSignal } from "./loops.ts"
import type { Settings } from "./options.ts"
import { loop } from "./supervise.ts"

type Store = SystemDb["Service"]

/** Schedules due within this time, and within two polls, are held in memory. */
const horizonMillis = 30_000
/** The most schedules, and about the most ticks, that one statement fires. */
const maxSchedules = 2_000
const maxTicks = 4_000
const longestPauseMillis = 5_000

interface Entry extends Timetable {
  row: DueSchedule
  /** When to ask the store: at the cursor, or later after the store refused. */
  at: number
  refusals: number
}

/** One entry's part in a statement. */
interface Shot {
  readonly entry: Entry
  readonly decision: Decision
  readonly firing: Firing
  readonly reservation: Reservation | undefined
}

/** What came of a statement, to be logged and counted. */
interface Report {
  readonly now: number
  readonly runs: Array<Run>
  readonly missed: Array<Shot>
}

class Scheduler {
  readonly #db: Store
  readonly #registry: Registry["Service"]
  readonly #horizon: number
  readonly #clock = new StoreClock()
  readonly #timetables = new Timetables()
  readonly #heap = new Heap<Entry>()
  /** Name → what the heap holds of it. */
  #entries = new Map<string, Entry>()
  /** Name → the revision that could not be read, so that it is logged once. */
  #unreadable = new Map<string, number>()

  constructor(db: Store, registry: Registry["Service"], pollMillis: number) {
    this.#db = db
    this.#registry = registry
    this.#horizon = Math.max(horizonMillis, 2 * pollMillis)
  }

  /** How long until the next tick, as this process sees it. */
  untilNext(local: number): number {
    return (this.#heap.peek()?.at ?? Infinity) - this.#clock.at(local)
  }

  /** Replaces what is held by what the store has. */
  readonly reload: Effect.Effect<void, StoreError> = Effect.suspend(() =>
    Effect.flatMap(
      this.#db.dueSchedules(this.#horizon),
      ({ now, schedules }) =>
        Effect.flatMap(monotonicMillis, (local) => {
          this.#clock.observe(now, local)
          return this.#adopt(schedules)
        })
    )
  )

  #adopt(rows: ReadonlyArray<DueSchedule>): Effect.Effect<void> {
    const entries = new Map<string, Entry>()
    const unreadable = new Map<string, number>()
    const warnings: Array<string> = []
    for (const row of rows) {
      const known = this.#entries.get(row.name)
      if (known !== undefined && sameCursor(known.row, row)) {
        entries.set(row.name, known)
        continue
      }
      const timetable = this.#timetables.of(row)
      if (Result.isSuccess(timetable)) {
        entries.set(row.name, toEntry(row, timetable.success))
        continue
      }
      unreadable.set(row.name, row.revision)
      if (this.#unreadable.get(row.name) === row.revision) continue
      warnings.push(`Schedule ${row.name} cannot be read and does not fire. ${timetable.failure}`)
    }
    this.#entries = entries
    this.#unreadable = unreadable
    this.#heap.fill(entries.values())
    return Effect.forEach(warnings, (warning) => Effect.logError(warning), { discard: true })
  }

  /** Fires what is due, as far as one statement goes. */
  readonly fireDue: Effect.Effect<void, StoreError> = Effect.flatMap(monotonicMillis, (local) => {
    const now = this.#clock.at(local)
    const due: Array<Entry> = []
    for (let next = this.#heap.peek(); next !== undefined && next.at <= now; next = this.#heap.peek()) {
      if (due.length === maxSchedules) break
      due.push(next)
      this.#heap.pop()
    }
    if (due.length === 0) return Effect.void
    return Effect.onError(this.#fire(due, Math.floor(now)), () =>
      // What was asked and not answered stands where it stood.
      Effect.sync(() => this.#heap.fill(this.#entries.values())))
  })

  /** A refusal that will not pass by itself is one schedule's fault: the others must not wait for it. */
  #fire(due: ReadonlyArray<Entry>, now: number): Effect.Effect<void, StoreError> {
    return Effect.catchIf(
      this.#fireTogether(due, now),
      (error) => !error.retryable,
      (error) => {
        if (due.length === 1) return this.#putOff(due[0]!, now, error)
        const half = due.length >> 1
        return Effect.andThen(this.#fire(due.slice(0, half), now), this.#fire(due.slice(half), now))
      }
    )
  }

  #putOff(entry: Entry, now: number, error: StoreError): Effect.Effect<void> {
    entry.at = now + Math.min(longestPauseMillis, 100 * 2 ** ++entry.refusals)
    this.#heap.push(entry)
    return Effect.logError(`Schedule ${entry.row.name} cannot be fired and is tried again`, error)
  }

  #fireTogether(due: ReadonlyArray<Entry>, now: number): Effect.Effect<void, StoreError> {
    const limit = Math.max(1, Math.min(tickLimit, Math.floor(maxTicks / due.length)))
    // Not interruptible between the reservations and the last submit, but while the store is asked: then they are given up.
    const fired = Effect.uninterruptibleMask((restore) => {
      const shots = due.map((entry) => this.#aim(entry, Math.max(now, entry.row.nextAt), limit))
      return restore(this.#db.fire(shots.map(({ firing }) => firing))).pipe(
        Effect.onError(() => Effect.sync(() => shots.forEach(({ reservation }) => reservation?.abandon()))),
        Effect.flatMap((answer) => Effect.map(monotonicMillis, (local) => this.#settle(shots, answer, local)))
      )
    })
    return Effect.flatMap(fired, publish)
  }

  #aim(entry: Entry, now: number, limit: number): Shot {
    const { name, nextAt: cursor, revision, workflow } = entry.row
    const decision = decide(entry.cron, entry.policies, cursor, now, limit)
    const ticks = decision.ticks.map((tick) => ofTick(name, tick))
    // Many ticks at once are for all workers to share.
    const reservation = ticks.length === 1 ? this.#registry.reserve(workflow, ticks[0]!.runId) : undefined
    const { nextAt } = decision
    const firing = { name, revision, cursor, nextAt, ticks, owner: reservation?.worker ?? null }
    return { entry, decision, firing, reservation }
  }

  #settle(
    shots: ReadonlyArray<Shot>,
    answer: { readonly now: number; readonly fired: ReadonlyArray<Fired> },
    local: number
  ): Report {
    const early = answer.fired.some(({ _tag }) => _tag === "Early")
    if (early) this.#clock.reset(answer.now, local)
    else this.#clock.observe(answer.now, local)

    const byName = new Map(answer.fired.map((fired) => [fired.name, fired]))
    const report: Report = { now: answer.now, runs: [], missed: [] }
    for (const shot of shots) {
      const fired = byName.get(shot.entry.row.name)!
      const runs = fired._tag === "Fired" ? fired.runs : []
      report.runs.push(...runs)
      if (fired._tag === "Fired" && shot.decision.missed > 0) report.missed.push(shot)
      submit(shot.reservation, runs)
      this.#advance(shot, fired, answer.now)
    }
    return report
  }

  /** Puts the schedule back where it stands now. */
  #advance({ entry, firing }: Shot, fired: Fired, now: number): void {
    const { row } = entry
    if (fired._tag === "Early") return this.#hold(row, row.nextAt, now)
    if (fired._tag === "Fired") return this.#hold(row, firing.nextAt, now)
    const { current } = fired
    // Unmoved, it is locked by somebody who fires it. If not, the next reload says so.
    if (current !== null && sameCursor(current, row)) return this.#hold(row, firing.nextAt, now)
    this.#hold(current ?? row, current?.nextAt ?? null, now)
  }

  /** Holds the schedule for this tick, or no longer when there is none within the horizon. */
  #hold(row: DueSchedule, nextAt: number | null, now: number): void {
    const known = this.#entries.get(row.name)
    const timetable = sameText(known, row) ? Result.succeed<Timetable>(known!) : this.#timetables.of(row)
    if (nextAt === null || nextAt > now + this.#horizon || Result.isFailure(timetable)) {
      this.#entries.delete(row.name)
      return
    }
    const entry = toEntry({ ...row, nextAt }, timetable.success)
    this.#entries.set(row.name, entry)
    this.#heap.push(entry)
  }
}

const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.succeed(Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
)

const sameCursor = (a: DueSchedule, b: DueSchedule): boolean => a.revision === b.revision && a.nextAt === b.nextAt

const sameText = (entry: Entry | undefined, row: DueSchedule): boolean => entry?.row.revision === row.revision

const toEntry = (row: DueSchedule, { cron, policies }: Timetable): Entry => ({
  row,
  cron,
  policies,
  at: row.nextAt,
  refusals: 0
})

/** Executes the run here if it was created as this worker's, and gives the slot back otherwise. */
const submit = (reservation: Reservation | undefined, runs: ReadonlyArray<Run>): void => {
  if (reservation === undefined) return
  const run = runs.find(({ owner }) => owner === reservation.worker)
  if (run === undefined) reservation.free()
  else reservation.submit({ run, steps: [] })
}

const publish = Effect.fnUntraced(function*({ missed, now, runs }: Report) {
  if (runs.length > 0) {
    yield* Metric.update(ticksFired, runs.length)
    for (const { tick } of runs) yield* Metric.update(tickLateness, Math.max(0, now - tick!))
    yield* Effect.logDebug(`Fired ${runs.length === 1 ? runs[0]!.id : `${runs.length} ticks`}`)
  }
  for (const { decision, firing } of missed) {
    yield* Metric.update(ticksMissed, decision.missed)
    const count = decision.missed === countLimit ? `${countLimit} or more` : decision.missed
    yield* Effect.logWarning(`Schedule ${firing.name} missed ${count} ticks; its policy passes them over`)
  }
})

/**
 * Starts firing, until the scope closes. What is held is read again at every poll, and at once when schedules changed.
 */
export const start = Effect.fnUntraced(function*(
  db: Store,
  settings: Settings,
  registry: Registry["Service"]
): Effect.fn.Return<void, never, Scope.Scope> {
  const signal = yield* makeSignal
  const scheduler = new Scheduler(db, registry, settings.pollMillis)
  let changes = 0
  let seen = -1
  let reloadAt = 0

  const follow = Stream.runForEach(db.hints, (hint) =>
    Effect.sync(() => {
      if (hint._tag !== "SchedulesChanged") return
      changes++
      signal.raise()
    }))

  const pass = Effect.gen(function*() {
    let local = yield* monotonicMillis
    if (seen !== changes || local >= reloadAt) {
      const now = changes
      yield* scheduler.reload
      seen = now
      reloadAt = local + settings.pollMillis
    }
    yield* scheduler.fireDue
    local = yield* monotonicMillis
    const wait = Math.ceil(Math.min(scheduler.untilNext(local), reloadAt - local))
    if (wait > 0 && seen === changes) yield* signal.wait(wait)
  })

  yield* Effect.forkScoped(loop("schedule hint", follow), { startImmediately: true })
  yield* Effect.forkScoped(loop("schedule", pass))
})
