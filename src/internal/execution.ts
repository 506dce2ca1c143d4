/** One execution of a run by a worker: what is recorded already, what is under way, and why it must stop. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { NonDeterminism, type StoreError, type ValueTooLarge } from "../Errors.ts"
import type { ClaimedRun, Lease, NewStepRecord, StepId, StepRecord, SystemDb } from "../SystemDb.ts"
import { Occurrences } from "./occurrences.ts"

/**
 * Why the engine ended an execution before its body did. Only after `TimedOut` is there anything left to record.
 */
export type Ending = "Suspended" | "Cancelled" | "Lost" | "Released" | "TimedOut"

/** What an execution needs of the worker it runs on. */
export interface Host {
  /** A wait longer than this gives the run up until it is due. */
  readonly suspendAfterMillis: number
  /** Lets another run take this one's place while it only waits; the returned function takes the place back. */
  readonly yieldSlot: () => () => void
}

/** An undo step, registered when the step it undoes succeeded. */
export interface Undo {
  readonly name: string
  readonly effect: Effect.Effect<void>
}

const label = (id: StepId): string => `${id.name}\0${id.key}\0${id.occurrence}`

export class Execution {
  readonly db: SystemDb["Service"]
  readonly run: ClaimedRun["run"]
  readonly lease: Lease
  readonly host: Host
  readonly undo: Array<Undo> = []
  /** Operations under way that would be lost with the fiber; waits do not count. */
  inFlight = 0
  /** Waits under way. */
  waiting = 0
  ending: Ending | undefined = undefined
  body: Fiber.Fiber<unknown, unknown> | undefined = undefined
  readonly #recorded = new Map<string, StepRecord>()
  readonly #occurrences = new Occurrences()
  #replayed = 0
  #expired = false

  constructor(db: SystemDb["Service"], claimed: ClaimedRun, lease: Lease, host: Host) {
    this.db = db
    this.run = claimed.run
    this.lease = lease
    this.host = host
    for (const step of claimed.steps) this.#recorded.set(label(step), step)
  }

  /** Whether the body still walks through what is recorded already. */
  get replaying(): boolean {
    return this.#replayed < this.#recorded.size
  }

  /** Whether nothing would be lost if the fiber were interrupted now. */
  get idle(): boolean {
    return this.inFlight === 0 && this.waiting > 0
  }

  /** Stops the body for a reason of the engine's. The first reason counts. */
  end(reason: Ending): void {
    if (this.ending !== undefined) return
    this.ending = reason
    this.body?.interruptUnsafe()
  }

  /**
   * The deadline has come. While the body replays, the first operation that is not recorded stops it instead, so that the
   * undo steps of what did happen are registered.
   */
  expire(): void {
    this.#expired = true
    if (!this.replaying) this.end("TimedOut")
  }

  /** Says that the deadline counts no more: the body has ended. */
  settle(): void {
    this.#expired = false
    this.ending = undefined
  }

  /** The identity of the next use of this name; a defect when its order cannot be relied on. */
  identify(
    fiber: Fiber.Fiber<unknown, unknown>,
    name: string,
    key: string,
    remedy = "give it a key, such as { key: item.id }"
  ): StepId {
    const id = this.#occurrences.next(fiber, name, key)
    if (id === undefined) {
      throw new NonDeterminism({
        runId: this.run.id,
        step: name,
        reason: `the same name is used by concurrent branches, whose order can differ on replay; ${remedy}`
      })
    }
    return id
  }

  /** The record of this step, if there is one. */
  recorded(id: StepId, kind: StepRecord["kind"]): StepRecord | undefined {
    const record = this.#recorded.get(label(id))
    if (record === undefined) return undefined
    this.#replayed++
    if (record.kind !== kind) {
      throw new NonDeterminism({
        runId: this.run.id,
        step: id.name,
        reason: `it is recorded as a ${record.kind} and now used as a ${kind}; the body must not change under a run`
      })
    }
    return record
  }

  /** Runs what is not recorded yet, unless the execution is to stop. */
  perform<A, E, R>(
    fiber: Fiber.Fiber<unknown, unknown>,
    id: StepId,
    live: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    if (this.#expired) this.end("TimedOut")
    if (this.ending !== undefined) return Effect.interruptible(Effect.never)
    this.inFlight++
    this.#occurrences.enter(fiber, id)
    return Effect.ensuring(
      live,
      Effect.sync(() => {
        this.inFlight--
        this.#occurrences.leave(id)
      })
    )
  }

  /** Writes a step's record. Losing the lease ends the execution; a value that cannot be stored is a defect. */
  record(step: NewStepRecord): Effect.Effect<void> {
    return this.#fenced(this.db.recordStep(this.lease, step))
  }

  /** Gives the run up until `wakeAt`. Does not return: the fiber is interrupted. */
  suspend(wakeAt: number): Effect.Effect<never> {
    return Effect.andThen(
      this.#fenced(this.db.suspend(this.lease, wakeAt)),
      Effect.suspend(() => {
        this.end("Suspended")
        return Effect.interruptible(Effect.never)
      })
    )
  }

  #fenced(
    write: Effect.Effect<void, { readonly _tag: "LeaseLost" } | ValueTooLarge | StoreError>
  ): Effect.Effect<void> {
    return Effect.catch(write, (error) => {
      if (error._tag !== "LeaseLost") return Effect.die(error)
      this.end("Lost")
      return Effect.interruptible(Effect.never)
    })
  }

  /**
   * Waits until `wakeAt`. In the body's own fiber, with nothing else under way, a long wait suspends the run; elsewhere the
   * fiber stays, and only its slot is given to another run.
   */
  waitUntil(fiber: Fiber.Fiber<unknown, unknown>, wakeAt: number): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const remaining = wakeAt - now
      if (remaining <= 0) return Effect.void
      if (remaining <= this.host.suspendAfterMillis) return this.waitFor(Effect.sleep(remaining), false)
      const alone = this.inFlight === 0 && this.waiting === 0
      return fiber === this.body && alone ? this.suspend(wakeAt) : this.waitFor(Effect.sleep(remaining), true)
    })
  }

  /** A wait that costs nothing to interrupt. */
  waitFor<A, E, R>(wait: Effect.Effect<A, E, R>, long: boolean): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.waiting++
      const retake = long ? this.host.yieldSlot() : undefined
      return Effect.ensuring(
        wait,
        Effect.sync(() => {
          this.waiting--
          retake?.()
        })
      )
    })
  }
}

/**
 * The run whose body is executing. Only a workflow's body has it, so a step outside of one does not compile.
 */
export class CurrentRun extends Context.Service<CurrentRun, Execution>()("effect-durable/CurrentRun") {}

/** The step the fiber is in, if any. */
export const CurrentStep = Context.Reference<{ readonly name: string; readonly attempt: number } | undefined>(
  "effect-durable/CurrentStep",
  { defaultValue: () => undefined }
)
