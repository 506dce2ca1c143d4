/** Edits: what was declared about a schedule is replaced, by an operator or by a list that is applied. */
import * as Result from "effect/Result"
import type { ScheduleContent, ScheduleDefinition } from "../../SystemDb.ts"
import { parsed, revised, type Standing, type Verdict } from "./change.ts"
import { runsLeft } from "./decide.ts"
import { at, type Read, read } from "./definition.ts"
import { Ledger, type LedgerEntry } from "./ledger.ts"
import type { Policies } from "./policies.ts"
import { encode, type PutOff, type State } from "./state.ts"

/**
 * One field of a schedule that an edit or an apply changes, with its values before and after; `timing`, `context`, `policies` and
 * `labels` as JSON text.
 *
 * @category models
 * @since 0.1.0
 */
export interface FieldChange {
  readonly field: "workflow" | "timing" | "context" | "policies" | "labels" | "externalId" | "owner" | "note"
  readonly before: string | null
  readonly after: string | null
}

const fields: ReadonlyArray<Exclude<FieldChange["field"], "note">> = [
  "workflow",
  "timing",
  "context",
  "policies",
  "labels",
  "externalId",
  "owner"
]

const asJson: ReadonlyArray<FieldChange["field"]> = ["timing", "context", "policies", "labels"]

/** A field as an audit says it: JSON as what it is. */
const spoken = (field: FieldChange["field"], value: string | null): unknown =>
  value !== null && asJson.includes(field) ? parsed(value) : value

/** What is different, by field. A context written by another schema is another one, also when its text is the same. */
export const differences = (before: ScheduleDefinition, after: ScheduleDefinition): ReadonlyArray<FieldChange> =>
  fields.filter((field) =>
    before[field] !== after[field] || (field === "context" && before.contextSchema !== after.contextSchema)
  ).map((field) => ({ field, before: before[field], after: after[field] }))

interface Moved {
  readonly nextAt: number | null
  /** Without what is about the old ones. */
  readonly state: Pick<State, "stretch" | "ahead" | "putOff" | "skipNext" | "skips">
  readonly entries: ReadonlyArray<LedgerEntry>
}

/**
 * Where a schedule goes on whose ticks are other ones from now on: with the first of them after now, as an edit never fires the
 * past. What was due of the old ones and undecided is passed over. One that its jitter has put off starts when it was to start, if
 * it is a tick of the new timing as well.
 */
const move = ({ content, now, plan, state, timetable }: Standing, next: Read): Moved => {
  const ledger = new Ledger(state.ahead)
  const isPaused = content.status === "Paused"
  const from = content.pausedAt ?? now
  const due = isPaused
    ? ledger.addPause(plan, content.nextAt, from, now + 1)
    : ledger.addEdit(plan, content.nextAt, now + 1)
  const before = isPaused ? ledger.addPausedPutOff(state.putOff, from, now + 1) : state.putOff
  let { skipNext, skips } = state
  const open = [...before]
  if (due !== null && due <= now) {
    const excluded = timetable.excluded(due)
    if (excluded !== null) ledger.addAlone(due, "Excluded", excluded)
    else if (skips.includes(due)) {
      skips = skips.filter((skip) => skip !== due)
      ledger.addAlone(due, "Skipped", null)
    } else if (skipNext > 0) {
      skipNext--
      ledger.addAlone(due, "Skipped", null)
    } else open.push({ tick: due, at: plan.dueAt(due) })
  }
  const goesOn = ({ at, tick }: PutOff) =>
    at > now && next.plan.next(tick - 1) === tick && next.timetable.excluded(tick) === null
  for (const { tick } of open.filter((one) => !goesOn(one))) ledger.addAlone(tick, "Missed", "Edited")
  return {
    nextAt: next.plan.next(now),
    state: { stretch: null, ahead: [], putOff: open.filter(goesOn), skipNext, skips },
    entries: ledger.entries(timetable.text)
  }
}

/** From when on runs are counted: from when there is a limit to them. */
const counting = ({ policies, row, state }: Standing, next: Policies): Pick<State, "countedFrom"> => ({
  countedFrom: next.maxRuns === null ? 0 : policies.maxRuns === null ? row.started : state.countedFrom
})

/** Replaces the definition and keeps everything else. */
export const replace = (
  standing: Standing,
  definition: ScheduleDefinition,
  action: string,
  note?: string | null
): Verdict | undefined => {
  const { content, now } = standing
  const changes = differences(content, definition)
  const noted: ReadonlyArray<FieldChange> = note === undefined || note === content.note
    ? changes
    : [...changes, { field: "note", before: content.note, after: note }]
  if (noted.length === 0) return undefined
  const { incarnation, started } = standing.row
  const next = Result.getOrUndefined(read({ ...definition, incarnation, state: "{}" }))
  if (next === undefined) throw new Error(`The new definition of schedule ${definition.name} cannot be read`)

  const { from, until } = next.policies
  const isMoved = content.timing !== definition.timing || from !== standing.policies.from ||
    until !== standing.policies.until
  const left = runsLeft(next.policies, started, counting(standing, next.policies))
  const ends = left === 0 && runsLeft(standing.policies, started, standing.state) !== 0
  const moved = isMoved || ends ? move(standing, next) : undefined
  const state = { ...standing.state, ...counting(standing, next.policies), ...moved?.state }
  // One that had ended may go on under its new policies; one that ends first decides what lies before a tick that was started.
  const nextAt = left === 0 && state.ahead.length === 0
    ? null
    : moved === undefined
    ? content.nextAt ?? next.plan.next(now)
    : moved.nextAt
  const cursor = at(next, nextAt, state)
  const isActive = content.status === "Active"
  const changed: ScheduleContent = revised(content, {
    ...definition,
    note: note === undefined ? content.note : note,
    nextAt: cursor.nextAt,
    wakeAt: isActive ? cursor.wakeAt : content.resumeAt,
    state: encode(state),
    waitingSince: isActive && state.buffered.length > 0 ? content.waitingSince ?? now : null
  })
  return {
    content: changed,
    entries: moved?.entries ?? [],
    action,
    before: Object.fromEntries(noted.map(({ before, field }) => [field, spoken(field, before)])),
    after: Object.fromEntries(noted.map(({ after, field }) => [field, spoken(field, after)]))
  }
}
