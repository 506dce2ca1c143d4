import { assert, it } from "@effect/vitest"
import * as Memory from "effect-durable/Memory"
import * as Workflow from "effect-durable/Workflow"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import { runsUnattended } from "../src/internal/telemetry.ts"
import { cluster, elapse } from "./support/engine.ts"

const Known = Workflow.make("known")
const Gone = Workflow.make("gone")
const known = Known.toLayer(() => Effect.void)

/** Nothing here depends on how often engines look for anything else. */
const rarely = { lease: "1 hour", pulseInterval: "1 minute", pollInterval: "1 minute" } as const

/** The warnings that tell of runs nobody can execute. */
const listening = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([Logger.make(({ cause, logLevel, message }) => {
    const line = `${message} ${Cause.pretty(cause)}`
    if (logLevel === "Warn" && line.includes("has a body in no process that lives")) lines.push(line)
  })])
  return { lines, layer }
}

const waiting = Effect.map(
  Metric.value(Metric.withAttributes(runsUnattended, { workflow: "gone" })),
  ({ value }) => value
)

it.effect("a run that no live process has a body for is warned of once after a grace, by name, and counted", () =>
  Effect.gen(function*() {
    const { layer, lines } = listening()
    yield* Effect.gen(function*() {
      const process = yield* (yield* cluster()).node({ ...rarely, bodies: known })
      yield* process.run(Known.start())
      yield* process.run(Gone.start(undefined, { runId: "lost" }))
      yield* elapse("59 seconds")
      assert.deepStrictEqual(lines, [])
      yield* elapse("3 minutes", 60)
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], "Workflow gone has a body in no process that lives, and 1 of its runs wait")
      assert.strictEqual(yield* waiting, 1)
      yield* process.run(Gone.start())
      yield* elapse("50 minutes", 60)
      assert.strictEqual(lines.length, 1)
      assert.strictEqual(yield* waiting, 2)
      yield* elapse("20 minutes", 60)
      assert.strictEqual(lines.length, 2)
    }).pipe(Effect.provide(layer), Effect.scoped)
  }))

it.effect("nothing is said of runs that a process has a body for, however long they wait, nor of those that wake later", () =>
  Effect.gen(function*() {
    const { layer, lines } = listening()
    yield* Effect.gen(function*() {
      const world = yield* cluster()
      const process = yield* world.node(rarely)
      const worker = yield* world.node({ bodies: Gone.toLayer(() => Effect.never), concurrency: 1 })
      yield* process.run(Effect.andThen(Gone.start(), Gone.start()))
      yield* process.run(Known.start(undefined, { delay: "1 day" }))
      yield* elapse("10 minutes", 60)
      assert.deepStrictEqual(lines, [])
      yield* worker.stop
      yield* elapse("3 minutes", 60)
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], "2 of its runs wait")
    }).pipe(Effect.provide(layer), Effect.scoped)
  }))

it.effect("the count goes back to none when a process comes that has the body", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const process = yield* world.node({ ...rarely, bodies: known })
    yield* process.run(Gone.start(undefined, { runId: "lost" }))
    yield* elapse("3 minutes", 60)
    assert.strictEqual(yield* waiting, 1)
    yield* world.node({ bodies: Gone.toLayer(() => Effect.void) })
    yield* elapse("2 minutes", 60)
    assert.strictEqual((yield* world.find("lost")).status, "Succeeded")
    assert.strictEqual(yield* waiting, 0)
  }))

it.effect("who awaits such a run in a process without an engine is warned, and the others that await with it are not again", () =>
  Effect.gen(function*() {
    const { layer, lines } = listening()
    yield* Effect.gen(function*() {
      for (let n = 0; n < 10; n++) {
        yield* Effect.forkScoped(Effect.flatMap(Gone.start(), (handle) => handle.await))
      }
      yield* elapse("50 seconds")
      assert.deepStrictEqual(lines, [])
      yield* elapse("10 minutes", 60)
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], "10 of its runs wait")
    }).pipe(Effect.provide(Layer.mergeAll(layer, Memory.layer)), Effect.scoped)
  }))
