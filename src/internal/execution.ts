/** One execution of a run by a worker: what is recorded already, what is under way, and why it must stop. */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { NonDeterminism, StoreError, type ValueTooLarge } from "../Errors.ts"
import type { ClaimedRun, Lease, NewStepRecord, StepId, StepRecord, SystemDb } from "../SystemDb.ts"
import { ask } from "./ask.ts"
import { isBare } from "./identity.ts"
import { Occurrences } from "./occurrences.ts"
import { isSuccess } from "./outcome.ts"
import { type Host, Slot } from "./slot.ts"
import { Turns } from "./turns.ts"

/**
 * Why an execution was ended before its body did. After `TimedOut` and `Refused` (it is not deterministic) the run has failed;
 * after any other there is nothing left to record.
 */
export type Ending = "Suspended" | "Cancelled" | "Lost" | "Released" | "TimedOut" | "Refused"

const isFailure = (ending: Ending): boolean => ending === "TimedOut" || ending === "Refused"

/** An undo step, registered when the step it undoes succeeded. It is told why the run fails. */
export interface Undo {
  readonly name: string
  readonly effect: (cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown>
  /** Of the record of the step it undoes, when it was there before this execution. */
  readonly place?: number | undefined
}

/** Under what name the reason is recorded why a run fails. */
const failureName = "Workflow.failure"

const label = (id: StepId): string => `${id.name}\0${id.key}\0${id.occurrence}`

/** For a fiber that is about to be interrupted, wherever it is. */
const stopped: Effect.Effect<never> = Effect.interruptible(Effect.never)

/** Looks at a replay past its deadline that make no progress before it is stopped where it stands. */
const patientLooks = 50

export class Execution {
  readonly db: SystemDb["Service"]
  readonly run: ClaimedRun["run"]
  readonly lease: Lease
  readonly host: Host
  readonly slot: Slot
  readonly undo: Array<Undo> = []
  /** Whether the run has records of before the library's own names had a prefix: then it uses them without one. */
  readonly bareNames: boolean
  /**
   * The outcome of the run, when it is recorded already that it fails: its body is replayed only to register the undo steps
   * again.
   */
  failure: string | undefined = undefined
  ending: Ending | undefined = undefined
  /** Why the body was refused. */
  refusal: NonDeterminism | undefined = undefined
  /** What of the store the run is handed back for; it is no failure of the run. */
  trouble: StoreError | undefined = undefined
  body: Fiber.Fiber<unknown, unknown> | undefined = undefined
  /** What the run goes on under after a suspension, as its span is stored. */
  traced: () => string | null = () => null
  readonly #recorded = new Map<string, StepRecord>()
  readonly #occurrences = new Occurrences()
  readonly #turns: Turns
  /** Records that the body has not come to yet. */
  #ahead = 0
  #deadline: number | null
  #expired = false
  #settled = false
  #looks = 0
  /** Writes under way of what has happened already, and who waits for their end. */
  #writing = 0
  #whenQuiet: Array<() => void> = []
  /** Writes that nobody but the engine may break off. */
  readonly #unbroken = new Set<Fiber.Fiber<unknown, unknown>>()
  /** `slot` says whether it has a slot already, or has to wait for one before its body begins. */
  constructor(db: SystemDb["Service"], claimed: ClaimedRun, lease: Lease, host: Host, slot: boolean) {
    this.db = db
    this.run = claimed.run
    this.lease = lease
    this.host = host
    this.slot = new Slot(host, slot)
    this.#deadline = claimed.run.deadline
    const ofBody = claimed.steps.filter(({ kind }) => kind !== "Undo" && kind !== "Failure")
    this.#turns = new Turns(ofBody)
    this.#ahead = ofBody.length
    for (const step of claimed.steps) {
      if (step.kind === "Failure") this.failure = step.outcome ?? undefined
      else this.#recorded.set(label(step), step)
    }
    this.bareNames = claimed.steps.some(isBare)
    // A run that has failed is past any deadline.
    if (this.failure !== undefined) {
      this.#deadline = 0
      this.#expired = true
    }
  }

  /** When the body must have ended, as epoch milliseconds. */
  get deadline(): number | null {
    return this.#deadline
  }

  /** The records that the body has not come to. */
  get unreached(): ReadonlyArray<StepRecord> {
    return [...this.#recorded.values()].filter(({ kind }) => kind !== "Undo")
  }

  /** Whether nothing would be lost if the fiber were interrupted now. */
  get idle(): boolean {
    return this.slot.idle
  }

  /** Whether the user's code has come to its end here, so that only the store is left to be told. */
  get over(): boolean {
    return this.body === undefined || this.body.pollUnsafe() !== undefined
  }

  /** Whether the deadline has come, while the body was at work. */
  get expired(): boolean {
    return this.#expired
  }

  /** Names the fiber that `end` stops, before it begins. */
  attach(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.body = fiber
    this.#occurrences.branch(fiber)
    if (this.ending !== undefined) fiber.interruptUnsafe()
  }

  /** Stops the body. The first reason counts, but a failure gives way to what leaves nothing to record. */
  end(reason: Ending): void {
    if (this.ending !== undefined && (isFailure(reason) || !isFailure(this.ending))) return
    this.ending = reason
    this.body?.interruptUnsafe()
    if (isFailure(reason)) return
    for (const write of this.#unbroken) write.interruptUnsafe()
    this.slot.doWithout()
  }

  /** Whether the body was stopped, and not by a failure. */
  get stopped(): boolean {
    return this.ending !== undefined && !isFailure(this.ending)
  }

  /**
   * The deadline has come: stops the body, and says whether it could. Not while it replays: the first operation that is not
   * recorded stops it then, so that the undo steps of what did happen are registered. Nor while something that happened is
   * being written. A replay that makes no progress is stopped in the end. One that only registers undo steps again gets as
   * much patience after its last record, because not every undo step hangs on one.
   */
  expire(): boolean {
    this.#expired = true
    if (this.#writing > 0) return false
    if ((this.#ahead > 0 || this.failure !== undefined) && ++this.#looks < patientLooks) return false
    this.end("TimedOut")
    return true
  }

  /** Says that the deadline counts no more: the body has ended. */
  settle(): void {
    this.#deadline = null
    this.#expired = false
    this.#settled = true
    if (!this.stopped) this.ending = undefined
  }

  /** Says that the execution is over; true when its slot is not its own any more. */
  close(): boolean {
    return this.slot.close()
  }

  /** The identity of the next use of this name; a defect when its order cannot be relied on. */
  identify(
    fiber: Fiber.Fiber<unknown, unknown>,
    name: string,
    key: string,
    remedy = "give it a key, such as { key: item.id }"
  ): StepId {
    const step = fiber.getRef(CurrentStep)
    if (step !== undefined) {
      throw this.refuse(name, `it is used inside step ${step.name}; only the body has steps and durable waits`)
    }
    const id = this.#occurrences.next(fiber, name, key)
    if (id === undefined) {
      throw this.refuse(
        name,
        `the same name is used by concurrent branches, whose order can differ on replay; ${remedy}`
      )
    }
    return id
  }

  /** The record of this step, if there is one. */
  recorded(id: StepId, kind: StepRecord["kind"]): StepRecord | undefined {
    const record = this.#recorded.get(label(id))
    if (record === undefined) return undefined
    if (record.kind !== kind) {
      throw this.refuse(
        id.name,
        `it is recorded as a ${record.kind} and now used as a ${kind}; the body must not change under a run`
      )
    }
    // Nothing else has this identity.
    this.#recorded.delete(label(id))
    if (kind !== "Undo") this.#ahead--
    this.#looks = 0
    this.#turns.ask(record)
    return record
  }

  /** Gives a record back, in its turn among those of the branches beside it. */
  inTurn<A, E, R>(
    fiber: Fiber.Fiber<unknown, unknown>,
    record: StepRecord,
    give: () => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    const undoing = this.failure !== undefined
    const now = () => {
      this.#looks = 0
      this.#turns.take(record)
      return give()
    }
    const mayEndOthers = undoing || fiber !== this.body || (record.outcome !== null && !isSuccess(record.outcome))
    return this.#turns.isDue(record) && !(mayEndOthers && this.#turns.pending)
      ? now()
      : Effect.andThen(this.#turns.wait(record, undoing), Effect.suspend(now))
  }

  /** Registers an undo step: after those of the records before this one, as when it happened. */
  register(undo: Undo, record: StepRecord | undefined): void {
    const place = record === undefined ? undefined : this.#turns.placeOf(record)
    const last = place === undefined
      ? this.undo.length - 1
      : this.undo.findLastIndex((other) => other.place === undefined || other.place <= place)
    this.undo.splice(last + 1, 0, { ...undo, place })
  }

  /** Fails the run, so that no handler and no race hides it. An undo step fails alone. */
  refuse(step: string, reason: string): NonDeterminism {
    const refusal = new NonDeterminism({ runId: this.run.id, step, reason })
    if (!this.#settled) {
      this.refusal ??= refusal
      this.end("Refused")
    }
    return refusal
  }

  /**
   * Whether the next operation that is not recorded must not begin. Past the deadline it is where a branch ends, and the body
   * as soon as the others have passed what is recorded of them.
   */
  #mustStop(): boolean {
    if (this.#expired && this.#ahead === 0) this.end("TimedOut")
    return this.#expired || this.ending !== undefined
  }

  /** Whether nothing new may happen, because the deadline has come or the run has failed. */
  get overdue(): boolean {
    return this.#expired
  }

  /** Ends the fiber at an operation that leaves no record and must not begin any more. Does not return. */
  readonly stop: Effect.Effect<never> = Effect.suspend(() => {
    this.#mustStop()
    return stopped
  })

  /** Whether the body has ended and this is a fiber that outlived it: what it does counts no more. */
  outlived(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return this.#settled && fiber !== this.body
  }

  /**
   * Lets the branches beside this one come to the same point first, should the fiber be one of several: a name they share is
   * refused then, however fast the store is.
   */
  besides<A, E, R>(fiber: Fiber.Fiber<unknown, unknown>, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return fiber === this.body ? effect : Effect.andThen(Effect.yieldNow, effect)
  }

  /** Runs what is not recorded yet, unless the execution is to stop. */
  perform<A, E, R>(
    fiber: Fiber.Fiber<unknown, unknown>,
    id: StepId,
    live: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) => {
      if (this.outlived(fiber)) return Effect.interrupt
      if (this.#mustStop()) return stopped
      if (this.db.joined(fiber)) {
        const reason =
          "it is used inside of sql.withTransaction, where a rollback would undo what it did and not that it is " +
          "recorded; use Step.transaction, or move it out"
        return Effect.die(this.refuse(id.name, reason))
      }
      if (!this.slot.ready) {
        return Effect.andThen(restore(this.slot.taken), Effect.suspend(() => this.perform(fiber, id, live)))
      }
      this.slot.enter()
      this.#occurrences.enter(fiber, id)
      return Effect.ensuring(
        restore(this.besides(fiber, live)),
        Effect.sync(() => {
          this.slot.leave()
          this.#occurrences.leave(id)
        })
      )
    })
  }

  /**
   * Writes a step's record. Losing the lease ends the execution; a value that cannot be stored is a defect. Once begun it is
   * not interrupted by the body's own doing, only when the engine ends the execution.
   */
  record(step: NewStepRecord): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.withFiber((fiber) => {
      if (this.outlived(fiber)) return Effect.interrupt
      return Effect.tap(
        this.holding(this.unbroken(this.#fenced(this.db.recordStep(this.lease, step)))),
        Effect.sync(() => this.slot.progressed())
      )
    }))
  }

  /** Records why the run fails, once and for all. For the fiber that undoes. */
  recordFailure(outcome: string): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const id = { name: failureName, key: "", occurrence: 1 }
      const record = {
        ...id,
        kind: "Failure",
        attempts: 1,
        errors: null,
        outcome,
        wakeAt: null,
        startedAt: now
      } as const
      return Effect.tap(
        this.#fenced(this.db.recordStep(this.lease, record)),
        Effect.sync(() => this.slot.progressed())
      )
    })
  }

  /** Runs an effect to its end in a fiber that only the engine's end of the execution interrupts. */
  unbroken<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.uninterruptible(
      Effect.flatMap(Effect.forkChild(effect, { startImmediately: true }), (fiber) => {
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) return this.#afterwards(exit)
        this.#unbroken.add(fiber)
        if (this.stopped) fiber.interruptUnsafe()
        return Effect.flatMap(Fiber.await(fiber), (exit) => {
          this.#unbroken.delete(fiber)
          return this.#afterwards(exit)
        })
      })
    )
  }

  #afterwards<A, E>(exit: Exit.Exit<A, E>): Effect.Effect<A, E> {
    return this.stopped && Exit.hasInterrupts(exit) ? stopped : exit
  }

  /** Keeps the deadline and the undo steps from coming between what happened and its record, until the function is called. */
  hold(): () => void {
    this.#writing++
    return () => {
      this.#writing--
      if (this.#writing === 0) { for (const resume of this.#whenQuiet.splice(0)) resume() }
    }
  }

  /** Does so for as long as the effect takes. */
  holding<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => Effect.ensuring(effect, Effect.sync(this.hold())))
  }

  /** Waits until nothing that has happened is being written any more. */
  readonly quiet: Effect.Effect<void> = Effect.suspend(() =>
    this.#writing === 0
      ? Effect.void
      : Effect.andThen(
        Effect.callback<void>((resume) => {
          this.#whenQuiet.push(() => resume(Effect.void))
        }),
        this.quiet
      )
  )

  /** Gives the run up until `wakeAt`. Does not return: the fiber is interrupted. */
  suspend(wakeAt: number): Effect.Effect<never> {
    return Effect.andThen(
      this.#fenced(Effect.suspend(() => this.db.suspend(this.lease, wakeAt, this.run.trace ?? this.traced()))),
      Effect.suspend(() => {
        this.end("Suspended")
        return stopped
      })
    )
  }

  #fenced(
    write: Effect.Effect<void, { readonly _tag: "LeaseLost" } | ValueTooLarge | StoreError>
  ): Effect.Effect<void> {
    return Effect.catch(this.ask(write), (error) => error._tag === "LeaseLost" ? this.lost : Effect.die(error))
  }

  /**
   * The one way in which a body asks the store: does not return when the run must be handed back, and fails with a `StoreError`
   * only where the run itself is at fault. A caller's transaction is lost with its connection, so there it fails at once.
   */
  ask<A, E, R>(call: Effect.Effect<A, E, R>, options?: Parameters<typeof ask>[1]): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) =>
      this.db.joined(fiber) ? call : Effect.catch(
        ask(call, options),
        (error): Effect.Effect<A, E, R> =>
          error instanceof StoreError && error.fate === "HandBack" ? this.giveBack(error) : Effect.fail(error)
      )
    )
  }

  /** Nothing more can be written for now: the run is handed back, to be tried later. Does not return. */
  giveBack(trouble: StoreError): Effect.Effect<never> {
    return Effect.suspend(() => {
      this.trouble ??= trouble
      this.end("Released")
      return stopped
    })
  }

  /** Another worker owns the run, or it was cancelled: does not return. */
  readonly lost: Effect.Effect<never> = Effect.suspend(() => {
    this.end("Lost")
    return stopped
  })

  /**
   * Waits until `wakeAt`. In the body's own fiber, with nothing else under way, a long wait suspends the run; elsewhere the
   * fiber stays, and only its slot is given to another run.
   */
  waitUntil(fiber: Fiber.Fiber<unknown, unknown>, wakeAt: number): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const remaining = wakeAt - now
      if (remaining <= 0) return Effect.void
      if (this.#mustStop()) return stopped
      // A run that is given up has nobody to watch its deadline, so it wakes for that too.
      const until = Math.min(wakeAt, this.#deadline ?? wakeAt)
      const long = until - now > this.host.suspendAfterMillis
      const alone = fiber === this.body && this.slot.unused
      return long && alone ? this.suspend(until) : this.slot.during(Effect.sleep(remaining), long)
    })
  }
}

/**
 * The run whose body is executing. Only a workflow's body has it, so a step outside of one does not compile.
 */
export class CurrentRun
  extends Context.Service<CurrentRun, Execution>()("effect-durable/CurrentRun (only a workflow's body has it)")
{}

/** The step the fiber is in, if any. */
export const CurrentStep = Context.Reference<{ readonly name: string; readonly attempt: number } | undefined>(
  "effect-durable/CurrentStep",
  { defaultValue: () => undefined }
)
