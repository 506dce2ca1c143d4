/** What a durable backfill is asked to do, and what is stored of that. */
import * as Effect from "effect/Effect"
import { InvalidInput, type Undecodable } from "../../Errors.ts"
import type { NewAudit, NewBackfill, ScheduleRow } from "../../SystemDb.ts"
import * as texts from "../texts.ts"
import * as uuids from "../uuid.ts"
import { planned } from "./backfilling.ts"
import { audits } from "./change.ts"
import { encodeContext, encodeKnownContext, read, type Target } from "./definition.ts"
import type { Context, Ref } from "./schedule.ts"
import { iso } from "./ticks.ts"
import type { Because } from "./verbs.ts"
import * as Windows from "./window.ts"

/**
 * What a backfill is to do.
 *
 * @category models
 * @since 0.1.0
 */
export interface StartOptions<R extends Ref = Ref> extends Windows.Window, Because {
  /** The backfill's identity, at most 64 bytes. Default a fresh UUID. */
  readonly id?: string | undefined
  /** From which end of the window it begins. Default `"oldest"`. */
  readonly order?: "oldest" | "newest" | undefined
  /** How many of its runs may be live at once. Default 10. */
  readonly concurrency?: number | undefined
  /** Whether a tick that has a run is passed over, or gets another one. Default `"skip"`. */
  readonly onExisting?: "skip" | "rerun" | undefined
  /** What its runs are given instead of the schedule's context at the time. */
  readonly context?: Context<R> | undefined
}

const maxIdLength = 64
const defaultConcurrency = 10
const maxConcurrency = 100_000

const checkId = (id: string): Effect.Effect<string, InvalidInput> =>
  Effect.fromResult(texts.checkShort("id", id, maxIdLength))

const checkConcurrency = (concurrency: number): Effect.Effect<number, InvalidInput> =>
  Number.isSafeInteger(concurrency) && concurrency >= 1 && concurrency <= maxConcurrency
    ? Effect.succeed(concurrency)
    : Effect.fail(
      new InvalidInput({ field: "concurrency", reason: `must be a whole number from 1 to ${maxConcurrency}` })
    )

const saidOf = (backfill: NewBackfill) => ({
  id: backfill.id,
  from: iso(backfill.from),
  to: iso(backfill.to),
  order: backfill.newestFirst ? "newest" : "oldest",
  concurrency: backfill.concurrency,
  onExisting: backfill.rerun ? "rerun" : "skip",
  ...backfill.context !== null && { context: JSON.parse(backfill.context) as unknown }
})

/** A backfill as it is to be stored, and its audit. */
export interface Asked {
  readonly asked: NewBackfill
  readonly audit: NewAudit
}

type Row = Pick<ScheduleRow, "name" | "incarnation" | "timing" | "policies" | "state" | "jsonSchema">

/** Checks all that says nothing about the schedule, before it is looked for. */
export const request = Effect.fnUntraced(function*(options: StartOptions): Effect.fn.Return<
  (row: Row, workflow: Target | undefined) => Effect.Effect<Asked, InvalidInput | Undecodable>,
  InvalidInput
> {
  const span = yield* Windows.span(options)
  const id = options.id === undefined ? yield* uuids.v7 : yield* checkId(options.id)
  const concurrency = yield* checkConcurrency(options.concurrency ?? defaultConcurrency)
  return Effect.fnUntraced(function*(row, workflow) {
    const { policies } = yield* Effect.fromResult(read(row))
    const context = options.context === undefined
      ? null
      : yield* Effect.fromResult(
        workflow === undefined ? encodeKnownContext(row, options.context) : encodeContext(workflow, options.context)
      )
    const asked: NewBackfill = {
      id,
      schedule: row.name,
      ...span,
      newestFirst: options.order === "newest",
      concurrency,
      rerun: options.onExisting === "rerun",
      context,
      planned: planned(row, policies)
    }
    const said = { name: row.name, action: "backfill", after: saidOf(asked) }
    const [audit] = yield* audits([said], options.reason ?? null)
    return { asked, audit: audit! }
  })
})
