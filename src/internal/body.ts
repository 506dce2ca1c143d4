/** Executes a workflow's body under an execution: decodes, runs, undoes, and says how it ended. */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { StoreError, Undecodable, ValueTooLarge } from "../Errors.ts"
import { type Codec, plainJson } from "./codec.ts"
import { CurrentRun, type Execution } from "./execution.ts"
import * as Outcome from "./outcome.ts"
import type { End } from "./registry.ts"
import { recordsUnreached } from "./telemetry.ts"
import { causeOf } from "./undo.ts"

export interface Codecs<P, A, E> {
  readonly payload: Codec<P>
  readonly success: Codec<A>
  readonly error: Codec<E>
}

const failed = (outcome: Outcome.Outcome): End => ({ status: "Failed", outcome: Outcome.stringify(outcome) })

const lookAgainMillis = 100

/** Lets the deadline stop the body when it comes. */
const watchDeadline = Effect.fnUntraced(function*(execution: Execution, deadline: number) {
  const now = yield* Clock.currentTimeMillis
  if (deadline > now) yield* Effect.sleep(deadline - now)
  while (!execution.expire()) yield* Effect.sleep(lookAgainMillis)
})

/** Runs the body to its exit, or to its deadline. Interrupted when the engine ended the execution for another reason. */
const runBody = Effect.fnUntraced(function*<A, E>(execution: Execution, body: Effect.Effect<A, E>) {
  const { deadline } = execution
  const fiber = yield* Effect.forkChild(body)
  execution.attach(fiber)
  const watch = deadline === null
    ? undefined
    : yield* Effect.forkChild(watchDeadline(execution, deadline), { startImmediately: true })
  const exit = yield* Fiber.await(fiber)
  watch?.interruptUnsafe()
  return execution.stopped ? yield* Effect.interrupt : exit
})

/** What the body's exit means for the run. */
const outcomeOf = <A, E>(
  execution: Execution,
  exit: Exit.Exit<A, E>,
  codecs: Pick<Codecs<never, A, E>, "success" | "error">
): Outcome.Outcome => {
  if (execution.failure !== undefined) return Outcome.parse(execution.failure)
  if (execution.refusal !== undefined) return Outcome.fromDefect(execution.refusal)
  if (execution.ending === "TimedOut") return Outcome.timedOut
  // An interruption that is not the engine's came from the body itself, so it has to be told.
  return Outcome.fromExit(exit, codecs) ?? Outcome.fromDefect(new Error("The body was interrupted from within"))
}

/** Executes the body to its end. Interrupted when the engine ended the execution first, except by the run's timeout. */
export const execute = Effect.fnUntraced(function*<P, A, E, R>(
  execution: Execution,
  codecs: Codecs<P, A, E>,
  body: (payload: P) => Effect.Effect<A, E, R>
): Effect.fn.Return<End, never, Exclude<R, CurrentRun | Scope.Scope>> {
  const payload = codecs.payload.decode(execution.run.payload)
  if (Result.isFailure(payload)) {
    const subject = `payload of run ${execution.run.id}`
    const error = new Undecodable({ subject, reason: payload.failure })
    const outcome = execution.failure ?? Outcome.stringify(Outcome.fromDefect(error))
    return { status: "Failed", outcome, unreadable: error.message }
  }
  const run = Effect.scoped(Effect.suspend(() => body(payload.success))) as Effect.Effect<
    A,
    E,
    Exclude<R, Scope.Scope> | CurrentRun
  >
  const context = yield* Effect.context<Exclude<R, CurrentRun | Scope.Scope>>()
  const exit = yield* runBody(
    execution,
    Effect.provideService(run, CurrentRun, execution).pipe(Effect.provideContext(context)) as Effect.Effect<A, E>
  )
  const outcome = outcomeOf(execution, exit, codecs)
  yield* tellUnreached(execution)
  if (outcome._tag === "Success") return { status: "Succeeded", outcome: Outcome.stringify(outcome) }
  return yield* fail(execution, outcome, codecs.error)
})

const namedRecords = 10

/** Says which records the body did not come to, unless it was stopped before it could. */
const tellUnreached = Effect.fnUntraced(function*(execution: Execution) {
  if (execution.ending !== undefined && execution.failure === undefined) return
  const { run, unreached } = execution
  if (unreached.length === 0) return
  const named = unreached.slice(0, namedRecords).map(({ key, name, occurrence }) =>
    `${name}${key === "" ? "" : ` (${key})`}${occurrence === 1 ? "" : ` #${occurrence}`}`
  )
  const more = unreached.length > namedRecords ? ` and ${unreached.length - namedRecords} more` : ""
  yield* Effect.logWarning(
    `The body of run ${run.id} (${run.workflow}) ended without coming to ${unreached.length} of its recorded steps: ` +
      `${named.join(", ")}${more}. What they did stands; the body has changed, or is not deterministic.`
  )
  yield* Metric.update(Metric.withAttributes(recordsUnreached, { workflow: run.workflow }), unreached.length)
})

/** Runs the undo steps, last registered first. One that fails is logged, and the others still run. */
const undoAll = (execution: Execution, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.forEach(
    execution.undo.splice(0).reverse(),
    (undo) =>
      Effect.catchCause(
        undo.effect(cause),
        (cause) => Effect.logError(`Undo step ${undo.name} of run ${execution.run.id} failed`, cause)
      ),
    { discard: true }
  )

/** Short, because it must not be too large itself. */
const unstorable = ({ message, name }: Error): Outcome.Outcome => ({
  _tag: "Defect",
  defect: JSON.stringify({ name, message })
})

/** Records why the run fails, unless that is recorded already. A reason that is too large gives way to one that says so. */
const recordFailure = (execution: Execution, outcome: Outcome.Outcome): Effect.Effect<Outcome.Outcome> => {
  const write = (outcome: Outcome.Outcome) => Effect.as(execution.recordFailure(Outcome.stringify(outcome)), outcome)
  if (execution.failure !== undefined) return Effect.succeed(outcome)
  return Effect.catchDefect(
    write(outcome),
    (defect) =>
      defect instanceof ValueTooLarge || defect instanceof StoreError ? write(unstorable(defect)) : Effect.die(defect)
  )
}

/**
 * Fails the run with this outcome, after its body has ended: once nothing is under way any more, records why and undoes what the
 * body did. Interrupted when the engine ended the execution meanwhile.
 */
export const fail = Effect.fnUntraced(function*<E>(
  execution: Execution,
  outcome: Outcome.Outcome,
  error: Codec<E>
): Effect.fn.Return<End> {
  execution.settle()
  const fiber = yield* Effect.forkChild(Effect.gen(function*() {
    yield* execution.quiet
    if (execution.undo.length === 0) return outcome
    const reason = yield* recordFailure(execution, outcome)
    yield* undoAll(execution, causeOf(execution.run.id, reason, error))
    return reason
  }))
  execution.attach(fiber)
  const exit = yield* Fiber.await(fiber)
  if (execution.stopped) return yield* Effect.interrupt
  return failed(yield* exit)
})

/** Fails a run whose end cannot be stored. */
export const failUnstorable = (execution: Execution, error: Error): Effect.Effect<End> =>
  fail(execution, unstorable(error), plainJson())
