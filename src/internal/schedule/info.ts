/** A schedule's row as people and programs read it. Nothing in a row can keep it, or a list it is in, from being read. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { Undecodable } from "../../Errors.ts"
import type { ScheduleFilter, ScheduleRow } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import type { RunStatus, ScheduleStatus } from "../lifecycle.ts"
import { runsLeft } from "./decide.ts"
import { decodeContext, type Target } from "./definition.ts"
import { endOf } from "./forecast.ts"
import * as Stored from "./policies.ts"
import * as State from "./state.ts"

/**
 * A schedule's policies, as they are in force. Durations are milliseconds, instants epoch milliseconds; null is "none".
 *
 * @category models
 * @since 0.1.0
 */
export type Policies = Stored.Policies

/**
 * A schedule as it is stored. What has to be decoded is a `Result`, since another version of the code may have written it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Info<out C = unknown> {
  readonly name: string
  readonly workflow: string
  /** `Ended`: it is Active, and no tick is to come. An edit can bring it back. */
  readonly status: Status
  /** Why no tick is to come, in words; none while one is. */
  readonly ended: Option.Option<string>
  /** When it ticks, as a person writes it: cron expressions, or words such as `every 90 minutes`. */
  readonly expression: string
  /** `UTC` where the timing has no zone. */
  readonly timeZone: string
  readonly timing: Result.Result<Timing.Timetable, Undecodable>
  readonly context: Result.Result<C, Undecodable>
  readonly contextJson: string
  /** The JSON Schema of the context; none when it has none. */
  readonly contextJsonSchema: Option.Option<unknown>
  readonly policies: Result.Result<Policies, Undecodable>
  readonly labels: Readonly<Record<string, string>>
  readonly externalId: Option.Option<string>
  /** What an operator wrote about it. */
  readonly note: Option.Option<string>
  /** Who declared it in code; none when it was created at run time. */
  readonly owner: Option.Option<string>
  /** The tick it decides next; none while it is Paused, and when it has no further one. */
  readonly nextTick: Option.Option<DateTime.Utc>
  /** The last tick that became a run; backfilled and triggered runs do not count. */
  readonly lastTick: Option.Option<DateTime.Utc>
  readonly lastRunId: Option.Option<string>
  readonly lastRunStatus: Option.Option<RunStatus>
  readonly pausedAt: Option.Option<DateTime.Utc>
  readonly pauseReason: Option.Option<string>
  /** When its pause ends by itself. */
  readonly pausedUntil: Option.Option<DateTime.Utc>
  /** Ticks whose start waits for runs to end, oldest first. */
  readonly buffered: ReadonlyArray<DateTime.Utc>
  /** How many of the ticks to come an operator has skipped, and which instants. */
  readonly skipping: { readonly next: number; readonly instants: ReadonlyArray<DateTime.Utc> }
  /** How many runs its ticks have started since it was created. */
  readonly started: number
  /** How many runs its ticks may start still; none without `maxRuns`. An edit of `maxRuns` raises it. */
  readonly runsLeft: Option.Option<number>
  /** How many of its ticks became no run since it was created, by what became of them. */
  readonly dropped: Dropped
  /** How many of its runs failed in a row; counted where a policy asks for it. */
  readonly failures: number
  /** Raised by every change of the definition or the status. */
  readonly revision: number
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/**
 * How a schedule stands.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = ScheduleStatus | "Ended"

/**
 * Ticks that became no run: those in a pause are not counted.
 *
 * @category models
 * @since 0.1.0
 */
export type Dropped = State.Dropped

const undecodable = (what: string, name: string) => (reason: string) =>
  new Undecodable({ subject: `${what} of schedule ${name}`, reason })

const instant = (millis: number | null): Option.Option<DateTime.Utc> =>
  Option.map(Option.fromNullOr(millis), DateTime.makeUnsafe)

const json = (text: string | null): unknown =>
  text === null ? undefined : Result.getOrUndefined(Result.try(() => JSON.parse(text) as unknown))

/** Reads a row; with a workflow its context is what that workflow's schema says, without one it is plain JSON. */
export const fromRow = (row: ScheduleRow, workflow: Target | undefined): Info<any> => {
  const timing = Result.mapError(Timing.fromText(row.timing), undecodable("timing", row.name))
  const timetable = Result.getOrUndefined(timing)
  const state = Result.getOrElse(State.decode(row.state), () => State.initial)
  const policies = Result.mapError(Stored.decode(row.policies), undecodable("policies", row.name))
  const known = Result.getOrUndefined(policies)
  const ended = known === undefined || row.status !== "Active" ? undefined : endOf({ policies: known, row, state })
  return {
    name: row.name,
    workflow: row.workflow,
    status: ended === undefined ? row.status : "Ended",
    ended: Option.fromUndefinedOr(ended),
    expression: timetable?.expression ?? row.timing,
    timeZone: timetable?.timeZone ?? "UTC",
    timing,
    context: decodeContext(row, workflow),
    contextJson: row.context,
    contextJsonSchema: Option.fromUndefinedOr(json(row.jsonSchema)),
    policies,
    labels: (json(row.labels) ?? {}) as Info["labels"],
    externalId: Option.fromNullOr(row.externalId),
    note: Option.fromNullOr(row.note),
    owner: Option.fromNullOr(row.owner),
    nextTick: row.status === "Active" && ended === undefined ? instant(row.nextAt) : Option.none(),
    lastTick: instant(row.lastTick),
    lastRunId: Option.fromNullOr(row.lastRunId),
    lastRunStatus: Option.fromNullOr(row.lastRunStatus),
    pausedAt: instant(row.pausedAt),
    pauseReason: Option.fromNullOr(row.pauseReason),
    pausedUntil: instant(row.resumeAt),
    buffered: state.buffered.map(({ tick }) => DateTime.makeUnsafe(tick)),
    skipping: { next: state.skipNext, instants: state.skips.map(DateTime.makeUnsafe) },
    started: row.started,
    runsLeft: known === undefined ? Option.none() : Option.fromNullOr(runsLeft(known, row.started, state)),
    dropped: state.dropped,
    failures: state.failures,
    revision: row.revision,
    createdAt: DateTime.makeUnsafe(row.createdAt),
    updatedAt: DateTime.makeUnsafe(row.updatedAt)
  }
}

/** Something with a name, or the name itself. */
type Named = string | { readonly name: string }

/**
 * Which schedules to list. Values of one field are alternatives; fields are combined with AND. A prefix is literal; of labels
 * all must be there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Filter {
  readonly status?: Status | undefined
  readonly workflow?: Named | ReadonlyArray<Named> | undefined
  readonly namePrefix?: string | ReadonlyArray<string> | undefined
  readonly owner?: string | ReadonlyArray<string> | undefined
  readonly externalId?: string | ReadonlyArray<string> | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
}

const many = <A>(values: A | ReadonlyArray<A> | undefined): ReadonlyArray<A> | undefined =>
  values === undefined ? undefined : Array.isArray(values) ? values as ReadonlyArray<A> : [values as A]

export const toFilter = ({ externalId, labels, namePrefix, owner, status, workflow }: Filter): ScheduleFilter => ({
  status: status === "Ended" ? "Active" : status,
  ended: status === undefined || status === "Paused" ? undefined : status === "Ended",
  workflow: many<Named>(workflow)?.map((one) => typeof one === "string" ? one : one.name),
  namePrefix: many(namePrefix),
  owner: many(owner),
  externalId: many(externalId),
  labels
})
