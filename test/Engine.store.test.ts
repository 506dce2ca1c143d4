/** What happens while the store is away, and when its answers are lost. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Schedule from "../src/Schedule.ts"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import {
  away,
  cluster,
  elapse,
  eventually,
  flush,
  freeSlots,
  type Intercept,
  inTime,
  single
} from "./support/engine.ts"

const Flow = Workflow.make("flow", { success: Schema.Unknown })
const Ticked = Workflow.make("ticked", { payload: Schedule.Tick() })
const Numbered = Workflow.make("numbered", { payload: Schema.Finite, success: Schema.Finite })

/** Performs the call and then fails as if its answer had been lost: the first `times` calls of these methods. */
const lost = (methods: ReadonlyArray<string>, times = 1): Intercept => {
  let left = times
  return (method, call) => methods.includes(method) && left-- > 0 ? Effect.andThen(call, away(method)) : call
}

/** Fails the first `times` calls of these methods, or all calls of all methods. */
const failing = (methods: ReadonlyArray<string> | "all", times: number): Intercept => {
  let left = times
  return (method, call) =>
    (methods === "all" || methods.includes(method)) && method !== "registerWorker" && left-- > 0 ? away(method) : call
}

/** Counts per step how often its effect ran. */
const tally = () => {
  const ran = new Map<string, number>()
  const step = (name: string, takes: string = "100 millis") =>
    Step.run(
      name,
      Effect.andThen(Effect.sleep(takes as "1 second"), Effect.sync(() => void ran.set(name, (ran.get(name) ?? 0) + 1)))
    )
  return { ran, step }
}

describe("while the store is away", () => {
  it.effect("a step's record, a suspension and the end of a run are written when it is back, once", () =>
    Effect.gen(function*() {
      const { ran, step } = tally()
      const node = yield* single(Flow.toLayer(() =>
        Effect.gen(function*() {
          yield* step("one")
          yield* Workflow.sleep("1 hour")
          yield* step("two")
          return "done"
        })
      ))
      node.intercept = (() => {
        const records = failing(["recordStep"], 5)
        const others = failing(["suspend", "finish"], 8)
        return (method, call) => others(method, records(method, call))
      })()
      const handle = yield* node.run(Flow.start(undefined, { runId: "r" }))
      assert.strictEqual(yield* inTime(node.run(handle.await), "10 seconds"), "done")
      assert.deepStrictEqual([...ran], [["one", 1], ["two", 1]])
      assert.deepStrictEqual((yield* node.steps("r")).map(({ name }) => name), ["one", "Workflow.sleep", "two"])
    }))

  it.effect("claims and pulses are tried again with backoff, and the loops go on", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const worker = yield* node({ bodies: Numbered.toLayer((n) => Effect.succeed(n)) })
      const client = yield* node({ worker: false })
      worker.intercept = failing(["claim", "pulse", "reconcile"], 20)
      const handle = yield* client.run(Numbered.start(7))
      assert.strictEqual(yield* inTime(client.run(handle.await)), 7)
      // Not asked in a tight loop.
      assert.isBelow(worker.calls.get("claim") ?? 0, 60)
      yield* elapse("5 seconds")
      const pulses = worker.calls.get("pulse") ?? 0
      yield* elapse("5 seconds")
      assert.isAbove(worker.calls.get("pulse") ?? 0, pulses)
    }))

  it.effect("a call that dies is survived like one that fails", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const worker = yield* node({ bodies: Numbered.toLayer((n) => Effect.succeed(n)) })
      const client = yield* node({ worker: false })
      let left = 3
      worker.intercept = (method, call) =>
        (method === "claim" || method === "pulse") && left-- > 0
          ? left % 2 === 0 ? Effect.die(new Error("broken")) : Effect.interrupt
          : call
      const handle = yield* client.run(Numbered.start(7))
      assert.strictEqual(yield* inTime(client.run(handle.await)), 7)
    }))

  it.effect("everything waits, for longer than a lease too, and goes on where it was, nobody taken for dead", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const { ran, step } = tally()
      let gone = false
      const intercept: Intercept = (method, call) =>
        Effect.suspend(() => gone && method !== "registerWorker" ? away(method) : call)
      const bodies = Numbered.toLayer((n) =>
        Effect.forEach(["a", "b", "c", "d"], (name) => step(`${name}${n}`, "1 second"), { discard: true }).pipe(
          Effect.as(n)
        )
      )
      const nodes = [yield* node({ bodies }), yield* node({ bodies })]
      for (const each of nodes) each.intercept = intercept
      const handles = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, n) => n),
        (n) => nodes[n % 2]!.run(Numbered.start(n))
      )
      yield* elapse("2500 millis", 50)
      gone = true
      yield* elapse("25 seconds", 50)
      gone = false
      const results = yield* inTime(
        Effect.forEach(handles, (handle) => nodes[0]!.run(handle.await), { concurrency: 10 })
      )
      assert.deepStrictEqual(results, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      assert.strictEqual(ran.size, 40)
      assert.deepStrictEqual([...new Set(ran.values())], [1])
      const runs = yield* Effect.forEach(handles, ({ id }) => find(id))
      assert.deepStrictEqual(runs.map(({ attempt }) => attempt), runs.map(() => 1))
    }))

  it.effect("a slow store delays, and nothing happens twice", () =>
    Effect.gen(function*() {
      const { ran, step } = tally()
      const { node } = yield* cluster()
      const slow: Intercept = (method, call) =>
        method === "registerWorker" || method === "awaitRun" ? call : Effect.delay(call, "700 millis")
      const bodies = Numbered.toLayer((n) => Effect.as(Effect.andThen(step(`one${n}`), step(`two${n}`)), n))
      const [first, second] = [yield* node({ bodies, concurrency: 3 }), yield* node({ bodies, concurrency: 3 })]
      first.intercept = slow
      second.intercept = slow
      const starting = Effect.forEach(Array.from({ length: 12 }, (_, n) => n), (n) => first.run(Numbered.start(n)), {
        concurrency: "unbounded"
      })
      const handles = yield* inTime(starting)
      yield* inTime(Effect.forEach(handles, (handle) => first.run(handle.await), { concurrency: 12 }))
      assert.strictEqual(ran.size, 24)
      assert.deepStrictEqual([...new Set(ran.values())], [1])
    }))

  it.effect("start fails with a StoreError that says asking again can help, and holds no slot", () =>
    Effect.gen(function*() {
      const node = yield* single(Numbered.toLayer((n) => Effect.succeed(n)), { concurrency: 2 })
      node.intercept = failing(["start"], 3)
      for (let n = 0; n < 3; n++) {
        const error = yield* Effect.flip(node.run(Numbered.start(n)))
        assert(error._tag === "StoreError")
        assert.isTrue(error.retryable)
      }
      yield* flush
      assert.strictEqual(yield* freeSlots(node, "numbered"), 2)
      assert.strictEqual(yield* inTime(node.run(Numbered.execute(4))), 4)
    }))

  for (const method of ["start", "triggerSchedule"] as const) {
    it.effect(`a ${method} that its caller does not wait for any longer ends at once, and holds no slot`, () =>
      Effect.gen(function*() {
        const bodies = Layer.merge(Ticked.toLayer(() => Effect.void), Numbered.toLayer((n) => Effect.succeed(n)))
        const node = yield* single(bodies, { concurrency: 1 })
        const yearly = Schedule.make("yearly", { workflow: Ticked, cron: "0 0 0 1 1 *" })
        yield* node.run(Schedule.create(yearly))
        node.intercept = (called, call) => called === method ? Effect.never : call
        const begin = method === "start" ? Numbered.start(1) : Schedule.trigger(yearly)
        assert.isTrue(Option.isNone(yield* inTime(Effect.timeoutOption(node.run<unknown, unknown>(begin), "1 second"))))
        yield* flush
        assert.strictEqual(yield* freeSlots(node, "numbered"), 1)
      }))
  }

  it.effect("a store that always says that something is due, and gives nothing, is not asked in a tight loop", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const worker = yield* node({ bodies: Numbered.toLayer((n) => Effect.succeed(n)) })
      worker.intercept = (method, call) =>
        method === "claim" ? Effect.succeed({ runs: [], nextWake: 0, suspects: false }) : call
      yield* elapse("10 seconds", 1000)
      assert.isBelow(worker.calls.get("claim") ?? 0, 40)
      worker.intercept = (_, call) => call
      assert.strictEqual(yield* inTime(worker.run(Numbered.execute(4))), 4)
    }))
})

describe("when an answer is lost", () => {
  it.effect("to a start, the run is executed once all the same", () =>
    Effect.gen(function*() {
      const { ran, step } = tally()
      const node = yield* single(Flow.toLayer(() => Effect.as(step("one"), "done")), { concurrency: 1 })
      node.intercept = lost(["start"])
      assert.strictEqual((yield* Effect.flip(node.run(Flow.start(undefined, { runId: "r" }))))._tag, "StoreError")
      assert.strictEqual(yield* inTime(node.run(Flow.handle("r").await)), "done")
      assert.deepStrictEqual([...ran], [["one", 1]])
      yield* flush
      assert.strictEqual(yield* freeSlots(node, "flow"), 1)
      assert.isBelow(yield* Clock.currentTimeMillis, 1000)
    }))

  it.effect("to a start that is asked again with the same id, the run is executed once all the same", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const { ran, step } = tally()
      const worker = yield* node({ bodies: Flow.toLayer(() => Effect.as(step("one"), "done")) })
      worker.intercept = lost(["start"])
      const start = Flow.start(undefined, { runId: "r" })
      const handle = yield* worker.run(Effect.retry(start, { times: 1 }))
      assert.strictEqual(yield* inTime(worker.run(handle.await)), "done")
      assert.deepStrictEqual([...ran], [["one", 1]])
      assert.strictEqual((yield* find("r")).attempt, 1)
    }))

  it.effect("to a claim, the runs are executed once all the same", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { ran, step } = tally()
      const bodies = Numbered.toLayer((n) => Effect.as(step(`step ${n}`), n))
      const client = yield* node({ worker: false })
      const handles = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => client.run(Numbered.start(n)))
      const worker = yield* node()
      worker.intercept = lost(["claim"], 2)
      yield* worker.stop
      const other = yield* node({ bodies, concurrency: 3 })
      other.intercept = lost(["claim"], 3)
      yield* inTime(Effect.forEach(handles, (handle) => client.run(handle.await), { concurrency: 5 }))
      assert.strictEqual(ran.size, 5)
      assert.deepStrictEqual([...new Set(ran.values())], [1])
      assert.isBelow(yield* Clock.currentTimeMillis, 6000)
    }))

  it.effect("to a record, the step does not run again", () =>
    Effect.gen(function*() {
      const { ran, step } = tally()
      const node = yield* single(Flow.toLayer(() => Effect.as(Effect.andThen(step("one"), step("two")), "done")))
      node.intercept = lost(["recordStep"], 2)
      assert.strictEqual(yield* inTime(node.run(Flow.execute())), "done")
      assert.deepStrictEqual([...ran], [["one", 1], ["two", 1]])
    }))

  it.effect("to the end or the suspension of a run, nothing is executed again", () =>
    Effect.gen(function*() {
      let begun = 0
      const node = yield* single(
        Flow.toLayer(() => Effect.suspend(() => (begun++, Effect.as(Workflow.sleep("1 hour"), "done"))))
      )
      node.intercept = lost(["finish", "suspend"], 2)
      assert.strictEqual(yield* inTime(node.run(Flow.execute()), "1 minute"), "done")
      assert.strictEqual(begun, 2)
    }))

  it.effect("to a release, another worker gets the run all the same", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const bodies = Flow.toLayer(() => Effect.as(Workflow.sleep("5 seconds"), "done"))
      const first = yield* node({ bodies })
      const handle = yield* first.run(Flow.start())
      yield* flush
      first.intercept = failing(["release"], 100)
      yield* first.stop
      const second = yield* node({ bodies })
      assert.strictEqual(yield* inTime(second.run(handle.await)), "done")
    }))

  it.effect("to a start that finds the run claimed a moment ago by the same worker, no step runs twice", () =>
    Effect.gen(function*() {
      const { node } = yield* cluster()
      const { ran, step } = tally()
      const client = yield* node({ worker: false })
      yield* client.run(Flow.start(undefined, { runId: "r" }))
      const worker = yield* node({
        bodies: Flow.toLayer(() =>
          Effect.gen(function*() {
            yield* step("one")
            yield* Workflow.sleep("1 minute")
            yield* step("two")
            return "done"
          })
        )
      })
      // The claim after the long sleep is answered late, and meanwhile the id is started again.
      yield* elapse("30 seconds")
      worker.intercept = (method, call) => method === "claim" ? Effect.tap(call, () => Effect.sleep("3 seconds")) : call
      yield* eventually(client.run(Flow.handle("r").status), (status) => status === "Running")
      yield* worker.run(Flow.start(undefined, { runId: "r" }))
      assert.strictEqual(yield* inTime(client.run(Flow.handle("r").await)), "done")
      assert.deepStrictEqual([...ran], [["one", 1], ["two", 1]])
    }))
})

describe("comparing what a worker holds with what it owns", () => {
  it.effect("does not lose a run that was started while the question was under way", () =>
    Effect.gen(function*() {
      const { find, node } = yield* cluster()
      const { ran, step } = tally()
      const worker = yield* node({ bodies: Numbered.toLayer((n) => Effect.as(step(`step ${n}`, "20 seconds"), n)) })
      let asked = 0
      let startDuring: Effect.Effect<unknown> = Effect.void
      worker.intercept = (method, call) =>
        method === "reconcile"
          ? Effect.suspend(() => (asked++,
            Effect.tap(Effect.andThen(startDuring, call), () => Effect.sleep("300 millis")))
          )
          : method === "start"
          ? Effect.delay(call, "100 millis")
          : call
      let next = 0
      startDuring = Effect.suspend(() => worker.run(Effect.orDie(Numbered.start(next, { runId: `r${next++}` }))))
      yield* eventually(Effect.sync(() => asked), (times) => times >= 2)
      startDuring = Effect.void
      const started = next
      yield* elapse("60 seconds", 300)
      assert.strictEqual(ran.size, started)
      assert.deepStrictEqual([...new Set(ran.values())], [1])
      for (let n = 0; n < started; n++) assert.strictEqual((yield* find(`r${n}`)).epoch, 1)
    }))
})
