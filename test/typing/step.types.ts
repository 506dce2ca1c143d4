/** What `Step` accepts and infers. Checked by the compiler; never run. */
import type * as Cause from "effect/Cause"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { StepTimedOut } from "../../src/Errors.ts"
import type { IsPlain } from "../../src/internal/codec.ts"
import * as Step from "../../src/Step.ts"
import type { CurrentRun } from "../../src/Workflow.ts"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const is = <A, B>(_: Equal<A, B>): void => {}

class Refused extends Schema.TaggedError<Refused>("types/Refused")("Refused", { at: Schema.DateTimeUtc }) {}
class Data {
  readonly n: number = 1
}
declare const Service: { readonly _: unique symbol }
interface Row {
  readonly id: string
  readonly tags: ReadonlyArray<string>
  readonly note?: string | undefined
  readonly parent: Row | null
}
declare const effect: <A, E = never, R = never>() => Effect.Effect<A, E, R>

// ── what is plain JSON ──────────────────────────────────────────────────────────────────────────────────────────────

is<IsPlain<string>, true>(true)
is<IsPlain<number | null>, true>(true)
is<IsPlain<"a" | "b">, true>(true)
is<IsPlain<void>, true>(true)
is<IsPlain<undefined>, true>(true)
is<IsPlain<string | undefined>, true>(true)
is<IsPlain<never>, true>(true)
is<IsPlain<any>, true>(true)
is<IsPlain<{ rows: Array<number>; next: null }>, true>(true)
is<IsPlain<readonly [string, { readonly a?: number }]>, true>(true)
is<IsPlain<Row>, true>(true)
is<IsPlain<ReadonlyArray<Row>>, true>(true)
is<IsPlain<Record<string, ReadonlyArray<boolean>>>, true>(true)
is<IsPlain<string & { readonly Brand: "Id" }>, true>(true)
is<IsPlain<{ readonly a: string | undefined }>, false>(true)
is<IsPlain<{ readonly a: undefined }>, false>(true)
is<IsPlain<unknown>, false>(true)
is<IsPlain<bigint>, false>(true)
is<IsPlain<symbol>, false>(true)
is<IsPlain<Date>, false>(true)
is<IsPlain<Map<string, string>>, false>(true)
is<IsPlain<Uint8Array>, false>(true)
is<IsPlain<() => void>, false>(true)
is<IsPlain<Option.Option<string>>, false>(true)
is<IsPlain<DateTime.Utc>, false>(true)
is<IsPlain<Refused>, false>(true)
is<IsPlain<Error>, false>(true)
is<IsPlain<{ readonly at: Date }>, false>(true)
is<IsPlain<string | Date>, false>(true)
is<IsPlain<ReadonlyArray<bigint>>, false>(true)
is<IsPlain<ReadonlyArray<undefined>>, false>(true)
is<IsPlain<ReadonlyArray<string | undefined>>, false>(true)
is<IsPlain<Record<string, unknown>>, false>(true)
is<IsPlain<{ readonly [Symbol.iterator]: string }>, false>(true)
// Nothing in its type tells it from a plain object; it is refused when it is stored.
is<IsPlain<Data>, true>(true)

// ── what is inferred ────────────────────────────────────────────────────────────────────────────────────────────────

const plain = Step.run("s", effect<{ rows: Array<number> }, "Busy", typeof Service>())
is<typeof plain, Effect.Effect<{ rows: Array<number> }, "Busy", typeof Service | CurrentRun>>(true)

const nothing = Step.run("s", Effect.void)
is<typeof nothing, Effect.Effect<void, never, CurrentRun>>(true)

const rich = Step.run("s", effect<Date, Refused>(), { success: Schema.Date, error: Refused })
is<typeof rich, Effect.Effect<Date, Refused, CurrentRun>>(true)

const retried = Step.run("s", effect<void>(), { retry: Step.backoff({ times: 3 }) })
is<typeof retried, Effect.Effect<void, never, CurrentRun>>(true)

const retriedRefused = Step.run("s", effect<string, Refused>(), { error: Refused, retry: Step.backoff({ times: 3 }) })
is<typeof retriedRefused, Effect.Effect<string, Refused, CurrentRun>>(true)

const whileRefused = EffectSchedule.forever.pipe(
  EffectSchedule.setInputType<Refused>(),
  EffectSchedule.while(({ input }) => Effect.succeed(input.at !== undefined))
)
const chosen = Step.run("s", effect<string, Refused>(), { error: Refused, retry: whileRefused })
is<typeof chosen, Effect.Effect<string, Refused, CurrentRun>>(true)

const timed = Step.run("s", effect<string, "Busy">(), { timeout: "1 second" })
is<typeof timed, Effect.Effect<string, "Busy" | StepTimedOut, CurrentRun>>(true)

const timedRetried = Step.run("s", effect<string>(), { timeout: "1 second", retry: Step.backoff({ times: 1 }) })
is<typeof timedRetried, Effect.Effect<string, StepTimedOut, CurrentRun>>(true)

const keyed = Step.run("s", effect<string>(), { key: "a" })
is<typeof keyed, Effect.Effect<string, never, CurrentRun>>(true)

const transacted = Step.transaction("s", effect<string, SqlError | "Busy", SqlClient>(), { isolation: "serializable" })
is<typeof transacted, Effect.Effect<string, "Busy", CurrentRun | SqlClient>>(true)

const undone = Step.run("s", effect<string, "Busy">()).pipe(
  Step.withUndo("u", (value) => {
    is<typeof value, string>(true)
    return effect<void, "Late", typeof Service>()
  }, { retry: Step.backoff({ times: 2 }) })
)
is<typeof undone, Effect.Effect<string, "Busy", typeof Service | CurrentRun>>(true)

const undoneInside = Step.run("s", effect<string, "Busy">(), {
  undo: (value, cause) => {
    is<typeof value, string>(true)
    is<typeof cause, Cause.Cause<unknown>>(true)
    return effect<void, "Late", typeof Service>()
  }
})
is<typeof undoneInside, Effect.Effect<string, "Busy", typeof Service | CurrentRun>>(true)

const undoneTransaction = Step.transaction("s", effect<Date, SqlError>(), {
  success: Schema.Date,
  undoName: "u",
  undo: (value) => Effect.succeed(value.getTime())
})
is<typeof undoneTransaction, Effect.Effect<Date, never, CurrentRun | SqlClient>>(true)

// Also where the step is an argument of something generic itself.
const generic: Effect.Effect<{ a: number }, never, CurrentRun> = Effect.orDie(
  Step.run("s", Effect.as(Effect.void, { a: 1 }))
)
const mapped = Effect.all([Step.run("s", Effect.map(Effect.void, () => 1)), Step.run("t", Effect.succeed("x"))])
is<typeof mapped, Effect.Effect<[number, string], never, CurrentRun>>(true)
const array = Step.run("s", effect<Array<Date>>(), { success: Schema.Array(Schema.Date) })
is<typeof array, Effect.Effect<ReadonlyArray<Date>, never, CurrentRun>>(true)

const inline = Step.run("s", Effect.as(Effect.fail("no"), ""), { retry: Step.backoff({ times: 1 }) })
is<typeof inline, Effect.Effect<string, string, CurrentRun>>(true)
const inlineSchema = Step.run("s", Effect.map(Effect.void, () => 1n), { success: Schema.BigInt, timeout: "1 second" })
is<typeof inlineSchema, Effect.Effect<bigint, StepTimedOut, CurrentRun>>(true)
const maybeTimed = Step.run("s", effect<string>(), { timeout: undefined })
is<typeof maybeTimed, Effect.Effect<string, never, CurrentRun>>(true)
const exclusive = Step.transaction("s", Effect.as(Effect.void, 1), { key: "a", isolation: "repeatable read" })
is<typeof exclusive, Effect.Effect<number, never, CurrentRun | SqlClient>>(true)
const richly = Step.transaction("s", effect<Date, SqlError | Refused>(), { success: Schema.Date, error: Refused })
is<typeof richly, Effect.Effect<Date, Refused, CurrentRun | SqlClient>>(true)

// ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────

// @ts-expect-error a success that is not plain JSON needs a schema
Step.run("s", effect<Date>())
// @ts-expect-error also deep inside
Step.run("s", effect<ReadonlyArray<{ readonly at: Date }>>())
// @ts-expect-error also when nothing is known of it
Step.run("s", effect<unknown>())
// @ts-expect-error also with other options
Step.run("s", effect<bigint>(), { key: "a" })
// @ts-expect-error a typed failure that is not plain JSON needs a schema
Step.run("s", effect<string, Refused>())
// @ts-expect-error also with a schema for the success
Step.run("s", effect<Date, Refused>(), { success: Schema.Date })
// @ts-expect-error also when it has a timeout
Step.run("s", effect<string, Refused>(), { timeout: "1 second" })
// @ts-expect-error the schema is of another type
Step.run("s", effect<Date>(), { success: Schema.String })
// @ts-expect-error also where none is needed
Step.run("s", effect<string>(), { success: Schema.Finite })
// @ts-expect-error also for the failure
Step.run("s", effect<string, Refused>(), { error: Schema.String })
// @ts-expect-error what undoes gets what the step returns
Step.run("s", effect<string>(), { undo: (value: number) => Effect.succeed(value) })
// @ts-expect-error a schedule for other errors
Step.run("s", effect<string, "Busy">(), { retry: whileRefused })
// @ts-expect-error there is no such option
Step.run("s", effect<string>(), { retries: 3 })
// @ts-expect-error transactions have schemas too
Step.transaction("s", effect<Date, SqlError>())
// @ts-expect-error and their failures too
Step.transaction("s", effect<string, SqlError | Refused>(), { isolation: "serializable" })
// @ts-expect-error transactions are not retried by a schedule
Step.transaction("s", effect<string, SqlError>(), { retry: Step.backoff({ times: 1 }) })
// @ts-expect-error also as an argument of something generic
Effect.orDie(Step.run("s", Effect.map(Effect.void, () => 1n)))
// @ts-expect-error outside of a body there is no run
Effect.runPromise(nothing)

export type Generic = typeof generic
