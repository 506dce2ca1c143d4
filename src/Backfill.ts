/**
 * Backfills: jobs that run a schedule for a window of its past, a limited number of runs at a time.
 *
 * A backfill is a row in the store, and any engine over it carries it on: it outlives the process that started it, and each tick
 * is started once however many engines there are. It goes through its window in order, starts runs while fewer of its own are
 * live than it may have, and is Done when every tick was looked at and every run has ended. The schedule itself is not touched:
 * it goes on to fire, may be Paused or frozen, and its cursor stays where it is. Everything here needs the store alone, no
 * engine; but without one nothing is carried on.
 *
 * Not in here: enqueueing all ticks of a window at once, which is `Schedule.backfill`, and one run by hand, `Schedule.trigger`.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { BackfillEnded, BackfillNotFound, InvalidInput, type StoreError } from "./Errors.ts"
import { ask } from "./internal/ask.ts"
import type { BackfillStatus } from "./internal/lifecycle.ts"
import * as Pages from "./internal/pages.ts"
import { door } from "./internal/schedule/actor.ts"
import * as Counting from "./internal/schedule/backfillPlan.ts"
import * as Requests from "./internal/schedule/backfillRequest.ts"
import { audits, type Store } from "./internal/schedule/change.ts"
import * as Commands from "./internal/schedule/commands.ts"
import * as Definition from "./internal/schedule/definition.ts"
import { nameOf, type Ref, subjectOf } from "./internal/schedule/schedule.ts"
import type { TicksError } from "./internal/schedule/starting.ts"
import type { Because } from "./internal/schedule/verbs.ts"
import * as Windows from "./internal/schedule/window.ts"
import { type Backfill, SystemDb } from "./SystemDb.ts"

// ── what a backfill is ──────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A backfill that is Active goes on, and one that is Paused can; Cancelled and Done are ends.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = BackfillStatus

/**
 * A backfill as it is stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Info {
  readonly id: string
  readonly schedule: string
  /** The window: `from` is in it, `to` is not. */
  readonly from: DateTime.Utc
  readonly to: DateTime.Utc
  readonly order: "oldest" | "newest"
  /** How many of its runs may be live at once. */
  readonly concurrency: number
  readonly onExisting: "skip" | "rerun"
  readonly status: Status
  /** Ticks it has turned into runs. */
  readonly started: number
  /** Ticks it has passed over because they had a run. */
  readonly existing: number
  /** Runs it started that have not ended. */
  readonly live: number
  /** Where in its window it goes on; none when every tick has been looked at. */
  readonly cursor: Option.Option<DateTime.Utc>
  /** How much of the window it has gone through, from 0 to 1 by time: see {@link plan} for how many ticks that are. */
  readonly progress: number
  readonly createdAt: DateTime.Utc
  /** When it became Done or Cancelled. */
  readonly finishedAt: Option.Option<DateTime.Utc>
}

const progressOf = ({ cursor, from, newestFirst, to }: Backfill): number =>
  cursor === null || to === from ? 1 : (newestFirst ? to - cursor : cursor - from) / (to - from)

const toInfo = (row: Backfill): Info => ({
  id: row.id,
  schedule: row.schedule,
  from: DateTime.makeUnsafe(row.from),
  to: DateTime.makeUnsafe(row.to),
  order: row.newestFirst ? "newest" : "oldest",
  concurrency: row.concurrency,
  onExisting: row.rerun ? "rerun" : "skip",
  status: row.status,
  started: row.started,
  existing: row.existing,
  live: row.live,
  cursor: Option.map(Option.fromNullOr(row.cursor), DateTime.makeUnsafe),
  progress: Math.min(1, Math.max(0, progressOf(row))),
  createdAt: DateTime.makeUnsafe(row.createdAt),
  finishedAt: Option.map(Option.fromNullOr(row.finishedAt), DateTime.makeUnsafe)
})

// ── before it starts ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What a backfill of a window would do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan {
  /** The ticks of the window that no calendar excludes. */
  readonly count: number
  readonly first: Option.Option<DateTime.Utc>
  readonly last: Option.Option<DateTime.Utc>
  /** Those of them that have a run, which a backfill passes over unless it is to run them again. */
  readonly existing: number
}

/**
 * Says what a backfill of this window would do, and does nothing.
 *
 * The ticks are those of the schedule's present timing and bounds. Other fibers have their turn meanwhile, however many ticks
 * there are, and memory does not grow with them.
 *
 * Fails:   `InvalidInput` on a window that ends before it begins, and on a schedule stored with another workflow
 * Cost:    1 round trip, and 1 for each 500 runs and ledger entries of the window; time grows with the number of ticks
 *
 * @category operations
 * @since 0.1.0
 */
export const plan: (schedule: Ref, window: Windows.Window) => Effect.Effect<Plan, TicksError, SystemDb> = Effect.fn(
  "Backfill.plan"
)(function*(schedule, window) {
  const db = yield* SystemDb
  const span = yield* Windows.span(window)
  const row = yield* Commands.find(db, subjectOf(schedule))
  const read = yield* Effect.fromResult(Definition.read(row))
  const { count, first, last } = yield* Counting.count(read, span)
  return {
    count,
    first: Option.map(Option.fromNullOr(first), DateTime.makeUnsafe),
    last: Option.map(Option.fromNullOr(last), DateTime.makeUnsafe),
    existing: count === 0 ? 0 : yield* Counting.existing(db, read, span)
  }
})

export type { StartOptions } from "./internal/schedule/backfillRequest.ts"

/**
 * Starts a backfill of every tick in the window that no calendar excludes, and returns at once. Started again under the same id
 * it is the same job, as it was asked for first.
 *
 * The ticks are those of the schedule's timing and bounds when the backfill is started: an edit does not change what was asked
 * for. The context and the time-out that a run gets are those at the time the backfill comes to its tick. A schedule that is
 * deleted meanwhile cancels the backfill. With `"skip"` the runs have the ids that the scheduler
 * uses: a tick that ran is passed over, and one that was backfilled is not fired again. With `"rerun"` they have ids of the
 * backfill's own. Runs that retention has deleted count as none.
 *
 * Its runs have no start deadline and do not count for the schedule's failures and recoveries. They overlap with nothing: neither
 * do they ask the schedule's policy, nor do they stand in the way of its own runs.
 *
 * Fails:   `InvalidInput` on a window that ends before it begins, on an id that a backfill of another schedule has, and on a
 *          schedule stored with another workflow
 * Cost:    2 round trips
 *
 * @example
 * ```ts
 * import * as Backfill from "effect-durable/Backfill"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.gen(function*() {
 *   const window = { from: "2026-01-01T00:00:00Z", to: "2026-04-01T00:00:00Z" }
 *   const { count, existing } = yield* Backfill.plan("daily-summary", window)
 *   yield* Effect.log(`${count - existing} of ${count} days have no summary`)
 *   const { id } = yield* Backfill.start("daily-summary", {
 *     ...window,
 *     id: "first-quarter",
 *     order: "newest",
 *     concurrency: 5,
 *     reason: "the source was corrected"
 *   })
 *   return yield* Backfill.await(id)
 * })
 * ```
 *
 * @category operations
 * @since 0.1.0
 */
export const start: <R extends Ref>(
  schedule: R,
  options: Requests.StartOptions<R>
) => Effect.Effect<Info, TicksError, SystemDb> = Effect.fn("Backfill.start")(
  function*<R extends Ref>(schedule: R, options: Requests.StartOptions<R>) {
    const db = yield* SystemDb
    yield* door(options.reason)
    const ask = yield* Requests.request(options)
    const row = yield* Commands.find(db, subjectOf(schedule))
    const { asked, audit } = yield* ask(row, subjectOf(schedule).workflow)
    const { backfill } = yield* db.createBackfill(asked, audit)
    if (backfill.schedule === row.name) return toInfo(backfill)
    const reason = `is that of a backfill of schedule ${JSON.stringify(backfill.schedule)}`
    return yield* new InvalidInput({ field: "id", reason })
  }
)

// ── while it goes on ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The backfill as it stands now; none when there is no such backfill.
 *
 * Cost:    1 round trip
 *
 * @category operations
 * @since 0.1.0
 */
export const get: (id: string) => Effect.Effect<Option.Option<Info>, StoreError, SystemDb> = Effect.fn("Backfill.get")(
  function*(id) {
    const db = yield* SystemDb
    return Option.map(yield* db.findBackfill(id), toInfo)
  }
)

const cursorOf = ({ createdAt, id }: Backfill) => ({ createdAt, id })

/**
 * Lists all backfills, of one schedule or of all; or a page of them, where `limit` says how many: pass its last one as `after` to
 * get the next. Those of a deleted schedule stay under its name.
 *
 * Order:   newest first, ties by id descending
 * Cost:    1 round trip for each 500
 *
 * @category operations
 * @since 0.1.0
 */
export const list: (
  schedule?: Ref,
  page?: { readonly limit?: number | undefined; readonly after?: Pick<Info, "createdAt" | "id"> | undefined }
) => Effect.Effect<ReadonlyArray<Info>, StoreError, SystemDb> = Effect.fn("Backfill.list")(
  function*(schedule, { after, limit } = {}) {
    const db = yield* SystemDb
    const name = schedule === undefined ? null : nameOf(schedule)
    const rows = yield* Pages.list((page) => db.listBackfills(name, page), cursorOf, {
      limit,
      after: after === undefined ? null : { createdAt: DateTime.toEpochMillis(after.createdAt), id: after.id }
    })
    return rows.map(toInfo)
  }
)

/**
 * The ways a change of a backfill can be refused or fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type ChangeError = BackfillNotFound | BackfillEnded | InvalidInput | StoreError

const find = Effect.fnUntraced(function*(
  db: Store,
  id: string
): Effect.fn.Return<Backfill, BackfillNotFound | StoreError> {
  const found = Option.getOrUndefined(yield* db.findBackfill(id))
  return found ?? (yield* new BackfillNotFound({ id }))
})

const ended: ReadonlyArray<Status> = ["Cancelled", "Done"]

/** Gives it another status; reads again when it moved on meanwhile. */
const change = Effect.fnUntraced(function*(
  id: string,
  status: Exclude<Status, "Done">,
  action: string,
  reason: string | undefined
): Effect.fn.Return<void, ChangeError, SystemDb> {
  const db = yield* SystemDb
  yield* door(reason)
  for (;;) {
    const found = yield* find(db, id)
    if (found.status === status) return
    if (ended.includes(found.status)) return yield* new BackfillEnded({ id, status: found.status })
    const said = { name: found.schedule, action, before: { id, status: found.status }, after: { id, status } }
    const [audit] = yield* audits([said], reason ?? null)
    if (yield* db.changeBackfill({ id, turn: found.turn, status, audit: audit! })) return
    yield* Effect.yieldNow
  }
})

/**
 * Stops it from starting runs until it is resumed; its runs go on. One that is Paused already stays so.
 *
 * Fails:   `BackfillNotFound` · `BackfillEnded`
 * Cost:    2 round trips, again when it moved on meanwhile
 *
 * @category operations
 * @since 0.1.0
 */
export const pause: (id: string, options?: Because) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn(
  "Backfill.pause"
)((id, { reason } = {}) => change(id, "Paused", "backfill.pause", reason))

/**
 * Makes a Paused backfill go on where it stood. One that is Active stays so.
 *
 * Fails:   `BackfillNotFound` · `BackfillEnded`
 * Cost:    2 round trips
 *
 * @category operations
 * @since 0.1.0
 */
export const resume: (id: string, options?: Because) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn(
  "Backfill.resume"
)((id, { reason } = {}) => change(id, "Active", "backfill.resume", reason))

/**
 * Ends it: no more runs are started, and those that no worker has begun are cancelled with it. Runs that are under way go on. One
 * that is Cancelled already stays so.
 *
 * Fails:   `BackfillNotFound` · `BackfillEnded` when it is Done
 * Cost:    2 round trips, again when it moved on meanwhile
 *
 * @category operations
 * @since 0.1.0
 */
export const cancel: (id: string, options?: Because) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn(
  "Backfill.cancel"
)((id, { reason } = {}) => change(id, "Cancelled", "backfill.cancel", reason))

const shortestPauseMillis = 50
const longestPauseMillis = 1_000

const wait = Effect.fnUntraced(function*(
  id: string
): Effect.fn.Return<Info, BackfillNotFound | StoreError, SystemDb | Scope.Scope> {
  const db = yield* SystemDb
  if (yield* Effect.withFiber((fiber) => Effect.succeed(db.joined(fiber)))) {
    const found = yield* find(db, id)
    if (ended.includes(found.status)) return toInfo(found)
    return yield* Effect.die(
      new Error(
        `Backfill ${id} has not ended and cannot be awaited inside of a transaction. Await it after the transaction.`
      )
    )
  }
  const hints = yield* Queue.sliding<void>(1)
  const follow = Stream.runForEach(db.hints, ({ _tag }) =>
    _tag === "RunsFinished" || _tag === "SchedulesChanged"
      ? Queue.offer(hints, undefined)
      : Effect.void)
  yield* Effect.forkScoped(follow, { startImmediately: true })
  // Its last run ends a little before it does, so after a hint it is looked at soon, and then less and less often.
  for (let pauseMillis = shortestPauseMillis;;) {
    const found = yield* ask(find(db, id))
    if (ended.includes(found.status)) return toInfo(found)
    const hinted = yield* Effect.raceFirst(
      Effect.as(Queue.take(hints), true),
      Effect.as(Effect.sleep(pauseMillis), false)
    )
    pauseMillis = hinted ? shortestPauseMillis : Math.min(longestPauseMillis, 2 * pauseMillis)
    if (hinted) yield* Effect.sleep(shortestPauseMillis)
  }
}, Effect.scoped)

const await_: (id: string) => Effect.Effect<Info, BackfillNotFound | StoreError, SystemDb> = Effect.fn(
  "Backfill.await"
)((id) => wait(id))

export {
  /**
   * Waits until the backfill is Done or Cancelled, and returns it as it ended. When it was cancelled, runs of it may still be
   * live. Waits through an absent store, and for as long as the backfill is Paused.
   *
   * Fails:   `BackfillNotFound`
   * Cost:    1 round trip at least every second, and after hints
   *
   * @category operations
   * @since 0.1.0
   */
  await_ as await
}
