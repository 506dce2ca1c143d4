import { assert, it } from "@effect/vitest"
import * as Step from "effect-durable/Step"
import * as Workflow from "effect-durable/Workflow"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { cluster, elapse, eventually, inTime, whileTimePasses } from "./support/engine.ts"

/** A tracer that keeps its spans, and an engine's layers with it. */
const tracing = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  const only = (name: string) => {
    assert.strictEqual(named(name).length, 1, name)
    return named(name)[0]!
  }
  const parentOf = (span: Tracer.NativeSpan) => Option.getOrUndefined(span.parent)?.spanId
  return { layer: Layer.succeed(Tracer.Tracer, tracer), spans, named, only, parentOf }
}

const exitOf = ({ status }: Tracer.NativeSpan) =>
  status._tag === "Ended" ? status.exit : assert.fail("it has not ended")

const Child = Workflow.make("child")
const Order = Workflow.make("order", { payload: Schema.String, error: Schema.String })

const bodies = Layer.mergeAll(
  Child.toLayer(() => Effect.void),
  Order.toLayer((wait) =>
    Effect.gen(function*() {
      yield* Step.run("charge", Effect.void)
      if (wait === "fail") return yield* Effect.fail("declined")
      yield* Workflow.sleep(wait as "1 second")
      yield* Step.run("mail", Effect.void)
      yield* Effect.orDie(Effect.flatMap(Child.start(), ({ await: end }) => end))
    })
  )
).pipe(Layer.withSpan("the application"))

const order = (runId: string, wait: string) =>
  Effect.gen(function*() {
    const handle = yield* Order.start(wait, { runId }).pipe(Effect.withSpan(`request of ${runId}`))
    return yield* handle.await
  })

it.effect("a run's span hangs under the span that started it, and its steps, sleeps and children under the run's", () =>
  Effect.gen(function*() {
    const { layer, named, only, parentOf } = tracing()
    const process = yield* (yield* cluster()).node({ bodies: Layer.provideMerge(bodies, layer) })
    yield* inTime(process.run(Effect.provide(order("a", "1 second"), layer)))
    const run = only("Run.order")
    assert.strictEqual(parentOf(run), only("request of a").spanId)
    for (const name of ["Step.charge", "Workflow.sleep", "Step.mail", "Run.child"]) {
      assert.strictEqual(parentOf(only(name)), run.spanId, name)
      assert.strictEqual(only(name).traceId, only("request of a").traceId)
    }
    assert.deepStrictEqual(Object.fromEntries(run.attributes), {
      "run.id": "a",
      "run.attempt": 1,
      "run.epoch": 1,
      "run.status": "Succeeded",
      workflow: "order",
      worker: process.workers[0]
    })
    assert.isTrue(Exit.isSuccess(exitOf(run)))
    yield* inTime(process.run(Effect.provide(order("b", "1 second"), layer)))
    assert.deepStrictEqual(named("Run.order").map(parentOf), [
      only("request of a").spanId,
      only("request of b").spanId
    ])
  }))

it.effect("after a suspension and on another process a run goes on in the trace of whoever started it", () =>
  Effect.gen(function*() {
    const { layer, named, only, parentOf } = tracing()
    const world = yield* cluster()
    const one = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    yield* one.run(Order.start("1 hour", { runId: "a" }).pipe(Effect.withSpan("request"), Effect.provide(layer)))
    yield* eventually(world.find("a"), ({ status }) => status === "Suspended")
    yield* one.stop
    const two = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    yield* elapse("1 hour")
    yield* inTime(two.run(Order.handle("a").await))
    const [before, after] = named("Run.order")
    assert.deepStrictEqual(named("Run.order").map(parentOf), [only("request").spanId, only("request").spanId])
    assert.deepStrictEqual(named("Run.order").map(({ traceId }) => traceId), [
      only("request").traceId,
      only("request").traceId
    ])
    assert.deepStrictEqual([before, after].map((span) => span!.attributes.get("run.status")), [
      "Suspended",
      "Succeeded"
    ])
    assert.deepStrictEqual([before, after].map((span) => span!.attributes.get("worker")), [
      one.workers[0],
      two.workers[0]
    ])
    assert.isTrue(Exit.isSuccess(exitOf(before!)))
    assert.deepStrictEqual([parentOf(only("Step.charge")), parentOf(only("Step.mail"))], [
      before!.spanId,
      after!.spanId
    ])
  }))

it.effect("a run that was started in no span begins a trace, which it continues when it wakes", () =>
  Effect.gen(function*() {
    const { layer, named, parentOf } = tracing()
    const world = yield* cluster()
    const process = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    yield* process.run(Order.start("1 hour", { runId: "a" }))
    yield* eventually(world.find("a"), ({ status }) => status === "Suspended")
    yield* elapse("1 hour")
    yield* inTime(process.run(Order.handle("a").await))
    const [before, after] = named("Run.order")
    assert.deepStrictEqual([parentOf(before!), parentOf(after!)], [undefined, before!.spanId])
  }))

it.effect("a process without a tracer hands on the span of whoever calls it, and stores none of its own", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const process = yield* world.node()
    const request = Tracer.externalSpan({ traceId: "4bf92f", spanId: "00f067", sampled: false })
    yield* process.run(
      Order.start("1 second", { runId: "a" }).pipe(Effect.withSpan("handler"), Effect.withParentSpan(request))
    )
    yield* process.run(Order.start("1 second", { runId: "b" }).pipe(Effect.withSpan("handler")))
    assert.deepStrictEqual(JSON.parse((yield* world.find("a")).trace!), {
      traceId: "4bf92f",
      spanId: "00f067",
      sampled: false
    })
    assert.strictEqual((yield* world.find("b")).trace, null)
  }))

it.effect("without a tracer a body is in the span that started its run, wherever the engine was built", () =>
  Effect.gen(function*() {
    const seen: Array<string | undefined> = []
    const body = Child.toLayer(() =>
      Effect.asVoid(Effect.map(Effect.serviceOption(Tracer.ParentSpan), (span) => {
        seen.push(Option.getOrUndefined(span)?.spanId)
      }))
    )
    const world = yield* cluster()
    const process = yield* world.node({ bodies: Layer.withSpan(body, "the application") }).pipe(Effect.withSpan("boot"))
    const request = Tracer.externalSpan({ traceId: "4bf92f", spanId: "00f067" })
    yield* inTime(process.run(Effect.withParentSpan(Child.execute(), request)))
    yield* inTime(process.run(Child.execute()))
    assert.deepStrictEqual(seen, ["00f067", undefined])
  }))

it.effect("a stored span that cannot be read leaves the run a trace of its own", () =>
  Effect.gen(function*() {
    const { layer, named, parentOf } = tracing()
    const world = yield* cluster()
    const process = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    for (const [id, trace] of [["a", "none"], ["b", "null"], ["c", "{}"]] as const) {
      const run = { id, workflow: "child", payload: "null", owner: null, delayMillis: null, timeoutMillis: null }
      yield* Effect.orDie(world.db.start({ ...run, parent: null, trace }))
      yield* inTime(process.run(Child.handle(id).await))
    }
    assert.deepStrictEqual(named("Run.child").map(parentOf), [undefined, undefined, undefined])
  }))

it.effect("a run's span fails with the run, and is interrupted when the run is cancelled", () =>
  Effect.gen(function*() {
    const { layer, named, only } = tracing()
    const world = yield* cluster()
    const process = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    yield* whileTimePasses(process.run(order("a", "fail")))
    const failed = exitOf(only("Run.order"))
    assert.strictEqual(Exit.isFailure(failed) ? Cause.squash(failed.cause) : failed.value, "declined")
    assert.strictEqual(only("Run.order").attributes.get("run.status"), "Failed")
    yield* process.run(Order.start("5 seconds", { runId: "b" }))
    yield* elapse("1 second")
    yield* process.run(Order.handle("b").cancel)
    yield* elapse("1 second")
    const cancelled = named("Run.order")[1]!
    assert.strictEqual(cancelled.attributes.get("run.status"), "Cancelled")
    assert.isTrue(Exit.hasInterrupts(exitOf(cancelled)))
  }))

it.effect("a run that is taken over goes on in the trace of whoever started it, as another attempt", () =>
  Effect.gen(function*() {
    const { layer, named, only, parentOf } = tracing()
    const world = yield* cluster()
    const one = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    const two = yield* world.node({ bodies: Layer.provideMerge(bodies, layer) })
    yield* one.run(Order.start("5 seconds", { runId: "a" }).pipe(Effect.withSpan("request"), Effect.provide(layer)))
    yield* elapse("1 second")
    yield* one.crash
    yield* inTime(two.run(Order.handle("a").await))
    const last = named("Run.order").at(-1)!
    assert.strictEqual(parentOf(last), only("request").spanId)
    assert.deepStrictEqual([last.attributes.get("run.attempt"), last.attributes.get("worker")], [2, two.workers[0]])
  }))
