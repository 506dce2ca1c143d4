/**
 * Workflows: named, schema'd definitions, and what their bodies may call.
 *
 * A workflow is a pure value; clients that only start runs import it without its body. Its body becomes a `Layer` with
 * `toLayer`, and executes wherever an engine with that layer runs. A body is replayed after a crash or a long wait, so it must
 * be deterministic: effects go into steps, and time, ids and waits come from here. Between steps the body is ordinary Effect
 * code, with ordinary interruption, scopes and typed errors.
 *
 * Not in here: steps, which are in `Step`; schedules, which are in `Schedule`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import {
  InvalidInput,
  type RunCancelled,
  type RunConflict,
  type RunDead,
  type RunTimedOut,
  type StoreError,
  type ValueTooLarge
} from "./Errors.ts"
import { begin, begun } from "./internal/begin.ts"
import * as Body from "./internal/body.ts"
import * as Codec from "./internal/codec.ts"
import * as Durations from "./internal/durations.ts"
import * as Endings from "./internal/endings.ts"
import { CurrentRun, CurrentStep } from "./internal/execution.ts"
import { identifyOwn } from "./internal/identity.ts"
import { bounded } from "./internal/ids.ts"
import { currentExecution } from "./internal/inBody.ts"
import * as names from "./internal/names.ts"
import { once } from "./internal/once.ts"
import { Engine } from "./internal/registry.ts"
import { traceOf, unstacked } from "./internal/tracing.ts"
import * as uuids from "./internal/uuid.ts"
import * as Run from "./Run.ts"
import { SystemDb } from "./SystemDb.ts"

export {
  /**
   * The run whose body is executing. A step or a durable wait requires it, so that using one outside of a body does not
   * compile.
   *
   * @category services
   * @since 0.1.0
   */
  CurrentRun
}

/**
 * What can be said when a run is started.
 *
 * `runId` makes starting idempotent: the run that has it already is returned instead of a second one. `delay` is how long the
 * run stays enqueued, `timeout` how long it may take from when it first executes; both survive restarts. An infinite `timeout`
 * is none, also where the workflow has one. Negative ones, and waits of more than 4e15 milliseconds, are `InvalidInput`.
 *
 * @category models
 * @since 0.1.0
 */
export interface StartOptions {
  readonly runId?: string | undefined
  readonly delay?: Duration.Input | undefined
  readonly timeout?: Duration.Input | undefined
}

/**
 * The ways starting a run can be refused or fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError = InvalidInput | ValueTooLarge | RunConflict | StoreError

type StartArgs<P> = [P] extends [void | undefined] ? [payload?: P, options?: StartOptions]
  : [payload: P, options?: StartOptions]

/**
 * A durable workflow: a pure value that says what goes in, what comes out and how it can fail.
 *
 * @category models
 * @since 0.1.0
 */
export interface Workflow<out Name extends string, in out P, out A, out E> {
  readonly name: Name
  readonly payload: Schema.Codec<P, any>
  readonly success: Schema.Codec<A, any>
  readonly error: Schema.Codec<E, any>
  /** The default time-out of its runs; an infinite one is none. A negative one is refused by `start` and by the layer. */
  readonly timeout: Duration.Duration | undefined
  /** Whether its runs are for any application that has a body for it, and not for one alone. */
  readonly shared: boolean

  /**
   * Starts a run, durable when this returns, and does not wait for it. Inside `sql.withTransaction` of the store's own client
   * the run commits or rolls back with the caller's writes. In a body the id is derived from the parent's, so that a replay
   * does not start a second run.
   */
  readonly start: (...args: StartArgs<P>) => Effect.Effect<Run.Handle<A, E>, StartError, SystemDb>

  /** Starts a run and waits for its end. */
  readonly execute: (...args: StartArgs<P>) => Effect.Effect<A, E | StartError | Run.AwaitError, SystemDb>

  /** The handle of a run by its id; whether there is such a run is not looked up. */
  readonly handle: (runId: string) => Run.Handle<A, E>

  /**
   * The body, as a layer: runs of this workflow execute in processes that have it and an engine. Dies with `InvalidInput` where the
   * workflow belongs to another application, and where the process has a body for it already.
   */
  // A method, so that a workflow is also one that gives and fails with more; a body is written for the workflow at hand.
  toLayer<R>(
    body: (payload: P) => Effect.Effect<A, E, R>
  ): Layer.Layer<never, never, Engine | Exclude<R, CurrentRun | Scope.Scope>>
}

/**
 * Any workflow at all.
 *
 * @category models
 * @since 0.1.0
 */
export type Any = Workflow<string, any, any, any>

/**
 * A workflow's payload, success and error types.
 *
 * @category models
 * @since 0.1.0
 */
export type Payload<W> = W extends Workflow<any, infer P, any, any> ? P : never
/** @category models @since 0.1.0 */
export type Success<W> = W extends Workflow<any, any, infer A, any> ? A : never
/** @category models @since 0.1.0 */
export type Failure<W> = W extends Workflow<any, any, any, infer E> ? E : never

/** The time-out to store: of the start, where it says one, or else the workflow's. */
const timeoutMillis = (
  own: Duration.Input | undefined,
  ofWorkflow: Duration.Input | undefined
): Result.Result<number | null, InvalidInput> =>
  Result.flatMap(Durations.timeout("timeout", ofWorkflow), (millis) =>
    own === undefined
      ? Result.succeed(millis)
      // None at all is more than the absence of one where the workflow has one.
      : Result.map(
        Durations.timeout("timeout", own),
        (own) => own ?? (millis === null ? null : Durations.longestMillis)
      ))

/** The id of a run started without one: derived in a body, new elsewhere. */
const newRunId = (workflow: string): Effect.Effect<string> =>
  Effect.withFiber((fiber) => {
    const parent = currentExecution(fiber)
    if (parent === undefined) return uuids.v7
    const { occurrence } = identifyOwn(parent, fiber, `start ${workflow}`, "", "give each a runId")
    return parent.besides(fiber, Effect.succeed(bounded(`${parent.run.id}/${workflow}/${occurrence}`)))
  })

const start = Effect.fnUntraced(function*(
  workflow: Any,
  payload: unknown,
  ofWorkflow: Duration.Input | undefined,
  options: StartOptions
): Effect.fn.Return<Run.Handle<any, any>, StartError, SystemDb> {
  const db = yield* SystemDb
  yield* names.check("workflow", workflow.name)
  const delayMillis = options.delay === undefined
    ? null
    : yield* Effect.fromResult(Durations.wait("delay", options.delay))
  const timeout = yield* Effect.fromResult(timeoutMillis(options.timeout, ofWorkflow))
  const encoded = Codec.fromSchema(workflow.payload).encode(payload)
  if (Result.isFailure(encoded)) return yield* new InvalidInput({ field: "payload", reason: encoded.failure })
  const id = options.runId === undefined
    ? yield* newRunId(workflow.name)
    : yield* names.checkRunId(options.runId)
  const { body, trace } = yield* Effect.withFiber((fiber) =>
    Effect.succeed({ body: currentExecution(fiber), trace: traceOf(fiber) })
  )
  // A body that is replayed past its end finds what it started, and starts nothing any more.
  if (body?.overdue === true && Option.isNone(yield* body.ask(db.findRun(id)))) return yield* body.stop
  // A step's run is the body's too: until the step is recorded, it may be started again.
  const parent = Option.getOrUndefined(yield* Effect.serviceOption(CurrentRun))
  const run = {
    id,
    workflow: workflow.name,
    payload: encoded.success ?? "null",
    delayMillis,
    timeoutMillis: timeout,
    parent: parent?.run.id ?? null,
    trace,
    fresh: options.runId === undefined && body === undefined
  }
  const beginning = begin({
    workflow: workflow.name,
    runId: id,
    later: delayMillis !== null,
    start: (owner) => db.start({ ...run, owner }),
    claimed: (started) => begun(run, started)
  })
  yield* body === undefined ? beginning : body.ask(beginning)
  return workflow.handle(id)
})

/**
 * Defines a workflow. Pure: nothing is registered and nothing runs.
 *
 * A workflow belongs to the application whose engine had a body for it first: the layer of another one's body dies and says so,
 * so that applications that share a store by chance or on purpose do not execute each other's runs. With `shared: true` any of
 * them may execute it.
 *
 * Shape:   `payload` is a schema or the fields of a struct; without one the payload is void, as is `success`; without
 *          `error` the workflow has no typed failures
 *
 * @example
 * ```ts
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Schema from "effect/Schema"
 *
 * export const Greet = Workflow.make("greet", {
 *   payload: { name: Schema.String },
 *   success: Schema.String
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  const Name extends string,
  P extends Schema.Codec<any, any> | Schema.Struct.Fields = Schema.Void,
  A extends Schema.Codec<any, any> = Schema.Void,
  E extends Schema.Codec<any, any> = Schema.Never
>(name: Name, options: {
  readonly payload?: P
  readonly success?: A
  readonly error?: E
  readonly timeout?: Duration.Input | undefined
  readonly shared?: boolean | undefined
} = {}): Workflow<
  Name,
  P extends Schema.Codec<infer T, any> ? T : P extends Schema.Struct.Fields ? Schema.Struct<P>["Type"] : never,
  A["Type"],
  E["Type"]
> => {
  const payload = options.payload ?? Schema.Void
  const success = options.success ?? Schema.Void
  const error = options.error ?? Schema.Never
  // As it was said: a duration does not tell that it was no number. Refused where it is used, since this is pure.
  const { timeout } = options
  const self: Any = {
    name,
    payload: Schema.isSchema(payload)
      ? payload as Schema.Codec<any, any>
      : Schema.Struct(payload as Schema.Struct.Fields) as any,
    success,
    error,
    timeout: timeout === undefined ? undefined : Duration.fromInputUnsafe(timeout),
    shared: options.shared ?? false,
    start: (payload?: any, options?: StartOptions) => start(self, payload, timeout, options ?? {}),
    execute: (payload?: any, options?: StartOptions) =>
      Effect.flatMap(start(self, payload, timeout, options ?? {}), (handle) => handle.await),
    handle: (runId) => Run.handle(runId, self),
    toLayer: (body) => toLayer(self, timeout, body)
  }
  return self as never
}

const toLayer = <R>(
  workflow: Any,
  timeout: Duration.Input | undefined,
  body: (payload: any) => Effect.Effect<any, any, R>
): Layer.Layer<never, never, Engine | Exclude<R, CurrentRun | Scope.Scope>> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const registry = yield* Engine
    yield* Effect.orDie(names.check("workflow", workflow.name))
    const timeoutMillis = yield* Effect.orDie(Effect.fromResult(Durations.timeout("timeout", timeout)))
    // A run's steps hang under the run, not under the span in which this layer happens to be built.
    const context = Context.omit(Tracer.ParentSpan)(
      yield* Effect.context<Exclude<R, CurrentRun | Scope.Scope>>()
    ) as Context.Context<Exclude<R, CurrentRun | Scope.Scope>>
    const codecs = {
      payload: Codec.fromSchema(workflow.payload),
      success: Codec.fromSchema(workflow.success),
      error: Codec.fromSchema(workflow.error)
    }
    yield* registry.register({
      workflow: workflow.name,
      timeoutMillis,
      shared: workflow.shared,
      tracer: yield* Tracer.Tracer,
      execute: (execution) => Effect.provideContext(Body.execute(execution, codecs, body), context)
    })
  }))

// ── children ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A run that a body started, typed by its workflow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Child<A, E> {
  readonly id: string
  /** Waits for the run to end, and ends as it did. */
  readonly await: Effect.Effect<A, E | ChildError, CurrentRun>
}

/**
 * The ways a child can end without its own success or failure.
 *
 * @category errors
 * @since 0.1.0
 */
export type ChildError = RunCancelled | RunTimedOut | RunDead

/**
 * Starts a run from a body, as `start` does, with what a body can handle left in the types: nothing. A payload that cannot be
 * stored, a negative delay or an id of another workflow's run are defects; an absent store is waited for.
 *
 * Shape:   the id is derived from the parent's unless one is given, as concurrent branches need it
 * Cost:    one durable write
 *
 * @example
 * ```ts
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Ship = Workflow.make("ship", { payload: Schema.String })
 * const Order = Workflow.make("order", { payload: Schema.String })
 *
 * export const OrderLive = Order.toLayer(Effect.fnUntraced(function*(id) {
 *   const shipping = yield* Workflow.startChild(Ship, id)
 *   yield* Workflow.sleep("1 hour")
 *   yield* Effect.catchTag(shipping.await, "RunCancelled", () => Effect.logInfo(`${id} is not shipped`)).pipe(Effect.orDie)
 * }))
 * ```
 *
 * @category body
 * @since 0.1.0
 */
export const startChild = <P, A, E>(
  workflow: Workflow<string, P, A, E>,
  ...args: StartArgs<P>
): Effect.Effect<Child<A, E>, never, CurrentRun> =>
  CurrentRun.use((execution) =>
    Effect.withFiber((fiber) => {
      const step = fiber.getRef(CurrentStep)
      if (step !== undefined) {
        const reason = `it is used inside step ${step.name}; only the body has children`
        throw execution.refuse(`start ${workflow.name}`, reason)
      }
      const provided = Effect.provideService(SystemDb, execution.db)
      return Effect.map(provided(Effect.orDie(workflow.start(...args))), ({ id }) => ({
        id,
        await: Effect.flatMap(
          provided(Effect.orDie(Endings.of(id))),
          (run) => Endings.replay(id, run, workflow, Effect.die)
        )
      }))
    })
  )

/**
 * Starts a run from a body and waits for its end. See {@link startChild}.
 *
 * @category body
 * @since 0.1.0
 */
export const executeChild = <P, A, E>(
  workflow: Workflow<string, P, A, E>,
  ...args: StartArgs<P>
): Effect.Effect<A, E | ChildError, CurrentRun> => Effect.flatMap(startChild(workflow, ...args), (child) => child.await)

// ── what a body may call ───────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The run whose body is executing: its id, its workflow and its attempt, which is 1 and one more for each worker that died
 * while it executed the run.
 *
 * @category body
 * @since 0.1.0
 */
export const current: Effect.Effect<
  { readonly id: string; readonly workflow: string; readonly attempt: number },
  never,
  CurrentRun
> = CurrentRun.use(({ run }) => Effect.succeed({ id: run.id, workflow: run.workflow, attempt: run.attempt }))

/**
 * The time, recorded: the same on every replay. One durable write.
 *
 * @category body
 * @since 0.1.0
 */
export const now: Effect.Effect<DateTime.Utc, never, CurrentRun> = Effect.map(
  once("now", () => Clock.currentTimeMillis),
  DateTime.makeUnsafe
)

/**
 * A new UUID (version 7), recorded: the same on every replay. One durable write.
 *
 * @category body
 * @since 0.1.0
 */
export const uuid: Effect.Effect<string, never, CurrentRun> = once("uuid", () => uuids.v7)

/**
 * Waits durably: the wake time is recorded before the wait begins and holds across restarts and workers.
 *
 * A wait longer than the engine's `suspendAfter` gives the run up: its fiber is interrupted (finalizers run, failure handlers
 * and undo steps do not) and the run is a row until it is due, when any worker replays it. In a concurrent branch, such as a
 * `race` or under `Effect.timeout`, the fiber stays. Concurrent waits need a `key`.
 *
 * Shape:   a duration that is negative, infinite or longer than 4e15 milliseconds is a defect, `InvalidInput`
 * Cost:    one durable write, and a second one when the run is given up
 *
 * @category body
 * @since 0.1.0
 */
export const sleep = (
  duration: Duration.Input,
  options?: { readonly key?: string | undefined }
): Effect.Effect<void, never, CurrentRun> =>
  CurrentRun.use((execution) =>
    Effect.withFiber((fiber) => {
      const id = identifyOwn(execution, fiber, "sleep", options?.key)
      const wait = (wakeAt: number) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          wakeAt <= now ? Effect.void : Effect.withSpan(execution.waitUntil(fiber, wakeAt), "Workflow.sleep", {
            ...unstacked,
            attributes: { "run.id": execution.run.id, until: DateTime.formatIso(DateTime.makeUnsafe(wakeAt)) }
          }))
      const known = execution.recorded(id, "Sleep")
      if (known !== undefined) {
        return execution.inTurn(fiber, known, () => wait(known.wakeAt!))
      }
      const millis = Durations.wait("duration of Workflow.sleep", duration)
      if (Result.isFailure(millis)) {
        return Effect.die(millis.failure)
      }
      const write = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const wakeAt = Math.ceil(now + millis.success)
        return Effect.as(
          execution.record({
            ...id,
            kind: "Sleep",
            attempts: 1,
            errors: null,
            startedAt: now,
            outcome: null,
            wakeAt
          }),
          wakeAt
        )
      })
      return Effect.flatMap(execution.perform(fiber, id, write), wait)
    })
  )
