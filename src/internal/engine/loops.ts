/** What keeps a worker going: its registration and pulse, its claims, and the hints it listens to. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StoreError } from "../../Errors.ts"
import type { Suspect, SystemDb } from "../../SystemDb.ts"
import * as Attendance from "../attendance.ts"
import { loop } from "../supervise.ts"
import { runsRecovered } from "../telemetry.ts"
import type { Isolation } from "./isolation.ts"
import type { Settings } from "./options.ts"
import type { Signals, Worker } from "./worker.ts"

/** A signal that can be raised from synchronous code and waited for, with a time limit. */
export const makeSignal = Effect.map(Queue.sliding<void>(1), (queue) => ({
  raise: (): void => void Queue.offerUnsafe(queue, undefined),
  next: Queue.take(queue),
  wait: (millis: number): Effect.Effect<void> => Effect.raceFirst(Queue.take(queue), Effect.sleep(millis))
}))

export type Signal = Effect.Success<typeof makeSignal>

type Store = SystemDb["Service"]

/** Dead workers of an earlier life of this store show after two checks, so the first checks come quickly. */
const quickPulses = 3
const quickPulseMillis = 500

/**
 * Keeps the worker registered: registers it, renews its lease, takes over the runs of dead workers, and registers it anew
 * when it has been declared dead itself. Registered when this returns. Closing the scope hands back what it owns.
 */
export const keepRegistered = Effect.fnUntraced(function*(
  db: Store,
  settings: Settings,
  worker: Worker,
  signals: Signals
): Effect.fn.Return<void, StoreError, Scope.Scope> {
  let registration: Scope.Closeable | undefined
  let suspects: ReadonlyArray<Suspect> = []
  let pulses = 0
  /** Until when others may have been as cut off as this one was, and still have to come back. */
  let spareUntil = 0

  const register = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const now = yield* Clock.currentTimeMillis
      worker.id = yield* Effect.onError(
        restore(
          Scope.provide(
            db.registerWorker({
              application: settings.name,
              leaseMillis: settings.leaseMillis,
              workflows: worker.workflows
            }),
            scope
          )
        ),
        // The session lock that it took is one of the whole server's.
        () => Scope.close(scope, Exit.void)
      )
      registration = scope
      worker.renewed(now)
      signals.claim()
    })
  )

  const unregister = Effect.suspend(() => {
    const closing = registration
    worker.id = undefined
    registration = undefined
    return closing === undefined ? Effect.void : Scope.close(closing, Exit.void)
  })

  const pulse = Effect.gen(function*() {
    const id = worker.id
    if (id === undefined) return yield* register
    const { leaseMillis, pulseMillis } = settings
    const now = yield* Clock.currentTimeMillis
    const found = yield* db.pulse({ worker: id, leaseMillis, suspects, judges: now >= spareUntil })
    if (!found.alive) {
      yield* Effect.logWarning(`Worker ${id} was taken for dead and its runs taken over; it starts afresh`)
      worker.lostAll(id)
      yield* unregister
      return yield* register
    }
    const answeredAt = yield* Clock.currentTimeMillis
    if (answeredAt - worker.renewedAt > 2 * pulseMillis) {
      spareUntil = answeredAt + Math.max(leaseMillis / 2, 3 * pulseMillis)
    }
    worker.renewed(now)
    suspects = found.suspects
    if (found.recovered > 0) {
      yield* Metric.update(runsRecovered, found.recovered)
      yield* Effect.logInfo(`Took over ${found.recovered} runs of workers that died`)
      signals.claim()
    }
    for (const runId of found.dead) {
      yield* Effect.logError(
        `Run ${runId} was given up: its workers die of it, one after the other, and nothing of it gets done`
      )
    }
  })

  // Added before the loop is forked, so that it runs after the loop has stopped.
  yield* Effect.addFinalizer(() => unregister)
  yield* register
  yield* Effect.forkScoped(loop(
    "pulse",
    Effect.andThen(
      Effect.suspend(() => Effect.sleep(pulses++ < quickPulses ? quickPulseMillis : settings.pulseMillis)),
      pulse
    ),
    settings.pulseMillis
  ))
})

/** How often a worker compares what it holds with what it owns, when nothing suggests a difference. */
const reconcileEveryPolls = 5
const largestClaim = 500
/** The first pause before asking again for what is due and was not given, because somebody else holds it. It doubles from then on. */
const shortestPauseMillis = 2

/** Claims runs whenever there may be some: on a signal, when the next one wakes, and at every poll. */
export const claimRuns = (
  db: Store,
  settings: Settings,
  worker: Worker,
  signal: Signal,
  doubt: { current: boolean },
  isolation: Isolation
) => {
  let reconcileAt: number | undefined
  /** How often in a row nothing was given although something is due. */
  let vain = 0
  const beInDoubt = () => {
    doubt.current = true
  }
  /** Compares what the worker holds with what it owns, when in doubt and from time to time. Nothing is claimed meanwhile. */
  const reconcile = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    reconcileAt ??= now + reconcileEveryPolls * settings.pollMillis
    if (worker.id === undefined || (!doubt.current && now < reconcileAt)) return
    worker.reconciling = true
    doubt.current = false
    const { leases, lose } = worker.held
    lose(yield* db.reconcile({ worker: worker.id, held: leases }))
    reconcileAt = now + reconcileEveryPolls * settings.pollMillis
  }).pipe(
    Effect.tapCause(() => Effect.sync(beInDoubt)),
    Effect.ensuring(Effect.sync(() => {
      worker.reconciling = false
    }))
  )

  // When it is interrupted, because the engine stops, what it claimed is handed back with the registration.
  const claim = (id: string, limit: number) =>
    db.claim({ worker: id, limit, workflows: worker.workflows, maxAttempts: settings.maxAttempts }).pipe(
      Effect.tap(({ runs }) => Effect.sync(() => runs.forEach((run) => worker.submit(run, id)))),
      Effect.tapCause(() => Effect.sync(beInDoubt))
    )

  const pass = Effect.gen(function*() {
    yield* reconcile
    // Silent for as long as its lease, it may have been taken for dead: what it took then would be taken from it at once.
    worker.silent = (yield* Clock.currentTimeMillis) - worker.renewedAt >= settings.leaseMillis
    const limit = Math.min(worker.free, largestClaim)
    const id = worker.silent ? undefined : worker.id
    // Without a slot nobody looked, so there may be some.
    worker.backlog = limit === 0
    let wait = settings.pollMillis
    if (id !== undefined && limit > 0 && worker.suspect === undefined && worker.workflows.length > 0) {
      const { nextWake, runs, suspects } = yield* claim(id, limit)
      worker.backlog = runs.length === limit
      if (suspects) wait = Math.min(wait, yield* isolation.inTurn)
      if (worker.suspect === undefined && worker.backlog) return
      const due = nextWake === null ? Infinity : nextWake - (yield* Clock.currentTimeMillis)
      vain = runs.length > 0 || due > 0 ? 0 : vain + 1
      wait = Math.min(wait, Math.max(due, shortestPauseMillis * 2 ** (vain - 1)))
    }
    yield* signal.wait(wait)
  })
  return loop("claim", pass)
}

/** For so long bodies are gathered that are registered one after the other, before the store is told. */
const gatherMillis = 50

/** Tells the store what this worker has bodies for, whenever that has changed. A registration anew tells it by itself. */
export const tellBodies = (db: Store, worker: Worker, changed: Signal) =>
  loop(
    "bodies",
    Effect.gen(function*() {
      yield* changed.next
      yield* Effect.sleep(gatherMillis)
      if (worker.id === undefined) return
      yield* Effect.tapCause(db.setBodies(worker.id, worker.workflows), () => Effect.sync(changed.raise))
    })
  )

/** An engine that polls more seldom than this trusts in being told of everything. */
const seldomMillis = 30 * 60_000

/**
 * Looks for runs that nobody can execute: about as often as this engine polls, but no more than once a grace. One that hardly polls
 * looks after it was told that runs wait.
 */
export const watchUnattended = Effect.fnUntraced(function*(db: Store, { pollMillis }: Settings) {
  const waiting = yield* makeSignal
  const attendance = Attendance.of(db)
  const seldom = pollMillis > seldomMillis
  // What was there before it could be told.
  waiting.raise()
  if (seldom) {
    yield* Effect.forkScoped(loop(
      "attendance hint",
      Stream.runForEach(db.hints, ({ _tag }) => Effect.sync(() => _tag === "RunsReady" ? waiting.raise() : undefined))
    ))
  }
  yield* Effect.forkScoped(loop(
    "attendance",
    Effect.gen(function*() {
      if (seldom && !attendance.telling) yield* waiting.next
      yield* Effect.sleep(Math.min(seldomMillis, Math.max(Attendance.graceMillis, pollMillis)))
      yield* attendance.look
    })
  ))
})

/** Turns hints into signals. */
export const followHints = (db: Store, worker: Worker, signals: Signals) =>
  loop(
    "hint",
    Stream.runForEach(db.hints, (hint) =>
      Effect.sync(() => {
        if (hint._tag === "RunsReady") signals.claim()
        if (hint._tag === "RunCancelled") worker.cancelled(hint.runId)
      }))
  )
