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
import { type StepId, type Suspect, SystemDb } from "../../SystemDb.ts"
import type { Execution } from "../execution.ts"
import { crash } from "../memory/store.ts"
import type { Body, LocalRun } from "../registry.ts"
import { executionOf } from "./clock.ts"
import { type Fact, factOf, type Point } from "./points.ts"

type Store = SystemDb["Service"]
type Registry = Engine.Engine["Service"]

/** A worker that died, and where. */
export interface Crash {
  readonly worker: string
  readonly at: number
  readonly point: Point
}

/** Is told of every point that a run comes to; true when the worker dies there. */
export type Trap = (point: Point, execution: Execution) => boolean

interface Node {
  /** The ids it was registered under. */
  readonly ids: Set<string>
  readonly died: Deferred.Deferred<void>
  /** The executions on it that are not over. */
  readonly active: Set<Execution>
  /** The latest execution on it of each run of the test's own workflows. */
  readonly executions: Map<string, Execution>
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
  /** The store, as the test and the bodies reach it. */
  readonly db: Store
  readonly executions: () => ReadonlyArray<Execution>
  readonly traps: Set<Trap>
  readonly crashes: ReadonlyArray<Crash>
  /** The ids of the runs that the test and the bodies started, in order. */
  readonly started: ReadonlySet<string>
}

/**
 * Nobody but the test's own code changes the store and no hint gets lost, so nothing is ever polled for: the clock moves only to
 * what is due. A poll this rare also makes the scheduler hold every schedule, however far its next tick is.
 */
const rareMillis = 3_650 * 86_400_000
const foreverMillis = 10 * rareMillis

/** How many turns of the scheduler a body gets to end in when the test is over. */
const turnsToEnd = 20

/** How often a worker looks for dead ones in production; it takes two looks. */
const pulse = "1 second"

type Method = (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, StoreError>

/** The store, with every call let through a door. */
const behind = (db: Store, door: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>): Store => {
  const guarded = Object.entries(db).map(([method, call]: [string, unknown]) => [
    method,
    method === "joined"
      ? call
      : typeof call === "function"
      ? (...args: ReadonlyArray<unknown>) => door((call as Method)(...args))
      : method === "now"
      ? door(db.now)
      : call
  ])
  return Object.fromEntries(guarded) as unknown as Store
}

/** A call of a process: what has died neither asks nor hears an answer. */
const whileAlive = <A, E, R>(
  isAlive: () => boolean,
  call: Effect.Effect<A, E, R>,
  dead: Effect.Effect<never>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => isAlive() ? Effect.flatMap(Effect.exit(call), (exit) => isAlive() ? exit : dead) : dead)

/** Something that is written of a run, with whom to tell before and after. */
type Pass = <A, E, R>(
  runId: string,
  fact: Fact,
  step: StepId | undefined,
  call: Effect.Effect<A, E, R>
) => Effect.Effect<A, E, R>

/** The store as a process reaches it; once that has died no call is answered. */
const reachedBy = (node: Node, db: Store, pass: Pass): Store => {
  const store = behind(db, (call) => whileAlive(() => node.alive, call, Effect.never))
  return {
    ...store,
    registerWorker: (request) =>
      Effect.tap(store.registerWorker(request), (id) => Effect.sync(() => void node.ids.add(id))),
    recordStep: (lease, step) => pass(lease.runId, factOf(step), step, db.recordStep(lease, step)),
    suspend: (lease, wakeAt) => pass(lease.runId, "Suspend", undefined, db.suspend(lease, wakeAt)),
    finish: (lease, end) => pass(lease.runId, "Finish", undefined, db.finish(lease, end))
  }
}

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
  const traps = new Set<Trap>()
  const crashes: Array<Crash> = []
  const engine = {
    ...options,
    lease: foreverMillis,
    pulseInterval: rareMillis,
    pollInterval: rareMillis,
    // The end of a test does not wait for bodies.
    grace: 0
  } as const

  const over = yield* Deferred.make<void>()
  /** Where the bodies of the dead are until the test is over: then they end, so that nobody waits for them. */
  const buried = Effect.andThen(Deferred.await(over), Effect.interrupt)

  /** Lets the traps know that a run came to a point, and says whether its worker goes on. */
  const reach = (node: Node, side: Point["side"], runId: string, fact: Fact, step?: StepId): boolean => {
    // Workflows of the library's own are not the test's.
    const execution = node.executions.get(runId)
    if (execution === undefined || !node.alive) return node.alive
    const point = {
      side,
      fact,
      workflow: execution.run.workflow,
      runId,
      step: step?.name,
      key: step?.key ?? "",
      occurrence: step?.occurrence ?? 1
    }
    if (side === "after" && (fact === "Finish" || fact === "Suspend")) node.executions.delete(runId)
    // All of them are told, whichever it is that kills.
    if ([...traps].filter((trap) => trap(point, execution)).length > 0) {
      crashes.push({ worker: execution.lease.worker, at: now(), point })
      die(node)
    }
    return node.alive
  }

  const passing = (node: Node): Pass => (runId, fact, step, call) => {
    const side = (side: Point["side"]) =>
      Effect.suspend(() => reach(node, side, runId, fact, step) ? Effect.void : buried)
    return Effect.andThen(
      side("before"),
      Effect.tap(whileAlive(() => node.alive, call, buried), () => side("after"))
    )
  }

  const nodeOf = (execution: Execution): Node | undefined =>
    processes.find((process) => process.executions.get(execution.run.id) === execution)

  /** The store as bodies reach it that ask it themselves: to start a child, or within a step. Of a dead process none do. */
  const ofBodies = behind(db, (call) =>
    Effect.withFiber((fiber) => {
      const execution = executionOf(fiber.context)
      return execution === undefined ? call : whileAlive(() => !dead.has(execution.lease.worker), call, buried)
    }))
  const started = new Set<string>()
  const start: Store["start"] = (run) =>
    Effect.withFiber((fiber) => {
      started.add(run.id)
      const execution = executionOf(fiber.context)
      const node = execution === undefined ? undefined : nodeOf(execution)
      const call = ofBodies.start(run)
      return node === undefined
        ? call
        : passing(node)(execution!.run.id, "Child", { name: run.workflow, key: run.id, occurrence: 1 }, call)
    })

  const die = (node: Node) => {
    node.alive = false
    const ids = [...node.ids]
    ids.forEach((id) => dead.add(id))
    run(Effect.andThen(Effect.forEach(ids, (id) => crash(db, id)), takeOver))
    Deferred.doneUnsafe(node.died, Effect.void)
  }

  const boot = Effect.gen(function*() {
    const node: Node = {
      ids: new Set(),
      died: yield* Deferred.make<void>(),
      active: new Set(),
      executions: new Map(),
      alive: true
    }
    const layer = Layer.provide(Engine.layer(engine), Layer.succeed(SystemDb, reachedBy(node, db, passing(node))))
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
            process.executions.set(execution.run.id, execution)
            if (!reach(process, "before", execution.run.id, "Start")) return buried
            return Effect.ensuring(body.execute(execution), Effect.sync(() => void process.active.delete(execution)))
          })
      }),
      scope
    )

  /** The test is over: ends the bodies of the dead, before their engines wait for them in real time. */
  const letGo = Effect.gen(function*() {
    Deferred.doneUnsafe(over, Effect.void)
    for (const { active, alive } of processes) if (!alive) { for (const execution of active) execution.end("Lost") }
    yield* Effect.repeat(Effect.yieldNow, { times: turnsToEnd })
  })

  const alive = () => processes.filter((process) => process.alive)

  /** What the other workers' pulses do in production: a missing session lock is seen twice, then the runs are enqueued again. */
  const takeOver = Effect.gen(function*() {
    if (alive().length === 0) yield* boot
    let suspects: ReadonlyArray<Suspect> = []
    for (let looks = 0; looks < 2; looks++) {
      yield* Effect.sleep(pulse)
      const worker = alive().flatMap(({ ids }) => [...ids]).at(-1)
      if (worker === undefined) return
      const request = { worker, leaseMillis: foreverMillis, suspects }
      suspects = (yield* db.pulse(request)).suspects
    }
  }).pipe(Effect.orDie)

  yield* Effect.repeat(boot, { times: options.workers - 1 })

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
        yield* Effect.addFinalizer(() => letGo)
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
    db: { ...ofBodies, start },
    executions: () => alive().flatMap(({ active }) => [...active]),
    traps,
    crashes,
    started
  }
})
