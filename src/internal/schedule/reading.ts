/** Reading schedules: how they stand, what became of their ticks, what is to come, and who changed what. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { InvalidInput, ScheduleNotFound, StoreError, Undecodable } from "../../Errors.ts"
import { type HistoryRow, SystemDb } from "../../SystemDb.ts"
import * as Pages from "../pages.ts"
import * as Explain from "./explain.ts"
import * as History from "./history.ts"
import { type Filter, fromRow, type Info, toFilter } from "./info.ts"
import { type Context, nameOf, type Ref, workflowOf } from "./schedule.ts"
import * as Windows from "./window.ts"

/**
 * The schedule as it is stored; none when there is no such schedule. Given the schedule's value, its context is typed.
 *
 * @category operations
 * @since 0.1.0
 */
export const get: <R extends Ref>(
  schedule: R
) => Effect.Effect<Option.Option<Info<Context<R>>>, StoreError, SystemDb> = Effect.fn("Schedule.get")(
  function*(ref: Ref) {
    const db = yield* SystemDb
    return Option.map(yield* db.findSchedule(nameOf(ref)), (row) => fromRow(row, workflowOf(ref)))
  }
)

/**
 * Lists all schedules of the filter; or a page of them, where `limit` says how many: pass the name of its last one as `after` to
 * get the next.
 *
 * One whose context, policies or timing cannot be read any more is listed like any other, see {@link Info}.
 *
 * Order:   by name, by code point
 *
 * @category operations
 * @since 0.1.0
 */
export const list: (
  filter?: Filter,
  page?: { readonly limit?: number | undefined; readonly after?: string | undefined }
) => Effect.Effect<ReadonlyArray<Info>, StoreError, SystemDb> = Effect.fn("Schedule.list")(
  function*(filter = {}, page = {}) {
    const db = yield* SystemDb
    const rows = yield* Pages.list((page) => db.listSchedules(toFilter(filter), page), ({ name }) => name, page)
    return rows.map((row) => fromRow(row, undefined))
  }
)

/**
 * Every schedule the filter lets through, read a page at a time.
 *
 * Order:   by name, by code point
 *
 * @category operations
 * @since 0.1.0
 */
export const stream = (filter: Filter = {}): Stream.Stream<Info, StoreError, SystemDb> =>
  Stream.map(
    Pages.stream(
      (page) => SystemDb.use((db) => db.listSchedules(toFilter(filter), page)),
      ({ name }) => name,
      null as string | null
    ),
    (row) => fromRow(row, undefined)
  )

// ── the ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where a page of a history ended. */
export interface HistoryCursor {
  readonly at: number
  readonly key: string
}

/**
 * Which part of a history to read: entries whose first tick lies from `from` on and before `to`.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryOptions {
  readonly from?: Windows.Instant | undefined
  readonly to?: Windows.Instant | undefined
  /** Default `"newest"` first. */
  readonly order?: "newest" | "oldest" | undefined
  /** Default 100. */
  readonly limit?: number | undefined
  /** The `next` of the page before. */
  readonly after?: HistoryCursor | undefined
}

/**
 * A page of a schedule's history. `next` is none on the last one.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryPage {
  readonly entries: ReadonlyArray<History.HistoryEntry>
  readonly next: Option.Option<HistoryCursor>
}

/**
 * What became of the schedule's ticks: its runs, and an entry for every stretch of ticks that became none. The history of a
 * deleted schedule stays under its name.
 *
 * Order:   by first tick, newest first unless said otherwise
 * Cost:    1 round trip
 *
 * @category ledger
 * @since 0.1.0
 */
export const history: (
  schedule: Ref,
  options?: HistoryOptions
) => Effect.Effect<HistoryPage, InvalidInput | StoreError, SystemDb> = Effect.fn("Schedule.history")(
  function*(ref, { after, from, limit = 100, order = "newest", to } = {}) {
    const db = yield* SystemDb
    const filter = {
      schedule: nameOf(ref),
      from: from === undefined ? null : yield* Windows.millis("from", from),
      to: to === undefined ? null : yield* Windows.millis("to", to),
      newestFirst: order === "newest"
    }
    const rows: ReadonlyArray<HistoryRow> = yield* db.listHistory(filter, { limit, after: after ?? null })
    const last = rows.at(-1)
    return {
      entries: rows.map(History.ofRow),
      next: last === undefined || rows.length < limit ? Option.none() : Option.some({ at: last.at, key: last.key })
    }
  }
)

/**
 * The answer to every tick of the window that has one: exactly one for each, whatever happened. Memory and time grow with the
 * number of ticks; the ticks of an entry are those of the timing that was in force.
 *
 * Order:   by tick
 *
 * @category ledger
 * @since 0.1.0
 */
export const ledger: (
  schedule: Ref,
  window: Windows.Window
) => Effect.Effect<ReadonlyArray<History.Answer>, InvalidInput | StoreError, SystemDb> = Effect.fn("Schedule.ledger")(
  function*(ref, window) {
    const db = yield* SystemDb
    return yield* History.answers(db, nameOf(ref), yield* Windows.span(window))
  }
)

/**
 * Why the schedule ran at an instant, ran late, or did not; for an instant to come, what is known of it.
 *
 * @category ledger
 * @since 0.1.0
 */
export const explain: (
  schedule: Ref,
  instant: Windows.Instant
) => Effect.Effect<
  Explain.Explanation,
  ScheduleNotFound | Undecodable | InvalidInput | StoreError,
  SystemDb
> = Effect.fn("Schedule.explain")(function*(ref, instant) {
  const db = yield* SystemDb
  return yield* Explain.explain(db, nameOf(ref), yield* Windows.millis("instant", instant))
})

/**
 * The next ticks, with the days that a clock change touches flagged, and what keeps them from starting, as far as it is known.
 *
 * Order:   by tick
 *
 * @category ledger
 * @since 0.1.0
 */
export const upcoming: (
  schedule: Ref,
  count?: number
) => Effect.Effect<
  ReadonlyArray<Explain.Upcoming>,
  ScheduleNotFound | Undecodable | StoreError,
  SystemDb
> = Effect.fn("Schedule.upcoming")(function*(ref, count = 10) {
  const db = yield* SystemDb
  return yield* Explain.upcoming(db, nameOf(ref), count)
})

/**
 * When the stored schedule ticks, in one English sentence, with its time zone and what happens when clocks change.
 *
 * @category ledger
 * @since 0.1.0
 */
export const describe: (
  schedule: Ref
) => Effect.Effect<string, ScheduleNotFound | Undecodable | StoreError, SystemDb> = Effect.fn("Schedule.describe")(
  function*(ref) {
    const db = yield* SystemDb
    return yield* Explain.describe(db, nameOf(ref))
  }
)

// ── the audit ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * One change of a schedule, or of what concerns all: who made it, from where and why, and what was before and after.
 *
 * @category models
 * @since 0.1.0
 */
export interface AuditEntry {
  readonly schedule: Option.Option<string>
  readonly action: string
  readonly actor: string
  readonly source: Option.Option<string>
  readonly reason: Option.Option<string>
  /** Plain JSON; undefined where there is nothing to say. */
  readonly before: unknown
  readonly after: unknown
  readonly at: DateTime.Utc
  /** Pass the last one's as `after` to read on. */
  readonly position: number
}

const json = (text: string | null): unknown =>
  text === null ? undefined : Result.getOrElse(Result.try(() => JSON.parse(text) as unknown), () => text)

/**
 * Who changed the schedule, when, from where, why, and what; without a schedule, what concerned all of them. The audit of a
 * deleted schedule stays under its name. All of it, or a page where `limit` says how much.
 *
 * Order:   newest first
 *
 * @category ledger
 * @since 0.1.0
 */
export const audit: (
  schedule?: Ref,
  page?: { readonly limit?: number | undefined; readonly after?: number | undefined }
) => Effect.Effect<ReadonlyArray<AuditEntry>, StoreError, SystemDb> = Effect.fn("Schedule.audit")(
  function*(ref, page = {}) {
    const db = yield* SystemDb
    const schedule = ref === undefined ? null : nameOf(ref)
    const rows = yield* Pages.list((page) => db.listAudits(schedule, page), ({ position }) => position, page)
    return rows.map((row) => ({
      schedule: Option.fromNullOr(row.schedule),
      action: row.action,
      actor: row.actor,
      source: Option.fromNullOr(row.source),
      reason: Option.fromNullOr(row.reason),
      before: json(row.before),
      after: json(row.after),
      at: DateTime.makeUnsafe(row.at),
      position: row.position
    }))
  }
)
