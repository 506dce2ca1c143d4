import { assert, it } from "@effect/vitest"
import { type Fact, Together } from "../../../src/internal/postgres/facts.ts"

const lease = (runId: string) => ({ runId, worker: "w", epoch: 1 })

const start = (id: string): Fact => ({
  _tag: "Start",
  run: { id, workflow: "f", payload: "1", owner: null, delayMillis: null, timeoutMillis: null, parent: null }
})
const step = (runId: string, name: string, key = "", occurrence = 1): Fact => ({
  _tag: "Step",
  lease: lease(runId),
  step: {
    name,
    key,
    occurrence,
    kind: "Step",
    attempts: 1,
    errors: null,
    outcome: "1",
    wakeAt: null,
    startedAt: 0
  }
})
const finish = (runId: string): Fact => ({ _tag: "Finish", lease: lease(runId), status: "Failed", outcome: "1" })
const suspend = (runId: string): Fact => ({ _tag: "Suspend", lease: lease(runId), wakeAt: 0, trace: null })

const taken = (...facts: ReadonlyArray<Fact>) => {
  const together = new Together()
  return facts.map((fact) => together.add(fact))
}

it("different steps of one run share a statement, and one step twice does not", () => {
  assert.deepStrictEqual(
    taken(step("r", "a"), step("r", "b"), step("r", "a", "k"), step("r", "a", "", 2), step("r", "a"), step("q", "a")),
    [true, true, true, true, false, true]
  )
})

it("steps whose names and keys look alike put together are different steps", () => {
  assert.deepStrictEqual(taken(step("r", "a", "b"), step("r", "ab"), step("r", "a\0b")), [true, true, true])
})

it("whatever else is done to one run waits for the next statement", () => {
  const facts = [start("r"), step("r", "a"), finish("r"), suspend("r")]
  for (const [i, first] of facts.entries()) {
    for (const [j, second] of facts.entries()) {
      assert.deepStrictEqual(taken(first, second), [true, false], `${i} then ${j}`)
      assert.deepStrictEqual(taken(first, finish("q")), [true, true])
    }
  }
})
