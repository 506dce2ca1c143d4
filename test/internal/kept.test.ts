import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Codec from "../../src/internal/codec.ts"
import * as Kept from "../../src/internal/kept.ts"
import type { Outcome } from "../../src/internal/outcome.ts"

const failure = (error: unknown): Outcome => ({ _tag: "Failure", error: JSON.stringify(error) })

const kept = (errors: ReadonlyArray<unknown>): Array<string> => {
  const texts: Array<string> = []
  for (const error of errors) Kept.add(texts, failure(error))
  return texts
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)
const errorsOf = (texts: ReadonlyArray<string>, attempts: number) =>
  Kept.errorsOf(texts, attempts, Codec.plainJson<unknown>(), () => "timed out")

describe("the errors of a step that is retried", () => {
  it("are all kept as long as they are few", () => {
    const texts = kept(numbers(8))
    assert.deepStrictEqual(errorsOf(Kept.read(Kept.write(texts)), 8), numbers(8))
  })

  it("are kept from the first and the last attempts when they are many", () => {
    const texts = kept(numbers(10_000))
    const errors = texts.map((text) => (JSON.parse(text) as { readonly error: number }).error)
    assert.deepStrictEqual(errors, [0, 1, 2, 9995, 9996, 9997, 9998, 9999])
  })

  it("stand for those that were dropped: one for each attempt, the nearest", () => {
    const errors = errorsOf(kept(numbers(20)), 20)
    assert.deepStrictEqual(errors, [0, 1, 2, 2, 2, 2, 2, 2, 2, 15, 15, 15, 15, 15, 15, 15, 16, 17, 18, 19])
  })

  it("are described when they are long, however long", () => {
    const [text] = kept([{ _tag: "Busy", message: "\ud83d\ude00".repeat(10_000), more: "x".repeat(9_000_000) }])
    assert.isBelow(text!.length, 5_000)
    const { error } = JSON.parse(text!) as { readonly error: Record<string, unknown> }
    assert.strictEqual(error["_tag"], "Busy")
    assert.isAbove(error["bytes"] as number, 9_000_000)
    assert.isBelow(
      Buffer.byteLength(Kept.write(kept(numbers(100).map(() => "\u4e2d".repeat(6_000))))!),
      Kept.maxKeptBytes
    )
  })

  it("that do not decode have one near them, or else what was written of them", () => {
    const codec: Codec.Codec<unknown> = {
      ...Codec.plainJson(),
      decode: (text) => text === "1" ? Result.succeed("decoded") : Result.fail("no")
    }
    assert.deepStrictEqual(Kept.errorsOf(kept([1, 2]), 2, codec, () => ""), ["decoded", "decoded"])
    assert.deepStrictEqual(Kept.errorsOf(kept([2, 3]), 2, codec, () => ""), [2, 3])
  })
})
