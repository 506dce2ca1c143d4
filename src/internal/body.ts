/** Executes a workflow's body under an execution: decodes, runs, undoes, and says how it ended. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Undecodable } from "../Errors.ts"
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

/** Lets the deadline stop the body when it comes; unless it ends before. */
const watchDeadline = (execution: Execution): Effect.Effect<void> => {
  const deadline = execution.run.deadline
  return deadline === null ? Effect.void : Clock.currentTimeMillis.pipe(
    Effect.flatMap((now) => deadline > now ? Effect.sleep(deadline - now) : Effect.void),
    Effect.andThen(Effect.sync(() => execution.expire()))
  )
}

/** Runs the undo steps, last registered first. One that fails is logged, and the others still run. */
const undoAll = (execution: Execution): Effect.Effect<void> =>
  Effect.forEach(
    execution.undo.splice(0).reverse(),
    (undo) =>
      Effect.catchCauseIf(
        undo.effect,
        (cause) => !Cause.hasInterruptsOnly(cause),
        (cause) => Effect.logError(`Undo step ${undo.name} of run ${execution.run.id} failed`, cause)
      ),
    { discard: true }
  )

const forkBody = <A, E>(execution: Execution, body: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    if (execution.run.deadline !== null) yield* Effect.forkChild(watchDeadline(execution), { startImmediately: true })
    const fiber = yield* Effect.forkChild(body)
    execution.body = fiber
    return fiber
  })

/** Executes the body to its end. Interrupted when the engine ended the execution first, except by the run's timeout. */
export const execute = Effect.fnUntraced(function*<P, A, E, R>(
  execution: Execution,
  codecs: Codecs<P, A, E>,
  body: (payload: P) => Effect.Effect<A, E, R>
): Effect.fn.Return<End, never, Exclude<R, CurrentRun | Scope.Scope>> {
  const payload = codecs.payload.decode(execution.run.payload)
  if (Result.isFailure(payload)) {
    return failed(
      Outcome.fromDefect(
        new Undecodable({ subject: `payload of run ${execution.run.id}`, reason: payload.failure })
      )
    )
  }
  const run = Effect.scoped(Effect.suspend(() => body(payload.success))) as Effect.Effect<
    A,
    E,
    Exclude<R, Scope.Scope> | CurrentRun
  >
  const context = yield* Effect.context<Exclude<R, CurrentRun | Scope.Scope>>()
  const fiber = yield* forkBody(
    execution,
    Effect.provideService(run, CurrentRun, execution).pipe(Effect.provideContext(context)) as Effect.Effect<A, E>
  )
  const exit = yield* Fiber.await(fiber)
  const timedOut = execution.ending === "TimedOut"
  if (execution.ending !== undefined && !timedOut) return yield* Effect.interrupt
  if (Exit.isSuccess(exit) && !timedOut) {
    const outcome = Outcome.fromSuccess(exit.value, codecs.success)
    if (outcome._tag === "Success") return { status: "Succeeded", outcome: Outcome.stringify(outcome) }
    yield* undo(execution)
    return failed(outcome)
  }
  const outcome = timedOut ? Outcome.timedOut : Outcome.fromExit(exit, codecs)
  // The body interrupted itself: nothing the engine knows of, so it has to be told.
  const ended = outcome ?? Outcome.fromDefect(new Error("The body was interrupted from within"))
  yield* undo(execution)
  return failed(ended)
})

const undo = (execution: Execution): Effect.Effect<void> =>
  execution.undo.length === 0 ? Effect.void : Effect.gen(function*() {
    execution.settle()
    const fiber = yield* Effect.forkChild(undoAll(execution))
    execution.body = fiber
    yield* Fiber.await(fiber)
    if (execution.ending !== undefined) return yield* Effect.interrupt
  })
