/**
 * Fires schedules: holds those that are due soon in a heap, sleeps until the first of them, and asks the store to record what
 * was decided about all that are due in one statement. What becomes of a tick is decided by the pure core; whether that still
 * holds, and whose it is, by the store; here it is only decided when to ask.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StoreError } from "../../Errors.ts"
import type { Control, DueSchedule, Fired, Run, SystemDb } from "../../SystemDb.ts"
import type { Engine as Registry, Reservation } from "../registry.ts"
import { limits } from "../schedule/decide.ts"
import * as Freeze from "../schedule/freeze.ts"
import { StoreClock } from "../schedule/storeClock.ts"
import { scheduleOf } from "../schedule/ticks.ts"
import { Timetables } from "../schedule/timetables.ts"
import { loop } from "../supervise.ts"
import { tickLateness, ticksFired, ticksMissed } from "../telemetry.ts"
import { aim, type Aimed, type Entry, stepped, toEntry } from "./aim.ts"
import { Heap } from "./heap.ts"
import { makeSignal } from "./loops.ts"
import type { Settings } from "./options.ts"

type Store = SystemDb["Service"]

/** Schedules due within this time, and within two polls, are held in memory. */
const horizonMillis = 30_000
/** The most schedules, and about the most ticks, that one statement fires. */
const maxSchedules = 2_000
const maxTicks = 4_000
const longestPauseMillis = 5_000
/** Runs end all the time; what waits for them is looked at no more often than this. */
const finishedPauseMillis = 50
/** Nothing that is only assumed is held for longer than this, however rare polls are. */
const longestAssumptionMillis = 1_000

/** One entry's part in a statement. */
interface Shot extends Aimed {
  readonly entry: Entry
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
  readonly #assumptionMillis: number
  readonly #clock = new StoreClock()
  readonly #timetables = new Timetables()
  readonly #heap = new Heap<Entry>()
  #entries = new Map<string, Entry>()
  /** The schedules, held or not, to which the end of a run matters. */
  readonly #followed = new Set<string>()
  /** Those that were complained about, by revision. */
  #unreadable = new Map<string, number>()
  /** Those of them whose starts wait. */
  #stuck: ReadonlySet<string> = new Set()
  #freeze: Control | null = null
  /** Set when what is held may be wrong altogether. */
  stale = false
  /** When to look at the store, by the local clock, because of what is only assumed. */
  lookAt = Infinity

  constructor(db: Store, registry: Registry["Service"], pollMillis: number) {
    this.#db = db
    this.#registry = registry
    this.#horizon = Math.max(horizonMillis, 2 * pollMillis)
    this.#assumptionMillis = Math.min(longestAssumptionMillis, pollMillis)
  }

  /** How long until the next look, as this process sees it. */
  untilNext(local: number): number {
    if (Freeze.on(this.#freeze) !== undefined) return Infinity
    return (this.#heap.peek()?.at ?? Infinity) - this.#clock.at(local)
  }

  /** Whether the end of one of these runs may have to be taken note of; some runs, if the list is empty. */
  follows(runIds: ReadonlyArray<string>): boolean {
    if (this.#followed.size === 0) return false
    return runIds.length === 0 || runIds.some((runId) => this.#followed.has(scheduleOf(runId) ?? ""))
  }

  /** Replaces what is held by what the store has. */
  readonly reload: Effect.Effect<void, StoreError> = Effect.suspend(() =>
    Effect.flatMap(
      this.#db.dueSchedules(this.#horizon),
      ({ freeze, now, schedules }) =>
        Effect.flatMap(monotonicMillis, (local) => {
          this.#clock.observe(now, local)
          this.#freeze = freeze
          this.stale = false
          this.lookAt = Infinity
          return this.#adopt(schedules)
        })
    )
  )

  #adopt(rows: ReadonlyArray<DueSchedule>): Effect.Effect<void> {
    const entries = new Map<string, Entry>()
    const unreadable = new Map<string, number>()
    const warnings: Array<string> = []
    const waiting = rows.filter(({ waitingSince }) => waitingSince !== null)
    this.#stuck = new Set(waiting.filter((row) => Result.isFailure(this.#entryOf(row))).map(({ name }) => name))
    for (const row of rows) {
      const known = this.#entries.get(row.name)
      const stands = known?.row.turn === row.turn && !known.assumed
      if (stands && row.overlap === null && row.ended.length === 0) {
        entries.set(row.name, known)
        continue
      }
      const entry = this.#entryOf(row)
      if (Result.isSuccess(entry)) {
        entries.set(row.name, entry.success)
        continue
      }
      unreadable.set(row.name, row.revision)
      if (this.#unreadable.get(row.name) === row.revision) continue
      warnings.push(`Schedule ${row.name} cannot be read and does not fire. ${entry.failure}`)
    }
    this.#entries = entries
    this.#unreadable = unreadable
    this.#heap.fill(entries.values())
    return Effect.forEach(warnings, (warning) => Effect.logError(warning), { discard: true })
  }

  #entryOf(row: DueSchedule): Result.Result<Entry, string> {
    // One that nobody here can fire must not be waited for.
    const behind = row.behind.filter((name) => !this.#stuck.has(name))
    const entry = Result.flatMap(this.#timetables.of(row), (rules) => toEntry({ ...row, behind }, rules))
    if (Result.isSuccess(entry) && entry.success.follows) this.#followed.add(row.name)
    else this.#followed.delete(row.name)
    return entry
  }

  /** Fires what is due, as far as one statement goes. */
  readonly fireDue: Effect.Effect<void, StoreError> = Effect.flatMap(monotonicMillis, (local) => {
    if (Freeze.on(this.#freeze) !== undefined) return Effect.void
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
    const starts = Math.max(1, Math.min(limits.starts, Math.floor(maxTicks / due.length)))
    // Not interruptible between the reservations and the last submit, but while the store is asked: then they are given up.
    const fired = Effect.uninterruptibleMask((restore) => {
      const shots = this.#aimAll(due, now, starts)
      if (shots.length === 0) return Effect.succeed<Report>({ now, runs: [], missed: [] })
      return restore(this.#db.fire(shots.map(({ firing }) => firing), this.#freeze?.turn ?? null)).pipe(
        Effect.onError(() => Effect.sync(() => shots.forEach(({ reservation }) => reservation?.abandon()))),
        Effect.flatMap((answer) => Effect.map(monotonicMillis, (local) => this.#settle(shots, answer, local)))
      )
    })
    return Effect.flatMap(fired, publish)
  }

  /** Decides about each; what has nothing to record goes back to wait, and of an overlap scope one is decided at a time. */
  #aimAll(due: ReadonlyArray<Entry>, now: number, starts: number): ReadonlyArray<Shot> {
    const { freezes } = Freeze.read(this.#freeze)
    const scopes = new Set<string>()
    const shots: Array<Shot> = []
    for (const entry of due) {
      const { overlap } = entry.row
      if (overlap !== null && scopes.has(overlap)) {
        this.#heap.push(entry)
        continue
      }
      const aimed = aim(entry, now, freezes, { ...limits, starts })
      if (aimed === undefined) {
        entry.at = Math.max(entry.row.wakeAt ?? Infinity, now + 1)
        this.#heap.push(entry)
        continue
      }
      if (overlap !== null) scopes.add(overlap)
      const { ticks } = aimed.firing
      // Many ticks at once are for all workers to share.
      const reservation = ticks.length === 1
        ? this.#registry.reserve(entry.row.workflow, ticks[0]!.runId)
        : undefined
      shots.push({ ...aimed, firing: { ...aimed.firing, owner: reservation?.worker ?? null }, entry, reservation })
    }
    return shots
  }

  #settle(
    shots: ReadonlyArray<Shot>,
    answer: { readonly now: number; readonly freeze: Control | null; readonly fired: ReadonlyArray<Fired> },
    local: number
  ): Report {
    const early = answer.fired.some(({ _tag }) => _tag === "Early")
    if (early) this.#clock.reset(answer.now, local)
    else this.#clock.observe(answer.now, local)
    if (answer.freeze?.turn !== this.#freeze?.turn) this.stale = true

    const byName = new Map(answer.fired.map((fired) => [fired.name, fired]))
    const report: Report = { now: answer.now, runs: [], missed: [] }
    for (const shot of shots) {
      const fired = byName.get(shot.entry.row.name)!
      const runs = fired._tag === "Fired" ? fired.runs : []
      report.runs.push(...runs)
      if (fired._tag === "Fired" && shot.missed > 0) report.missed.push(shot)
      submit(shot.reservation, runs)
      this.#advance(shot, fired, answer.now, local)
    }
    return report
  }

  /** Puts the schedule back where it stands now. */
  #advance(shot: Shot, fired: Fired, now: number, local: number): void {
    const { row } = shot.entry
    if (fired._tag === "Early") return this.#hold(row, now)
    if (fired._tag === "Fired") return this.#hold(stepped(row, shot.firing, fired), now)
    const { current } = fired
    if (current === null) {
      this.#followed.delete(row.name)
      return this.#drop(row.name)
    }
    if (current.turn === row.turn && sameLive(current, row) && !this.stale) {
      return this.#assume(shot, current, now, local)
    }
    this.#hold(current, now)
  }

  /**
   * A schedule that was not fired and has not moved is locked by somebody: another process that fires it, as a rule, so that asking
   * again at once would be in vain. But they may let it go as it was. So nothing is assumed about how it stands, only about when to
   * ask again: when its next look would be due, and not before the store was looked at, which comes soon.
   */
  #assume({ firing }: Shot, current: DueSchedule, now: number, local: number): void {
    const lookIn = this.#assumptionMillis
    this.lookAt = Math.min(this.lookAt, local + lookIn)
    const entry = this.#entryOf(current)
    const at = Math.max(firing.after.wakeAt ?? Infinity, now + lookIn)
    if (Result.isFailure(entry) || at > now + this.#horizon) return this.#drop(current.name)
    this.#put(Object.assign(entry.success, { at, assumed: true }))
  }

  #drop(name: string): void {
    this.#entries.delete(name)
  }

  /** Holds the schedule until it needs a look, or no longer when that is not within the horizon. */
  #hold(row: DueSchedule, now: number): void {
    const entry = this.#entryOf(row)
    if (Result.isFailure(entry) || entry.success.at > now + this.#horizon) return this.#drop(row.name)
    this.#put(entry.success)
  }

  #put(entry: Entry): void {
    this.#entries.set(entry.row.name, entry)
    this.#heap.push(entry)
  }
}

const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  // A double has no room for the nanoseconds since the epoch, which a virtual clock counts.
  Effect.succeed(Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1e3)
)

const sameLive = (a: DueSchedule, b: DueSchedule): boolean =>
  a.overlapTurn === b.overlapTurn && a.live.length === b.live.length &&
  a.live.every(({ runId }, index) => runId === b.live[index]!.runId)

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
  for (const { firing, missed: count } of missed) {
    yield* Metric.update(ticksMissed, count)
    yield* Effect.logWarning(
      `Schedule ${firing.name} dropped ${count} tick${count === 1 ? "" : "s"} that came too late`
    )
  }
})

/**
 * Starts firing, until the scope closes. What is held is read again at every poll, at once when schedules changed, and soon when
 * runs ended that something waits for or something was only assumed.
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
  /** When to look at what waits for the end of runs, and when that was done last. */
  let followAt = Infinity
  let followedAt = -Infinity

  const follow = Stream.runForEach(db.hints, (hint) =>
    Effect.map(monotonicMillis, (local) => {
      if (hint._tag === "SchedulesChanged") changes++
      else if (hint._tag === "RunsFinished" && scheduler.follows(hint.runIds)) {
        followAt = Math.min(followAt, Math.max(local, followedAt + finishedPauseMillis))
      } else return
      signal.raise()
    }))

  const pass = Effect.gen(function*() {
    // What is due first: a look at the store takes its time.
    yield* scheduler.fireDue
    let local = yield* monotonicMillis
    if (seen !== changes || scheduler.stale || local >= Math.min(reloadAt, followAt, scheduler.lookAt)) {
      const now = changes
      if (local >= followAt) followedAt = local
      followAt = Infinity
      yield* Effect.onError(scheduler.reload, () => Effect.sync(() => followAt = local))
      seen = now
      reloadAt = local + settings.pollMillis
      local = yield* monotonicMillis
    }
    const lookIn = Math.min(reloadAt, followAt, scheduler.lookAt) - local
    const wait = Math.ceil(Math.min(scheduler.untilNext(local), lookIn))
    if (wait > 0 && seen === changes && !scheduler.stale) yield* signal.wait(wait)
  })

  yield* Effect.forkScoped(loop("schedule hint", follow), { startImmediately: true })
  yield* Effect.forkScoped(loop("schedule", pass))
})
