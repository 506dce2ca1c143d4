/** The law of undo: of a run that failed, every step that is recorded as a success, and can be undone, is undone. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { cluster, elapse, eventually } from "./support/engine.ts"

/** A body, as data: what it does is the same on every replay. */
type Part =
  | { readonly is: "step"; readonly name: string; readonly takes: number; readonly piped: boolean }
  | { readonly is: "failing step"; readonly name: string; readonly takes: number }
  | { readonly is: "wait"; readonly name: string; readonly takes: number; readonly durable: boolean }
  | { readonly is: "fail" }
  | { readonly is: "bounded"; readonly part: Part; readonly takes: number }
  | { readonly is: "caught"; readonly part: Part }
  | { readonly is: "in turn" | "at once" | "race"; readonly parts: ReadonlyArray<Part> }

/** Numbers that are the same for the same seed. */
const chance = (seed: number) => {
  let state = seed >>> 0
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 2 ** 32 * below)
  }
}

/** What a branch has done behind a wait that is not durable may not be found again after a crash; so there all are. */
const generate = (seed: number, durable: boolean): Part => {
  const below = chance(seed)
  const wait = (): Part => ({ is: "wait", name: name(), takes: below(80), durable: durable || below(2) === 0 })
  let names = 0
  const name = () => `s${++names}`
  const several = (depth: number) => Array.from({ length: 2 + below(3) }, () => part(depth - 1))
  const part = (depth: number): Part => {
    switch (below(depth === 0 ? 7 : 14)) {
      case 4:
        return { is: "failing step", name: name(), takes: below(60) }
      case 5:
        return wait()
      case 6:
        return below(2) === 0 ? { is: "fail" } : wait()
      case 7:
        return { is: "bounded", part: part(depth - 1), takes: 1 + below(80) }
      case 8:
        return { is: "caught", part: part(depth - 1) }
      case 9:
        return { is: "race", parts: several(depth) }
      case 10:
      case 11:
        return { is: "at once", parts: several(depth) }
      case 12:
      case 13:
        return { is: "in turn", parts: several(depth) }
      default:
        return { is: "step", name: name(), takes: below(60), piped: below(2) === 0 }
    }
  }
  return { is: "in turn", parts: [{ is: "at once", parts: several(3) }, part(2), { is: "fail" }] }
}

type Body = Effect.Effect<void, string, Workflow.CurrentRun>

const undo = (name: string) => () => Effect.sleep(name.length * 10)

const bodyOf = (part: Part): Body => {
  switch (part.is) {
    case "step": {
      const effect = Effect.sleep(part.takes)
      return part.piped
        ? Step.run(part.name, effect).pipe(Step.withUndo(`undo ${part.name}`, undo(part.name)))
        : Step.run(part.name, effect, { undo: undo(part.name) })
    }
    case "failing step":
      return Step.run(part.name, Effect.andThen(Effect.sleep(part.takes), Effect.fail("failed")))
    case "wait":
      return part.durable ? Workflow.sleep(part.takes, { key: part.name }) : Effect.sleep(part.takes)
    case "fail":
      return Effect.fail("failed")
    case "bounded":
      return Effect.asVoid(Effect.timeoutOption(bodyOf(part.part), part.takes))
    case "caught":
      return Effect.ignore(bodyOf(part.part))
    case "in turn":
      return Effect.forEach(part.parts, bodyOf, { discard: true })
    case "at once":
      return Effect.forEach(part.parts, bodyOf, { discard: true, concurrency: "unbounded" })
    case "race":
      return Effect.raceAllFirst(part.parts.map(bodyOf))
  }
}

const undoable = (part: Part): ReadonlyArray<string> =>
  part.is === "step"
    ? [part.name]
    : "parts" in part
    ? part.parts.flatMap(undoable)
    : "part" in part
    ? undoable(part.part)
    : []

const Flow = Workflow.make("flow", { payload: Schema.Finite, error: Schema.String })

/** Executes these programs on a slow store, with time-outs and crashes, and gives the holes: what was not undone. */
const holes = (seeds: ReadonlyArray<number>, options: { readonly timeouts: boolean; readonly crashes: number }) =>
  Effect.gen(function*() {
    const below = chance(seeds[0]!)
    const program = (seed: number) => generate(seed, options.crashes > 0)
    const bodies = Flow.toLayer((seed) => bodyOf(program(seed)))
    const { find, node, steps } = yield* cluster()
    const start = () =>
      Effect.tap(node({ bodies, concurrency: 1000 }), (node) =>
        Effect.sync(() => {
          node.intercept = (method, call) =>
            method === "recordStep"
              ? Effect.andThen(Effect.sleep(below(40)), Effect.tap(call, () => Effect.sleep(below(20))))
              : call
        }))
    let current = yield* start()
    for (const seed of seeds) {
      const timeout = options.timeouts && below(2) === 0 ? 1 + below(250) : undefined
      yield* current.run(Flow.start(seed, { runId: String(seed), timeout }))
    }
    for (let crashes = 0; crashes < options.crashes; crashes++) {
      yield* elapse(20 + below(300), 20)
      yield* current.crash
      current = yield* start()
    }
    const found: Array<string> = []
    for (const seed of seeds) {
      const { status } = yield* eventually(find(String(seed)), ({ finishedAt }) => finishedAt !== null)
      if (status !== "Failed") found.push(`${seed} is ${status}`)
      const records = yield* steps(String(seed))
      const undone = new Set(records.filter(({ kind }) => kind === "Undo").map(({ name }) => name))
      const able = new Set(undoable(program(seed)))
      for (const { kind, name, outcome } of records) {
        if (kind !== "Step" || outcome === null || !able.has(name) || undone.has(`undo ${name}`)) continue
        found.push(`${name} of ${seed}`)
      }
    }
    return found
  })

const seeds = (from: number, count = 40) => Array.from({ length: count }, (_, index) => from + index)

describe("of a run that failed every recorded step is undone", () => {
  it.effect("when it fails by itself", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* holes(seeds(1000), { timeouts: false, crashes: 0 }), [])
    }))

  it.effect("when it times out", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* holes(seeds(2000), { timeouts: true, crashes: 0 }), [])
    }))

  it.effect("when its workers die on the way, also amid undoing", () =>
    Effect.gen(function*() {
      for (const from of [3000, 4000, 5000]) {
        assert.deepStrictEqual(yield* holes(seeds(from, 20), { timeouts: true, crashes: 3 }), [])
      }
    }))
})
