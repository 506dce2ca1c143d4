import { assert, it } from "@effect/vitest"
import { Outbox } from "../../../src/internal/postgres/hints.ts"
import type { Hint } from "../../../src/SystemDb.ts"

const said = (...hints: ReadonlyArray<Hint>): ReadonlyArray<Hint> => {
  const outbox = new Outbox()
  for (const hint of hints) outbox.add(hint)
  const text = outbox.empty("p")
  assert.isBelow(Buffer.byteLength(text), 8000)
  assert.deepStrictEqual(JSON.parse(outbox.empty("p")), { from: "p", hints: [] })
  return JSON.parse(text).hints
}

const ended = (...runIds: ReadonlyArray<string>): Hint => ({ _tag: "RunsFinished", runIds })

it("each kind of hint is said once, with the ids of all", () => {
  assert.deepStrictEqual(
    said(
      { _tag: "RunsReady" },
      ended("a"),
      { _tag: "RunCancelled", runId: "c" },
      { _tag: "SchedulesChanged" },
      { _tag: "RunsReady" },
      ended("b", "a")
    ),
    [{ _tag: "RunCancelled", runId: "c" }, { _tag: "RunsReady" }, { _tag: "SchedulesChanged" }, ended("a", "b")]
  )
})

it("of many runs that ended it is said that some did", () => {
  assert.deepStrictEqual(said(...Array.from({ length: 101 }, (_, n) => ended(`r${n}`))), [ended()])
  assert.deepStrictEqual(said(ended("a"), ended()), [ended()])
  assert.deepStrictEqual(said(ended(), ended("a")), [ended()])
})

it("a message that would be too long says to look at everything", () => {
  const long = Array.from({ length: 90 }, (_, n) => `${n}`.padStart(400, "\u{1F600}"))
  assert.deepStrictEqual(said(ended(...long)), [{ _tag: "RunsReady" }, ended(), { _tag: "SchedulesChanged" }])
})
