/** What a backfill would do: the ticks of its window, and those that have a run already. */
import * as Effect from "effect/Effect"
import type { StoreError } from "../../Errors.ts"
import type { HistoryRow } from "../../SystemDb.ts"
import type { Store } from "./change.ts"
import { runIdOf, type Ticking } from "./ticks.ts"
import type { Span } from "./window.ts"

export interface Counted {
  readonly count: number
  readonly first: number | null
  readonly last: number | null
}

/** So many ticks take a few milliseconds; then other fibers have their turn. */
const chunk = 1_000

/** The ticks of the window that no calendar excludes. */
export const count = Effect.fnUntraced(function*({ plan, timetable }: Ticking, { from, to }: Span): Effect.fn.Return<
  Counted
> {
  let count = 0
  let first: number | null = null
  let last: number | null = null
  let looked = 0
  for (let tick = plan.next(from - 1); tick !== null && tick < to; tick = plan.next(tick)) {
    if (++looked % chunk === 0) yield* Effect.yieldNow
    if (timetable.excluded(tick) !== null) continue
    count++
    first ??= tick
    last = tick
  }
  return { count, first, last }
})

const pageSize = 500

/** How many ticks of the window have the run that the scheduler, or a backfill in its stead, gives them. */
export const existing = Effect.fnUntraced(function*(
  db: Store,
  ticking: Ticking,
  { from, to }: Span
): Effect.fn.Return<number, StoreError> {
  const { name, plan, timetable } = ticking
  let found = 0
  for (let after: Pick<HistoryRow, "at" | "key"> | null = null;;) {
    const page: ReadonlyArray<HistoryRow> = yield* db.listHistory(
      { schedule: name, from, to, newestFirst: false },
      { limit: pageSize, after }
    )
    for (const { at, run } of page) {
      // A run of an earlier timing can stand where there is no tick now.
      if (run?.id === runIdOf(ticking, at) && plan.next(at - 1) === at && timetable.excluded(at) === null) found++
    }
    if (page.length < pageSize) return found
    after = page.at(-1)!
    yield* Effect.yieldNow
  }
})
