/** Runs a step's effect until it has an outcome: attempts, their errors and the waits between them are all recorded. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as EffectSchedule from "effect/Schedule"
import { StepTimedOut } from "../Errors.ts"
import type { NewStepRecord, StepId, StepRecord } from "../SystemDb.ts"
import type { Codec } from "./codec.ts"
import { longestMillis } from "./durations.ts"
import type { Execution } from "./execution.ts"
import { asAttempt } from "./interposed.ts"
import * as Kept from "./kept.ts"
import * as Outcome from "./outcome.ts"

export interface Attempts<A, E> {
  readonly id: StepId
  readonly kind: StepRecord["kind"]
  readonly success: Codec<A>
  readonly error: Codec<E>
  readonly timeout: Duration.Duration | undefined
  readonly retry: EffectSchedule.Schedule<unknown, E | StepTimedOut> | undefined
  /** Registers what undoes the step; called in the moment in which its success is durable. */
  readonly succeeded: (value: A) => void
}

type Driver<E> = (now: number, error: E | StepTimedOut) => Effect.Effect<number | undefined>

/** Steps a retry schedule by hand: when the next attempt is due, or undefined when there is none. */
const drive = <E>(schedule: EffectSchedule.Schedule<unknown, E | StepTimedOut>): Effect.Effect<Driver<E>> =>
  Effect.map(EffectSchedule.toStep(schedule), (step) => (now, error) =>
    step(now, error).pipe(
      Effect.map(([, delay]): number | undefined =>
        Math.ceil(now + Math.min(Math.max(Duration.toMillis(delay), 0), longestMillis))
      ),
      Pull.catchDone(() => Effect.succeed(undefined))
    ))

const failureOf = <E>(exit: Exit.Exit<unknown, E>): E | undefined =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined

/** Whether the failure is this step's own timeout, and not one that its effect was told of. */
const isTimeout = (failure: unknown, step: Attempts<any, any>): boolean =>
  step.timeout !== undefined && failure instanceof StepTimedOut && failure.step === step.id.name

/** What an attempt leaves, or undefined when it was interrupted, which leaves nothing to record. */
const settle = <A, E>(
  execution: Execution,
  exit: Exit.Exit<A, E | StepTimedOut>,
  step: Attempts<A, E>
): Outcome.Settled<A, E | StepTimedOut> | undefined => {
  // Its finalizers may have failed on top, but it is the engine that stopped it.
  if (execution.ending !== undefined && Exit.hasInterrupts(exit)) return undefined
  return isTimeout(failureOf(exit), step)
    ? { outcome: Outcome.timedOut, exit }
    : Outcome.settle(exit as Exit.Exit<A, E>, step)
}

const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  step: Attempts<A, E>
): Effect.Effect<A, E | StepTimedOut, R> =>
  step.timeout === undefined ? effect : Effect.timeoutOrElse(effect, {
    duration: step.timeout,
    orElse: () => Effect.fail(new StepTimedOut({ step: step.id.name }))
  })

/** How an attempt ended the step, or when the next one is due. */
type Ended<A, E> = Exit.Exit<A, E | StepTimedOut> | number

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
  const errors = Kept.read(open?.errors ?? null)
  const driver = step.retry === undefined ? undefined : yield* drive(step.retry)
  if (driver !== undefined && open !== undefined) {
    const timedOut = () => new StepTimedOut({ step: step.id.name })
    const before = Kept.errorsOf(errors, open.attempts, step.error, timedOut)
    // When the errors before the last one happened is not recorded; schedules ask for the first and the last.
    for (const [index, error] of before.entries()) {
      yield* driver(index < before.length - 1 ? open.startedAt : open.recordedAt, error)
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
      errors: Kept.write(errors),
      outcome,
      wakeAt,
      startedAt
    })
    const attempt = timed(asAttempt({ execution, id: step.id, attempt: attempts }, effect), step)
    const ended = yield* execution.perform(
      fiber,
      step.id,
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Effect.exit(restore(attempt)), (exit): Effect.Effect<Ended<A, E>> => {
          const settled = settle(execution, exit, step)
          if (settled === undefined) return Effect.succeed(exit)
          const { outcome } = settled
          if (outcome._tag !== "Success") Kept.add(errors, outcome)
          const done = Effect.suspend(() =>
            Effect.map(execution.record(record(Outcome.stringify(outcome), null)), () => {
              if (Exit.isSuccess(settled.exit)) step.succeeded(settled.exit.value)
              return settled.exit
            })
          )
          const failure = failureOf(settled.exit)
          const ended = failure === undefined || driver === undefined ? done : Effect.flatMap(
            Effect.flatMap(Clock.currentTimeMillis, (now) => restore(driver(now, failure))),
            (next): Effect.Effect<Ended<A, E>> =>
              next === undefined ? done : Effect.as(execution.record(record(null, next)), next)
          )
          return Exit.isSuccess(settled.exit) ? execution.holding(ended) : ended
        })
      )
    )
    if (typeof ended !== "number") return yield* ended
    wakeAt = ended
  }
})
