/** Engines over one memory store that a test can start, crash and stop, and whose store calls it can delay or fail. */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Engine from "../../src/Engine.ts"
import { StoreError } from "../../src/Errors.ts"
import { crash } from "../../src/internal/memory/store.ts"
import * as Memory from "../../src/Memory.ts"
import { Interceptor, type Run, SystemDb } from "../../src/SystemDb.ts"

type Method = keyof SystemDb["Service"]

/** What a test does to a store call: runs it, or something else. */
export type Intercept = (method: Method, call: Effect.Effect<any, any, any>) => Effect.Effect<any, any, any>

/** The store cannot be reached now. */
export const away = (method: string) => Effect.fail(new StoreError({ method, retryable: true, detail: "it is away" }))

/** One process, as far as the store can tell. */
export interface Node {
  /** Runs an effect as code of this process. */
  readonly run: <A, E>(effect: Effect.Effect<A, E, SystemDb | Engine.Engine>) => Effect.Effect<A, E>
  /** The ids this process has been registered under, the latest last. */
  readonly workers: ReadonlyArray<string>
  /** Passes every store call of this process through here from now on. */
  intercept: Intercept
  /** How often each store method was called. */
  readonly calls: Map<Method, number>
  /** The process dies: nothing is handed back and nothing is written any more. */
  readonly crash: Effect.Effect<void>
  /** The process stops gracefully. */
  readonly stop: Effect.Effect<void>
}

type Bodies = Layer.Layer<never, never, Engine.Engine | SystemDb>

const none: Bodies = Layer.empty

export interface NodeOptions extends Partial<Engine.Options> {
  readonly bodies?: Bodies
}

/** Intervals as they are over a shared store; the memory store would be polled rarely. */
const defaults = {
  name: "test",
  lease: "10 seconds",
  pulseInterval: "1 second",
  pollInterval: "1 second",
  grace: "60 millis"
} as const

const makeNode = Effect.fnUntraced(function*(db: SystemDb["Service"], { bodies = none, ...options }: NodeOptions) {
  const workers: Array<string> = []
  const calls = new Map<Method, number>()
  let dead = false
  const node = { intercept: ((_, call) => call) as Intercept }
  const intercept: Intercept = (method, call) => {
    if (dead) return Effect.never
    calls.set(method, (calls.get(method) ?? 0) + 1)
    const intercepted = node.intercept(method, call)
    return method === "registerWorker"
      ? Effect.tap(intercepted, (id) => Effect.sync(() => workers.push(id)))
      : intercepted
  }
  const layer = bodies.pipe(
    Layer.provideMerge(Engine.layer({ ...defaults, ...options })),
    Layer.provideMerge(Layer.succeed(SystemDb, db)),
    Layer.provideMerge(Layer.succeed(Interceptor, intercept as never))
  )
  // Time passes while it closes: what a test delays may still be under way.
  const scope = yield* Effect.acquireRelease(
    Scope.make(),
    (scope, exit) =>
      Effect.raceFirst(Scope.close(scope, exit), Effect.forever(Effect.andThen(TestClock.adjust(100), flush)))
  )
  const context = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
  const stop = Scope.close(scope, Exit.void)
  return Object.assign(node, {
    workers,
    calls,
    run: <A, E>(effect: Effect.Effect<A, E, SystemDb | Engine.Engine>) =>
      Effect.provideContext(effect, context as Context.Context<SystemDb | Engine.Engine>),
    crash: Effect.andThen(
      Effect.sync(() => {
        dead = true
      }),
      Effect.andThen(Effect.forEach(workers, (id) => crash(db, id)), stop)
    ),
    stop
  }) as Node
})

/** A memory store, and engines over it. */
export const cluster = Effect.fnUntraced(function*(options: Parameters<typeof Memory.layerWith>[0] = {}) {
  const db = Context.get(yield* Layer.build(Memory.layerWith(options)), SystemDb)
  return {
    db,
    node: (options: NodeOptions = {}) => makeNode(db, options),
    find: (id: string): Effect.Effect<Run> => Effect.map(Effect.orDie(db.findRun(id)), Option.getOrThrow),
    steps: (id: string) => Effect.orDie(db.listSteps(id))
  }
})

/** One engine over a store of its own, with these bodies. Nobody else is there, so it polls rarely. */
export const single = Effect.fnUntraced(function*(bodies: Bodies, options: NodeOptions = {}) {
  const { db, find, node, steps } = yield* cluster()
  const rarely = { lease: "1 hour", pulseInterval: "5 minutes", pollInterval: "5 minutes" } as const
  return Object.assign(yield* node({ ...rarely, ...options, bodies }), { db, find, steps })
})

/** How many runs of this workflow the process would take now. */
export const freeSlots = (node: Pick<Node, "run">, workflow: string) =>
  node.run(Engine.Engine.use((engine) =>
    Effect.sync(() => {
      const reservations: Array<{ readonly free: () => void }> = []
      for (let n = 0;; n++) {
        const reservation = engine.reserve(workflow, `free slot ${n}`)
        if (reservation === undefined) break
        reservations.push(reservation)
      }
      reservations.forEach(({ free }) => free())
      return reservations.length
    })
  ))

/** Lets fibers that are ready run, at the same virtual instant. */
export const flush: Effect.Effect<void> = Effect.repeat(Effect.yieldNow, { times: 30 }).pipe(Effect.asVoid)

/** Lets virtual time pass in small steps, so that everything which waits takes its turn. */
export const elapse = (duration: Duration.Input, steps = 20): Effect.Effect<void> => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
  const step = Effect.andThen(flush, TestClock.adjust(millis / steps))
  return Effect.andThen(Effect.repeat(step, { times: steps - 1 }), flush)
}

/** Repeats the effect, letting a little virtual time pass, until what it returns satisfies the predicate. */
export const eventually = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  predicate: (value: A) => boolean,
  every: Duration.Input = "50 millis"
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    yield* flush
    let value = yield* effect
    for (let i = 0; i < 2000 && !predicate(value); i++) {
      yield* TestClock.adjust(every)
      yield* flush
      value = yield* effect
    }
    if (!predicate(value)) {
      assert.fail(`the awaited fact did not come true; the last answer was ${JSON.stringify(value)}`)
    }
    return value
  })

/** Runs the effect while virtual time passes, and returns its exit. */
export const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>, every: Duration.Input = "50 millis") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* eventually(Effect.sync(() => fiber.pollUnsafe()), (exit) => exit !== undefined, every)
    return fiber.pollUnsafe()!
  })

/** The value of an effect run while virtual time passes. */
export const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, every?: Duration.Input) =>
  Effect.flatMap(whileTimePasses(effect, every), (exit) => exit)
