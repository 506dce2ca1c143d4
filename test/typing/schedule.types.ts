/** What must compile about schedules, and what must not. */
import * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ScheduleNotFound } from "../../src/Errors.ts"
import type * as Run from "../../src/Run.ts"
import * as Schedule from "../../src/Schedule.ts"
import * as Workflow from "../../src/Workflow.ts"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <A, B>(_: Equals<A, B>): void => {}

class NoData extends Schema.TaggedError<NoData>("NoData")("NoData", {}) {}

const Report = Workflow.make("report", {
  payload: Schedule.Tick({ kind: Schema.String, hours: Schema.Finite }),
  success: Schema.Int,
  error: NoData
})
const Bare = Workflow.make("bare", { payload: Schedule.Tick() })
const Optional = Workflow.make("optional", { payload: Schedule.Tick(Schema.UndefinedOr(Schema.String)) })
const Loose = Workflow.make("loose", { payload: Schedule.Tick(Schema.Unknown) })
const Number = Workflow.make("number", { payload: Schedule.Tick(Schema.Finite) })
const Written = Workflow.make("written", {
  payload: { scheduledAt: Schema.DateTimeUtc, context: Schema.Struct({ a: Schema.String }) }
})
const Plain = Workflow.make("plain", { payload: { name: Schema.String } })
const Empty = Workflow.make("empty")

// ── the context ─────────────────────────────────────────────────────────────────────────────────────────────────────

export const Daily = Schedule.make("daily", {
  workflow: Report,
  cron: "0 0 6 * * *",
  timeZone: "Europe/Berlin",
  context: { kind: "daily", hours: 24 },
  catchUp: { mode: "all", window: "1 day" },
  overlap: "skip",
  grace: "5 minutes"
})
same<typeof Daily, Schedule.Schedule<{ readonly kind: string; readonly hours: number }, number, NoData>>(true)

export const fits = [
  Schedule.make("bare", { workflow: Bare, cron: "0 0 6 * * *" }),
  Schedule.make("optional", { workflow: Optional, cron: "0 0 6 * * *" }),
  Schedule.make("optional", { workflow: Optional, cron: "0 0 6 * * *", context: "given" }),
  Schedule.make("loose", { workflow: Loose, cron: "0 0 6 * * *" }),
  Schedule.make("loose", { workflow: Loose, cron: "0 0 6 * * *", context: [1, "two"] }),
  Schedule.make("number", { workflow: Number, cron: "0 0 6 * * *", context: 3 }),
  Schedule.make("written", { workflow: Written, cron: "0 0 6 * * *", context: { a: "b" } })
]

// @ts-expect-error the context is missing
Schedule.make("daily", { workflow: Report, cron: "0 0 6 * * *" })
// @ts-expect-error a field of the context is missing
Schedule.make("daily", { workflow: Report, cron: "0 0 6 * * *", context: { kind: "daily" } })
// @ts-expect-error a field of the context has another type
Schedule.make("daily", { workflow: Report, cron: "0 0 6 * * *", context: { kind: "daily", hours: "24" } })
// @ts-expect-error the context has a field the workflow does not know
Schedule.make("daily", { workflow: Report, cron: "0 0 6 * * *", context: { kind: "daily", hours: 24, lookBack: 1 } })
// @ts-expect-error the workflow takes no context
Schedule.make("bare", { workflow: Bare, cron: "0 0 6 * * *", context: { a: 1 } })

// ── the workflow ────────────────────────────────────────────────────────────────────────────────────────────────────

// @ts-expect-error the payload is not a Tick
Schedule.make("plain", { workflow: Plain, cron: "0 0 6 * * *", context: { name: "a" } })
// @ts-expect-error there is no payload
Schedule.make("empty", { workflow: Empty, cron: "0 0 6 * * *" })

Report.toLayer(({ context, scheduledAt }) => {
  same<typeof scheduledAt, DateTime.Utc>(true)
  same<typeof context, { readonly kind: string; readonly hours: number }>(true)
  throw new Error("not run")
})

// ── the cron ────────────────────────────────────────────────────────────────────────────────────────────────────────

// @ts-expect-error five fields: seconds come first
Schedule.make("bare", { workflow: Bare, cron: "0 6 * * *" })
// @ts-expect-error seven fields
Schedule.make("bare", { workflow: Bare, cron: "0 0 6 * * * 2030" })

declare const text: string
Schedule.make("bare", { workflow: Bare, cron: text })
Schedule.make("bare", { workflow: Bare, cron: "@daily" })

// ── policies ────────────────────────────────────────────────────────────────────────────────────────────────────────

// @ts-expect-error there is no such policy
Schedule.make("bare", { workflow: Bare, cron: "0 0 6 * * *", missed: "all" })
// @ts-expect-error a duration is written otherwise
Schedule.make("bare", { workflow: Bare, cron: "0 0 6 * * *", missed: { all: "a day" } })

// ── handles ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Of<E> = E extends Effect.Effect<infer A, any, any> ? A : never
type FailureOf<E> = E extends Effect.Effect<any, infer Failure, any> ? Failure : never

const triggered = Schedule.trigger(Daily, { context: { kind: "now", hours: 1 } })
same<Of<typeof triggered>, Run.Handle<number, NoData>>(true)
const untyped = Schedule.trigger("daily", { context: { anything: true } })
same<Of<typeof untyped>, Run.Handle<unknown, unknown>>(true)
// @ts-expect-error the context given must fit too
Schedule.trigger(Daily, { context: { kind: "now" } })

const backfilled = Schedule.backfill(Daily, { from: "2030-01-01", to: DateTime.makeUnsafe(0) })
same<Of<typeof backfilled>, ReadonlyArray<Schedule.Backfilled<Run.Handle<number, NoData>>>>(true)

const found = Schedule.get(Daily)
same<
  Extract<Of<typeof found>, Option.Some<any>>["value"]["context"] extends Result.Result<infer C, any> ? C : never,
  { readonly kind: string; readonly hours: number }
>(true)
const named = Schedule.get("daily")
same<Of<typeof named>, Option.Option<Schedule.Info>>(true)

same<Extract<FailureOf<ReturnType<typeof Schedule.pause>>, { readonly _tag: "ScheduleNotFound" }>, ScheduleNotFound>(
  true
)

Schedule.layer([Daily, ...fits], { prune: true })
