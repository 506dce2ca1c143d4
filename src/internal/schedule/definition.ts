/** From a schedule as it is written in code to its row, and from a row back to what it says. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Cron from "../../Cron.ts"
import { InvalidInput, Undecodable } from "../../Errors.ts"
import type { NewSchedule } from "../../SystemDb.ts"
import * as Codec from "../codec.ts"
import * as names from "../names.ts"
import { nextTick } from "./decide.ts"
import * as Policies from "./policies.ts"
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
  readonly cron: string
  readonly timeZone: string
  readonly context: unknown
}

/** Run ids are made of the name and up to 51 characters more, and are themselves at most 512 long. */
const maxNameLength = 460

const epoch = DateTime.makeUnsafe(0)
const epochText = iso(0)

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

/** A context given to a schedule that is known by name alone: plain JSON. */
export const encodePlainContext = (context: unknown): Result.Result<string, InvalidInput> =>
  Result.mapBoth(Codec.plainJson().encode(context), {
    onSuccess: (text) => text ?? "null",
    onFailure: (reason) => new InvalidInput({ field: "context", reason })
  })

/** The context of a row: with a workflow what its payload's schema says, without one plain JSON. */
export const decodeContext = (
  name: string,
  text: string,
  workflow: Target | undefined
): Result.Result<unknown, Undecodable> => {
  const undecodable = (reason: unknown) =>
    new Undecodable({ subject: `context of schedule ${name}`, reason: String(reason) })
  const json = Result.try({ try: () => JSON.parse(text) as unknown, catch: undecodable })
  if (Result.isFailure(json) || workflow === undefined) return json
  return Result.mapBoth(Codec.fromSchema(workflow.payload).decode(`{"scheduledAt":"${epochText}","context":${text}}`), {
    onSuccess: (payload: Record<string, unknown>) => payload["context"],
    onFailure: undecodable
  })
}

/** The cron of a row. Rows are checked when they are written, but perhaps by another version of this library. */
export const parseStored = (
  row: Pick<NewSchedule, "name" | "cron" | "timeZone">
): Result.Result<Cron.Cron, Undecodable> =>
  Result.mapError(
    Cron.parse(row.cron, { timeZone: row.timeZone }),
    (error) => new Undecodable({ subject: `cron of schedule ${row.name}`, reason: error.message })
  )

const checkName = (name: string): Effect.Effect<string, InvalidInput> =>
  name.length <= maxNameLength ? names.check("name", name) : Effect.fail(
    new InvalidInput({ field: "name", reason: `must not be longer than ${maxNameLength} characters` })
  )

/** The row of a schedule, with its first tick after `now`; or why there cannot be one. */
export const toRow = Effect.fnUntraced(function*(
  declared: Declared,
  application: string | null,
  now: number
): Effect.fn.Return<NewSchedule, Cron.CronParseError | InvalidInput> {
  const name = yield* checkName(declared.name)
  const workflow = yield* names.check("workflow", declared.workflow.name)
  const cron = yield* Effect.fromResult(Cron.parse(declared.cron, { timeZone: declared.timeZone }))
  const context = yield* Effect.fromResult(encodeContext(declared.workflow, declared.context))
  const policies = yield* Effect.fromResult(Policies.encode(declared))
  const { cron: expression, timeZone } = declared
  const nextAt = nextTick(cron, now)
  return { name, workflow, cron: expression, timeZone, context, policies, application, nextAt }
})
