/**
 * The engine: a worker that executes runs and a scheduler that fires schedules, as fibers of a layer.
 *
 * Any number of processes may have one over the same store; they need no leader and no other coordinator. A process that dies
 * has its runs continued by the others within seconds. Closing the layer lets runs go on for a grace period, then hands back
 * what is left.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { InvalidInput, type StoreError } from "./Errors.ts"
import { ask } from "./internal/ask.ts"
import * as Backfills from "./internal/engine/backfills.ts"
import * as Heartbeat from "./internal/engine/heartbeat.ts"
import * as Isolation from "./internal/engine/isolation.ts"
import {
  claimRuns,
  followHints,
  keepRegistered,
  makeSignal,
  tellBodies,
  watchUnattended
} from "./internal/engine/loops.ts"
import type { Options, Settings } from "./internal/engine/options.ts"
import { settings } from "./internal/engine/options.ts"
import * as Retention from "./internal/engine/retention.ts"
import * as Scheduler from "./internal/engine/scheduler.ts"
import type { Signals } from "./internal/engine/worker.ts"
import * as Worker from "./internal/engine/worker.ts"
import { type Body, Engine } from "./internal/registry.ts"
import { SystemDb } from "./SystemDb.ts"

export type {
  /**
   * How an engine behaves. Only `name` is required.
   *
   * @category models
   * @since 0.1.0
   */
  Options
}

export {
  /**
   * The engine of this process, which workflow and schedule layers register with.
   *
   * @category services
   * @since 0.1.0
   */
  Engine
}

export { HeartbeatFailed, HeartbeatRequest } from "./internal/engine/heartbeat.ts"

/** Makes sure that the workflow belongs to this application. */
const own = (db: SystemDb["Service"], { formerly, name }: Settings, { workflow }: Body): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.orDie(ask(db.ownWorkflow({ workflow, application: name, formerly }))),
    (application) =>
      application === name ? Effect.void : Effect.die(
        new InvalidInput({
          field: "workflow",
          reason:
            `${workflow} belongs to the application ${application}, which had a body for it first, and this engine is ` +
            `of ${name}. Choose another name for it; or, if both are to execute it, make it with { shared: true }; or, if ` +
            `${application} is what ${name} was called before, give its engine { formerly: ["${application}"] }`
        })
      )
  )

const make = Effect.fnUntraced(function*(options: Options) {
  const db = yield* SystemDb
  const given = settings(options, db.exclusive)
  const { worker: executes = true } = options
  const signal = yield* makeSignal
  const changed = yield* makeSignal
  const doubt = { current: false }
  const signals: Signals = {
    claim: signal.raise,
    bodies: changed.raise,
    reconcile: () => {
      doubt.current = true
      signal.raise()
    }
  }
  // Finalizers run in reverse: the loops stop first, then the runs drain, then the registration ends.
  const registered = yield* Effect.acquireRelease(Scope.make(), Scope.close)
  const worker = yield* Worker.make(db, given, signals)
  const registry = Engine.of({
    application: options.name,
    version: Option.fromUndefinedOr(options.version),
    register: (body) =>
      Effect.andThen(executes && !body.shared ? own(db, given, body) : Effect.void, worker.register(body)),
    reserve: (workflow, runId) => worker.reserve(workflow, runId),
    local: (runId) => worker.local(runId)
  })
  if (executes) {
    yield* Scope.provide(keepRegistered(db, given, worker, signals), registered)
    const isolation = yield* Isolation.make(db, given, worker, signals)
    yield* Effect.forkScoped(claimRuns(db, given, worker, signal, doubt, isolation))
    yield* Effect.forkScoped(followHints(db, worker, signals))
    yield* Effect.forkScoped(tellBodies(db, worker, changed))
    // Every application has it.
    const heartbeats = Engine.of({ ...registry, register: (body) => worker.register(body) })
    yield* Layer.build(Layer.provide(Heartbeat.layer, Layer.succeed(Engine, heartbeats)))
  }
  if (options.scheduler !== false) {
    yield* Scheduler.start(db, given, registry)
    yield* Backfills.start(db, given)
  }
  yield* watchUnattended(db, given)
  if (given.kept !== null) yield* Retention.start(db, given.kept)
  return registry
})

/**
 * An engine over the store.
 *
 * Workflow layers built on it decide which runs it claims. It is supervised: a loop that fails, because the store is away for
 * instance, is logged, counted and tried again with backoff until the layer closes.
 *
 * @example
 * ```ts
 * import * as Embedded from "effect-durable/Embedded"
 * import * as Engine from "effect-durable/Engine"
 * import * as Layer from "effect/Layer"
 *
 * export const EngineLive = Engine.layer({ name: "reports" }).pipe(
 *   Layer.provideMerge(Embedded.layer({ dataDir: ".durable" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Engine, StoreError, SystemDb> =>
  Layer.effect(Engine, make(options))
