/**
 * The runs of this process: takes them in, executes their bodies, writes how they ended, and hands them back at the end.
 * Everything that changes the tables of who is executed here is synchronous, so no interruption can come in between.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as EffectSchedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { LeaseLost, StoreError, ValueTooLarge } from "../../Errors.ts"
import type { ClaimedRun, Lease, Run, SystemDb } from "../../SystemDb.ts"
import { ask } from "../ask.ts"
import { failUnstorable } from "../body.ts"
import { plainJson } from "../codec.ts"
import { Execution } from "../execution.ts"
import * as Outcome from "../outcome.ts"
import type { Body, End, LocalRun, Reservation } from "../registry.ts"
import { pauseUnreadable } from "../schedule/unreadable.ts"
import type { Host } from "../slot.ts"
import { leasesLost, runsEnded, runsHandedBack } from "../telemetry.ts"
import * as Tracing from "../tracing.ts"
import { causeOf } from "../undo.ts"
import type { Settings } from "./options.ts"
import { Slots } from "./slots.ts"

type Ended = Effect.Success<LocalRun["await"]>

interface Claimed {
  readonly claimed: ClaimedRun
  readonly worker: string
  /** Whether a slot was taken for it. */
  readonly slot: boolean
}

interface Active {
  readonly execution: Execution
  readonly waiters: Set<(ended: Ended) => void>
  /** The same run under a later epoch: it was given to this worker again before this execution had ended. */
  next: Claimed | undefined
}

/** What the worker held at one moment. */
export interface Held {
  readonly leases: ReadonlyArray<{ readonly runId: string; readonly epoch: number }>
  /** Stops those of these runs that were being executed then: they belong to somebody else now. */
  readonly lose: (runIds: ReadonlyArray<string>) => void
}

/** Something the worker should look at soon. */
export interface Signals {
  /** There may be runs to claim. */
  readonly claim: () => void
  /** There are other bodies than before. */
  readonly bodies: () => void
  /** What the worker holds may differ from what it owns. */
  readonly reconcile: () => void
}

const drainCheckMillis = 20
/** What bodies that were interrupted have for their finalizers, and a hand-back at the end for its answer. */
const farewellMillis = 1_000

const longestPutOffMillis = 60_000
/** In characters: what a server says of an error can be long. */
const longestReason = 1_000

const backoff = EffectSchedule.min([EffectSchedule.exponential("100 millis"), EffectSchedule.spaced("5 seconds")]).pipe(
  EffectSchedule.jittered
)

/** A graceful stop takes real time, whatever clock the bodies live by. */
const realTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

/** Runs that a schedule started take their workflow's time-out from when they first executed. */
const withDeadline = (claimed: ClaimedRun, { timeoutMillis }: Body): ClaimedRun => {
  const { deadline, startedAt } = claimed.run
  return deadline !== null || startedAt === null || timeoutMillis === null
    ? claimed
    : { ...claimed, run: { ...claimed.run, deadline: startedAt + timeoutMillis } }
}

/** Whether the run had to begin by an instant that had passed when it was first claimed. */
const tooLate = ({ run: { startBy, startedAt } }: ClaimedRun): boolean =>
  startBy !== null && startedAt !== null && startedAt > startBy

export class Worker {
  readonly #db: SystemDb["Service"]
  readonly #settings: Settings
  readonly #signals: Signals
  readonly #run: (effect: Effect.Effect<void>) => void
  readonly #slots: Slots
  readonly #host: Host
  readonly #bodies = new Map<string, Body>()
  readonly #active = new Map<string, Active>()
  readonly #reserved = new Set<string>()
  /** Executions that were handed back without their body having ended. */
  readonly #left = new WeakSet<Execution>()
  /** The id this process is registered under; undefined while it is not, when it takes no runs. */
  id: string | undefined = undefined
  /** When its lease was last renewed for certain. */
  renewedAt = 0
  /** Set while it has not renewed its lease for so long that others may take it for dead; then it takes no runs either. */
  silent = false
  /** Set while there may be more runs than there are slots: then every slot that comes free is worth a claim. */
  backlog = false
  /** The suspect that it makes room for, or executes: it takes nothing else then. */
  suspect: Lease | undefined = undefined
  /** Set while what the worker holds is compared with what it owns: no run begins here unless by a claim. */
  reconciling = false

  constructor(
    db: SystemDb["Service"],
    settings: Settings,
    signals: Signals,
    run: (effect: Effect.Effect<void>) => void
  ) {
    this.#db = db
    this.#settings = settings
    this.#signals = signals
    this.#run = run
    this.#slots = new Slots(settings.concurrency, () => {
      if (this.backlog) signals.claim()
    })
    this.#host = {
      suspendAfterMillis: settings.suspendAfterMillis,
      park: () => this.#slots.give(),
      stand: (granted) => this.#slots.stand(granted)
    }
  }

  get free(): number {
    return this.#slots.free
  }

  get workflows(): ReadonlyArray<string> {
    return [...this.#bodies.keys()]
  }

  /** Every run that is, or may be about to be, executed here. */
  get held(): Held {
    const executions = Array.from(this.#active.values(), ({ execution }) => execution)
    const active = Array.from(this.#active.values(), ({ execution, next }) => next?.claimed.run ?? execution.run)
    const reserved = Array.from(this.#reserved, (runId) => ({ runId, epoch: 1 }))
    return {
      leases: [
        ...active.map(({ epoch, id }) => ({ runId: id, epoch })),
        ...reserved,
        ...this.suspect === undefined ? [] : [this.suspect]
      ],
      lose: (runIds) => {
        const lost = new Set(runIds)
        for (const execution of executions) if (lost.has(execution.run.id)) execution.end("Lost")
      }
    }
  }

  /** Says that the lease was renewed, by a call made at this time. */
  renewed(now: number): void {
    this.renewedAt = now
    this.silent = false
  }

  reserve(workflow: string, runId: string): Reservation | undefined {
    const worker = this.id
    if (
      worker === undefined || this.silent || this.suspect !== undefined || this.#slots.free === 0 ||
      !this.#bodies.has(workflow)
    ) return undefined
    // A run that began while the comparison is under way would look like one that was forgotten.
    if (this.reconciling) return undefined
    if (this.#active.has(runId) || this.#reserved.has(runId)) return undefined
    this.#reserved.add(runId)
    this.#slots.take()
    const free = () => {
      this.#reserved.delete(runId)
      this.#slots.give()
    }
    return {
      worker,
      submit: (run) => {
        this.#reserved.delete(runId)
        this.#execute(run, worker, true)
      },
      free,
      abandon: () => {
        free()
        this.#signals.reconcile()
      }
    }
  }

  /** Executes a run that was just claimed. */
  submit(run: ClaimedRun, worker: string): void {
    this.#execute(run, worker, false)
  }

  /** Whether nothing is executed here, and nothing about to be. */
  get empty(): boolean {
    return this.#active.size === 0 && this.#reserved.size === 0
  }

  /** Waits a while for those that have been stopped to be told to the store. */
  readonly emptied: Effect.Effect<void> = Effect.asVoid(
    Effect.repeat(Effect.sleep(drainCheckMillis), { times: farewellMillis / drainCheckMillis, until: () => this.empty })
  )

  /** Whether there is a body that did not stop when it was told to. */
  get stuck(): boolean {
    return Array.from(this.#active.values()).some(({ execution }) => this.#left.has(execution))
  }

  /** Waits until this run is over here, or has come further than before, or has only waited for a while. */
  rested(runId: string): Effect.Effect<void> {
    return Effect.suspend(() => this.#active.get(runId)?.execution.slot.rested ?? Effect.void)
  }

  /** Whether the run is executed here under this epoch. */
  executes({ epoch, runId }: Lease): boolean {
    return this.#active.get(runId)?.execution.lease.epoch === epoch
  }

  local(runId: string): LocalRun | undefined {
    const active = this.#active.get(runId)
    return active === undefined ? undefined : {
      await: Effect.callback<Ended>((resume) => {
        const waiter = (ended: Ended) => resume(Effect.succeed(ended))
        active.waiters.add(waiter)
        return Effect.sync(() => active.waiters.delete(waiter))
      })
    }
  }

  /** Stops the execution of a run that was cancelled. Who waits for it need not wait for its finalizers. */
  cancelled(runId: string): void {
    const active = this.#active.get(runId)
    if (active === undefined) return
    active.execution.end("Cancelled")
    this.#answer(active, undefined)
  }

  /** Stops every execution under a registration that has been declared dead. */
  lostAll(worker: string): void {
    for (const active of this.#active.values()) {
      if (active.execution.lease.worker === worker) active.execution.end("Lost")
      if (active.next?.worker !== worker) continue
      if (active.next.slot) this.#slots.give()
      active.next = undefined
    }
  }

  register(body: Body): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        if (this.#bodies.has(body.workflow)) {
          throw new Error(`Workflow ${body.workflow} has two bodies in this process; give it one layer`)
        }
        this.#bodies.set(body.workflow, body)
        this.#signals.bodies()
        this.#signals.claim()
      }),
      () =>
        Effect.suspend(() => {
          this.#bodies.delete(body.workflow)
          this.#signals.bodies()
          return realTime(this.drain((run) => run.workflow === body.workflow))
        })
    )
  }

  /**
   * Lets the executions finish what they have under way, for at most the grace period, then stops them and hands their runs
   * back. Those that only wait are handed back at once. Neither a body that does not end nor an absent store is waited for: the
   * run is handed back without it, and what it still does is not recorded.
   */
  drain(of: (run: ClaimedRun["run"]) => boolean): Effect.Effect<void> {
    const settled = (late: number, until: number): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const left = this.#executions(of).filter((execution) => !(now >= late && execution.over))
        if (left.length === 0) return Effect.void
        if (now >= until) return this.#leave(left)
        for (const execution of left) if (now >= late || execution.idle) execution.end("Released")
        return Effect.andThen(Effect.sleep(drainCheckMillis), settled(late, until))
      })
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const late = now + this.#settings.graceMillis
      return settled(late, late + farewellMillis)
    })
  }

  #executions(of: (run: ClaimedRun["run"]) => boolean): ReadonlyArray<Execution> {
    return Array.from(this.#active.values(), ({ execution }) => execution).filter(({ run }) => of(run))
  }

  /** Hands back what does not stop: its lease is lost with that, whatever its body does. */
  #leave(all: ReadonlyArray<Execution>): Effect.Effect<void> {
    const left = all.filter((execution) => !this.#left.has(execution))
    if (left.length === 0) return Effect.void
    for (const execution of left) this.#left.add(execution)
    const ids = left.map(({ run }) => run.id).join(", ")
    return Effect.logWarning(`Not all bodies stopped within the grace period; handed back without them: ${ids}`).pipe(
      Effect.andThen(this.#db.release(left.map(({ lease }) => lease))),
      Effect.timeout(farewellMillis),
      Effect.ignore
    )
  }

  #answer(active: Active, ended: Ended): void {
    const waiters = [...active.waiters]
    active.waiters.clear()
    for (const waiter of waiters) waiter(ended)
  }

  /** Executes a run, in the slot that was taken for it or in the next one that is its turn. */
  #execute(claimed: ClaimedRun, worker: string, slot: boolean): void {
    const { epoch, id, workflow } = claimed.run
    const body = this.#bodies.get(workflow)
    const lease: Lease = { runId: id, worker, epoch }
    if (body === undefined) {
      if (slot) this.#slots.give()
      return this.#run(this.#handBack(lease))
    }
    if (tooLate(claimed)) {
      if (slot) this.#slots.give()
      return this.#run(this.#drop(lease, claimed.run))
    }
    const before = this.#active.get(id)
    if (before !== undefined) return this.#queue(before, { claimed, worker, slot })
    const execution = new Execution(this.#db, withDeadline(claimed, body), lease, this.#host, slot)
    const active: Active = { execution, waiters: new Set(), next: undefined }
    this.#active.set(id, active)
    this.#run(
      Effect.flatMap(Effect.exit(this.#traced(execution, body)), (exit) =>
        Effect.sync(() => {
          this.#active.delete(id)
          if (!execution.close()) this.#slots.give()
          this.#answer(active, Exit.isSuccess(exit) ? exit.value : undefined)
          const { next } = active
          if (next !== undefined) this.#execute(next.claimed, next.worker, next.slot)
        }))
    )
  }

  /** Keeps a run until its execution under an earlier epoch, which has lost it, has ended. */
  #queue(before: Active, next: Claimed): void {
    before.execution.end("Lost")
    if (before.next?.slot === true) this.#slots.give()
    before.next = next
  }

  /** Ends a run that may not start any more. Should that fail, the run is handed back, and claimed and dropped again. */
  #drop(lease: Lease, run: Run): Effect.Effect<void> {
    return Effect.catch(
      this.#db.cancel(lease.runId, "It could not start before its deadline"),
      (error) => error._tag === "StoreError" ? this.#putOff(lease, run, error) : this.#handBack(lease)
    )
  }

  #handBack(lease: Lease): Effect.Effect<void> {
    // Should it fail, the run is found later on to be owned without being held.
    return Effect.catch(this.#db.release([lease]), () => Effect.sync(this.#signals.reconcile))
  }

  /**
   * Hands a run back that nothing can be written for just now, to be tried after a while. Not even this may be possible: then it
   * is tried again until it is, or until the run is somebody else's, when there is nothing to do.
   */
  #putOff(lease: Lease, run: Run, error: StoreError): Effect.Effect<void> {
    const delayMillis = Math.min(longestPutOffMillis, 1_000 * 2 ** run.handbacks)
    const reason = error.message.replaceAll("\0", "").slice(0, longestReason)
    const release = Effect.catch(
      this.#db.release([{ ...lease, handBack: { reason, delayMillis } }]),
      (error) => error.fate === "Fail" ? this.#db.release([lease]) : Effect.fail(error)
    )
    return Effect.logWarning(
      `Run ${run.id} is handed back, and tried again in ${delayMillis / 1_000} seconds: ${reason}`
    ).pipe(
      Effect.annotateLogs({ "run.id": run.id, workflow: run.workflow }),
      Effect.andThen(Metric.update(Metric.withAttributes(runsHandedBack, { workflow: run.workflow }), 1)),
      Effect.andThen(Effect.retry(release, backoff)),
      Effect.orDie
    )
  }

  /** Executes the run in its span, and says there how it came out. */
  #traced(execution: Execution, body: Body): Effect.Effect<Ended> {
    const { lease, run } = execution
    const toEnd = Effect.withFiber((fiber) => {
      execution.traced = () => Tracing.traceOf(fiber)
      return this.#toEnd(execution, body)
    })
    const endingOf = (ended: Ended): Tracing.Ending => {
      if (ended?.status === "Failed") {
        return {
          status: ended.status,
          exit: Exit.failCause(causeOf(run.id, Outcome.parse(ended.outcome!), plainJson()))
        }
      }
      const status = ended?.status ?? execution.ending ?? "Released"
      return { status, exit: status === "Succeeded" || status === "Suspended" ? Exit.void : Exit.interrupt() }
    }
    return Tracing.execute(toEnd, run, lease.worker, body.tracer, endingOf)
  }

  /** The body to its end, and the end to the store; undefined when there was nothing to write, or it cannot be written now. */
  #toEnd(execution: Execution, body: Body): Effect.Effect<Ended> {
    const begun = Effect.andThen(
      execution.slot.taken,
      Effect.suspend(() => execution.stopped ? Effect.interrupt : body.execute(execution))
    )
    const ended = Effect.catchCauseIf(
      begun,
      (cause) => !Cause.hasInterruptsOnly(cause),
      (cause) => Effect.succeed<End>({ status: "Failed", outcome: defect(Cause.squash(cause)) })
    )
    const noted = Effect.tap(ended, ({ unreadable }) =>
      unreadable === undefined || execution.run.schedule === null
        ? Effect.void
        : Effect.catchIf(
          ask(pauseUnreadable(this.#db, execution.run, unreadable)),
          (error) => error.fate === "Fail",
          (error) => Effect.logError(`Schedule ${execution.run.schedule} cannot pause itself`, error)
        ))
    return Effect.catchCause(Effect.flatMap(noted, (end) => this.#finish(execution, end)), (cause) => {
      const { ending, trouble } = execution
      if (ending === "Suspended" || ending === "Cancelled") return Effect.undefined
      const error = trouble ?? Cause.squash(cause)
      if (ending === "Lost" || error instanceof LeaseLost) return Effect.as(Metric.update(leasesLost, 1), undefined)
      return Effect.as(
        error instanceof StoreError
          ? this.#putOff(execution.lease, execution.run, error)
          : this.#handBack(execution.lease),
        undefined
      )
    })
  }

  #finish(execution: Execution, end: End): Effect.Effect<Ended, LeaseLost | ValueTooLarge | StoreError> {
    const { run } = execution
    const written = (end: End) =>
      ask(this.#db.finish(execution.lease, { status: end.status, outcome: end.outcome })).pipe(
        Effect.andThen(
          Metric.update(Metric.withAttributes(runsEnded, { workflow: run.workflow, status: end.status }), 1)
        ),
        Effect.as<Ended>({ status: end.status, outcome: end.outcome, attempt: run.attempt })
      )
    return Effect.catchIf(
      written(end),
      (error) => error instanceof ValueTooLarge || (error instanceof StoreError && error.fate === "Fail"),
      (error) => Effect.flatMap(failUnstorable(execution, error), written)
    )
  }
}

const defect = (error: unknown): string => Outcome.stringify(Outcome.fromDefect(error))

/** A worker whose executions end with the scope, those that can. */
export const make = Effect.fnUntraced(function*(
  db: SystemDb["Service"],
  settings: Settings,
  signals: Signals
): Effect.fn.Return<Worker, never, Scope.Scope> {
  const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  // Runs have spans of their own, and nothing to do with the one in which the engine was built.
  const fork = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()))
  const worker = new Worker(db, settings, signals, (effect) => {
    const fiber = fork(effect)
    fibers.add(fiber)
    fiber.addObserver(() => fibers.delete(fiber))
  })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      realTime(worker.drain(() => true)),
      // Not waited for: one that cannot be interrupted would keep the process.
      Effect.sync(() => fibers.forEach((fiber) => fiber.interruptUnsafe()))
    )
  )
  return worker
})
