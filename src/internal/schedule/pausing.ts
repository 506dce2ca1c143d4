/** Pausing and resuming, as decisions about one schedule. */
import * as Result from "effect/Result"
import { InvalidInput } from "../../Errors.ts"
import type { ScheduleContent } from "../../SystemDb.ts"
import { remember, revised, type Standing, type Verdict } from "./change.ts"
import { at } from "./definition.ts"
import { Ledger } from "./ledger.ts"
import { pauseOf } from "./pauseEnd.ts"
import { passing } from "./state.ts"

/** What a pause says; undefined for what it does not say, and null for no end. */
export interface Pause {
  readonly reason: string | undefined
  readonly until: number | null | undefined
}

/** The same, Paused. One that is Paused already keeps its beginning, and what is not given. */
export const pausedFrom = (
  content: ScheduleContent,
  now: number,
  { reason, until }: Pause
): Result.Result<ScheduleContent, InvalidInput> => {
  if (typeof until === "number" && until <= now) {
    return Result.fail(new InvalidInput({ field: "until", reason: "is over already; resume ends a pause" }))
  }
  const resumeAt = until === undefined ? content.resumeAt : until
  return Result.succeed({
    ...content,
    status: "Paused",
    pausedAt: content.status === "Paused" ? content.pausedAt : now,
    pauseReason: reason ?? content.pauseReason,
    resumeAt,
    wakeAt: resumeAt,
    waitingSince: null
  })
}

/** Nothing is to be done for one that is Paused already, when nothing is given. */
export const pause = (
  { content, now }: Standing,
  asked: Pause
): Result.Result<Verdict | undefined, InvalidInput> =>
  content.status === "Paused" && asked.reason === undefined && asked.until === undefined
    ? Result.succeed(undefined)
    : Result.map(pausedFrom(content, now, asked), (paused) => ({
      content: revised(paused, {}),
      action: "pause",
      before: pauseOf(content),
      after: pauseOf(paused)
    }))

/** How a schedule goes on after a pause: from now on, or with the ticks that fell meanwhile. */
export const resume = (standing: Standing, catchUp: "latest" | "all" | undefined): Verdict | undefined => {
  const { content, now, plan, state, timetable } = standing
  if (content.status === "Active") return undefined
  const ledger = new Ledger(state.ahead)
  const isDue = (content.nextAt !== null && plan.dueAt(content.nextAt) <= now) ||
    state.putOff.some(({ at }) => at <= now)
  const caughtUp = catchUp !== undefined && isDue
  // Ticks that are caught up have an answer each, and the pause must not be a second one.
  const from = content.pausedAt ?? now
  const nextAt = caughtUp ? content.nextAt : ledger.addPause(plan, content.nextAt, from, now + 1)
  const putOff = caughtUp ? state.putOff : ledger.addPausedPutOff(state.putOff, from, now + 1)
  const next = revised(content, {
    status: "Active",
    ...at(standing, nextAt, { ...state, putOff }),
    waitingSince: state.buffered.length > 0 ? now : null,
    pausedAt: null,
    pauseReason: null,
    resumeAt: null,
    state: remember(passing(state, nextAt), {
      putOff,
      stretch: null,
      resumed: caughtUp ? { at: now, mode: catchUp } : null
    })
  })
  return {
    content: next,
    entries: ledger.entries(timetable.text),
    action: "resume",
    before: pauseOf(content),
    after: { ...pauseOf(next), ...caughtUp && { catchUp } }
  }
}
