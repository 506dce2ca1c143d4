/** Pausing and resuming, as decisions about one schedule. */
import { remember, revised, type Standing, type Verdict } from "./change.ts"
import { at } from "./definition.ts"
import { Ledger } from "./ledger.ts"

const pauseOf = ({ content }: Pick<Standing, "content">) => ({
  status: content.status,
  reason: content.pauseReason,
  until: content.resumeAt
})

/** One that is Paused already keeps its beginning; its reason and its end are replaced when they are given. */
export const pause = (standing: Standing, reason: string | null, until: number | null): Verdict | undefined => {
  const { content, now } = standing
  const paused = content.status === "Paused"
  if (paused && reason === null && until === null) return undefined
  const next = revised(content, {
    status: "Paused",
    pausedAt: paused ? content.pausedAt : now,
    pauseReason: reason ?? (paused ? content.pauseReason : null),
    resumeAt: until,
    wakeAt: until,
    waiting: false
  })
  return { content: next, action: "pause", before: pauseOf(standing), after: pauseOf({ content: next }) }
}

/** How a schedule goes on after a pause: from now on, or with the ticks that fell meanwhile. */
export const resume = (standing: Standing, catchUp: "latest" | "all" | undefined): Verdict | undefined => {
  const { content, now, plan, state, timetable } = standing
  if (content.status === "Active") return undefined
  const ledger = new Ledger()
  const pausedAt = content.pausedAt ?? now
  const caughtUp = catchUp !== undefined && content.nextAt !== null && content.nextAt <= now
  // Ticks that are caught up have an answer each, and the pause must not be a second one.
  if (!caughtUp) ledger.addPause(plan, content.nextAt, pausedAt, now)
  // A cursor still ahead stays where it is.
  const nextAt = caughtUp || (content.nextAt !== null && content.nextAt > now) ? content.nextAt : plan.next(now)
  const next = revised(content, {
    status: "Active",
    ...at(plan, nextAt),
    waiting: state.buffered.length > 0,
    pausedAt: null,
    pauseReason: null,
    resumeAt: null,
    state: remember(state, { stretch: null, resumed: caughtUp ? { at: now, mode: catchUp } : null })
  })
  return {
    content: next,
    entries: ledger.entries(timetable.text),
    action: "resume",
    before: pauseOf(standing),
    after: { ...pauseOf({ content: next }), ...caughtUp && { catchUp } }
  }
}
