/** The end of a pause that has run its time: the same whoever notices it, and whenever. */
import type { DueSchedule, NewAudit, ScheduleContent } from "../../SystemDb.ts"
import { policy } from "./actor.ts"
import { isOver } from "./decide.ts"
import { at, type Read } from "./definition.ts"
import { Ledger, type LedgerEntry } from "./ledger.ts"
import { encode, passing, type State } from "./state.ts"

/** A pause as an audit says it. */
export const pauseOf = (
  { pauseReason, resumeAt, status }: Pick<DueSchedule, "status" | "pauseReason" | "resumeAt">
) => ({ status, reason: pauseReason, until: resumeAt })

export const timeIsOver = "The time it was paused for is over"

/** What has to be recorded because a pause is over that is still stored, and how the schedule stands then. */
export interface PauseEnd {
  readonly content: ScheduleContent
  readonly state: State
  readonly entries: ReadonlyArray<LedgerEntry>
  readonly audit: NewAudit
}

/** Undefined when it is not Paused, or for longer. */
export const pauseEnd = (content: ScheduleContent, read: Read, now: number): PauseEnd | undefined => {
  const { pausedAt, resumeAt } = content
  if (!isOver(content, now) || resumeAt === null) return undefined
  const { plan, timetable } = read
  const ledger = new Ledger(read.state.ahead)
  const from = pausedAt ?? resumeAt
  const nextAt = ledger.addPause(plan, content.nextAt, from, resumeAt)
  const putOff = ledger.addPausedPutOff(read.state.putOff, from, resumeAt)
  const state = { ...passing(read.state, nextAt), putOff }
  const ended: ScheduleContent = {
    ...content,
    ...at(read, nextAt, state),
    status: "Active",
    waitingSince: state.buffered.length === 0 ? null : now,
    state: encode(state),
    pausedAt: null,
    pauseReason: null,
    resumeAt: null
  }
  return {
    content: ended,
    state,
    entries: ledger.entries(timetable.text),
    audit: {
      schedule: content.name,
      action: "resume",
      actor: policy.name,
      source: policy.source,
      reason: timeIsOver,
      before: JSON.stringify(pauseOf(content)),
      after: JSON.stringify(pauseOf(ended))
    }
  }
}
