/** From a schedule as it is written in code to what is stored of it, and from what is stored back to what it says. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { CronParseError } from "../../Cron.ts"
import { InvalidInput, Undecodable } from "../../Errors.ts"
import type { ScheduleContent, ScheduleDefinition, ScheduleRow } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import * as Codec from "../codec.ts"
import * as names from "../names.ts"
import * as texts from "../texts.ts"
import * as Context from "./context.ts"
import { wakeAt } from "./decide.ts"
import { type Plan, plan } from "./plan.ts"
import * as Policies from "./policies.ts"
import * as State from "./state.ts"
import { iso } from "./ticks.ts"

/** The part of a workflow that says what its schedules may give it. */
export interface Target {
  readonly name: string
  readonly payload: Schema.Codec<any, any>
}

/** A schedule as the caller writes it. */
export interface Declared extends Policies.PolicyOptions {
  readonly name: string
  readonly workflow: Target
  readonly timing: Timing.Timing
  readonly context: unknown
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly externalId?: string | undefined
}

/** In bytes. Run ids are made of the name and up to 105 bytes more, and are themselves at most 512 long. */
const maxNameLength = 400

const epoch = DateTime.makeUnsafe(0)
const epochText = iso(0)

// ── the context ─────────────────────────────────────────────────────────────────────────────────────────────────────

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

const encodePayload = (workflow: Target, context: unknown): Result.Result<string | undefined, string> =>
  Codec.fromSchema(workflow.payload).encode({ scheduledAt: epoch, context })

/** The JSON text of a context for this workflow, as the payload's schema writes it. */
export const encodeContext = (workflow: Target, context: unknown): Result.Result<string, InvalidInput> => {
  const given = encodePayload(workflow, context)
  // A schema of any JSON has no form for "none given"; null is the nearest.
  const payload = context === undefined ? Result.orElse(given, () => encodePayload(workflow, null)) : given
  if (Result.isFailure(payload)) return Result.fail(new InvalidInput({ field: "context", reason: payload.failure }))
  const value: unknown = JSON.parse(payload.success ?? "null")
  if (!isRecord(value) || value["scheduledAt"] !== epochText) {
    const reason = `the payload of workflow ${workflow.name} is not a Schedule.Tick`
    return Result.fail(new InvalidInput({ field: "workflow", reason }))
  }
  return Result.succeed(JSON.stringify(value["context"] ?? null))
}

/**
 * A context given to a schedule that is known by name alone: plain JSON, which is held against the JSON Schema that the code left
 * with the schedule.
 */
export const encodeKnownContext = (
  { jsonSchema }: Pick<ScheduleDefinition, "jsonSchema">,
  context: unknown
): Result.Result<string, InvalidInput> => {
  const invalid = (reason: string) => new InvalidInput({ field: "context", reason })
  return Result.flatMap(Result.mapError(Codec.plainJson().encode(context), invalid), (encoded) => {
    const text = encoded ?? "null"
    const reason = jsonSchema === null ? undefined : Context.fault(jsonSchema, JSON.parse(text))
    return reason === undefined ? Result.succeed(text) : Result.fail(invalid(reason))
  })
}

type StoredContext = Pick<ScheduleDefinition, "context" | "contextSchema" | "jsonSchema">

const contextOf = (workflow: Target, context: unknown): Result.Result<StoredContext, InvalidInput> =>
  Result.map(encodeContext(workflow, context), (text) => {
    const schema = Context.ofPayload(workflow.payload)
    const described = schema === undefined ? null : Context.describe(schema)
    return {
      context: text,
      contextSchema: described?.identity ?? null,
      jsonSchema: described?.jsonSchema ?? null
    }
  })

/** The context of a row: with a workflow what its payload's schema says, without one plain JSON. */
export const decodeContext = (
  { context, contextSchema, name }: Pick<ScheduleDefinition, "name" | "context" | "contextSchema">,
  workflow: Target | undefined
): Result.Result<unknown, Undecodable> => {
  const undecodable = (reason: unknown) =>
    new Undecodable({ subject: `context of schedule ${name}`, reason: String(reason) })
  const json = Result.try({ try: () => JSON.parse(context) as unknown, catch: undecodable })
  if (Result.isFailure(json) || workflow === undefined) return json
  const identity = contextSchema === null ? "" : `,"contextSchema":${JSON.stringify(contextSchema)}`
  const payload = `{"scheduledAt":"${epochText}","context":${context}${identity}}`
  return Result.mapBoth(Codec.fromSchema(workflow.payload).decode(payload), {
    onSuccess: (payload: Record<string, unknown>) => payload["context"],
    onFailure: undecodable
  })
}

// ── what a row says ─────────────────────────────────────────────────────────────────────────────────────────────────

/** What a row says about its ticks. */
export interface Read {
  readonly name: string
  readonly incarnation: number | null
  readonly timetable: Timing.Timetable
  readonly policies: Policies.Policies
  readonly state: State.State
  readonly plan: Plan
}

/** Rows are checked when they are written, but perhaps by another version of this library. */
export const read = (
  row: Pick<ScheduleRow, "name" | "incarnation" | "timing" | "policies" | "state">
): Result.Result<Read, Undecodable> => {
  const part = <A>(what: string, result: Result.Result<A, string>): Result.Result<A, Undecodable> =>
    Result.mapError(result, (reason) => new Undecodable({ subject: `${what} of schedule ${row.name}`, reason }))
  return Result.map(
    Result.all({
      timetable: part("timing", Timing.fromText(row.timing)),
      policies: part("policies", Policies.decode(row.policies)),
      state: part("state", State.decode(row.state))
    }),
    (read) => ({
      ...read,
      name: row.name,
      incarnation: row.incarnation,
      plan: plan(row.name, read.timetable, read.policies)
    })
  )
}

// ── what is stored ──────────────────────────────────────────────────────────────────────────────────────────────────

const checkName = (name: string): Effect.Effect<string, InvalidInput> =>
  Effect.fromResult(texts.checkShort("name", name, maxNameLength))

const byKey = ([a]: readonly [string, string], [b]: readonly [string, string]): number => a < b ? -1 : 1

/** The JSON text of labels, the same for equal ones. */
export const encodeLabels = (
  labels: Readonly<Record<string, string>> | undefined
): Result.Result<string, InvalidInput> => {
  const entries = Object.entries(labels ?? {}).sort(byKey)
  for (const [key, value] of entries) {
    const field = `labels.${texts.clean(key)}`
    const reason = key.length === 0 || typeof value !== "string"
      ? "must be a string under a name"
      : texts.fault(key) ?? texts.fault(value)
    if (reason !== undefined) return Result.fail(new InvalidInput({ field, reason }))
  }
  return Result.succeed(JSON.stringify(Object.fromEntries(entries)))
}

/** What a schedule is called elsewhere. */
export const checkExternalId = (id: string): Result.Result<string, InvalidInput> => texts.checkShort("externalId", id)

/** What a declaration says, as it is stored; or why it cannot be. */
export const toDefinition = Effect.fnUntraced(function*(
  declared: Declared,
  owner: string | null
): Effect.fn.Return<ScheduleDefinition, CronParseError | InvalidInput> {
  const name = yield* checkName(declared.name)
  const workflow = yield* names.check("workflow", declared.workflow.name)
  const timetable = yield* Effect.fromResult(Timing.parse(declared.timing))
  const policies = yield* Effect.fromResult(Policies.fromOptions(declared))
  const labels = yield* Effect.fromResult(encodeLabels(declared.labels))
  const context = yield* Effect.fromResult(contextOf(declared.workflow, declared.context))
  return {
    name,
    workflow,
    timing: timetable.text,
    ...context,
    policies: Policies.encode(policies),
    overlap: Policies.overlapScope(name, policies),
    owner,
    labels,
    externalId: declared.externalId === undefined
      ? null
      : yield* Effect.fromResult(checkExternalId(declared.externalId))
  }
})

/** Where a cursor and the look at it stand. */
export const at = (
  { plan, policies }: Pick<Read, "plan" | "policies">,
  nextAt: number | null,
  state: Pick<State.State, "buffered" | "putOff">
): Pick<ScheduleContent, "nextAt" | "wakeAt"> => ({ nextAt, wakeAt: wakeAt(plan, nextAt, state, policies) })

/** A new schedule: Active, with its first tick after `now`. */
export const fresh = (definition: ScheduleDefinition, now: number): Result.Result<ScheduleContent, Undecodable> =>
  Result.map(read({ ...definition, incarnation: null, state: "{}" }), (read) => ({
    ...definition,
    status: "Active" as const,
    // The store gives it one.
    revision: 1,
    ...at(read, read.plan.next(now), State.initial),
    waitingSince: null,
    state: "{}",
    pausedAt: null,
    pauseReason: null,
    resumeAt: null,
    note: null
  }))

/** The part of a row that a change writes. */
export const contentOf = (row: ScheduleRow): ScheduleContent => {
  const {
    createdAt: _,
    incarnation: __,
    lastRunId: ___,
    lastRunStatus: ____,
    lastTick: _____,
    started: ______,
    turn: _______,
    updatedAt: ________,
    ...content
  } = row
  return content
}
