/** A schedule's row as people and programs read it. Nothing in a row can keep it, or a list it is in, from being read. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { Undecodable } from "../../Errors.ts"
import type { ScheduleFilter, ScheduleRow } from "../../SystemDb.ts"
import type { RunStatus, ScheduleStatus } from "../lifecycle.ts"
import { decodeContext, type Target } from "./definition.ts"
import * as Stored from "./policies.ts"

/** What becomes of ticks that did not fire in time. */
export type CatchUp = "skip" | "latest" | { readonly all: Duration.Duration }

/** A schedule's policies, as they are in force. */
export interface Policies {
  readonly missed: CatchUp
  readonly whilePaused: CatchUp
  readonly grace: Duration.Duration
}

/**
 * A schedule as it is stored. `cron` and `contextJson` are the stored texts; what has to be decoded is a `Result`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Info<out C = unknown> {
  readonly name: string
  readonly workflow: string
  readonly status: ScheduleStatus
  readonly cron: string
  readonly timeZone: string
  readonly context: Result.Result<C, Undecodable>
  readonly contextJson: string
  readonly policies: Result.Result<Policies, Undecodable>
  /** The application that declared it in code; none when it was created at run time. */
  readonly application: Option.Option<string>
  /** The tick it fires next; none while it is Paused, and when its cron names no further one. */
  readonly nextTick: Option.Option<DateTime.Utc>
  /** The last tick the scheduler fired; backfilled and triggered runs do not count. */
  readonly lastTick: Option.Option<DateTime.Utc>
  readonly lastRunId: Option.Option<string>
  readonly lastRunStatus: Option.Option<RunStatus>
  /** Raised by every change of the definition or the status. */
  readonly revision: number
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

const toCatchUp = (rule: Stored.Rule): CatchUp =>
  typeof rule === "string" ? rule : { all: Duration.millis(rule.allMillis) }

const policies = (row: ScheduleRow): Info["policies"] =>
  Result.mapBoth(Stored.decode(row.policies), {
    onSuccess: ({ graceMillis, missed, whilePaused }) => ({
      missed: toCatchUp(missed),
      whilePaused: toCatchUp(whilePaused),
      grace: Duration.millis(graceMillis)
    }),
    onFailure: (reason) => new Undecodable({ subject: `policies of schedule ${row.name}`, reason })
  })

const instant = (millis: number | null): Option.Option<DateTime.Utc> =>
  Option.map(Option.fromNullOr(millis), DateTime.makeUnsafe)

/** Reads a row; with a workflow its context is what that workflow's schema says, without one it is plain JSON. */
export const fromRow = (row: ScheduleRow, workflow: Target | undefined): Info<any> => ({
  name: row.name,
  workflow: row.workflow,
  status: row.status,
  cron: row.cron,
  timeZone: row.timeZone,
  context: decodeContext(row.name, row.context, workflow),
  contextJson: row.context,
  policies: policies(row),
  application: Option.fromNullOr(row.application),
  nextTick: row.status === "Active" ? instant(row.nextAt) : Option.none(),
  lastTick: instant(row.lastTick),
  lastRunId: Option.fromNullOr(row.lastRunId),
  lastRunStatus: Option.fromNullOr(row.lastRunStatus),
  revision: row.revision,
  createdAt: DateTime.makeUnsafe(row.createdAt),
  updatedAt: DateTime.makeUnsafe(row.updatedAt)
})

/** Something with a name, or the name itself. */
type Named = string | { readonly name: string }

/**
 * Which schedules to list. Values of one field are alternatives; fields are combined with AND. A prefix is literal.
 *
 * @category models
 * @since 0.1.0
 */
export interface Filter {
  readonly status?: ScheduleStatus | undefined
  readonly workflow?: Named | ReadonlyArray<Named> | undefined
  readonly namePrefix?: string | ReadonlyArray<string> | undefined
}

const many = <A>(values: A | ReadonlyArray<A> | undefined): ReadonlyArray<A> | undefined =>
  values === undefined ? undefined : Array.isArray(values) ? values as ReadonlyArray<A> : [values as A]

export const toFilter = ({ namePrefix, status, workflow }: Filter): ScheduleFilter => ({
  status,
  workflow: many<Named>(workflow)?.map((one) => typeof one === "string" ? one : one.name),
  namePrefix: many(namePrefix)
})
