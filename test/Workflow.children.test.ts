import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Run from "../src/Run.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { away, cluster, elapse, freeSlots, inTime, single, whileTimePasses } from "./support/engine.ts"

const Child = Workflow.make("child", { payload: Schema.Finite, success: Schema.Finite, error: Schema.String })
const Parent = Workflow.make("parent", { success: Schema.Unknown })

const children = (db: { readonly listRuns: (...args: any) => Effect.Effect<ReadonlyArray<any>, any> }) =>
  Effect.map(
    Effect.orDie(db.listRuns({ workflow: ["child"] }, { limit: 1000, after: null })),
    (runs) => runs.map(({ id, parent, status }) => ({ id, parent, status })).sort((a, b) => a.id < b.id ? -1 : 1)
  )

describe("a run started by a body", () => {
  it.effect("has an id that fits, however long its parent's is, and is found again on replay", () =>
    Effect.gen(function*() {
      const { db, run } = yield* single(Layer.mergeAll(
        Child.toLayer((n) => Effect.succeed(n)),
        Parent.toLayer(() =>
          Effect.gen(function*() {
            const results = yield* Effect.forEach([1, 2], (n) => Child.execute(n))
            yield* Workflow.sleep("1 hour")
            return results
          }).pipe(Effect.orDie)
        )
      ))
      const runId = "\u4e2d".repeat(170)
      assert.deepStrictEqual(yield* inTime(run(Parent.execute(undefined, { runId })), "1 minute"), [1, 2])
      const started = yield* children(db)
      assert.lengthOf(started, 2)
      for (const { id } of started) {
        assert.isTrue(id.startsWith("\u4e2d".repeat(150)) && id.isWellFormed())
        assert.isAtMost(Buffer.byteLength(id), 512)
      }
    }))

  it.effect("has an id derived from its parent's, and knows its parent; a replay does not start a second one", () =>
    Effect.gen(function*() {
      let ran = 0
      const { db, run } = yield* single(Layer.mergeAll(
        Child.toLayer((n) => Effect.sync(() => (ran++, n * 2))),
        Parent.toLayer(() =>
          Effect.gen(function*() {
            const first = yield* Child.execute(1)
            const second = yield* Child.start(2)
            yield* Workflow.sleep("1 hour")
            return [first, yield* second.await]
          }).pipe(Effect.orDie)
        )
      ))
      assert.deepStrictEqual(yield* inTime(run(Parent.execute(undefined, { runId: "p" })), "1 minute"), [2, 4])
      assert.strictEqual(ran, 2)
      assert.deepStrictEqual(yield* children(db), [
        { id: "p/child/1", parent: "p", status: "Succeeded" },
        { id: "p/child/2", parent: "p", status: "Succeeded" }
      ])
    }))

  it.effect("leaves a body nothing to handle but how the child ended, whatever store the body has at hand", () =>
    Effect.gen(function*() {
      const Loud = Workflow.make("loud", { success: Schema.Unknown, error: Schema.String })
      const { db, run } = yield* single(Layer.mergeAll(
        Child.toLayer((n) => n > 0 ? Effect.succeed(n * 2) : Effect.fail("too little")),
        Loud.toLayer(Effect.fnUntraced(function*() {
          const doubled = yield* Effect.orDie(Workflow.executeChild(Child, 1))
          const started = yield* Workflow.startChild(Child, 2, { runId: "own" })
          yield* Workflow.sleep("1 hour")
          const cancelled = yield* Workflow.startChild(Child, 3, { delay: "1 day" })
          yield* Step.run("cancel", Effect.orDie(Run.cancel(cancelled.id)), {})
          const ended = yield* Effect.orDie(Effect.flip(cancelled.await))
          return [doubled, started.id, yield* Effect.orDie(started.await), (ended as { readonly _tag: string })._tag]
        }))
      ))
      const end = yield* inTime(run(Loud.execute(undefined, { runId: "p" })), "1 minute")
      assert.deepStrictEqual(end, [2, "own", 4, "RunCancelled"])
      assert.deepStrictEqual((yield* children(db)).map(({ id, parent }) => [id, parent]), [
        ["own", "p"],
        ["p/child/1", "p"],
        ["p/child/2", "p"]
      ])
    }))

  it.effect("fails its parent with its own failure; and cannot be one of a step", () =>
    Effect.gen(function*() {
      const Loud = Workflow.make("loud", { payload: Schema.Boolean, error: Schema.Unknown })
      const { run } = yield* single(Layer.mergeAll(
        Child.toLayer(() => Effect.fail("too little")),
        Loud.toLayer((inStep) =>
          Effect.asVoid(
            inStep
              ? Step.run("start", Effect.asVoid(Workflow.startChild(Child, 1)))
              : Workflow.executeChild(Child, 1)
          )
        )
      ))
      assert.deepStrictEqual(yield* Effect.flip(inTime(run(Loud.execute(false)))), "too little")
      const refused = yield* whileTimePasses(run(Loud.execute(true)))
      assert.include(Exit.isFailure(refused) ? Cause.pretty(refused.cause) : "", "only the body has children")
    }))

  it.effect("in a step has a new id each time and the same parent, and in concurrent branches an id that is given", () =>
    Effect.gen(function*() {
      const { db, run } = yield* single(Layer.mergeAll(
        Child.toLayer((n) => Effect.succeed(n)),
        Parent.toLayer(() =>
          Effect.gen(function*() {
            yield* Step.run("start", Effect.asVoid(Effect.orDie(Child.start(0))))
            return yield* Effect.forEach([1, 2, 3], (n) => Child.execute(n, { runId: `c${n}` }), { concurrency: 3 })
          }).pipe(Effect.orDie)
        )
      ))
      assert.deepStrictEqual(yield* inTime(run(Parent.execute(undefined, { runId: "p" }))), [1, 2, 3])
      const [inStep, ...given] = yield* children(db)
      assert.match(inStep.id, /^[0-9a-f-]{36}$/)
      assert.strictEqual(inStep.parent, "p")
      assert.deepStrictEqual(given.map(({ id }) => id), ["c1", "c2", "c3"])
    }))

  it.effect("fails its parent with its own typed failure", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.mergeAll(
        Child.toLayer(() => Effect.fail("no")),
        Parent.toLayer(() =>
          Effect.orDie(Effect.catchIf(Child.execute(1), (e) => e === "no", (e) => Effect.succeed(`child: ${e}`)))
        )
      ))
      assert.strictEqual(yield* inTime(run(Parent.execute())), "child: no")
    }))

  it.effect("executes although its parent holds the only slot", () =>
    Effect.gen(function*() {
      const node = yield* single(
        Layer.mergeAll(
          Child.toLayer((n) => Effect.as(Effect.sleep("1 second"), n)),
          Parent.toLayer(() => Effect.orDie(Effect.forEach([1, 2, 3], (n) => Child.execute(n))))
        ),
        { concurrency: 1 }
      )
      assert.deepStrictEqual(yield* inTime(node.run(Parent.execute())), [1, 2, 3])
      assert.strictEqual(yield* freeSlots(node, "child"), 1)
    }))

  it.effect("executes although its parent holds the only slot and hints are lost", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster({ hints: false })
      const bodies = Layer.mergeAll(
        Child.toLayer((n) => Effect.as(Effect.sleep("1 second"), n)),
        Parent.toLayer(() => Effect.orDie(Effect.forEach([1, 2], (n) => Child.execute(n))))
      )
      const { run } = yield* node({ bodies, concurrency: 1 })
      assert.deepStrictEqual(yield* inTime(run(Parent.execute())), [1, 2])
    }))

  it.effect("goes on when its parent is cancelled", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.mergeAll(
        Child.toLayer((n) => Effect.as(Effect.sleep("10 seconds"), n)),
        Parent.toLayer(() => Effect.orDie(Child.execute(5)))
      ))
      const handle = yield* run(Parent.start(undefined, { runId: "p" }))
      yield* elapse("1 second")
      yield* run(handle.cancel)
      assert.strictEqual(yield* inTime(run(Child.handle("p/child/1").await)), 5)
      assert.strictEqual(yield* run(handle.status), "Cancelled")
    }))

  it.effect("is awaited on through a crash of the parent's worker, and started once", () =>
    Effect.gen(function*() {
      const { db, node } = yield* cluster()
      let ran = 0
      const child = Child.toLayer((n) => Effect.andThen(Effect.sleep("20 seconds"), Effect.sync(() => (ran++, n))))
      const parent = Parent.toLayer(() => Effect.orDie(Child.execute(3)))
      yield* node({ bodies: child })
      const first = yield* node({ bodies: parent })
      const handle = yield* first.run(Parent.start(undefined, { runId: "p" }))
      yield* elapse("5 seconds")
      yield* first.crash
      const second = yield* node({ bodies: parent })
      assert.strictEqual(yield* inTime(second.run(handle.await)), 3)
      assert.strictEqual(ran, 1)
      assert.strictEqual((yield* children(db)).length, 1)
    }))

  it.effect("is started and awaited through an absent store, which is not a failure of its parent", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      let failures = 0
      const worker = yield* node({
        bodies: Layer.mergeAll(
          Child.toLayer((n) => Effect.as(Effect.sleep("1 second"), n)),
          Parent.toLayer(() => Effect.orDie(Effect.delay(Child.execute(3), "1 second")))
        )
      })
      const handle = yield* worker.run(Parent.start())
      worker.intercept = (method, call) =>
        (method === "start" || method === "awaitRun") && failures < 8 ? (failures++, away(method)) : call
      const other = yield* node()
      assert.strictEqual(yield* inTime(other.run(handle.await)), 3)
      assert.isAtLeast(failures, 8)
    }))

  it.effect("by a parent that dies with it does not fail the child", () =>
    Effect.gen(function*() {
      const { run } = yield* single(Layer.mergeAll(
        Child.toLayer((n) => Effect.as(Effect.sleep("5 seconds"), n)),
        Parent.toLayer(() => Effect.andThen(Effect.orDie(Child.start(7)), Effect.die(new Error("boom"))))
      ))
      assert(Exit.isFailure(yield* whileTimePasses(run(Parent.execute(undefined, { runId: "p" })))))
      assert.strictEqual(yield* inTime(run(Child.handle("p/child/1").await)), 7)
    }))
})
