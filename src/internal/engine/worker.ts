/**
 * The runs of this process: takes them in, executes their bodies, writes how they ended, and hands them back at the end.
 * Everything that changes the tables of who is executed here is synchronous, so no interruption can come in between.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../Errors.ts"
import type { ClaimedRun, Lease, SystemDb } from "../../SystemDb.ts"
import { Execution, type Host } from "../execution.ts"
import * as Outcome from "../outcome.ts"
import type { Body, End, LocalRun, Reservation } from "../registry.ts"
import { leasesLost, runsEnded } from "../telemetry.ts"
import type { Settings } from "./options.ts"
import { Slots } from "./slots.ts"

type Ended = Effect.Success<LocalRun["await"]>

interface Active {
  readonly execution: Execution
  readonly waiters: Array<(ended: Ended) => void>
}

/** Something the worker should look at soon. */
export interface Signals {
  /** There may be runs to claim. */
  readonly claim: () => void
  /** What the worker holds may differ from what it owns. */
  readonly reconcile: () => void
}

const drainCheckMillis = 20

/** A graceful stop takes real time, whatever clock the bodies live by. */
const realTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

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
  /** The id this process is registered under; undefined while it is not, when it takes no runs. */
  id: string | undefined = undefined
  /** Set once a claim found more runs than there were slots: then every slot that comes free is worth a claim. */
  backlog = false

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
      yieldSlot: () => {
        this.#slots.give()
        return () => this.#slots.take()
      }
    }
  }

  get free(): number {
    return this.#slots.free
  }

  get workflows(): ReadonlyArray<string> {
    return [...this.#bodies.keys()]
  }

  /** Every run that is, or may be about to be, executed here. */
  get held(): ReadonlyArray<{ readonly runId: string; readonly epoch: number }> {
    const active = Array.from(this.#active.values(), ({ execution }) => execution.lease)
    return [...active, ...Array.from(this.#reserved, (runId) => ({ runId, epoch: 1 }))]
  }

  reserve(workflow: string, runId: string): Reservation | undefined {
    const worker = this.id
    if (worker === undefined || this.#slots.free === 0 || !this.#bodies.has(workflow)) return undefined
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
        this.#execute(run, worker)
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
    this.#slots.take()
    this.#execute(run, worker)
  }

  local(runId: string): LocalRun | undefined {
    const active = this.#active.get(runId)
    return active === undefined ? undefined : {
      await: Effect.callback<Ended>((resume) => {
        active.waiters.push((ended) => resume(Effect.succeed(ended)))
      })
    }
  }

  cancelled(runId: string): void {
    this.#active.get(runId)?.execution.end("Cancelled")
  }

  /** Stops the executions of these runs: they belong to somebody else now. */
  lost(runIds: Iterable<string>): void {
    for (const runId of runIds) this.#active.get(runId)?.execution.end("Lost")
  }

  /** Stops every execution under a registration that has been declared dead. */
  lostAll(worker: string): void {
    for (const { execution } of this.#active.values()) {
      if (execution.lease.worker === worker) execution.end("Lost")
    }
  }

  register(body: Body): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        if (this.#bodies.has(body.workflow)) {
          throw new Error(`Workflow ${body.workflow} has two bodies in this process; give it one layer`)
        }
        this.#bodies.set(body.workflow, body)
        this.#signals.claim()
      }),
      () =>
        Effect.suspend(() => {
          this.#bodies.delete(body.workflow)
          return this.drain((run) => run.workflow === body.workflow)
        })
    )
  }

  /**
   * Lets the executions finish what they have under way, for at most the grace period, then stops them and hands their runs
   * back. Those that only wait are handed back at once.
   */
  drain(of: (run: ClaimedRun["run"]) => boolean): Effect.Effect<void> {
    const remaining = () => [...this.#active.values()].filter(({ execution }) => of(execution.run))
    const release = (which: ReadonlyArray<Active>) => which.forEach(({ execution }) => execution.end("Released"))
    const settled = (until: number): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const left = remaining()
        if (left.length === 0) return Effect.void
        release(now < until ? left.filter(({ execution }) => execution.idle) : left)
        return Effect.andThen(Effect.sleep(drainCheckMillis), settled(until))
      })
    return realTime(
      Effect.flatMap(Clock.currentTimeMillis, (now) => settled(now + this.#settings.graceMillis))
    )
  }

  #execute(claimed: ClaimedRun, worker: string): void {
    const { epoch, id, workflow } = claimed.run
    const body = this.#bodies.get(workflow)
    const lease: Lease = { runId: id, worker, epoch }
    if (body === undefined || this.#active.has(id)) {
      this.#slots.give()
      if (body === undefined) this.#run(Effect.ignore(this.#db.release([lease])))
      return
    }
    const execution = new Execution(this.#db, claimed, lease, this.#host)
    const active: Active = { execution, waiters: [] }
    this.#active.set(id, active)
    this.#run(
      Effect.flatMap(Effect.exit(this.#toEnd(execution, body)), (exit) =>
        Effect.sync(() => {
          this.#active.delete(id)
          this.#slots.give()
          const ended = Exit.isSuccess(exit) ? exit.value : undefined
          for (const waiter of active.waiters) waiter(ended)
        }))
    )
  }

  /** The body to its end, and the end to the store; undefined when there was nothing to write. */
  #toEnd(execution: Execution, body: Body): Effect.Effect<Ended> {
    return Effect.matchCauseEffect(body.execute(execution), {
      onSuccess: (end) => this.#finish(execution, end),
      onFailure: (cause) => {
        if (!Cause.hasInterruptsOnly(cause)) {
          return this.#finish(execution, { status: "Failed", outcome: defect(Cause.squash(cause)) })
        }
        const { ending } = execution
        if (ending === "Suspended" || ending === "Cancelled") return Effect.undefined
        if (ending === "Lost") return Effect.as(Metric.update(leasesLost, 1), undefined)
        return Effect.as(Effect.ignore(this.#db.release([execution.lease])), undefined)
      }
    })
  }

  #finish(execution: Execution, end: End): Effect.Effect<Ended> {
    return this.#db.finish(execution.lease, end).pipe(
      Effect.andThen(Metric.update(
        Metric.withAttributes(runsEnded, { workflow: execution.run.workflow, status: end.status }),
        1
      )),
      Effect.as<Ended>({ ...end, attempt: execution.run.attempt }),
      Effect.catchTags({
        LeaseLost: () => Effect.as(Metric.update(leasesLost, 1), undefined),
        ValueTooLarge: (error) => this.#finish(execution, { status: "Failed", outcome: defect(error) }),
        StoreError: (error: StoreError) =>
          Effect.as(Effect.logError(`The end of run ${execution.run.id} cannot be written`, error), undefined)
      })
    )
  }
}

const defect = (error: unknown): string => Outcome.stringify(Outcome.fromDefect(error))

/** A worker whose executions are fibers of the scope. */
export const make = Effect.fnUntraced(function*(
  db: SystemDb["Service"],
  settings: Settings,
  signals: Signals
): Effect.fn.Return<Worker, never, Scope.Scope> {
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const worker = new Worker(db, settings, signals, (effect) => void run(effect))
  yield* Effect.addFinalizer(() => worker.drain(() => true))
  return worker
})
