/** A scheduler without fibers: each pass looks at the store, decides, and records, so that a test can say when, and how often. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { aim, type Aimed, toEntry } from "../../src/internal/engine/aim.ts"
import { limits } from "../../src/internal/schedule/decide.ts"
import * as Freeze from "../../src/internal/schedule/freeze.ts"
import { Timetables } from "../../src/internal/schedule/timetables.ts"
import type { Control, DueSchedule, Firing, SystemDb } from "../../src/SystemDb.ts"

type Store = SystemDb["Service"]

/** What one look at the store found. */
export interface Look {
  readonly now: number
  readonly freeze: Control | null
  readonly schedules: ReadonlyArray<DueSchedule>
}

export const look = (db: Store): Effect.Effect<Look> => Effect.orDie(db.dueSchedules(0))

const timetables = new Timetables()

/** What is to be recorded about what was seen, decided at the instant given; of an overlap scope one schedule at a time. */
export const decideAll = (
  { freeze, schedules }: Look,
  now: number,
  limit: Partial<typeof limits> = {}
): ReadonlyArray<Firing> => {
  if (Freeze.on(freeze) !== undefined) return []
  const scopes = new Set<string>()
  return schedules.flatMap((row) => {
    if (row.overlap !== null && scopes.has(row.overlap)) return []
    const entry = Result.getOrThrow(Result.flatMap(timetables.of(row), (rules) => toEntry(row, rules)))
    const aimed: Aimed | undefined = aim(entry, now, Freeze.read(freeze).freezes, { ...limits, ...limit })
    if (aimed !== undefined && row.overlap !== null) scopes.add(row.overlap)
    return aimed === undefined ? [] : [aimed.firing]
  })
}

/** Looks, decides and records until there is nothing left to do at this instant; how many statements that took. */
export const pass = (db: Store, limit: Partial<typeof limits> = {}): Effect.Effect<number> =>
  Effect.gen(function*() {
    for (let statements = 0;; statements++) {
      const seen = yield* look(db)
      const firings = decideAll(seen, seen.now, limit)
      if (firings.length === 0) return statements
      yield* Effect.orDie(db.fire(firings, seen.freeze?.turn ?? null))
    }
  })
