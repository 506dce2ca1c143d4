/**
 * The virtual clock: a TestClock that also knows when the next sleep ends, and for whom, and a scheduler that counts what
 * fibers do, so that whoever moves the clock can tell that everything has come to rest.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { Heap } from "../engine/heap.ts"
import { CurrentRun, type Execution } from "../execution.ts"

interface Sleep {
  readonly at: number
  over: boolean
}

export interface VirtualClock {
  /** What the engines and the test live by. */
  readonly context: Context.Context<never>
  readonly now: () => number
  /** When the next sleep ends; Infinity when nobody sleeps. */
  readonly next: () => number
  /** Moves the clock and wakes who sleeps until then; what they do next may still be under way. */
  readonly set: (at: number) => Effect.Effect<void>
  readonly withLive: TestClock.TestClock["withLive"]
  /** Grows with everything a fiber begins; an `Effect.yieldNow` counts as one. */
  readonly progress: () => number
  /** Whether a fiber of this body sleeps. */
  readonly asleep: (execution: Execution) => boolean
}

/** Moves the clock for a test that uses TestClock itself. */
export interface Mover {
  to: (at: number) => Effect.Effect<void>
}

/** The execution whose body the fiber is in. */
export const executionOf = (context: Context.Context<never>): Execution | undefined =>
  Context.getOrUndefined(context as Context.Context<CurrentRun>, CurrentRun)

export const make = Effect.fnUntraced(function*(
  at: number,
  mover: Mover,
  isDead: (worker: string) => boolean
): Effect.fn.Return<VirtualClock, never, Scope.Scope> {
  const inner = yield* Layer.build(TestClock.layer())
  const clock = Context.get(inner, Clock.Clock) as TestClock.TestClock
  const parent = Context.get(inner, Scheduler.Scheduler)
  yield* clock.setTime(at)
  const origin = clock.monotonicTimeNanosUnsafe()
  const sleeps = new Heap<Sleep>()
  const sleeping = new Map<Execution, number>()
  let progress = 0

  const count = (execution: Execution, change: number) => {
    const left = (sleeping.get(execution) ?? 0) + change
    if (left === 0) sleeping.delete(execution)
    else sleeping.set(execution, left)
  }

  const sleep = (duration: Duration.Duration): Effect.Effect<void> =>
    Effect.withFiber((fiber) => {
      const millis = Duration.toMillis(duration)
      if (millis <= 0) return Effect.void
      progress++
      const execution = executionOf(fiber.context)
      const entry: Sleep = { at: clock.currentTimeMillisUnsafe() + millis, over: false }
      sleeps.push(entry)
      if (execution !== undefined) count(execution, 1)
      const slept = Effect.ensuring(
        clock.sleep(duration),
        Effect.sync(() => {
          entry.over = true
          if (execution !== undefined) count(execution, -1)
        })
      )
      // The body of a process that died does not wake up.
      return execution === undefined
        ? slept
        : Effect.andThen(slept, Effect.suspend(() => isDead(execution.lease.worker) ? Effect.never : Effect.void))
    })

  // Since the start: nanoseconds since the epoch are too many for a double to tell milliseconds apart exactly.
  const monotonicTimeNanosUnsafe = () => clock.monotonicTimeNanosUnsafe() - origin

  const virtual: TestClock.TestClock = {
    ...clock,
    sleep,
    monotonicTimeNanosUnsafe,
    monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe),
    setTime: (timestamp) => mover.to(timestamp),
    adjust: (duration) =>
      Effect.suspend(() =>
        mover.to(clock.currentTimeMillisUnsafe() + Duration.toMillis(Duration.fromInputUnsafe(duration)))
      )
  }

  const scheduler: Scheduler.Scheduler = {
    executionMode: parent.executionMode,
    shouldYield: (fiber) => parent.shouldYield(fiber),
    makeDispatcher: () => {
      const dispatcher = parent.makeDispatcher()
      return {
        scheduleTask: (task, priority) => {
          progress++
          dispatcher.scheduleTask(task, priority)
        },
        flush: () => dispatcher.flush()
      }
    }
  }

  return {
    context: Context.make(Clock.Clock, virtual).pipe(Context.add(Scheduler.Scheduler, scheduler)),
    now: () => clock.currentTimeMillisUnsafe(),
    next: () => {
      while (sleeps.peek()?.over === true) sleeps.pop()
      return sleeps.peek()?.at ?? Infinity
    },
    set: (at) => clock.setTime(at),
    withLive: clock.withLive,
    progress: () => progress,
    asleep: (execution) => sleeping.has(execution)
  }
})
