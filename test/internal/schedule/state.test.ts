import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { decode, encode, initial } from "../../../src/internal/schedule/state.ts"
import { live, world } from "./worlds.ts"

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
const Instant = Schema.Int.check(Schema.isBetween({ minimum: -62_135_596_800_000, maximum: 253_402_300_799_999 }))

it.effect.prop(
  "any state is read back from its text as it was",
  {
    countedFrom: Count,
    skipNext: Count,
    skips: Schema.Array(Instant),
    buffered: Schema.Array(Schema.Struct({ tick: Instant, cause: Schema.Literals(["schedule", "catch-up"]) })),
    putOff: Schema.Array(Schema.Struct({ tick: Instant, at: Instant })),
    failures: Count,
    dropped: Schema.Struct({
      missed: Count,
      overlapped: Count,
      coalesced: Count,
      skipped: Count,
      excluded: Count,
      frozen: Count
    }),
    stretch: Schema.NullOr(Schema.Struct({
      edge: Instant,
      mode: Schema.Literals(["none", "latest", "all"]),
      target: Schema.NullOr(Instant),
      windowFrom: Schema.NullOr(Instant),
      capFrom: Schema.NullOr(Instant),
      refused: Schema.optionalKey(Schema.Struct({ reason: Schema.String, by: Schema.NullOr(Schema.String) }))
    })),
    ahead: Schema.Array(Instant),
    resumed: Schema.NullOr(Schema.Struct({ at: Instant, mode: Schema.Literals(["latest", "all"]) }))
  },
  (state) =>
    Effect.sync(() => {
      assert.deepStrictEqual(Result.getOrThrow(decode(encode(state))), state)
      assert.strictEqual(encode(Result.getOrThrow(decode(encode(state)))), encode(state))
    })
)

it.effect.prop(
  "the state that a decision leaves is read back from its text as it was",
  [world],
  ([world]) =>
    Effect.sync(() =>
      live(
        world,
        (_subject, _ticks, _now, { after: { state } }) =>
          assert.deepStrictEqual(Result.getOrThrow(decode(encode(state))), state)
      )
    )
)

it.effect("nothing to remember is an empty object, and fields that are left out are as in the beginning", () =>
  Effect.sync(() => {
    assert.strictEqual(encode(initial), "{}")
    assert.deepStrictEqual(Result.getOrThrow(decode("{}")), initial)
    assert.deepStrictEqual(Result.getOrThrow(decode(" { \"failures\": 2 } ")), { ...initial, failures: 2 })
  }))

it.effect("a state that cannot be understood is not guessed", () =>
  Effect.sync(() => {
    const texts = [
      "",
      "[]",
      "null",
      "{\"countedFrom\":\"1\"}",
      "{\"countedFrom\":1.5}",
      "{\"skips\":[null]}",
      "{\"buffered\":[{\"tick\":1}]}",
      "{\"buffered\":[{\"tick\":1,\"cause\":\"trigger\"}]}",
      "{\"stretch\":{\"edge\":1}}",
      "{\"resumed\":{\"at\":1,\"mode\":\"none\"}}"
    ]
    for (const text of texts) assert.isTrue(Result.isFailure(decode(text)), text)
  }))
