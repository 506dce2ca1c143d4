import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Step from "../src/Step.ts"
import { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually, flush, freeSlots, inTime, single } from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.Unknown })
const Numbered = Workflow.make("numbered", { payload: Schema.Finite, success: Schema.Finite })

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

/** Counts how many are inside at once. */
const gauge = () => {
  const counts = { now: 0, most: 0 }
  const inside = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        counts.now++
        counts.most = Math.max(counts.most, counts.now)
      }),
      () => effect,
      () => Effect.sync(() => void counts.now--)
    )
  return { counts, inside }
}

describe("slots", () => {
  it.effect("limit the runs executed at once, and a backlog is worked off", () =>
    Effect.gen(function*() {
      const { counts, inside } = gauge()
      const node = yield* single(Numbered.toLayer((n) => Effect.as(inside(Effect.sleep("1 second")), n)), {
        concurrency: 4
      })
      const executions = numbers(41).map((n) => Numbered.execute(n))
      const results = yield* inTime(node.run(Effect.all(executions, { concurrency: "unbounded" })))
      assert.deepStrictEqual(results, numbers(41))
      assert.deepStrictEqual(counts, { now: 0, most: 4 })
      assert.strictEqual(yield* freeSlots(node, "numbered"), 4)
    }))

  it.effect("that come free are filled at once, without waiting for a poll", () =>
    Effect.gen(function*() {
      const node = yield* single(Numbered.toLayer((n) => Effect.as(Effect.sleep("1 second"), n)), { concurrency: 1 })
      const handles = yield* node.run(Effect.forEach(numbers(5), (n) => Numbered.start(n)))
      yield* elapse("5100 millis", 102)
      for (const handle of handles) assert.strictEqual(yield* node.run(handle.status), "Succeeded")
    }))

  it.effect("are worked off with several processes and without hints too", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster({ hints: false })
      const { counts, inside } = gauge()
      const bodies = Numbered.toLayer((n) => Effect.as(inside(Effect.sleep("1 second")), n))
      const nodes = [yield* node({ bodies, concurrency: 2 }), yield* node({ bodies, concurrency: 3 })]
      const executions = numbers(20).map((n) => nodes[n % 2]!.run(Numbered.execute(n)))
      yield* inTime(Effect.all(executions, { concurrency: "unbounded" }))
      assert.strictEqual(counts.most, 5)
    }))

  it.effect("are given to others by runs that wait for long, and kept by those that wait shortly", () =>
    Effect.gen(function*() {
      const waits = (wait: Effect.Effect<unknown, never, Workflow.CurrentRun>) =>
        Effect.gen(function*() {
          const node = yield* single(Flow.toLayer(() => wait), { concurrency: 2 })
          yield* node.run(Flow.start())
          yield* elapse("1 second")
          return yield* freeSlots(node, "flow")
        })
      assert.strictEqual(yield* waits(Workflow.sleep("1 hour")), 2)
      assert.strictEqual(yield* waits(Effect.race(Workflow.sleep("1 hour"), Effect.never)), 2)
      assert.strictEqual(yield* waits(Workflow.sleep("5 seconds")), 1)
      assert.strictEqual(yield* waits(Effect.sleep("1 hour")), 1)
    }))

  it.effect("are given once by a run, however many long waits it has", () =>
    Effect.gen(function*() {
      const { counts, inside } = gauge()
      const node = yield* single(
        Layer.mergeAll(
          Flow.toLayer(() =>
            Effect.forEach(numbers(5), (n) => Workflow.sleep("1 hour", { key: `${n}` }), { concurrency: 5 })
          ),
          Numbered.toLayer((n) => Effect.as(inside(Effect.sleep("1 second")), n))
        ),
        { concurrency: 2 }
      )
      yield* node.run(Flow.start())
      yield* flush
      yield* inTime(node.run(Effect.forEach(numbers(10), (n) => Numbered.execute(n), { concurrency: 10 })))
      assert.strictEqual(counts.most, 2)
      assert.strictEqual(yield* freeSlots(node, "numbered"), 2)
    }))

  it.effect("are not given by a run that works beside its long wait", () =>
    Effect.gen(function*() {
      const node = yield* single(
        Flow.toLayer(() =>
          Effect.all([Workflow.sleep("1 hour"), Step.run("slow", Effect.sleep("1 minute"))], { concurrency: 2 })
        ),
        { concurrency: 1 }
      )
      yield* node.run(Flow.start())
      yield* elapse("10 seconds")
      assert.strictEqual(yield* freeSlots(node, "flow"), 0)
      yield* elapse("1 minute")
      assert.strictEqual(yield* freeSlots(node, "flow"), 1)
      yield* elapse("2 hours")
      assert.strictEqual(yield* freeSlots(node, "flow"), 1)
    }))

  it.effect("come back when runs are cancelled, fail or die, wherever they are", () =>
    Effect.gen(function*() {
      const bodies = [
        Effect.never,
        Effect.fail("no"),
        Effect.die("boom"),
        Effect.race(Workflow.sleep("1 hour"), Effect.never),
        Workflow.sleep("5 seconds"),
        Step.run("slow", Effect.never)
      ]
      const node = yield* single(Numbered.toLayer((n) => Effect.as(Effect.orDie(bodies[n]!), n)), { concurrency: 6 })
      const handles = yield* node.run(Effect.forEach(numbers(6), (n) => Numbered.start(n)))
      yield* elapse("1 second")
      yield* Effect.forEach(handles, (handle) => Effect.ignore(node.run(handle.cancel)))
      yield* elapse("1 second")
      assert.strictEqual(yield* freeSlots(node, "numbered"), 6)
    }))
})

describe("a graceful stop", () => {
  it.effect("lets running steps end within the grace period, and hands back the rest, which another continues", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const log: Array<string> = []
      const slow = (n: number) =>
        Effect.sleep("100 millis").pipe(TestClock.withLive, Effect.andThen(Effect.sync(() => log.push(`ended ${n}`))))
      const bodies = Numbered.toLayer((n) =>
        Effect.gen(function*() {
          yield* Step.run("first", n === 1 ? slow(n) : Effect.sync(() => log.push(`ended ${n}`)))
          if (n === 2) {
            yield* Step.run(
              "second",
              Effect.suspend(() => log.includes("stopped") ? Effect.void : Effect.never)
            )
          }
          return n
        })
      )
      const first = yield* node({ bodies, grace: "400 millis" })
      const handles = yield* first.run(Effect.forEach([1, 2], (n) => Numbered.start(n)))
      yield* flush
      yield* first.stop
      log.push("stopped")
      assert.deepStrictEqual(yield* Effect.forEach(handles, (handle) => first.run(handle.status)), [
        "Succeeded",
        "Enqueued"
      ])
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handles[1]!.await)), 2)
      assert.deepStrictEqual(log, ["ended 2", "ended 1", "stopped"])
      assert.strictEqual((yield* second.run(handles[1]!.info)).attempt, 1)
    }))

  it.effect("hands runs back at once that only wait", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.as(Workflow.sleep("5 seconds"), "done"))
      const first = yield* node({ bodies, grace: "20 seconds" })
      const handle = yield* first.run(Flow.start())
      yield* flush
      const [took] = yield* TestClock.withLive(Effect.timed(first.stop))
      assert.isBelow(Duration.toMillis(took), 1000)
      assert.strictEqual(yield* first.run(handle.status), "Enqueued")
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), "done")
    }))

  it.effect("keeps the services of a body open until its executions are over", () =>
    Effect.gen(function*() {
      const { db } = yield* cluster()
      const log: Array<string> = []
      class Mailer extends Context.Service<Mailer, { readonly send: Effect.Effect<void> }>()("test/Mailer") {}
      const MailerLive = Layer.effect(
        Mailer,
        Effect.acquireRelease(
          Effect.sync(() => {
            let open = true
            return {
              close: () => {
                open = false
                log.push("mailer closed")
              },
              send: Effect.sync(() => void log.push(open ? "sent" : "sent after it was closed"))
            }
          }),
          (mailer) => Effect.sync(mailer.close)
        )
      )
      const bodies = Flow.toLayer(() =>
        Effect.gen(function*() {
          const mailer = yield* Mailer
          yield* Step.run("send", Effect.andThen(TestClock.withLive(Effect.sleep("100 millis")), mailer.send))
        }).pipe(Effect.ensuring(Mailer.use((mailer) => mailer.send)))
      )
      const scope = yield* Scope.make()
      const layer = bodies.pipe(
        Layer.provide(MailerLive),
        Layer.provideMerge(Engine.layer({ name: "t" })),
        Layer.provideMerge(Layer.succeed(SystemDb, db))
      )
      const context = yield* Layer.buildWithScope(layer, scope)
      yield* Effect.provideContext(Flow.start(), context)
      yield* flush
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log, ["sent", "sent", "mailer closed"])
    }))

  it.effect("does not wait for a store that is away for longer than the grace period", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.succeed("done"))
      const first = yield* node({ bodies })
      first.intercept = (method, call) => method === "finish" || method === "release" ? Effect.never : call
      yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* flush
      yield* first.stop
      assert.strictEqual((yield* find("r")).status, "Enqueued")
    }))

  it.effect("leaves no worker registered, and nothing to recover", () =>
    Effect.gen(function*() {
      const { db, find, node } = yield* cluster()
      const first = yield* node({ bodies: Flow.toLayer(() => Effect.never) })
      yield* first.run(Flow.start(undefined, { runId: "r" }))
      yield* first.stop
      const worker = yield* db.registerWorker({ application: "probe", leaseMillis: 60_000 })
      const found = yield* db.pulse({ worker, leaseMillis: 60_000, suspects: [] })
      assert.deepStrictEqual(found, { alive: true, suspects: [], recovered: 0, dead: [] })
      assert.deepStrictEqual([(yield* find("r")).status, (yield* find("r")).attempt], ["Enqueued", 1])
    }))
})

/** Executes a run, leaves one that sleeps and one that never ends, and closes the layer. */
const program = `
  import * as Effect from "effect/Effect"
  import * as Layer from "effect/Layer"
  import * as Schema from "effect/Schema"
  import * as Engine from "./src/Engine.ts"
  import * as Memory from "./src/Memory.ts"
  import * as Workflow from "./src/Workflow.ts"
  const Answer = Workflow.make("answer", { success: Schema.Finite })
  const Sleeps = Workflow.make("sleeps")
  const Hangs = Workflow.make("hangs")
  const bodies = Layer.mergeAll(
    Answer.toLayer(() => Effect.succeed(42)),
    Sleeps.toLayer(() => Workflow.sleep("1 day")),
    Hangs.toLayer(() => Effect.never)
  )
  const App = bodies.pipe(
    Layer.provideMerge(Engine.layer({ name: "t", grace: "50 millis" })),
    Layer.provideMerge(Memory.layer)
  )
  const main = Effect.gen(function*() {
    yield* Sleeps.start()
    yield* Hangs.start()
    console.log(yield* Answer.execute())
  })
  Effect.runFork(Effect.provide(main, App))
`

describe("closing the layer", () => {
  it.effect("leaves no fiber behind", () =>
    Effect.gen(function*() {
      const alive = new Set<string>()
      const tracked = (name: string) =>
        Effect.acquireUseRelease(
          Effect.sync(() => void alive.add(name)),
          () => Effect.never,
          () => Effect.sync(() => void alive.delete(name))
        )
      const bodies = Numbered.toLayer((n) =>
        Effect.gen(function*() {
          yield* Effect.forkChild(tracked(`child ${n}`))
          yield* Effect.forkScoped(tracked(`scoped ${n}`))
          if (n === 1) yield* Workflow.sleep("5 seconds")
          if (n === 2) {
            yield* Effect.forEach([1, 2], (m) => Step.run("step", tracked(`step ${m}`), { key: `${m}` }), {
              concurrency: 2
            })
          }
          yield* tracked(`body ${n}`)
          return n
        })
      )
      const layer = bodies.pipe(
        Layer.provideMerge(Engine.layer({ name: "t", grace: "10 millis" })),
        Layer.provideMerge(Memory.layer)
      )
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      yield* Effect.provideContext(Effect.forEach([0, 1, 2], (n) => Numbered.start(n)), context)
      yield* eventually(Effect.sync(() => alive.size), (size) => size === 9)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual([...alive], [])
    }))

  it.live("lets the process end by itself", () =>
    Effect.gen(function*() {
      const child = spawn(process.execPath, [
        "--conditions=@effect-durable/source",
        "--input-type=module",
        "-e",
        program
      ], {
        cwd: fileURLToPath(new URL("..", import.meta.url)),
        stdio: ["ignore", "pipe", "inherit"]
      })
      let output = ""
      child.stdout.on("data", (data) => {
        output += String(data)
      })
      const code = yield* Effect.callback<number | null>((resume) => {
        child.on("close", (code) => resume(Effect.succeed(code)))
        return Effect.sync(() => void child.kill("SIGKILL"))
      }).pipe(Effect.timeout("20 seconds"))
      assert.deepStrictEqual([code, output], [0, "42\n"])
    }), 30_000)

  it.effect("of a workflow drains its runs, and the engine works on for the others", () =>
    Effect.gen(function*() {
      const { db, find } = yield* cluster()
      const scope = yield* Scope.make()
      const engine = yield* Layer.build(
        Engine.layer({ name: "t", grace: "10 millis" }).pipe(
          Layer.provideMerge(Layer.succeed(SystemDb, db))
        )
      )
      yield* Layer.buildWithScope(Layer.provide(Flow.toLayer(() => Effect.never), Layer.succeedContext(engine)), scope)
      yield* Layer.build(Layer.provide(Numbered.toLayer((n) => Effect.succeed(n)), Layer.succeedContext(engine)))
      yield* Effect.provideContext(Flow.start(undefined, { runId: "r" }), engine)
      yield* flush
      assert.strictEqual((yield* find("r")).status, "Running")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* find("r")).status, "Enqueued")
      assert.strictEqual(yield* inTime(Effect.provideContext(Numbered.execute(3), engine)), 3)
    }))
})
