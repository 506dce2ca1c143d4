/** The commands that start runs: backfill and trigger. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import {
  InvalidInput,
  type ScheduleNotFound,
  type StoreError,
  type Undecodable,
  type ValueTooLarge
} from "../../Errors.ts"
import type { NewAudit, NewTrigger, Run, ScheduleRow, TickOptions, TickRun } from "../../SystemDb.ts"
import { begin } from "../begin.ts"
import { maxBytes } from "../ids.ts"
import * as texts from "../texts.ts"
import * as uuids from "../uuid.ts"
import { door } from "./actor.ts"
import { audits, find as findRow, type Store } from "./change.ts"
import { encodeContext, encodeKnownContext, type Read, read, type Target } from "./definition.ts"
import type { Policies } from "./policies.ts"
import { batches, iso, ofTrigger, triggerIdOf } from "./ticks.ts"
import type { Span } from "./window.ts"

/** A schedule known by name, and by its workflow when the caller has it. */
export interface Subject {
  readonly name: string
  readonly workflow: Target | undefined
}

/** The row; refused when the caller takes it for a schedule of another workflow, whose types it would not have. */
export const find = Effect.fnUntraced(function*(
  db: Store,
  { name, workflow }: Subject
): Effect.fn.Return<ScheduleRow, ScheduleNotFound | InvalidInput | StoreError> {
  const row = yield* findRow(db, name)
  if (workflow === undefined || workflow.name === row.workflow) return row
  const reason = `schedule ${
    JSON.stringify(name)
  } starts ${row.workflow}, not ${workflow.name}; apply it, or pass its name`
  return yield* new InvalidInput({ field: "workflow", reason })
})

/** What was asked for by hand says nothing about whether the schedule's own runs succeed. */
export const byHand = ({ timeoutMillis }: Policies): TickOptions => ({ timeoutMillis, settle: false })

// ── backfill ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Enqueued extends TickRun {
  readonly created: boolean
}

/** Enqueues every tick of the window, a batch at a time as the stream is pulled. */
export const backfill = (
  db: Store,
  schedule: Read,
  { from, to }: Span
): Stream.Stream<Enqueued, ScheduleNotFound | StoreError> =>
  Stream.suspend(() => Stream.fromIterable(batches(schedule, from, to), { chunkSize: 1 })).pipe(
    Stream.mapEffect((batch) =>
      Effect.map(
        Effect.tap(db.enqueueTicks(schedule.name, batch, byHand(schedule.policies)), () => Effect.yieldNow),
        (ids) => {
          const created = new Set(ids)
          return batch.map((tick) => ({ ...tick, created: created.has(tick.runId) }))
        }
      )
    ),
    Stream.flattenIterable
  )

// ── trigger ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface TriggerRequest {
  readonly context: unknown
  readonly at: number | undefined
  readonly key: string | undefined
  readonly reason: string | undefined
  /** Of which the time-out and the start deadline count, where they are stated. */
  readonly overrides: Policies
}

/** The key becomes part of an id, beside the schedule's name. */
const checkKey = (schedule: string, key: string): Effect.Effect<string, InvalidInput> => {
  const bytes = maxBytes - Buffer.byteLength(triggerIdOf(schedule, ""))
  return Effect.fromResult(texts.checkShort("idempotencyKey", key, bytes))
}

type Triggered = Pick<ScheduleRow, "name" | "incarnation" | "timing" | "policies" | "state" | "jsonSchema">

/** The run that a request comes to, and its audit. */
export const triggered = Effect.fnUntraced(function*(
  row: Triggered,
  workflow: Target | undefined,
  request: TriggerRequest,
  clock: Effect.Effect<number, StoreError>
): Effect.fn.Return<
  NewTrigger & { readonly audit: NewAudit },
  InvalidInput | Undecodable | StoreError
> {
  const key = request.key === undefined ? yield* uuids.v7 : yield* checkKey(row.name, request.key)
  const schedule = yield* Effect.fromResult(read(row))
  const context = request.context === undefined
    ? null
    : yield* Effect.fromResult(
      workflow === undefined
        ? encodeKnownContext(row, request.context)
        : encodeContext(workflow, request.context)
    )
  const { startDeadlineMillis, timeoutMillis } = request.overrides
  const now = request.at === undefined || startDeadlineMillis !== null ? yield* clock : request.at
  const at = request.at ?? now
  const run = {
    ...ofTrigger(schedule, at, key),
    startBy: startDeadlineMillis === null ? null : now + startDeadlineMillis
  }
  const said = { name: row.name, action: "trigger", after: { runId: run.runId, scheduledAt: iso(at) } }
  const [audit] = yield* audits([said], request.reason ?? null)
  const options = byHand({ ...schedule.policies, timeoutMillis: timeoutMillis ?? schedule.policies.timeoutMillis })
  return { schedule: row.name, run, context, ...options, audit: audit! }
})

export const trigger = Effect.fnUntraced(function*(
  db: Store,
  subject: Subject,
  request: TriggerRequest
): Effect.fn.Return<Run, ScheduleNotFound | InvalidInput | Undecodable | ValueTooLarge | StoreError> {
  yield* door(request.reason)
  const row = yield* find(db, subject)
  const { audit, context, run, schedule: name, ...options } = yield* triggered(row, subject.workflow, request, db.now)
  return yield* begin({
    workflow: row.workflow,
    runId: run.runId,
    start: (owner) =>
      Effect.map(
        db.triggerSchedule({ name, run, options, context, owner, audit }),
        ({ created, run }) => ({ ...run, created })
      ),
    claimed: ({ created: _, ...run }) => Effect.succeed({ run, steps: [] })
  })
})
