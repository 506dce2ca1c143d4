/**
 * Carries backfills on: asks which of them could start more runs, and takes each one stretch further. Where a backfill stands
 * is the store's; any number of processes ask, and of two that decide about the same stretch one finds that it has moved.
 *
 * It reads schedules and never writes them, on a fiber of its own: what the scheduler does is not held up.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StoreError } from "../../Errors.ts"
import type { Backfill, Hint, ScheduleRow, SystemDb } from "../../SystemDb.ts"
import { CurrentOperator, policy } from "../schedule/actor.ts"
import { plannedFor, rest, stretch } from "../schedule/backfilling.ts"
import { audits } from "../schedule/change.ts"
import { byHand } from "../schedule/commands.ts"
import { plan } from "../schedule/plan.ts"
import type { Ticking } from "../schedule/ticks.ts"
import { Timetables } from "../schedule/timetables.ts"
import { loop } from "../supervise.ts"
import { makeSignal } from "./loops.ts"
import type { Settings } from "./options.ts"

type Store = SystemDb["Service"]

/** The most backfills that one look takes a stretch further. */
const maxBackfills = 1_000
/** Hints come all the time; the store is asked no more often than this because of them. */
const hintPauseMillis = 50
/** Whoever moved a backfill carries it on, as a rule; if not, it is looked at again after this, however rare polls are. */
const longestAssumptionMillis = 1_000
/** The most runs read ahead of a backfill that finds runs where it goes. */
const maxKnown = 500

const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.succeed(Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1e3)
)

class Backfiller {
  readonly #db: Store
  readonly #timetables = new Timetables()
  /** Those whose runs may still be under way, and their schedules. */
  readonly #followed = new Map<string, string>()
  /** Schedules that were complained about, by revision. */
  readonly #unreadable = new Map<string, number>()
  /** Whether one of the last look did not stand as it was read, so that it is only assumed that somebody else carries it on. */
  refused = false

  constructor(db: Store) {
    this.#db = db
  }

  /** Whether the hint can mean that a backfill can go on. */
  concerns(hint: Hint): boolean {
    if (hint._tag === "SchedulesChanged") return true
    if (hint._tag !== "RunsFinished" || this.#followed.size === 0) return false
    if (hint.runIds.length === 0) return true
    for (const schedule of new Set(this.#followed.values())) {
      if (hint.runIds.some((runId) => runId.startsWith(`sched-${schedule}-`))) return true
    }
    return false
  }

  /** Takes every backfill that can go on a stretch further; whether any of them moved. */
  readonly look: Effect.Effect<boolean, StoreError> = Effect.gen({ self: this }, function*() {
    this.refused = false
    const due = yield* this.#db.dueBackfills(maxBackfills)
    let moved = false
    for (const { backfill, schedule } of due) {
      moved = (yield* this.#carryOn(backfill, schedule)) || moved
      yield* Effect.yieldNow
    }
    return moved
  })

  /** A refusal that will not pass by itself is one backfill's fault: the others must not wait for it. */
  #carryOn(backfill: Backfill, schedule: ScheduleRow | null): Effect.Effect<boolean, StoreError> {
    const { cursor, id, live } = backfill
    if (cursor === null && live > 0) return this.#follow(backfill)
    const next = cursor === null
      ? this.#end(backfill)
      : schedule === null || schedule.createdAt > backfill.createdAt
      ? this.#abandon(backfill)
      : this.#advance(backfill, schedule)
    return Effect.catchIf(
      next,
      (error) => !error.retryable,
      (error) => Effect.as(Effect.logError(`Backfill ${id} cannot go on and is tried again`, error), false)
    )
  }

  #follow({ id, schedule }: Backfill): Effect.Effect<boolean> {
    this.#followed.set(id, schedule)
    return Effect.succeed(false)
  }

  /** Every tick was looked at, and no run is live. */
  #end({ id, schedule, turn }: Backfill): Effect.Effect<boolean, StoreError> {
    this.#followed.delete(id)
    const end = { id, turn, ticks: [], cursor: null, done: true, timeoutMillis: null, settle: false }
    return Effect.tap(
      this.#noted(this.#db.advanceBackfill(end)),
      (ended) => ended ? Effect.logInfo(`Backfill ${id} of schedule ${schedule} is done`) : Effect.void
    )
  }

  /** Its schedule was deleted: nothing says any more what its ticks are. */
  #abandon({ id, schedule, turn }: Backfill): Effect.Effect<boolean, StoreError> {
    this.#followed.delete(id)
    const said = { name: schedule, action: "backfill.cancel", after: { id } }
    return audits([said], "The schedule was deleted").pipe(
      Effect.provideService(CurrentOperator, policy),
      Effect.flatMap(([audit]) =>
        this.#noted(this.#db.changeBackfill({ id, turn, status: "Cancelled", audit: audit! }))
      ),
      Effect.tap((cancelled) =>
        cancelled
          ? Effect.logWarning(`Backfill ${id} was cancelled: there is no schedule ${schedule} any more`)
          : Effect.void
      )
    )
  }

  #advance(backfill: Backfill, row: ScheduleRow): Effect.Effect<boolean, StoreError> {
    const stored = backfill.planned === null ? Result.succeed(row) : plannedFor(backfill.planned)
    const rules = Result.all({
      own: Result.flatMap(stored, (stored) => this.#timetables.of(stored)),
      schedule: this.#timetables.of(row)
    })
    if (Result.isFailure(rules)) return this.#complain(backfill, row, rules.failure)
    this.#unreadable.delete(row.name)
    const { own, schedule: { policies } } = rules.success
    const { incarnation, name } = row
    const ticking: Ticking = { name, incarnation, ...own, plan: plan(name, own.timetable, own.policies) }
    return Effect.flatMap(this.#known(backfill), (known) => {
      const { cursor, done, ticks } = stretch(backfill, ticking, known)
      if (done) this.#followed.delete(backfill.id)
      else this.#followed.set(backfill.id, row.name)
      const advance = { id: backfill.id, turn: backfill.turn, ticks, cursor, done, ...byHand(policies) }
      return this.#noted(this.#db.advanceBackfill(advance))
    })
  }

  /** Notes when what was read does not stand any more. */
  #noted(written: Effect.Effect<boolean, StoreError>): Effect.Effect<boolean, StoreError> {
    return Effect.tap(written, (stands) =>
      Effect.sync(() => {
        if (!stands) this.refused = true
      }))
  }

  /**
   * The runs that lie ahead of it. Read once it has met some, as a window that ran already would otherwise be gone through in
   * stretches no longer than its concurrency.
   */
  #known(backfill: Backfill): Effect.Effect<ReadonlySet<string>, StoreError> {
    if (backfill.rerun || backfill.existing === 0) return Effect.succeed(new Set())
    const { newestFirst, schedule } = backfill
    const page = this.#db.listHistory({ schedule, ...rest(backfill), newestFirst }, { limit: maxKnown, after: null })
    return Effect.map(page, (rows) => new Set(rows.flatMap(({ run }) => run === null ? [] : [run.id])))
  }

  #complain({ id }: Backfill, { name, revision }: ScheduleRow, reason: string): Effect.Effect<boolean> {
    if (this.#unreadable.get(name) === revision) return Effect.succeed(false)
    this.#unreadable.set(name, revision)
    return Effect.as(
      Effect.logError(`Backfill ${id} waits: schedule ${name} cannot be read. ${reason}`),
      false
    )
  }

  /** Looks whether one of those that are followed has ended or stopped by another hand; each gets its turn. */
  readonly review: Effect.Effect<void, StoreError> = Effect.suspend(() => {
    const [first] = this.#followed
    if (first === undefined) return Effect.void
    const [id, schedule] = first
    return Effect.map(this.#db.findBackfill(id), (found) => {
      this.#followed.delete(id)
      if (found._tag === "Some" && found.value.status === "Active") this.#followed.set(id, schedule)
    })
  })
}

/**
 * Carries backfills on until the scope closes: at once while there is something to do, then when a hint says that there may be,
 * and at every poll.
 */
export const start = Effect.fnUntraced(function*(
  db: Store,
  { pollMillis }: Settings
): Effect.fn.Return<void, never, Scope.Scope> {
  const signal = yield* makeSignal
  const backfiller = new Backfiller(db)
  let lookAt = 0
  let lookedAt = -Infinity
  let pollAt = 0

  const follow = Stream.runForEach(db.hints, (hint) =>
    backfiller.concerns(hint)
      ? Effect.map(monotonicMillis, (local) => {
        lookAt = Math.min(lookAt, Math.max(local, lookedAt + hintPauseMillis))
        signal.raise()
      })
      : Effect.void)

  const pass = Effect.gen(function*() {
    const local = yield* monotonicMillis
    if (local < lookAt) return yield* signal.wait(Math.ceil(lookAt - local))
    lookedAt = local
    lookAt = local + pollMillis
    const moved = yield* Effect.onError(backfiller.look, () => Effect.sync(() => lookAt = local))
    if (backfiller.refused) lookAt = Math.min(lookAt, local + longestAssumptionMillis)
    if (moved) {
      lookAt = local
    } else if (local >= pollAt) {
      pollAt = local + pollMillis
      yield* backfiller.review
    }
    yield* Effect.yieldNow
  })

  yield* Effect.forkScoped(loop("backfill hint", follow), { startImmediately: true })
  yield* Effect.forkScoped(loop("backfill", pass))
})
