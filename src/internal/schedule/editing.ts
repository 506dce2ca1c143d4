/** Edits: what was declared about a schedule is replaced, by an operator or by a list that is applied. */
import * as Result from "effect/Result"
import type { ScheduleContent, ScheduleDefinition } from "../../SystemDb.ts"
import { parsed, revised, type Standing, type Verdict } from "./change.ts"
import { at, read } from "./definition.ts"
import { Ledger } from "./ledger.ts"

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

/**
 * Replaces the definition and keeps everything else. Where it changes which instants are ticks, the schedule goes on with the
 * first of the new ones after now: an edit never fires the past. What was undecided of the old ones is passed over.
 */
export const replace = (
  standing: Standing,
  definition: ScheduleDefinition,
  action: string,
  note?: string | null
): Verdict | undefined => {
  const { content, now, plan, state } = standing
  const changes = differences(content, definition)
  const noted: ReadonlyArray<FieldChange> = note === undefined || note === content.note
    ? changes
    : [...changes, { field: "note", before: content.note, after: note }]
  if (noted.length === 0) return undefined
  const next = Result.getOrUndefined(read({ ...definition, state: "{}" }))
  if (next === undefined) throw new Error(`The new definition of schedule ${definition.name} cannot be read`)

  const ledger = new Ledger()
  const { from, until } = next.policies
  const moved = content.timing !== definition.timing || from !== standing.policies.from ||
    until !== standing.policies.until
  if (moved && content.status === "Active") ledger.addPassedOver(plan, content.nextAt, now + 1, "Edited")
  // A schedule that had ended may go on under its new policies.
  const nextAt = moved || content.nextAt === null ? next.plan.next(now) : content.nextAt
  const cursor = at(next.plan, nextAt)
  const changed: ScheduleContent = revised(content, {
    ...definition,
    note: note === undefined ? content.note : note,
    nextAt: cursor.nextAt,
    wakeAt: content.status === "Active" ? cursor.wakeAt : content.resumeAt,
    state: moved ? JSON.stringify({ ...JSON.parse(content.state) as object, stretch: undefined }) : content.state,
    waiting: content.status === "Active" && state.buffered.length > 0
  })
  return {
    content: changed,
    entries: ledger.entries(standing.timetable.text),
    action,
    before: Object.fromEntries(noted.map(({ before, field }) => [field, spoken(field, before)])),
    after: Object.fromEntries(noted.map(({ after, field }) => [field, spoken(field, after)]))
  }
}
