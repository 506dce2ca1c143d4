import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Codec from "../../src/internal/codec.ts"

const plain = Codec.plainJson<unknown>()

const faultOf = (value: unknown): string => {
  const encoded = plain.encode(value)
  assert(Result.isFailure(encoded))
  return encoded.failure
}

describe("plain JSON", () => {
  it.effect.prop("comes back as it was", [Arbitrary.schema(Schema.Json)], ([value]) =>
    Effect.sync(() => {
      const encoded = plain.encode(value)
      // The one number that JSON does not give back.
      if (Result.isFailure(encoded)) return assert.include(encoded.failure, "-0")
      assert.deepStrictEqual(Result.getOrThrow(plain.decode(encoded.success)), value)
    }))

  it("of no value is no text", () => {
    assert.isUndefined(Result.getOrThrow(plain.encode(undefined)))
    assert.isUndefined(Result.getOrThrow(plain.decode(undefined)))
  })

  it("leaves a member out that is undefined", () => {
    assert.strictEqual(Result.getOrThrow(plain.encode({ a: undefined, b: 1 })), "{\"b\":1}")
  })

  it("says where and why a value is none", () => {
    assert.strictEqual(faultOf(Number.NaN), "value is NaN, which JSON cannot say; give it a schema")
    assert.strictEqual(faultOf({ a: [{ b: 1n }] }), "value.a[0].b is a bigint, which JSON cannot say; give it a schema")
    assert.strictEqual(
      faultOf([1, new Date(0)]),
      "value[1] is an instance of Date, which JSON does not give back; give it a schema"
    )
    assert.include(faultOf(new Array(1)), "value[0] is undefined")
    assert.include(faultOf(Symbol("s")), "a symbol")
    assert.include(faultOf({ [Symbol("s")]: 1 }), "has a symbol for a key")
    assert.include(faultOf({ toJSON: () => 1 }), "value.toJSON is a function")
  })

  it("is refused when it is a cycle, or deeper than can be written", () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    assert.include(faultOf(cycle), "refers to itself")
    assert.isBelow(faultOf(cycle).length, 200)
    let deep: unknown = 1
    for (let n = 0; n < 100_000; n++) deep = [deep]
    assert.include(faultOf(deep), "nested too deeply")
  })
})

describe("a schema's codec", () => {
  const Rich = Schema.Struct({ at: Schema.DateTimeUtc, big: Schema.BigInt, maybe: Schema.Option(Schema.Finite) })

  it.effect.prop(
    "gives every value back as it was, or refuses what JSON would change",
    [Arbitrary.schema(Rich)],
    ([value]) =>
      Effect.sync(() => {
        const codec = Codec.fromSchema(Rich)
        const encoded = codec.encode(value)
        if (Result.isFailure(encoded)) return assert.include(encoded.failure, "-0")
        const text = encoded.success
        assert.isTrue(Equal.equals(Result.getOrThrow(codec.decode(text)), value), text)
      })
  )

  it("is built once, and writes what other tools can read", () => {
    assert.strictEqual(Codec.fromSchema(Rich), Codec.fromSchema(Rich))
    const codec = Codec.fromSchema(Schema.Struct({ at: Schema.DateTimeUtc, big: Schema.BigInt }))
    assert.strictEqual(
      Result.getOrThrow(codec.encode({ at: DateTime.makeUnsafe(0), big: 10n })),
      "{\"at\":\"1970-01-01T00:00:00.000Z\",\"big\":\"10\"}"
    )
  })

  it("says what does not fit, both ways", () => {
    const codec = Codec.fromSchema(Schema.Struct({ n: Schema.Finite }))
    assert.isTrue(Result.isFailure(codec.encode({ n: Number.NaN })))
    const decoded = codec.decode("{\"n\":\"1\"}")
    assert(Result.isFailure(decoded))
    assert.include(decoded.failure, "[\"n\"]")
    assert.isTrue(Result.isFailure(codec.decode(undefined)))
  })

  it("reads nothing as nothing where the schema is void", () => {
    const codec = Codec.fromSchema(Schema.Void)
    const text = Result.getOrThrow(codec.encode(undefined))
    assert.isUndefined(Result.getOrThrow(codec.decode(text)))
    assert.isUndefined(Result.getOrThrow(codec.decode("null")))
  })
})

describe("a described error", () => {
  it("keeps its tag and its message, whatever it is", () => {
    const text = (error: unknown) => Result.getOrThrow(Codec.described.encode(error))
    assert.strictEqual(text(new TypeError("no")), "{\"_tag\":\"TypeError\",\"message\":\"no\"}")
    assert.strictEqual(text("plain"), "{\"message\":\"plain\"}")
    assert.strictEqual(text(undefined), "{\"message\":\"undefined\"}")
  })
})
