/** What `Workflow` accepts and infers. Checked by the compiler; never run. */
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Engine from "../../src/Engine.ts"
import type * as Run from "../../src/Run.ts"
import * as Step from "../../src/Step.ts"
import type { SystemDb } from "../../src/SystemDb.ts"
import * as Workflow from "../../src/Workflow.ts"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const is = <A, B>(_: Equal<A, B>): void => {}

class Refused extends Schema.TaggedError<Refused>("types/Refused")("Refused", {}) {}
declare const Service: { readonly _: unique symbol }
declare const effect: <A, E = never, R = never>() => Effect.Effect<A, E, R>

const Rich = Workflow.make("rich", {
  payload: { at: Schema.DateTimeUtc, note: Schema.optionalKey(Schema.String) },
  success: Schema.BigInt,
  error: Refused,
  timeout: "1 hour"
})
const Nothing = Workflow.make("nothing")
const Text = Workflow.make("text", { payload: Schema.String, success: Schema.String })

// ── what is inferred ────────────────────────────────────────────────────────────────────────────────────────────────

interface Payload {
  readonly at: DateTime.Utc
  readonly note?: string
}
type Same<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false
const same = <A, B>(_: Same<A, B>): void => {}

same<Workflow.Payload<typeof Rich>, Payload>(true)
is<Workflow.Success<typeof Rich>, bigint>(true)
is<Workflow.Failure<typeof Rich>, Refused>(true)
is<typeof Rich["name"], "rich">(true)
is<Workflow.Payload<typeof Nothing>, void>(true)
is<Workflow.Success<typeof Nothing>, void>(true)
is<Workflow.Failure<typeof Nothing>, never>(true)

const payload: Payload = effect as never
const started = Rich.start(payload, { runId: "r", delay: "1 hour", timeout: "1 day" })
is<typeof started, Effect.Effect<Run.Handle<bigint, Refused>, Workflow.StartError, SystemDb>>(true)
const executed = Rich.execute(payload)
is<typeof executed, Effect.Effect<bigint, Refused | Workflow.StartError | Run.AwaitError, SystemDb>>(true)
const handle = Rich.handle("r")
is<typeof handle, Run.Handle<bigint, Refused>>(true)
const nothing = Nothing.execute()
is<typeof nothing, Effect.Effect<void, Workflow.StartError | Run.AwaitError, SystemDb>>(true)
Nothing.start(undefined, { runId: "r" })

const body = Text.toLayer((text) => {
  is<typeof text, string>(true)
  return Effect.gen(function*() {
    yield* Effect.addFinalizer(() => Effect.void)
    yield* effect<void, never, typeof Service>()
    return yield* Step.run("s", Effect.succeed(text))
  })
})
is<typeof body, Layer.Layer<never, never, Engine.Engine | typeof Service>>(true)

const bare = Nothing.toLayer(() => Effect.void)
is<typeof bare, Layer.Layer<never, never, Engine.Engine>>(true)

const failing = Rich.toLayer(() => Effect.fail(new Refused()))
is<typeof failing, Layer.Layer<never, never, Engine.Engine>>(true)

is<typeof Workflow.now, Effect.Effect<DateTime.Utc, never, Workflow.CurrentRun>>(true)
is<typeof Workflow.uuid, Effect.Effect<string, never, Workflow.CurrentRun>>(true)

// Any workflow is one, whatever it takes, gives and fails with.
const all: ReadonlyArray<Workflow.Any> = [Rich, Nothing, Text]
export const names = all.map(({ name }) => name)
const ofText: Workflow.Workflow<any, string, any, any> = Text
export const textName = ofText.name

// In a body nothing is left to handle but how a child ended.
const child = Workflow.executeChild(Rich, payload)
is<typeof child, Effect.Effect<bigint, Refused | Workflow.ChildError, Workflow.CurrentRun>>(true)
const startedChild = Workflow.startChild(Nothing)
is<typeof startedChild, Effect.Effect<Workflow.Child<void, never>, never, Workflow.CurrentRun>>(true)

// ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────

// @ts-expect-error a payload is required
Rich.start()
// @ts-expect-error of the right shape
Rich.start({ at: "today" })
// @ts-expect-error with no field too many
Rich.start({ ...payload, other: 1 } satisfies Payload)
// @ts-expect-error there is none to give
Nothing.start("payload")
// @ts-expect-error there is no such option
Rich.start(payload, { id: "r" })
// @ts-expect-error the body's success is of another type
Text.toLayer(() => Effect.succeed(1))
// @ts-expect-error the body may not fail where the workflow has no error
Text.toLayer(() => Effect.as(Effect.fail(new Refused()), ""))
// @ts-expect-error the body may not fail with anything else
Rich.toLayer(() => Effect.as(Effect.fail("other" as const), 1n))
// @ts-expect-error the body takes another payload
Text.toLayer((payload: number) => Effect.succeed(String(payload)))
// @ts-expect-error success is no schema
Workflow.make("w", { success: String })

// @ts-expect-error a child of no body
Effect.runFork(Effect.ignore(Workflow.executeChild(Rich, payload)))
// @ts-expect-error a child's payload is of the right shape
Workflow.startChild(Rich, "today")

// Outside of a body, what only a body may call requires a run that nobody can provide.
const step = Step.run("s", Effect.void)
is<typeof step, Effect.Effect<void, never, Workflow.CurrentRun>>(true)
const outside = Layer.effectDiscard(step)
is<typeof outside, Layer.Layer<never, never, Workflow.CurrentRun>>(true)
// @ts-expect-error a step in a program
Effect.runFork(step)
// @ts-expect-error a durable wait in a program
Effect.runFork(Workflow.sleep("1 second"))
// @ts-expect-error time and ids of a run in a program
Effect.runFork(Workflow.now)
// @ts-expect-error a layer with a step in it
Layer.launch(outside) satisfies Effect.Effect<never>
// @ts-expect-error a body whose service nobody provides
Layer.launch(body) satisfies Effect.Effect<never, never, Engine.Engine>
