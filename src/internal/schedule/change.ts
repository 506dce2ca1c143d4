/** Changing schedules: reads, decides, and writes if nothing has come in between; looks again otherwise. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { ScheduleNotFound, type StoreError, type Undecodable, type ValueTooLarge } from "../../Errors.ts"
import type { NewAudit, NewEntry, ScheduleChange, ScheduleContent, ScheduleRow, SystemDb } from "../../SystemDb.ts"
import * as uuids from "../uuid.ts"
import { CurrentOperator } from "./actor.ts"
import { contentOf, type Read, read } from "./definition.ts"
import type { LedgerEntry } from "./ledger.ts"
import { type PauseEnd, pauseEnd } from "./pauseEnd.ts"
import * as State from "./state.ts"

export type Store = SystemDb["Service"]

/** What becomes of one schedule: its new content, null to delete it, and what is said about it. */
export interface Verdict {
  readonly content: ScheduleContent | null
  readonly entries?: ReadonlyArray<LedgerEntry> | undefined
  readonly action: string
  /** Nothing else than what changed. */
  readonly before?: unknown
  readonly after?: unknown
}

/** A schedule as it stands when a change is decided: Active, when the time that it was paused for is over. */
export interface Standing extends Read {
  readonly row: ScheduleRow
  readonly content: ScheduleContent
  readonly now: number
  /** That its pause is over, if nobody has recorded it yet: any change does. */
  readonly noticed: Pick<PauseEnd, "entries" | "audit"> | undefined
}

const text = (value: unknown): string | null => value === undefined ? null : JSON.stringify(value)

/** The audit records of one change. */
export const audits = Effect.fnUntraced(function*(
  changed: ReadonlyArray<Pick<Verdict, "action" | "before" | "after"> & { readonly name: string | null }>,
  reason: string | null
): Effect.fn.Return<ReadonlyArray<NewAudit>> {
  const operator = yield* CurrentOperator
  return changed.map(({ action, after, before, name }) => ({
    schedule: name,
    action,
    actor: operator.name,
    source: operator.source,
    reason,
    before: text(before),
    after: text(after)
  }))
})

export const entriesOf = (schedule: string, entries: ReadonlyArray<LedgerEntry> = []): ReadonlyArray<NewEntry> =>
  entries.map((entry) => ({ schedule, ...entry }))

/** The content, which counts what the entries that go with it say. */
export const counted = (content: ScheduleContent, entries: ReadonlyArray<LedgerEntry>): ScheduleContent =>
  entries.length === 0
    ? content
    : Result.match(State.decode(content.state), {
      onFailure: () => content,
      onSuccess: (state) => ({
        ...content,
        state: State.encode({ ...state, dropped: State.tallied(state.dropped, entries) })
      })
    })

/** What a schedule that is created begins with. */
export interface Beginning extends Pick<ScheduleChange, "triggers" | "backfills" | "audits"> {}

/** One schedule's change, as it is to be written. */
interface Write {
  readonly name: string
  /** The turn it stands at; null when there is none of the name. */
  readonly turn: number | null
  readonly content: ScheduleContent | null
  readonly verdict: Verdict | undefined
  readonly noticed?: Standing["noticed"]
  readonly reason?: string | undefined
  readonly beginning?: Beginning | undefined
}

/** Writes it if the schedule still stands at the turn. */
const write = Effect.fnUntraced(function*(
  db: Store,
  { beginning, content, name, noticed, reason, turn, verdict }: Write
): Effect.fn.Return<boolean, ValueTooLarge | StoreError> {
  const entries = [...noticed?.entries ?? [], ...verdict?.entries ?? []]
  return yield* db.changeSchedules({
    id: yield* uuids.v7,
    schedules: [{ name, turn, content: content === null ? null : counted(content, entries) }],
    controls: [],
    triggers: beginning?.triggers,
    backfills: beginning?.backfills,
    entries: entriesOf(name, entries),
    audits: [
      ...noticed === undefined ? [] : [noticed.audit],
      ...verdict === undefined ? [] : yield* audits([{ name, ...verdict }], reason ?? null),
      ...beginning?.audits ?? []
    ]
  })
})

/** What has to be looked at before a schedule that is there can be changed. Undecodable rows can be deleted, not changed. */
export const stand = (row: ScheduleRow, now: number): Result.Result<Standing, Undecodable> =>
  Result.map(read(row), (read) => {
    const content = contentOf(row)
    const end = pauseEnd(content, read, now)
    return end === undefined
      ? { ...read, row, content, now, noticed: undefined }
      : { ...read, state: end.state, row, content: end.content, now, noticed: end }
  })

/** Two round trips to find it and three with the change; again from the start when something came in between. */
export const find = Effect.fnUntraced(function*(
  db: Store,
  name: string
): Effect.fn.Return<ScheduleRow, ScheduleNotFound | StoreError> {
  const [row] = yield* db.findSchedules([name])
  return row ?? (yield* new ScheduleNotFound({ schedule: name }))
})

/** Changes one schedule that is there. No verdict: nothing is to be done, but to record that a pause is over. */
export const change = <E>(
  db: Store,
  name: string,
  reason: string | undefined,
  decide: (standing: Standing) => Result.Result<Verdict | undefined, E>
): Effect.Effect<ScheduleRow, E | ScheduleNotFound | Undecodable | ValueTooLarge | StoreError> => {
  const attempt: ReturnType<typeof change<E>> = Effect.gen(function*() {
    const row = yield* find(db, name)
    const standing = yield* Effect.fromResult(stand(row, yield* db.now))
    const { content, noticed } = standing
    const verdict = yield* Effect.fromResult(decide(standing))
    if (verdict === undefined && noticed === undefined) return row
    const after = verdict === undefined ? revised(content, {}) : verdict.content
    return (yield* write(db, { name, turn: row.turn, content: after, verdict, noticed, reason })) ? row : yield* attempt
  })
  return attempt
}

/** Stores a schedule whose name is free, with what it begins with; false when that cannot be. */
export const create = (
  db: Store,
  content: ScheduleContent,
  beginning: Beginning
): Effect.Effect<boolean, ValueTooLarge | StoreError> =>
  write(db, {
    name: content.name,
    turn: null,
    content,
    verdict: { content, action: "create", after: definitionOf(content) },
    beginning
  })

/** Deletes it, whatever its row says. */
export const remove = (
  db: Store,
  name: string,
  reason: string | undefined
): Effect.Effect<void, ScheduleNotFound | ValueTooLarge | StoreError> =>
  Effect.gen(function*() {
    const row = yield* find(db, name)
    const verdict = { content: null, action: "delete", before: definitionOf(row) }
    const done = yield* write(db, { name, turn: row.turn, content: null, verdict, reason })
    if (!done) yield* remove(db, name, reason)
  })

/** Stored text as JSON; as it is, when another version wrote something else. */
export const parsed = (text: string): unknown =>
  Result.getOrElse(Result.try(() => JSON.parse(text) as unknown), () => text)

/** A definition for people and programs to read in an audit. */
export const definitionOf = (content: ScheduleContent) => ({
  workflow: content.workflow,
  timing: parsed(content.timing),
  context: parsed(content.context),
  policies: parsed(content.policies),
  labels: parsed(content.labels),
  externalId: content.externalId,
  owner: content.owner
})

/** The same content with other facts, one revision on. */
export const revised = (
  content: ScheduleContent,
  changes: Partial<Omit<ScheduleContent, "name" | "revision">>
): ScheduleContent => ({ ...content, ...changes, revision: content.revision + 1 })

/** The stored text of a state with other facts. */
export const remember = (state: State.State, changes: Partial<State.State>): string =>
  State.encode({ ...state, ...changes })
