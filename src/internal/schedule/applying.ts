/** Applying a list of schedules: what is different is written as a whole, and everything else stays as it is. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CronParseError } from "../../Cron.ts"
import {
  InvalidInput,
  ScheduleExists,
  ScheduleOwned,
  type StoreError,
  type Undecodable,
  type ValueTooLarge
} from "../../Errors.ts"
import type { NewAudit, ScheduleChange, ScheduleDefinition, ScheduleRow } from "../../SystemDb.ts"
import * as names from "../names.ts"
import * as texts from "../texts.ts"
import * as uuids from "../uuid.ts"
import { door } from "./actor.ts"
import { audits, counted, definitionOf, entriesOf, stand, type Store, type Verdict } from "./change.ts"
import { type Declared, fresh, toDefinition } from "./definition.ts"
import { differences, type FieldChange, replace } from "./editing.ts"

/**
 * How a list of schedules is applied.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApplyOptions {
  /** Who declares them. A schedule that another owner declared is refused. */
  readonly owner?: string | undefined
  /**
   * The version of the owner that declares them. When a newer one has applied its list already, nothing is changed: an older
   * process that starts late does not undo a newer one's schedules. Versions are compared part by part, numbers as numbers.
   */
  readonly version?: string | undefined
  /** Deletes what the same owner declared earlier and does not list now. */
  readonly prune?: boolean | undefined
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean | undefined
}

/**
 * What applying a list did, or would do: names, each list in the order of the names.
 *
 * @category models
 * @since 0.1.0
 */
export interface Applied {
  readonly created: ReadonlyArray<string>
  readonly changed: ReadonlyArray<{ readonly name: string; readonly fields: ReadonlyArray<FieldChange> }>
  readonly unchanged: ReadonlyArray<string>
  readonly pruned: ReadonlyArray<string>
  /** The newer version that has applied its list already, because of which nothing was done. */
  readonly supersededBy: Option.Option<string>
}

/**
 * The ways a list of schedules can be refused.
 *
 * @category errors
 * @since 0.1.0
 */
export type ApplyError =
  | CronParseError
  | InvalidInput
  | ScheduleExists
  | ScheduleOwned
  | Undecodable
  | ValueTooLarge
  | StoreError

// ── versions ────────────────────────────────────────────────────────────────────────────────────────────────────────

const parts = (version: string): ReadonlyArray<string> => version.match(/\d+|[a-z]+/gi) ?? []

const comparePart = (a: string, b: string): number => {
  const [aIsNumber, bIsNumber] = [/^\d/.test(a), /^\d/.test(b)]
  if (aIsNumber && bIsNumber) {
    const difference = BigInt(a) - BigInt(b)
    return difference > 0n ? 1 : difference < 0n ? -1 : 0
  }
  // A release is newer than what leads to it: 2.0.0 than 2.0.0-rc1.
  if (aIsNumber !== bIsNumber) return aIsNumber ? 1 : -1
  return a < b ? -1 : a > b ? 1 : 0
}

/** Positive when `a` is newer than `b`. */
export const compareVersions = (a: string, b: string): number => {
  const [left, right] = [parts(a), parts(b)]
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const [x, y] = [left[index], right[index]]
    if (x === undefined) return /^\d/.test(y!) ? -1 : 1
    if (y === undefined) return /^\d/.test(x) ? 1 : -1
    const difference = comparePart(x, y)
    if (difference !== 0) return difference
  }
  return 0
}

// ── the difference ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Planned {
  readonly applied: Applied
  readonly change: Pick<ScheduleChange, "schedules" | "entries"> | undefined
  /** That pauses are over. */
  readonly noticed: ReadonlyArray<NewAudit>
  readonly said: ReadonlyArray<Pick<Verdict, "action" | "before" | "after"> & { readonly name: string }>
}

const byName = (a: { readonly name: string }, b: { readonly name: string }): number => a.name < b.name ? -1 : 1

const planOf = Effect.fnUntraced(function*(
  definitions: ReadonlyArray<ScheduleDefinition>,
  rows: ReadonlyArray<ScheduleRow>,
  pruned: ReadonlyArray<ScheduleRow>,
  now: number
): Effect.fn.Return<Planned, ScheduleOwned | Undecodable> {
  const existing = new Map(rows.map((row) => [row.name, row]))
  const schedules: Array<ScheduleChange["schedules"][number]> = []
  const entries: Array<ScheduleChange["entries"][number]> = []
  const said: Array<Planned["said"][number]> = []
  const noticed: Array<NewAudit> = []
  const applied = { created: [] as Array<string>, unchanged: [] as Array<string> }
  const changed: Array<Applied["changed"][number]> = []
  for (const definition of definitions) {
    const { name } = definition
    const row = existing.get(name)
    if (row === undefined) {
      const content = yield* Effect.fromResult(fresh(definition, now))
      schedules.push({ name, turn: null, content })
      said.push({ name, action: "create", after: definitionOf(content) })
      applied.created.push(name)
      continue
    }
    if (definition.owner !== null && row.owner !== null && row.owner !== definition.owner) {
      return yield* new ScheduleOwned({ schedule: name, owner: row.owner })
    }
    // A list that nobody owns takes nothing away from an owner.
    const kept = { ...definition, owner: definition.owner ?? row.owner }
    const standing = yield* Effect.fromResult(stand(row, now))
    const verdict = replace(standing, kept, "apply")
    if (verdict === undefined) {
      applied.unchanged.push(name)
      continue
    }
    const answered = [...standing.noticed?.entries ?? [], ...verdict.entries ?? []]
    const content = verdict.content === null ? null : counted(verdict.content, answered)
    schedules.push({ name, turn: row.turn, content })
    entries.push(...entriesOf(name, answered))
    if (standing.noticed !== undefined) noticed.push(standing.noticed.audit)
    said.push({ name, ...verdict })
    changed.push({ name, fields: differences(row, kept) })
  }
  for (const row of pruned) {
    schedules.push({ name: row.name, turn: row.turn, content: null })
    said.push({ name: row.name, action: "prune", before: definitionOf(row) })
  }
  return {
    applied: {
      created: applied.created.sort(),
      changed: changed.sort(byName),
      unchanged: applied.unchanged.sort(),
      pruned: pruned.map(({ name }) => name).sort(),
      supersededBy: Option.none()
    },
    change: schedules.length === 0 ? undefined : { schedules, entries },
    noticed,
    said
  }
})

// ── applying it ─────────────────────────────────────────────────────────────────────────────────────────────────────

const pageSize = 500

/** Everything this owner has declared. */
const ownedBy = Effect.fnUntraced(function*(db: Store, owner: string) {
  const rows: Array<ScheduleRow> = []
  for (let after: string | null = null;;) {
    const page: ReadonlyArray<ScheduleRow> = yield* db.listSchedules({ owner: [owner] }, { limit: pageSize, after })
    rows.push(...page)
    if (page.length < pageSize) return rows
    after = page.at(-1)!.name
  }
})

const toDefinitions = Effect.fnUntraced(function*(declared: ReadonlyArray<Declared>, owner: string | null) {
  const definitions = new Map<string, ScheduleDefinition>()
  for (const schedule of declared) {
    const definition = yield* toDefinition(schedule, owner)
    if (definitions.has(definition.name)) return yield* new ScheduleExists({ schedule: definition.name })
    definitions.set(definition.name, definition)
  }
  return [...definitions.values()]
})

const check = Effect.fnUntraced(function*(options: ApplyOptions): Effect.fn.Return<void, InvalidInput> {
  const { owner, version } = options
  yield* door(undefined)
  if (owner !== undefined) yield* names.check("owner", owner)
  if (version !== undefined) yield* Effect.fromResult(texts.checkShort("version", version))
  yield* consistent(options)
})

const consistent = ({ owner, prune, version }: ApplyOptions): Effect.Effect<void, InvalidInput> => {
  if (owner !== undefined) return Effect.void
  if (prune === true) {
    return Effect.fail(new InvalidInput({ field: "prune", reason: "needs the owner whose schedules to prune" }))
  }
  if (version === undefined) return Effect.void
  return Effect.fail(new InvalidInput({ field: "version", reason: "needs the owner whose version it is" }))
}

const superseded = (definitions: ReadonlyArray<ScheduleDefinition>, version: string): Applied => ({
  created: [],
  changed: [],
  unchanged: definitions.map(({ name }) => name).sort(),
  pruned: [],
  supersededBy: Option.some(version)
})

/** Five round trips with an owner, a version and something to change; again from the start when something came in between. */
export const apply = (
  db: Store,
  declared: ReadonlyArray<Declared>,
  options: ApplyOptions
): Effect.Effect<Applied, ApplyError> =>
  Effect.gen(function*() {
    yield* check(options)
    const { dryRun = false, owner = null, prune = false, version = null } = options
    const definitions = yield* toDefinitions(declared, owner)
    const attempt: Effect.Effect<Applied, ApplyError> = Effect.gen(function*() {
      const key = `owner:${owner}`
      const control = version === null ? undefined : Option.getOrUndefined(yield* db.findControl(key))
      const newest = control === undefined ? null : JSON.parse(control.value) as string
      if (version !== null && newest !== null && compareVersions(newest, version) > 0) {
        return superseded(definitions, newest)
      }
      const listed = definitions.map(({ name }) => name)
      const rows = yield* db.findSchedules(listed)
      const owned = prune && owner !== null ? yield* ownedBy(db, owner) : []
      const pruned = owned.filter(({ name }) => !listed.includes(name))
      const planned = yield* planOf(definitions, rows, pruned, yield* db.now)
      const raises = version !== null && newest !== version
      if (dryRun || (planned.change === undefined && !raises)) return planned.applied
      const said = raises
        ? [...planned.said, { name: null, action: "version", before: newest ?? undefined, after: version }]
        : planned.said
      const done = yield* db.changeSchedules({
        id: yield* uuids.v7,
        schedules: planned.change?.schedules ?? [],
        // Also when it is the same: who applies a newer version meanwhile must be noticed.
        controls: version === null ? [] : [{ key, turn: control?.turn ?? null, value: JSON.stringify(version) }],
        entries: planned.change?.entries ?? [],
        audits: [...planned.noticed, ...yield* audits(said, null)]
      })
      return done ? planned.applied : yield* attempt
    })
    return yield* attempt
  })
