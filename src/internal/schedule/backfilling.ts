/** How a backfill goes on: which ticks it starts next, and where it stands afterwards. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Backfill, ScheduleRow, TickRun } from "../../SystemDb.ts"
import type { Policies } from "./policies.ts"
import { type Named, ofTick, runIdOf, type Ticking } from "./ticks.ts"

const Planned = Schema.fromJsonString(Schema.Struct({
  timing: Schema.Unknown,
  from: Schema.NullOr(Schema.Int),
  until: Schema.NullOr(Schema.Int)
}))
const decodePlanned = Schema.decodeUnknownResult(Planned)

/** What says which its ticks are, as it is kept with a backfill: an edit of the schedule does not change what was asked for. */
export const planned = ({ timing }: Pick<ScheduleRow, "timing">, { from, until }: Policies): string =>
  JSON.stringify({ timing: JSON.parse(timing) as unknown, from, until })

/** The same as a schedule's row has it. */
export const plannedFor = (text: string): Result.Result<Pick<ScheduleRow, "timing" | "policies">, string> =>
  Result.mapBoth(decodePlanned(text), {
    onSuccess: ({ timing, ...bounds }) => ({ timing: JSON.stringify(timing), policies: JSON.stringify(bounds) }),
    onFailure: (error) => error.message
  })

/** What decides how a backfill goes on. */
export type Job = Pick<
  Backfill,
  "id" | "from" | "to" | "newestFirst" | "concurrency" | "rerun" | "cursor" | "live"
>

/** How much one stretch may do. */
export interface Limits {
  /** Ticks handed to the store. */
  readonly starts: number
  /** Ticks looked at, those that a calendar excludes included. */
  readonly looks: number
}

export const limits: Limits = { starts: 500, looks: 10_000 }

/** What a backfill does next. */
export interface Stretch {
  readonly ticks: ReadonlyArray<TickRun>
  readonly cursor: number | null
  readonly done: boolean
}

/** The id of the run that a backfill starts for a tick: the scheduler's own, unless it is to run again. */
export const backfillRunId = ({ id, rerun }: Pick<Job, "id" | "rerun">, schedule: Named, tick: number): string =>
  rerun ? `${runIdOf(schedule, tick)}-backfill-${id}` : runIdOf(schedule, tick)

/** The part of the window that is left: from its beginning when it goes back, to its end when it goes forth. */
export const rest = ({ cursor, from, newestFirst, to }: Job): { readonly from: number; readonly to: number } =>
  cursor === null ? { from: to, to } : newestFirst ? { from, to: cursor } : { from: cursor, to }

/**
 * The next stretch: as many ticks as may be live beside those that are, in the job's direction. Ticks whose runs are `known` to
 * be there are handed on to be counted, and take nobody's place.
 */
export const stretch = (
  job: Job,
  ticking: Ticking,
  known: ReadonlySet<string> = new Set(),
  { looks, starts }: Limits = limits
): Stretch => {
  const { plan, timetable } = ticking
  const { from, to } = rest(job)
  const ticks: Array<TickRun> = []
  let free = job.concurrency - job.live
  let cursor = job.cursor
  for (let looked = 0; cursor !== null && looked < looks && ticks.length < starts && free > 0; looked++) {
    const tick: number | null = job.newestFirst ? plan.prev(cursor) : plan.next(cursor - 1)
    if (tick === null || tick < from || tick >= to) {
      cursor = null
      break
    }
    cursor = job.newestFirst ? tick : tick + 1
    if (timetable.excluded(tick) !== null) continue
    const runId = backfillRunId(job, ticking, tick)
    ticks.push({ ...ofTick(ticking, tick, "backfill"), runId })
    if (!known.has(runId)) free--
  }
  return { ticks, cursor, done: cursor === null && ticks.length === 0 && job.live === 0 }
}
