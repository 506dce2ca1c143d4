/** The workers of a test: engines over one memory store, as if each were a process of its own that can die. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Engine from "../../Engine.ts"
import type { StoreError } from "../../Errors.ts"
import { type Lease, type NewStepRecord, type Suspect, SystemDb } from "../../SystemDb.ts"
import type { Execution } from "../execution.ts"
import { crash } from "../memory/store.ts"
import type { Body, LocalRun } from "../registry.ts"

type Store = SystemDb["Service"]
type Registry = Engine.Engine["Service"]

/** A worker that died, and the step that was the last it recorded. */
export interface Crash {
  readonly worker: string
  readonly at: number
  readonly workflow: string
  readonly runId: string
  readonly step: string
}

/** After which of the steps to come the worker dies that records it. */
export interface Trap {
  readonly workflow: string | undefined
  readonly step: string | undefined
  left: number
}

interface Node {
  /** The ids it was registered under. */
  readonly ids: Set<string>
  readonly died: Deferred.Deferred<void>
  /** The executions on it. */
  readonly active: Set<Execution>
  alive: boolean
}

interface Process extends Node {
  readonly registry: Registry
}

interface Registered {
  readonly body: Body
  readonly scope: Scope.Scope
}

export interface Workers {
  /** The engine that workflow and schedule layers are built on: all of the workers together. */
  readonly registry: Registry
  readonly executions: () => ReadonlyArray<Execution>
  readonly traps: Array<Trap>
  readonly crashes: ReadonlyArray<Crash>
}

/**
 * Nobody but the test's own code changes the store and no hint gets lost, so nothing is ever polled for: the clock moves only to
 * what is due. A poll this rare also makes the scheduler hold every schedule, however far its next tick is.
 */
const rareMillis = 3_650 * 86_400_000
const foreverMillis = 10 * rareMillis

/** How often a worker looks for dead ones in production; it takes two looks. */
const pulse = "1 second"

type Method = (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, StoreError>

/** The store as a process reaches it; once that has died no call is answered. */
const reachedBy = (node: Node, db: Store, recorded: Recorded): Store => {
  const guard = <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => node.alive ? call : Effect.never)
  const guarded = Object.entries(db).map(([method, call]: [string, unknown]) => [
    method,
    method === "joined"
      ? call
      : typeof call === "function"
      ? (...args: ReadonlyArray<unknown>) => guard((call as Method)(...args))
      : method === "now"
      ? guard(db.now)
      : call
  ])
  const store = Object.fromEntries(guarded) as unknown as Store
  return {
    ...store,
    registerWorker: (request) =>
      Effect.tap(store.registerWorker(request), (id) => Effect.sync(() => void node.ids.add(id))),
    recordStep: (lease, step) =>
      Effect.andThen(
        store.recordStep(lease, step),
        Effect.suspend(() => {
          recorded(node, lease, step)
          return node.alive ? Effect.void : Effect.never
        })
      )
  }
}

type Recorded = (node: Node, lease: Lease, step: NewStepRecord) => void

export const make = Effect.fnUntraced(function*(
  db: Store,
  options: Engine.Options & { readonly workers: number },
  now: () => number,
  dead: Set<string>
): Effect.fn.Return<Workers, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const run = yield* FiberSet.makeRuntime<never>()
  const context = yield* Effect.context<never>()
  const processes: Array<Process> = []
  const bodies = new Set<Registered>()
  const traps: Array<Trap> = []
  const crashes: Array<Crash> = []
  const engine = {
    ...options,
    lease: foreverMillis,
    pulseInterval: rareMillis,
    pollInterval: rareMillis,
    // The end of a test does not wait for bodies.
    grace: 0
  } as const

  const recorded: Recorded = (node, { runId, worker }, { name, outcome }) => {
    if (traps.length === 0 || outcome === null || !node.alive) return
    const workflow = [...node.active].find((execution) => execution.run.id === runId)?.run.workflow
    // Workflows of the library's own are not the test's.
    if (workflow === undefined) return
    const sprung = traps.filter((trap) =>
      (trap.workflow === undefined || trap.workflow === workflow) && (trap.step === undefined || trap.step === name) &&
      --trap.left === 0
    )
    if (sprung.length === 0) return
    for (const trap of sprung) traps.splice(traps.indexOf(trap), 1)
    crashes.push({ worker, at: now(), workflow, runId, step: name })
    die(node)
  }

  const die = (node: Node) => {
    node.alive = false
    const ids = [...node.ids]
    ids.forEach((id) => dead.add(id))
    run(Effect.andThen(Effect.forEach(ids, (id) => crash(db, id)), takeOver))
    Deferred.doneUnsafe(node.died, Effect.void)
  }

  const start = Effect.gen(function*() {
    const node: Node = { ids: new Set(), died: yield* Deferred.make<void>(), active: new Set(), alive: true }
    const layer = Layer.provide(Engine.layer(engine), Layer.succeed(SystemDb, reachedBy(node, db, recorded)))
    // The engine drains by itself; a scope of its own, so that it closes before this one.
    const built = yield* Effect.orDie(Layer.buildWithScope(Layer.fresh(layer), scope))
    const process: Process = Object.assign(node, { registry: Context.get(built, Engine.Engine) })
    processes.push(process)
    yield* Effect.forEach(bodies, (registered) => register(process, registered))
  }).pipe(Effect.provideContext(context))

  const register = (process: Process, { body, scope }: Registered) =>
    Scope.provide(
      process.registry.register({
        ...body,
        execute: (execution) =>
          Effect.suspend(() => {
            process.active.add(execution)
            return Effect.ensuring(body.execute(execution), Effect.sync(() => void process.active.delete(execution)))
          })
      }),
      scope
    )

  const alive = () => processes.filter((process) => process.alive)

  /** What the other workers' pulses do in production: a missing session lock is seen twice, then the runs are enqueued again. */
  const takeOver = Effect.gen(function*() {
    if (alive().length === 0) yield* start
    let suspects: ReadonlyArray<Suspect> = []
    for (let looks = 0; looks < 2; looks++) {
      yield* Effect.sleep(pulse)
      const worker = alive().flatMap(({ ids }) => [...ids]).at(-1)
      if (worker === undefined) return
      const request = { worker, leaseMillis: foreverMillis, suspects }
      suspects = (yield* db.pulse(request)).suspects
    }
  }).pipe(Effect.orDie)

  yield* Effect.repeat(start, { times: options.workers - 1 })

  const local = (runId: string): LocalRun | undefined => {
    for (const { died, registry } of alive()) {
      const found = registry.local(runId)
      // Whoever waits for a run of a worker that dies goes on waiting at the store.
      if (found !== undefined) {
        return { await: Effect.raceFirst(found.await, Effect.as(Deferred.await(died), undefined)) }
      }
    }
    return undefined
  }

  return {
    registry: Engine.Engine.of({
      application: options.name,
      version: Option.fromUndefinedOr(options.version),
      register: Effect.fnUntraced(function*(body) {
        const registered: Registered = { body, scope: yield* Effect.scope }
        yield* Effect.acquireRelease(
          Effect.sync(() => bodies.add(registered)),
          () => Effect.sync(() => bodies.delete(registered))
        )
        yield* Effect.forEach(alive(), (process) => register(process, registered))
      }),
      reserve: (workflow, runId) => {
        for (const { registry } of alive()) {
          const reservation = registry.reserve(workflow, runId)
          if (reservation !== undefined) return reservation
        }
        return undefined
      },
      local
    }),
    executions: () => alive().flatMap(({ active }) => [...active]),
    traps,
    crashes
  }
})
