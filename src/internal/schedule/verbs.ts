/** What operators do to schedules. Each change is audited with who asked for it and why, in the transaction that makes it. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type * as Cron from "../../Cron.ts"
import {
  InvalidInput,
  ScheduleConflict,
  ScheduleNotFound,
  type StoreError,
  type Undecodable,
  type ValueTooLarge
} from "../../Errors.ts"
import { type ScheduleDefinition, SystemDb } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import * as texts from "../texts.ts"
import { CurrentOperator, door } from "./actor.ts"
import { change, remove as removeRow, type Standing, type Verdict } from "./change.ts"
import { checkExternalId, encodeKnownContext, encodeLabels, toDefinition } from "./definition.ts"
import { replace } from "./editing.ts"
import * as Freezing from "./freeze.ts"
import type { Filter } from "./info.ts"
import * as Pausing from "./pausing.ts"
import * as Policies from "./policies.ts"
import { stream } from "./reading.ts"
import { type Context, nameOf, type Ref, workflowOf } from "./schedule.ts"
import * as Skipping from "./skipping.ts"
import * as Windows from "./window.ts"

/**
 * The ways a change of a schedule can be refused or fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type ChangeError = ScheduleNotFound | InvalidInput | Undecodable | ValueTooLarge | StoreError

/**
 * Why a change is made; it stands in the audit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Because {
  readonly reason?: string | undefined
}

const optionalInstant = (
  field: string,
  input: Windows.Instant | undefined
): Effect.Effect<number | undefined, InvalidInput> =>
  input === undefined ? Effect.undefined : Windows.millis(field, input)

// ── pausing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * How a schedule is paused.
 *
 * @category models
 * @since 0.1.0
 */
export interface PauseOptions extends Because {
  /** The instant at which the pause ends by itself, whoever notices it and when; null takes an end away. */
  readonly until?: Windows.Instant | null | undefined
}

/**
 * Stops the schedule from firing until it is resumed, or until the instant `until`. Runs it started go on; starts that wait stay
 * where they are. One that is Paused already stays so: a reason or an end given replaces what it had, and the rest stays.
 *
 * Fails:   `InvalidInput` when `until` is no instant or not ahead, and here as in every change when the reason or the operator is text that
 *          cannot be stored · `Undecodable` when the stored schedule cannot be read
 * Cost:    4 round trips
 *
 * @category operations
 * @since 0.1.0
 */
export const pause: (
  schedule: Ref,
  options?: PauseOptions
) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn("Schedule.pause")(
  function*(ref, { reason, until } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    const end = until === null ? null : yield* optionalInstant("until", until)
    yield* change(db, nameOf(ref), reason, (standing) => Pausing.pause(standing, { reason, until: end }))
  }
)

/**
 * How a schedule goes on after a pause.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResumeOptions extends Because {
  /** What becomes of the ticks that fell in the pause: all or the latest of them start, within the policy's window and cap. */
  readonly catchUp?: "latest" | "all" | undefined
}

/**
 * Makes a Paused schedule Active again. It goes on with its first tick after now, unless asked to catch up. One that is Active
 * stays as it is.
 *
 * Fails:   `ScheduleNotFound` · `Undecodable` when what is stored cannot be read, and it stays Paused
 * Cost:    4 round trips
 *
 * @category operations
 * @since 0.1.0
 */
export const resume: (
  schedule: Ref,
  options?: ResumeOptions
) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn("Schedule.resume")(
  function*(ref, { catchUp, reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    yield* change(db, nameOf(ref), reason, (standing) => Result.succeed(Pausing.resume(standing, catchUp)))
  }
)

/** Does it to each schedule of the filter and says which are there; one that is deleted meanwhile is passed over. */
const each = <E>(
  filter: Filter,
  one: (name: string) => Effect.Effect<void, E | ScheduleNotFound, SystemDb>
): Effect.Effect<ReadonlyArray<string>, E | StoreError, SystemDb> =>
  stream(filter).pipe(
    Stream.mapEffect(({ name }) =>
      Effect.as(one(name), Option.some(name)).pipe(
        Effect.catchIf(
          (error): error is ScheduleNotFound => error instanceof ScheduleNotFound,
          () => Effect.succeed(Option.none<string>())
        )
      ) as Effect.Effect<Option.Option<string>, E, SystemDb>
    ),
    Stream.runFold(() => [] as Array<string>, (names, name) => {
      if (Option.isSome(name)) names.push(name.value)
      return names
    })
  )

/**
 * Pauses every schedule of the filter, one after the other: each is paused or it is not, and when one fails those before it stay
 * paused. Returns their names.
 *
 * @category operations
 * @since 0.1.0
 */
export const pauseAll: (
  filter: Filter,
  options?: Parameters<typeof pause>[1]
) => Effect.Effect<ReadonlyArray<string>, Exclude<ChangeError, ScheduleNotFound>, SystemDb> = Effect.fn(
  "Schedule.pauseAll"
)((filter, options) =>
  Effect.andThen(
    door(options?.reason),
    each<Exclude<ChangeError, ScheduleNotFound>>({ status: "Active", ...filter }, (name) => pause(name, options))
  )
)

/**
 * Resumes every schedule of the filter, as {@link pauseAll} pauses them. Returns their names.
 *
 * @category operations
 * @since 0.1.0
 */
export const resumeAll: (
  filter: Filter,
  options?: ResumeOptions
) => Effect.Effect<ReadonlyArray<string>, Exclude<ChangeError, ScheduleNotFound>, SystemDb> = Effect.fn(
  "Schedule.resumeAll"
)((filter, options) =>
  Effect.andThen(
    door(options?.reason),
    each<Exclude<ChangeError, ScheduleNotFound>>({ status: "Paused", ...filter }, (name) => resume(name, options))
  )
)

/**
 * Deletes the schedule. Its runs, its history and its audit stay.
 *
 * @category operations
 * @since 0.1.0
 */
export const remove: (
  schedule: Ref,
  options?: Because
) => Effect.Effect<void, Exclude<ChangeError, Undecodable>, SystemDb> = Effect.fn("Schedule.remove")(
  function*(ref, { reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    yield* removeRow(db, nameOf(ref), reason)
  }
)

// ── the freeze ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A freeze that is on: no schedule of this store fires.
 *
 * @category models
 * @since 0.1.0
 */
export interface Frozen {
  readonly since: DateTime.Utc
  readonly by: string
  readonly reason: Option.Option<string>
}

/**
 * Stops every schedule of this store from firing until {@link thaw}, in all processes. Triggers and backfills still start runs, and
 * runs go on. Returns false when a freeze is on already.
 *
 * @category operations
 * @since 0.1.0
 */
export const freeze: (
  options?: Because
) => Effect.Effect<boolean, InvalidInput | ValueTooLarge | StoreError, SystemDb> = Effect.fn(
  "Schedule.freeze"
)(function*({ reason } = {}) {
  const db = yield* SystemDb
  yield* door(reason)
  const operator = yield* CurrentOperator
  return yield* Freezing.freeze(db, operator.name, reason)
})

/**
 * Ends the freeze. Its ticks are passed over and recorded as Frozen; with `catchUp` they are late ticks like others, about which
 * each schedule's own policy decides. Returns false when no freeze is on.
 *
 * @category operations
 * @since 0.1.0
 */
export const thaw: (
  options?: Because & { readonly catchUp?: boolean | undefined }
) => Effect.Effect<boolean, InvalidInput | ValueTooLarge | StoreError, SystemDb> = Effect.fn("Schedule.thaw")(
  function*({ catchUp = false, reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    const operator = yield* CurrentOperator
    return yield* Freezing.thaw(db, operator.name, { catchUp, reason })
  }
)

/**
 * The freeze that is on, if one is.
 *
 * @category operations
 * @since 0.1.0
 */
export const frozen: Effect.Effect<Option.Option<Frozen>, StoreError, SystemDb> = Effect.map(
  SystemDb.use((db) => db.findControl(Freezing.key)),
  (control) =>
    Option.map(Option.fromUndefinedOr(Freezing.on(Option.getOrNull(control))), ({ by, from, reason }) => ({
      since: DateTime.makeUnsafe(from),
      by,
      reason: Option.fromNullOr(reason)
    }))
)

// ── ticks that are not wanted ───────────────────────────────────────────────────────────────────────────────────────

/**
 * Skips the next `count` ticks that no calendar excludes; 0 takes it back. A number asked for before is replaced.
 *
 * @category operations
 * @since 0.1.0
 */
export const skipNext: (
  schedule: Ref,
  count: number,
  options?: Because
) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn("Schedule.skipNext")(
  function*(ref, count, { reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    yield* change(db, nameOf(ref), reason, (standing) => Skipping.skipNext(standing, count))
  }
)

/**
 * Skips the tick at this instant.
 *
 * Fails:   `InvalidInput` when the instant is no tick of the schedule, or one that was decided already
 *
 * @category operations
 * @since 0.1.0
 */
export const skip: (
  schedule: Ref,
  instant: Windows.Instant,
  options?: Because
) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn("Schedule.skip")(
  function*(ref, instant, { reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    const millis = yield* Windows.millis("instant", instant)
    yield* change(db, nameOf(ref), reason, (standing) => Skipping.skip(standing, millis))
  }
)

/**
 * Takes back what `skip` and `skipNext` asked for: for one instant, or altogether.
 *
 * @category operations
 * @since 0.1.0
 */
export const unskip: (
  schedule: Ref,
  instant?: Windows.Instant,
  options?: Because
) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn("Schedule.unskip")(
  function*(ref, instant, { reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    const millis = yield* optionalInstant("instant", instant)
    yield* change(db, nameOf(ref), reason, (standing) => Result.succeed(Skipping.unskip(standing, millis)))
  }
)

/**
 * Drops starts that wait for runs to end: the one of this tick, or all. They are listed in {@link Info.buffered}.
 *
 * @category operations
 * @since 0.1.0
 */
export const dropBuffered: (
  schedule: Ref,
  tick?: Windows.Instant,
  options?: Because
) => Effect.Effect<void, ChangeError, SystemDb> = Effect.fn("Schedule.dropBuffered")(
  function*(ref, tick, { reason } = {}) {
    const db = yield* SystemDb
    yield* door(reason)
    const millis = yield* optionalInstant("tick", tick)
    yield* change(db, nameOf(ref), reason, (standing) => Result.succeed(Skipping.dropBuffered(standing, millis)))
  }
)

// ── edits ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What an edit changes; what is absent stays, and of policies null puts back the default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Edit<R extends Ref = Ref> extends Policies.PolicyChanges {
  /** A cron expression in place of what it had; its time zone, its rules for clock changes and its exclusions stay. */
  readonly cron?: string | undefined
  readonly timing?: Timing.Timing | undefined
  readonly context?: Context<R> | undefined
  /** All labels, in place of those it has. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly externalId?: string | null | undefined
  readonly note?: string | null | undefined
}

const withCron = ({ text }: Timing.Timetable, cron: string): Timing.Timing => {
  const { except, ...base } = JSON.parse(text) as Timing.Timing
  return { ...("cron" in base ? { ...base, cron } : { cron }), ...except !== undefined && { except } } as Timing.Timing
}

const timingOf = (
  { timetable }: Pick<Standing, "timetable">,
  edit: Edit
): Result.Result<string, Cron.CronParseError | InvalidInput> => {
  if (edit.timing !== undefined && edit.cron !== undefined) {
    return Result.fail(new InvalidInput({ field: "timing", reason: "cannot be given together with cron" }))
  }
  const timing = edit.timing ?? (edit.cron === undefined ? undefined : withCron(timetable, edit.cron))
  return timing === undefined
    ? Result.succeed(timetable.text)
    : Result.map(Timing.parse(timing), ({ text }) => text)
}

const edited = (
  standing: Standing,
  edit: Edit,
  typed: Pick<ScheduleDefinition, "context" | "contextSchema" | "jsonSchema"> | undefined
): Result.Result<ScheduleDefinition, Cron.CronParseError | InvalidInput> => {
  const { content } = standing
  const given = edit.context !== undefined && typed === undefined
  return Result.map(
    Result.all({
      timing: timingOf(standing, edit),
      policies: Policies.merge(standing.policies, edit),
      labels: edit.labels === undefined ? Result.succeed(content.labels) : encodeLabels(edit.labels),
      externalId: edit.externalId === undefined
        ? Result.succeed(content.externalId)
        : edit.externalId === null
        ? Result.succeed(null)
        : checkExternalId(edit.externalId),
      context: given ? encodeKnownContext(content, edit.context) : Result.succeed(typed?.context ?? content.context)
    }),
    ({ context, externalId, labels, policies, timing }) => ({
      name: content.name,
      workflow: content.workflow,
      timing,
      context,
      contextSchema: typed === undefined ? content.contextSchema : typed.contextSchema,
      jsonSchema: typed === undefined ? content.jsonSchema : typed.jsonSchema,
      policies: Policies.encode(policies),
      overlap: Policies.overlapScope(content.name, policies),
      owner: content.owner,
      labels,
      externalId
    })
  )
}

/**
 * Edits a stored schedule. Its status, its history and what it remembers stay; where the edit changes which instants are ticks, it
 * goes on with the first one after now, and what was undecided is passed over and recorded.
 *
 * With `revision`, as {@link Info} gives it, the edit is refused when the schedule was changed since: of two editors at once one
 * gets the conflict.
 *
 * Fails:   `ScheduleConflict` · `CronParseError` and `InvalidInput` say what is wrong with the edit, and nothing is changed
 *
 * @category operations
 * @since 0.1.0
 */
export const edit: <R extends Ref>(
  schedule: R,
  changes: Edit<R>,
  options?: Because & { readonly revision?: number | undefined }
) => Effect.Effect<void, ChangeError | ScheduleConflict | Cron.CronParseError, SystemDb> = Effect.fn(
  "Schedule.edit"
)(function*<R extends Ref>(
  ref: R,
  changes: Edit<R>,
  { reason, revision }: Because & { readonly revision?: number | undefined } = {}
) {
  const db = yield* SystemDb
  yield* door(reason)
  yield* Effect.fromResult(texts.check("note", changes.note ?? ""))
  const name = nameOf(ref)
  const workflow = workflowOf(ref)
  const typed = workflow === undefined || changes.context === undefined
    ? undefined
    : yield* toDefinition({ name, workflow, timing: { every: "1 day" }, context: changes.context }, null)
  yield* change(
    db,
    name,
    reason,
    (standing): Result.Result<Verdict | undefined, ScheduleConflict | InvalidInput | Cron.CronParseError> => {
      const found = standing.content.revision
      if (revision !== undefined && revision !== found) {
        return Result.fail(new ScheduleConflict({ schedule: name, expected: revision, found }))
      }
      return Result.map(
        edited(standing, changes, typed),
        (definition) => replace(standing, definition, "edit", changes.note)
      )
    }
  )
})
