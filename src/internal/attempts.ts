/** Runs a step's effect until it has an outcome: attempts, their errors and the waits between them are all recorded. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as EffectSchedule from "effect/Schedule"
import { StepTimedOut } from "../Errors.ts"
import type { NewStepRecord, StepId, StepRecord } from "../SystemDb.ts"
import type { Codec } from "./codec.ts"
import { CurrentStep, type Execution } from "./execution.ts"
import * as Outcome from "./outcome.ts"

export interface Attempts<A, E> {
  readonly id: StepId
  readonly kind: StepRecord["kind"]
  readonly success: Codec<A>
  readonly error: Codec<E>
  readonly timeout: Duration.Duration | undefined
  readonly retry: EffectSchedule.Schedule<unknown, E | StepTimedOut> | undefined
}

type Driver<E> = (now: number, error: E | StepTimedOut) => Effect.Effect<number | undefined>

/** Steps a retry schedule by hand: when the next attempt is due, or undefined when there is none. */
const drive = <E>(schedule: EffectSchedule.Schedule<unknown, E | StepTimedOut>): Effect.Effect<Driver<E>> =>
  Effect.map(EffectSchedule.toStep(schedule), (step) => (now, error) =>
    step(now, error).pipe(
      Effect.map(([, delay]): number | undefined => Math.ceil(now + Duration.toMillis(delay))),
      Pull.catchDone(() => Effect.succeed(undefined))
    ))

const failureOf = <E>(exit: Exit.Exit<unknown, E>): E | undefined =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined

/** Whether the failure is this step's own timeout, and not one that its effect was told of. */
const isTimeout = (failure: unknown, step: Attempts<any, any>): boolean =>
  step.timeout !== undefined && failure instanceof StepTimedOut && failure.step === step.id.name

/** The outcome of an attempt, or undefined when it was interrupted, which leaves nothing to record. */
const outcomeOf = <A, E>(
  execution: Execution,
  exit: Exit.Exit<A, E | StepTimedOut>,
  step: Attempts<A, E>
): Outcome.Outcome | undefined => {
  // Its finalizers may have failed on top, but it is the engine that stopped it.
  if (execution.ending !== undefined && Exit.hasInterrupts(exit)) return undefined
  return isTimeout(failureOf(exit), step) ? Outcome.timedOut : Outcome.fromExit(exit as Exit.Exit<A, E>, step)
}

/** The error an earlier execution recorded for an attempt, where it still decodes. */
const recordedError = <A, E>(outcome: string, step: Attempts<A, E>): E | StepTimedOut | undefined => {
  const parsed = Outcome.parse(outcome)
  if (parsed._tag === "TimedOut") return new StepTimedOut({ step: step.id.name })
  return parsed._tag === "Failure" ? Result.getOrUndefined(step.error.decode(parsed.error)) : undefined
}

const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  step: Attempts<A, E>
): Effect.Effect<A, E | StepTimedOut, R> =>
  step.timeout === undefined ? effect : Effect.timeoutOrElse(effect, {
    duration: step.timeout,
    orElse: () => Effect.fail(new StepTimedOut({ step: step.id.name }))
  })

/** Ends as the attempt did, or, when its outcome could not be stored, with the defect that says so. */
const conclude = <A, E>(
  exit: Exit.Exit<A, E | StepTimedOut>,
  outcome: Outcome.Outcome
): Exit.Exit<A, E | StepTimedOut> =>
  outcome._tag === "Defect" && (Exit.isSuccess(exit) || failureOf(exit) !== undefined)
    ? Exit.die(Outcome.reviveDefect(outcome.defect))
    : exit

/**
 * Runs the attempts from where the open record, if any, left off. One write per attempt, durable before this returns.
 */
export const run = Effect.fnUntraced(function*<A, E, R>(
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  effect: Effect.Effect<A, E, R>,
  step: Attempts<A, E>,
  open: StepRecord | undefined
): Effect.fn.Return<A, E | StepTimedOut, R> {
  const startedAt = open?.startedAt ?? (yield* Clock.currentTimeMillis)
  const errors: Array<string> = open?.errors == null
    ? []
    : (JSON.parse(open.errors) as Array<unknown>).map((outcome) => JSON.stringify(outcome))
  const driver = step.retry === undefined ? undefined : yield* drive(step.retry)
  if (driver !== undefined && open !== undefined) {
    // When the errors before the last one happened is not recorded; schedules ask for the first and the last.
    for (const [index, outcome] of errors.entries()) {
      const error = recordedError(outcome, step)
      if (error !== undefined) yield* driver(index < errors.length - 1 ? open.startedAt : open.recordedAt, error)
    }
  }
  let attempts = open?.attempts ?? 0
  let wakeAt = open?.wakeAt ?? null

  while (true) {
    if (wakeAt !== null) yield* execution.waitUntil(fiber, wakeAt)
    attempts++
    const record = (outcome: string | null, wakeAt: number | null): NewStepRecord => ({
      ...step.id,
      kind: step.kind,
      attempts,
      errors: errors.length === 0 ? null : `[${errors.join(",")}]`,
      outcome,
      wakeAt,
      startedAt
    })
    const attempt = Effect.provideService(timed(effect, step), CurrentStep, { name: step.id.name, attempt: attempts })
    const ended = yield* execution.perform(
      fiber,
      step.id,
      Effect.flatMap(Effect.exit(attempt), (exit): Effect.Effect<Exit.Exit<A, E | StepTimedOut> | number> => {
        const outcome = outcomeOf(execution, exit, step)
        if (outcome === undefined) return Effect.succeed(exit)
        const text = Outcome.stringify(outcome)
        if (outcome._tag !== "Success") errors.push(text)
        const done = Effect.as(Effect.suspend(() => execution.record(record(text, null))), conclude(exit, outcome))
        const failure = outcome._tag === "Defect" ? undefined : failureOf(exit)
        if (failure === undefined || driver === undefined) return done
        return Effect.flatMap(
          Effect.flatMap(Clock.currentTimeMillis, (now) => driver(now, failure)),
          (next): Effect.Effect<Exit.Exit<A, E | StepTimedOut> | number> =>
            next === undefined ? done : Effect.as(execution.record(record(null, next)), next)
        )
      })
    )
    if (typeof ended !== "number") return yield* ended
    wakeAt = ended
  }
})
