/**
 * Steps: the effects of a run whose outcome is recorded once and returned, not run again, on replay.
 *
 * A step runs at least once and is recorded at most once: what crashes between its effect and its record runs again. A
 * {@link transaction} commits its writes and its record together, which makes it exactly once. Steps are matched to their
 * records by name and occurrence, so a name may repeat in a loop; in concurrent branches it needs a `key`.
 *
 * Not in here: durable waits, time and ids, which are in `Workflow`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as EffectSchedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import { InvalidInput, LeaseLost, StepTimedOut, StoreError } from "./Errors.ts"
import * as Attempts from "./internal/attempts.ts"
import type { IsPlain } from "./internal/codec.ts"
import * as Codec from "./internal/codec.ts"
import { CurrentRun, CurrentStep, type Execution } from "./internal/execution.ts"
import * as names from "./internal/names.ts"
import * as Outcome from "./internal/outcome.ts"
import { inTransaction, type Isolation, isRolledBack, type SqlClient, type SqlError } from "./internal/transaction.ts"
import type { StepId, StepRecord } from "./SystemDb.ts"

/**
 * What every kind of step takes.
 *
 * `success` and `error` are needed only where the type is not plain JSON, and then they are required. `key` tells apart
 * steps of one name in concurrent branches.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codecs<A, E> {
  readonly key?: string | undefined
  readonly success?: Schema.Codec<A, any> | undefined
  readonly error?: Schema.Codec<E, any> | undefined
}

/**
 * The options of a step that may be retried.
 *
 * `retry` is one of Effect's schedules, see also {@link backoff}: typed failures and timeouts are retried, defects are not;
 * attempts, their errors and the waits survive restarts. `timeout` bounds each attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A, E, Timeout = undefined> extends Codecs<A, E> {
  readonly retry?: EffectSchedule.Schedule<unknown, NoInfer<E> | TimeoutError<NoInfer<Timeout>>> | undefined
  readonly timeout?: Timeout
}

type TimeoutError<Timeout> = [Timeout] extends [undefined] ? never : StepTimedOut

/**
 * The options of a {@link transaction}. `isolation` is read committed unless given, whatever the
 * database's default.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionOptions<A, E> extends Codecs<A, E> {
  readonly isolation?: Isolation | undefined
}

/**
 * Nothing, where a value is plain JSON; a member that no effect has, where it is not. It is the effect that is refused, not
 * the options, because the compiler looks at those before it knows an effect's types.
 */
type Plain<A, Option extends string> = IsPlain<A> extends true ? unknown
  : { readonly "~effect-durable/needs": `a schema, given as the option "${Option}"` }

type WithSuccess<A> = { readonly success: Schema.Codec<A, any> }
type WithError<E> = { readonly error: Schema.Codec<E, any> }

interface Erased {
  readonly key?: string | undefined
  readonly success?: Schema.Codec<any, any> | undefined
  readonly error?: Schema.Codec<any, any> | undefined
  readonly retry?: EffectSchedule.Schedule<unknown, any> | undefined
  readonly timeout?: Duration.Input | undefined
}

const replayed = (execution: Execution, record: StepRecord, outcome: string, options: Erased) =>
  Outcome.replay(Outcome.parse(outcome), {
    subject: `outcome of step ${record.name} in run ${execution.run.id}`,
    success: Codec.make(options.success),
    error: Codec.make(options.error),
    onTimedOut: () => Effect.fail(new StepTimedOut({ step: record.name })),
    onUndecodable: Effect.die
  })

type Live = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  step: Attempts.Attempts<any, any>,
  open: StepRecord | undefined
) => Effect.Effect<any, any, any>

/** The identity of the next use of a step's name in this fiber. A defect when it cannot have one. */
const identify = (execution: Execution, fiber: Fiber.Fiber<unknown, unknown>, name: string, key = ""): StepId => {
  const reason = names.fault(name)
  if (reason !== undefined) throw new InvalidInput({ field: "step", reason })
  const fault = key === "" ? undefined : names.fault(key)
  if (fault !== undefined) throw new InvalidInput({ field: `key of step ${name}`, reason: fault })
  return execution.identify(fiber, name, key)
}

/** Finds the step's record and replays it, or performs it. */
const perform = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  kind: StepRecord["kind"],
  id: StepId,
  options: Erased,
  live: Live
): Effect.Effect<any, any, any> => {
  const record = execution.recorded(id, kind)
  if (record !== undefined && record.outcome !== null) return replayed(execution, record, record.outcome, options)
  const step: Attempts.Attempts<any, any> = {
    id,
    kind,
    success: Codec.make(options.success),
    error: kind === "Undo" ? Codec.described : Codec.make(options.error),
    timeout: options.timeout === undefined ? undefined : Duration.fromInputUnsafe(options.timeout),
    retry: options.retry
  }
  return Effect.withSpan(live(execution, fiber, step, record), `Step.${id.name}`, {
    attributes: { "run.id": execution.run.id }
  })
}

/** A step of the run whose body the fiber is in. */
const make = (kind: StepRecord["kind"], name: string, options: Erased, live: Live): Effect.Effect<any, any, any> =>
  CurrentRun.use((execution) =>
    Effect.withFiber((fiber) =>
      perform(execution, fiber, kind, identify(execution, fiber, name, options.key), options, live)
    )
  )

/**
 * Runs an effect once per run: its outcome, success or failure, is recorded before the next line runs and returned from the
 * record ever after.
 *
 * A crash between the effect and the record runs the effect again: make it idempotent, or use {@link transaction}.
 * Interruption records nothing. A defect is recorded with its message and is not retried.
 *
 * Shape:   success and error schemas are required where the types are not plain JSON; `void` needs none
 * Fails:   as the effect does · StepTimedOut when `timeout` is given and every attempt ran out of time
 * Cost:    one durable write per attempt, none on replay
 *
 * @example
 * ```ts
 * import * as Step from "effect-durable/Step"
 * import * as Effect from "effect/Effect"
 *
 * export const charge = (orderId: string) =>
 *   Step.run("charge", Effect.succeed({ orderId, paid: true }), { retry: Step.backoff({ times: 3 }) })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const run: {
  <A, E, R, const T extends Duration.Input | undefined = undefined>(
    name: string,
    effect: Effect.Effect<A, E, R>,
    options: Options<A, E, T> & WithSuccess<A> & WithError<E>
  ): Effect.Effect<A, E | TimeoutError<T>, R | CurrentRun>
  <A, E, R, const T extends Duration.Input | undefined = undefined>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<E, "error">,
    options: Options<A, E, T> & WithSuccess<A>
  ): Effect.Effect<A, E | TimeoutError<T>, R | CurrentRun>
  <A, E, R, const T extends Duration.Input | undefined = undefined>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success">,
    options: Options<A, E, T> & WithError<E>
  ): Effect.Effect<A, E | TimeoutError<T>, R | CurrentRun>
  <A, E, R, const T extends Duration.Input | undefined = undefined>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success"> & Plain<E, "error">,
    options?: Options<A, E, T>
  ): Effect.Effect<A, E | TimeoutError<T>, R | CurrentRun>
} = (name: string, effect: Effect.Effect<any, any, any>, options: Erased = {}) =>
  make("Step", name, options, (execution, fiber, step, open) => Attempts.run(execution, fiber, effect, step, open))

/** Transactions in each other's way are over soon, so waiting for long between tries would help nobody. */
const longestPauseOfConflicts = 1_000

/** Fails a transaction whose step turns out to be recorded: its commit had gone through, only the answer was lost. */
class AlreadyRecorded {
  readonly _tag = "AlreadyRecorded"
}

const transact = Effect.fnUntraced(function*(
  execution: Execution,
  step: Attempts.Attempts<any, any>,
  effect: Effect.Effect<any, any, any>,
  isolation: Isolation | undefined
): Effect.fn.Return<any, any, any> {
  const startedAt = yield* Clock.currentTimeMillis
  const record = (outcome: string) => ({
    ...step.id,
    kind: step.kind,
    attempts: 1,
    errors: null,
    outcome,
    wakeAt: null,
    startedAt
  })
  const attempt = Effect.provideService(effect, CurrentStep, { name: step.id.name, attempt: 1 })
  /** Set while the transaction may have committed without this process knowing it. */
  let committed: (() => void) | undefined
  const settled = Effect.sync(() => {
    committed?.()
    committed = undefined
  })
  const transaction = inTransaction(
    Effect.flatMap(attempt, (value) => {
      const outcome = Outcome.fromSuccess(value, step.success)
      if (outcome._tag === "Defect") return Effect.die(Outcome.reviveDefect(outcome.defect))
      return Effect.flatMap(
        Effect.catchIf(
          execution.db.recordStepInTransaction(execution.lease, record(Outcome.stringify(outcome))),
          (error) => error._tag === "ValueTooLarge" || (error._tag === "StoreError" && error.fate === "Fail"),
          Effect.die
        ),
        (recorded) => {
          if (!recorded) return Effect.fail(new AlreadyRecorded())
          committed ??= execution.hold()
          return Effect.succeed(value)
        }
      )
    }),
    isolation
  ).pipe(Effect.tapError((error) => error instanceof StoreError && !isRolledBack(error) ? Effect.void : settled))
  const exit = yield* Effect.exit(
    Effect.ensuring(execution.ask(transaction, { longestPauseMillis: longestPauseOfConflicts }), settled)
  )
  const failure = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
  if (failure instanceof AlreadyRecorded || failure instanceof LeaseLost) return yield* exit
  const outcome = Outcome.fromExit(exit, step)
  if (outcome === undefined || outcome._tag === "Success" || execution.ending !== undefined) return yield* exit
  yield* execution.record(record(Outcome.stringify(outcome)))
  return yield* exit
})

/**
 * Runs the caller's SQL and writes the step's record in one transaction: exactly once.
 *
 * It runs on the `SqlClient` that the store's layer provides; on any other client it dies and says so. Serialization
 * failures, deadlocks and lost connections roll back and run it again, for as long as it takes. When the effect fails, its
 * writes are rolled back and the failure is recorded. Other SQL errors are defects: handle those you expect inside of a nested
 * `sql.withTransaction`, which is a savepoint; caught outside of one, the transaction cannot commit and the step dies.
 *
 * Shape:   as {@link run}; `SqlError` needs no schema
 * Atomic:  the effect's writes and the step's record
 * Fails:   as the effect does, `SqlError` apart
 * Cost:    BEGIN, the effect's statements, one insert, COMMIT; none on replay
 *
 * @category constructors
 * @since 0.1.0
 */
export const transaction: {
  <A, E, R>(
    name: string,
    effect: Effect.Effect<A, E, R>,
    options: TransactionOptions<A, Exclude<E, SqlError>> & WithSuccess<A> & WithError<Exclude<E, SqlError>>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | CurrentRun | SqlClient>
  <A, E, R>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<Exclude<E, SqlError>, "error">,
    options: TransactionOptions<A, Exclude<E, SqlError>> & WithSuccess<A>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | CurrentRun | SqlClient>
  <A, E, R>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success">,
    options: TransactionOptions<A, Exclude<E, SqlError>> & WithError<Exclude<E, SqlError>>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | CurrentRun | SqlClient>
  <A, E, R>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success"> & Plain<Exclude<E, SqlError>, "error">,
    options?: TransactionOptions<A, Exclude<E, SqlError>>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | CurrentRun | SqlClient>
} = (
  name: string,
  effect: Effect.Effect<any, any, any>,
  options: Erased & { readonly isolation?: Isolation | undefined } = {}
) =>
  make("Transaction", name, options, (execution, fiber, step) =>
    execution.perform(
      fiber,
      step.id,
      transact(execution, step, effect, options.isolation).pipe(
        Effect.catchIf((error) => error instanceof AlreadyRecorded, () => adopt(execution, step, options)),
        Effect.catchTag("LeaseLost", () => execution.lost)
      )
    ))

/** Reads back the outcome that was committed although its answer was lost. */
const adopt = Effect.fnUntraced(function*(
  execution: Execution,
  step: Attempts.Attempts<any, any>,
  options: Erased
): Effect.fn.Return<any, any> {
  const steps = yield* Effect.orDie(execution.ask(execution.db.listSteps(execution.run.id)))
  const record = steps.find((other) =>
    other.name === step.id.name && other.key === step.id.key && other.occurrence === step.id.occurrence
  )
  return yield* replayed(execution, record!, record!.outcome!, options)
})

/**
 * Registers what undoes the step before it, should the run fail later on.
 *
 * When the body fails, dies or times out, the undo steps registered so far run in reverse order, each recorded like a step:
 * a crash in the middle continues with those that are left. Cancelling a run undoes nothing. An undo that fails is logged and
 * recorded, the others still run, and the run ends with the failure that started it.
 *
 * @example
 * ```ts
 * import * as Step from "effect-durable/Step"
 * import * as Effect from "effect/Effect"
 *
 * declare const charge: Effect.Effect<string>
 * declare const refund: (payment: string) => Effect.Effect<void>
 *
 * export const payment = Step.run("charge", charge).pipe(Step.withUndo("refund", (id) => refund(id)))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withUndo = <A, E2, R2>(
  name: string,
  undo: (value: A) => Effect.Effect<unknown, E2, R2>,
  options?: {
    readonly key?: string | undefined
    readonly retry?: EffectSchedule.Schedule<unknown, NoInfer<E2> | StepTimedOut> | undefined
    readonly timeout?: Duration.Input | undefined
  }
) =>
<E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | R2 | CurrentRun> =>
  CurrentRun.use((execution) =>
    Effect.withFiber((fiber) => {
      // Identified where it stands, not when it runs: concurrent branches register in an order of chance.
      const id = identify(execution, fiber, name, options?.key)
      return Effect.tap(self, (value) =>
        Effect.contextWith((context: Context.Context<R2>) => {
          const effect = Effect.asVoid(Effect.suspend(() => undo(value)))
          const step = Effect.withFiber((fiber) =>
            perform(
              execution,
              fiber,
              "Undo",
              id,
              options ?? {},
              (execution, fiber, step, open) => Attempts.run(execution, fiber, effect, step, open)
            )
          )
          // The body's scope has closed by the time this runs, so it gets one of its own.
          execution.undo.push({
            name,
            effect: Effect.provideContext(Effect.scoped(step), context) as Effect.Effect<void>
          })
          return Effect.void
        }))
    })
  )

/**
 * The number of the attempt under way, from 1; for use inside a step's effect. 0 outside of a step.
 *
 * @category getters
 * @since 0.1.0
 */
export const attempt: Effect.Effect<number> = Effect.map(CurrentStep, (step) => step?.attempt ?? 0)

/**
 * A retry schedule with exponential backoff and jitter.
 *
 * Shape:   `times` retries after the first attempt; waits of `base`, doubled each time, at most `max`, give or take a fifth
 *
 * @category constructors
 * @since 0.1.0
 */
export const backoff = (options: {
  readonly times: number
  readonly base?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly max?: Duration.Input | undefined
}): EffectSchedule.Schedule<Duration.Duration, unknown> =>
  EffectSchedule.min([
    EffectSchedule.exponential(options.base ?? "1 second", options.factor ?? 2),
    EffectSchedule.spaced(options.max ?? "1 minute")
  ]).pipe(EffectSchedule.jittered, EffectSchedule.upTo({ times: options.times }))
