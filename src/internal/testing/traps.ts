/** Where a test lets workers crash. */
import { type Fact, isOf, type Point } from "./points.ts"
import type { Trap } from "./workers.ts"

/**
 * Where a worker crashes: before or after a fact, of any workflow, run and step unless they are given; at the `nth` time from now
 * on that a run comes to such a point, by default the first.
 *
 * Before a fact, what it is about has been done and is not written: the effect of a step has run, and is not recorded. After it,
 * it is written, and the body has not heard of it. At a `Start` both are the same.
 *
 * @category models
 * @since 0.1.0
 */
export type Place =
  & (
    | { readonly before: Fact; readonly after?: undefined }
    | { readonly after: Fact; readonly before?: undefined }
  )
  & {
    readonly workflow?: string | { readonly name: string } | undefined
    readonly runId?: string | undefined
    readonly step?: string | undefined
    readonly key?: string | undefined
    readonly nth?: number | undefined
  }

/** Whether a point is at this place. */
export const at = (place: Place) => (point: Point): boolean =>
  point.fact === (place.before ?? place.after) && (point.fact === "Start" || place[point.side] !== undefined) &&
  isOf(place, point)

const withOutcome: ReadonlySet<Fact> = new Set<Fact>(["Step", "Undo", "Value", "Failure"])

/** Whether the outcome of a step has just been recorded. */
export const recorded = ({ fact, side }: Point): boolean => side === "after" && withOutcome.has(fact)

/** Sets a trap at the n-th such point from now on. */
export const set = (traps: Set<Trap>, isThere: (point: Point) => boolean, nth = 1): void => {
  let left = nth
  const trap: Trap = (point) => {
    if (!isThere(point) || --left > 0) return false
    traps.delete(trap)
    return true
  }
  traps.add(trap)
}
