/** The commands that take more than one call to the store: resume, backfill and trigger. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type * as Cron from "../../Cron.ts"
import { InvalidInput, ScheduleNotFound, type StoreError, Undecodable, type ValueTooLarge } from "../../Errors.ts"
import type { Run, ScheduleRow, SystemDb, TickRun } from "../../SystemDb.ts"
import { Registry } from "../registry.ts"
import * as uuids from "../uuid.ts"
import { firstChosen, nextTick } from "./decide.ts"
import { encodeContext, encodePlainContext, parseStored, type Target } from "./definition.ts"
import * as Policies from "./policies.ts"
import { batches, ofTrigger } from "./ticks.ts"
import type { Span } from "./window.ts"

type Store = SystemDb["Service"]

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
  const row = Option.getOrUndefined(yield* db.findSchedule(name))
  if (row === undefined) return yield* new ScheduleNotFound({ name })
  if (workflow === undefined || workflow.name === row.workflow) return row
  const reason = `schedule ${
    JSON.stringify(name)
  } starts ${row.workflow}, not ${workflow.name}; apply it, or pass its name`
  return yield* new InvalidInput({ field: "workflow", reason })
})

// ── resume ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Enqueues the ticks in between, a batch at a time; those that have a run already are passed over. */
const enqueueBetween = Effect.fnUntraced(function*(db: Store, name: string, cron: Cron.Cron, from: number, to: number) {
  for (const batch of batches(name, cron, from, to)) {
    yield* db.enqueueTicks(name, batch)
    yield* Effect.yieldNow
  }
})

/** Makes up the ticks that fell while it was Paused, then makes it Active. False when it changed meanwhile. */
const tryResume = Effect.fnUntraced(function*(
  db: Store,
  name: string
): Effect.fn.Return<boolean, ScheduleNotFound | Undecodable | StoreError> {
  const row = Option.getOrUndefined(yield* db.findSchedule(name))
  if (row === undefined) return yield* new ScheduleNotFound({ name })
  if (row.status === "Active") return true
  const cron = yield* Effect.fromResult(parseStored(row))
  const policies = yield* Effect.fromResult(
    Result.mapError(
      Policies.decode(row.policies),
      (reason) => new Undecodable({ subject: `policies of schedule ${name}`, reason })
    )
  )
  const now = yield* db.now
  if (row.nextAt !== null && row.nextAt <= now) {
    // Every tick up to now fell while it was Paused, so the rule is about all of them.
    const from = firstChosen(cron, policies.whilePaused, row.nextAt, now, now + 1)
    yield* enqueueBetween(db, name, cron, from, now + 1)
  }
  // A cursor still ahead stays where it is.
  const nextAt = row.nextAt !== null && row.nextAt > now ? row.nextAt : nextTick(cron, now)
  return yield* db.resumeSchedule({ name, revision: row.revision, nextAt })
})

export const resume = (db: Store, name: string): Effect.Effect<void, ScheduleNotFound | Undecodable | StoreError> =>
  Effect.flatMap(tryResume(db, name), (done) => done ? Effect.void : resume(db, name))

// ── backfill ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Enqueued extends TickRun {
  readonly created: boolean
}

/** Enqueues every tick of the window, a batch at a time as the stream is pulled. */
export const backfill = (
  db: Store,
  row: ScheduleRow,
  cron: Cron.Cron,
  { from, to }: Span
): Stream.Stream<Enqueued, ScheduleNotFound | StoreError> =>
  Stream.suspend(() => Stream.fromIterable(batches(row.name, cron, from, to), { chunkSize: 1 })).pipe(
    Stream.mapEffect((batch) =>
      Effect.map(Effect.tap(db.enqueueTicks(row.name, batch), () => Effect.yieldNow), (ids) => {
        const created = new Set(ids)
        return batch.map((tick) => ({ ...tick, created: created.has(tick.runId) }))
      })
    ),
    Stream.flattenIterable
  )

// ── trigger ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Not interruptible from the reservation on: a run owned by this worker must not be forgotten. */
const begin = Effect.fnUntraced(function*(
  db: Store,
  row: ScheduleRow,
  run: TickRun,
  context: string | null
): Effect.fn.Return<Run, ScheduleNotFound | ValueTooLarge | StoreError> {
  const registry = Option.getOrUndefined(yield* Effect.serviceOption(Registry))
  const reservation = registry?.reserve(row.workflow, run.runId)
  const request = { name: row.name, run, context, owner: reservation?.worker ?? null }
  const started = yield* Effect.tapError(
    db.triggerSchedule(request),
    (error) => Effect.sync(() => error._tag === "StoreError" ? reservation?.abandon() : reservation?.free())
  )
  if (reservation === undefined) return started
  if (started.status === "Running" && started.owner === reservation.worker) {
    reservation.submit({ run: started, steps: [] })
  } else {
    reservation.free()
  }
  return started
}, Effect.uninterruptible)

export const trigger = Effect.fnUntraced(function*(
  db: Store,
  subject: Subject,
  options: { readonly context: unknown; readonly at: number | undefined }
) {
  const row = yield* find(db, subject)
  const context = options.context === undefined
    ? null
    : yield* Effect.fromResult(
      subject.workflow === undefined
        ? encodePlainContext(options.context)
        : encodeContext(subject.workflow, options.context)
    )
  const at = options.at ?? (yield* db.now)
  const run = ofTrigger(row.name, at, yield* uuids.v7)
  return yield* begin(db, row, run, context)
})
