/** Executes a workflow's body under an execution: decodes, runs, undoes, and says how it ended. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { NonDeterminism, Undecodable } from "../Errors.ts"
import type { Codec } from "./codec.ts"
import { CurrentRun, type Execution } from "./execution.ts"
import * as Outcome from "./outcome.ts"
import type { End } from "./registry.ts"

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
  const { deadline } = execution.run
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
  if (execution.refusal !== undefined) return Outcome.fromDefect(execution.refusal)
  if (execution.ending === "TimedOut") return Outcome.timedOut
  if (Exit.isSuccess(exit) && execution.undone) {
    if (execution.expired) return Outcome.timedOut
    const reason = "the run failed before and its undo steps have begun, but replayed it succeeds"
    return Outcome.fromDefect(new NonDeterminism({ runId: execution.run.id, step: "", reason }))
  }
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
    return { ...failed(Outcome.fromDefect(error)), unreadable: error.message }
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
  if (outcome._tag === "Success") return { status: "Succeeded", outcome: Outcome.stringify(outcome) }
  yield* undo(execution)
  return failed(outcome)
})

/** Runs the undo steps, last registered first. One that fails is logged, and the others still run. */
const undoAll = (execution: Execution): Effect.Effect<void> =>
  Effect.forEach(
    execution.undo.splice(0).reverse(),
    (undo) =>
      Effect.catchCause(
        undo.effect,
        (cause) => Effect.logError(`Undo step ${undo.name} of run ${execution.run.id} failed`, cause)
      ),
    { discard: true }
  )

/** Undoes what the body did, when it has ended and the run fails. Interrupted when the engine ended the execution meanwhile. */
export const undo = Effect.fnUntraced(function*(execution: Execution): Effect.fn.Return<void> {
  execution.settle()
  if (execution.undo.length === 0) return
  const fiber = yield* Effect.forkChild(undoAll(execution))
  execution.attach(fiber)
  yield* Fiber.await(fiber)
  if (execution.stopped) return yield* Effect.interrupt
})
