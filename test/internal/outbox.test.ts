import { assert, describe, it } from "@effect/vitest"
import { Outbox } from "../../src/internal/postgres/hints.ts"

/** A notification carries less than 8000 bytes. */
const limit = 8_000

describe("What is said to other processes at once", () => {
  for (
    const [kind, character] of [["ASCII", "a"], ["two bytes", "\u00E9"], ["three bytes", "\u20AC"], [
      "four",
      "\u{1F600}"
    ]]
  ) {
    it(`fits into a notification, by its bytes, whatever ids are made of (${kind})`, () => {
      for (let count = 1; count <= 100; count++) {
        const outbox = new Outbox()
        for (let n = 0; n < count; n++) {
          outbox.add({ _tag: "RunsFinished", runIds: [`${n}-${character!.repeat(60)}`] })
          outbox.add({ _tag: "RunCancelled", runId: `${n}-${character!.repeat(60)}` })
        }
        const text = outbox.empty("me")
        assert.isBelow(Buffer.byteLength(text), limit)
        const { hints } = JSON.parse(text) as {
          readonly hints: ReadonlyArray<{ readonly runIds?: ReadonlyArray<string> }>
        }
        const finished = hints.find(({ runIds }) => runIds !== undefined)
        // All of them by their ids, or "some".
        assert.include([0, count], finished?.runIds?.length)
      }
    })
  }
})
