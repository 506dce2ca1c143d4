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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as EffectSchedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import { LeaseLost, type StepTimedOut, StoreError } from "./Errors.ts"
import type * as Attempts from "./internal/attempts.ts"
import type { IsPlain } from "./internal/codec.ts"
import { type CurrentRun, CurrentStep, type Execution } from "./internal/execution.ts"
import { asAttempt } from "./internal/interposed.ts"
import * as Outcome from "./internal/outcome.ts"
import * as Steps from "./internal/steps.ts"
import { inTransaction, type Isolation, isRolledBack, type SqlClient, type SqlError } from "./internal/transaction.ts"
import type { NewStepRecord } from "./SystemDb.ts"

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
 * What undoes a step, should the run fail after it.
 *
 * `undo` gets the value the step returned, and why the run fails: `Fail` with the body's typed failure or with `RunTimedOut`,
 * or `Die`. It is a step itself, named `undo <step>` unless `undoName` says otherwise, under the same key. To retry it or bound
 * its time, use {@link withUndo}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Undoable<A, R> {
  readonly undo?: ((value: NoInfer<A>, cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly undoName?: string | undefined
}

/**
 * The options of a step that may be retried.
 *
 * `retry` is one of Effect's schedules, see also {@link backoff}: typed failures and timeouts are retried, defects are not;
 * attempts, their errors and the waits survive restarts; of many errors the first and the last are kept. `timeout` bounds each
 * attempt; an infinite one is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A, E, Timeout = undefined, R = never> extends Codecs<A, E>, Undoable<A, R> {
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
export interface TransactionOptions<A, E, R = never> extends Codecs<A, E>, Undoable<A, R> {
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
  <A, E, R, const T extends Duration.Input | undefined = undefined, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R>,
    options: Options<A, E, T, R2> & WithSuccess<A> & WithError<E>
  ): Effect.Effect<A, E | TimeoutError<T>, R | NoInfer<R2> | CurrentRun>
  <A, E, R, const T extends Duration.Input | undefined = undefined, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<E, "error">,
    options: Options<A, E, T, R2> & WithSuccess<A>
  ): Effect.Effect<A, E | TimeoutError<T>, R | NoInfer<R2> | CurrentRun>
  <A, E, R, const T extends Duration.Input | undefined = undefined, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success">,
    options: Options<A, E, T, R2> & WithError<E>
  ): Effect.Effect<A, E | TimeoutError<T>, R | NoInfer<R2> | CurrentRun>
  <A, E, R, const T extends Duration.Input | undefined = undefined, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success"> & Plain<E, "error">,
    options?: Options<A, E, T, R2>
  ): Effect.Effect<A, E | TimeoutError<T>, R | NoInfer<R2> | CurrentRun>
} = (name: string, effect: Effect.Effect<any, any, any>, options: Steps.Erased = {}) =>
  Steps.make({ kind: "Step", name, options, live: Steps.attempted(effect), undos: Steps.undosOf(name, options) })

/** Transactions in each other's way are over soon, so waiting for long between tries would help nobody. */
const longestPauseOfConflicts = 1_000

/** Fails a transaction whose step turns out to be recorded: its commit had gone through, only the answer was lost. */
class AlreadyRecorded {
  readonly _tag = "AlreadyRecorded"
}

/** Rolls back the transaction that found out that none before it has committed. */
class NotRecorded {
  readonly _tag = "NotRecorded"
}

/** Set from when the record is written, until it is known whether that transaction has committed. */
interface Doubt {
  /** Says that it is known. */
  release: (() => void) | undefined
}

/** The outcome of a record that is never kept. */
const unsaid = "null"

/**
 * Finds out whether a transaction whose answer was lost has committed, and fails with `AlreadyRecorded` if so. It writes the same
 * record and rolls back, since a write waits for a commit that is still under way, where a look would come too early.
 */
const settle = (execution: Execution, record: NewStepRecord, doubt: Doubt) =>
  inTransaction(
    Effect.flatMap(
      execution.db.recordStepInTransaction(execution.lease, record),
      (written) => Effect.fail(written ? new NotRecorded() : new AlreadyRecorded())
    )
  ).pipe(Effect.catchIf((error) => error instanceof NotRecorded, () => Effect.sync(() => known(doubt))))

const known = (doubt: Doubt): void => {
  doubt.release?.()
  doubt.release = undefined
}

const transact = Effect.fnUntraced(function*(
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  step: Attempts.Attempts<any, any>,
  effect: Effect.Effect<any, any, any>,
  isolation: Isolation | undefined,
  record: (outcome: string) => NewStepRecord,
  doubt: Doubt
): Effect.fn.Return<any, any, any> {
  const attempt = asAttempt({ execution, id: step.id, attempt: 1 }, effect)
  const transaction = Effect.flatMap(attempt, (value) => {
    const { exit, outcome } = Outcome.settleSuccess(value, step.success)
    if (outcome._tag === "Defect") return exit
    if (execution.outlived(fiber)) return Effect.interrupt
    return Effect.flatMap(
      Effect.catchIf(
        execution.db.recordStepInTransaction(execution.lease, record(Outcome.stringify(outcome))),
        (error) => error._tag === "ValueTooLarge" || (error._tag === "StoreError" && error.fate === "Fail"),
        Effect.die
      ),
      (recorded) => {
        if (!recorded) return Effect.fail(new AlreadyRecorded())
        doubt.release = execution.hold()
        return exit
      }
    )
  })
  let tries = 0
  const once = Effect.suspend(() => inTransaction(transaction, isolation, tries++)).pipe(
    Effect.tapError((error) =>
      error instanceof StoreError && !isRolledBack(error) ? Effect.void : Effect.sync(() => known(doubt))
    )
  )
  // Before the effect runs again: what it meets then may be what it has committed itself.
  const settled = Effect.suspend(() =>
    doubt.release === undefined ? Effect.void : settle(execution, record(unsaid), doubt)
  )
  const ask = { longestPauseMillis: longestPauseOfConflicts }
  const exit = yield* Effect.exit(execution.ask(Effect.andThen(settled, once), ask))
  if (Exit.isSuccess(exit)) return exit.value
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  if (failure instanceof AlreadyRecorded || failure instanceof LeaseLost) return yield* exit
  const failed = Outcome.settle(exit, step)
  if (failed === undefined || execution.ending !== undefined) return yield* exit
  yield* execution.ask(settled, ask)
  yield* execution.record(record(Outcome.stringify(failed.outcome)))
  return yield* failed.exit
})

/**
 * Runs the transaction and registers what undoes it. An interruption can come while it commits, or after a commit whose answer
 * was lost: then the store says whether there is something to undo.
 */
const transacted =
  (isolation: Isolation | undefined, effect: Effect.Effect<any, any, any>, options: Steps.Erased): Steps.Live =>
  (execution, fiber, step) =>
    execution.perform(
      fiber,
      step.id,
      Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
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
        const doubt: Doubt = { release: undefined }
        const transaction = transact(execution, fiber, step, effect, isolation, record, doubt).pipe(
          Effect.catchIf((error) => error instanceof AlreadyRecorded, () => adopt(execution, step, options)),
          Effect.catchTag("LeaseLost", () => execution.lost)
        )
        const registered = Effect.flatMap(Effect.exit(restore(transaction)), (exit) => {
          if (Exit.isSuccess(exit)) {
            execution.slot.progressed()
            step.succeeded(exit.value)
          }
          if (doubt.release === undefined || !Exit.hasInterrupts(exit)) return exit
          // Not committed, it succeeds; committed, it fails.
          const committed = Effect.andThen(
            Effect.flip(execution.ask(settle(execution, record(unsaid), doubt))),
            adopt(execution, step, options)
          )
          return Effect.flatMap(execution.unbroken(Effect.exit(committed)), (found) => {
            if (Exit.isSuccess(found)) step.succeeded(found.value)
            return exit
          })
        })
        return yield* Effect.ensuring(registered, Effect.sync(() => known(doubt)))
      }))
    )

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
  <A, E, R, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R>,
    options: TransactionOptions<A, Exclude<E, SqlError>, R2> & WithSuccess<A> & WithError<Exclude<E, SqlError>>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | NoInfer<R2> | CurrentRun | SqlClient>
  <A, E, R, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<Exclude<E, SqlError>, "error">,
    options: TransactionOptions<A, Exclude<E, SqlError>, R2> & WithSuccess<A>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | NoInfer<R2> | CurrentRun | SqlClient>
  <A, E, R, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success">,
    options: TransactionOptions<A, Exclude<E, SqlError>, R2> & WithError<Exclude<E, SqlError>>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | NoInfer<R2> | CurrentRun | SqlClient>
  <A, E, R, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> & Plain<A, "success"> & Plain<Exclude<E, SqlError>, "error">,
    options?: TransactionOptions<A, Exclude<E, SqlError>, R2>
  ): Effect.Effect<A, Exclude<E, SqlError>, R | NoInfer<R2> | CurrentRun | SqlClient>
} = (
  name: string,
  effect: Effect.Effect<any, any, any>,
  options: Steps.Erased & { readonly isolation?: Isolation | undefined } = {}
) =>
  Steps.make({
    kind: "Transaction",
    name,
    options,
    live: transacted(options.isolation, effect, options),
    undos: Steps.undosOf(name, options)
  })

/** Reads back the outcome that was committed although its answer was lost. */
const adopt = Effect.fnUntraced(function*(
  execution: Execution,
  step: Attempts.Attempts<any, any>,
  options: Steps.Erased
): Effect.fn.Return<any, any> {
  const steps = yield* Effect.orDie(execution.ask(execution.db.listSteps(execution.run.id)))
  const record = steps.find((other) =>
    other.name === step.id.name && other.key === step.id.key && other.occurrence === step.id.occurrence
  )
  return yield* Steps.replayed(execution, record!, record!.outcome!, options)
})

/**
 * Undoes the step before it, should the run fail later on.
 *
 * Directly on a step (or on another `withUndo` on one) it is the step's option `undo` with options of its own: registered in the
 * moment in which the step's success is durable, whatever interrupts the branch it is in, and on replay again. On any other
 * effect it registers as soon as that has succeeded; steps in it that were recorded when it was interrupted are not undone.
 *
 * When the body fails, dies or times out, why is recorded, and the undo steps registered so far run in reverse order, each
 * recorded like a step: a crash in the middle continues with those that are left. Cancelling a run undoes nothing. An undo that
 * fails is logged and recorded, the others still run, and the run ends with the failure that started it. `undo` gets that
 * failure as its second argument, see {@link Undoable}.
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
  undo: (value: A, cause: Cause.Cause<unknown>) => Effect.Effect<unknown, E2, R2>,
  options: {
    readonly key?: string | undefined
    readonly retry?: EffectSchedule.Schedule<unknown, NoInfer<E2> | StepTimedOut> | undefined
    readonly timeout?: Duration.Input | undefined
  } = {}
) =>
<E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | R2 | CurrentRun> =>
  Steps.withUndo(self, { name, undo, options })

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
