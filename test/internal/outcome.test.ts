import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Codec from "../../src/internal/codec.ts"
import * as Outcome from "../../src/internal/outcome.ts"

class Refused extends Schema.TaggedError<Refused>("test/Refused")("Refused", { n: Schema.Finite }) {}

const codecs = { success: Codec.plainJson<any>(), error: Codec.fromSchema(Refused) }

const replay = (outcome: Outcome.Outcome) =>
  Effect.exit(Outcome.replay(Outcome.parse(Outcome.stringify(outcome)), {
    ...codecs,
    subject: "it",
    onTimedOut: () => Effect.fail("timed out" as const),
    onUndecodable: Effect.fail
  }))

describe("an outcome", () => {
  it.effect("of a success is the value again", () =>
    Effect.gen(function*() {
      for (const value of [1, null, "x", { a: [1, "}"] }, undefined, "\u0000\ud800"]) {
        const outcome = Outcome.fromExit(Exit.succeed(value), codecs)
        assert.deepStrictEqual(yield* replay(outcome!), Exit.succeed(value))
      }
    }))

  it.effect("of a typed failure is that failure again, and weighs more than a defect beside it", () =>
    Effect.gen(function*() {
      const cause = Cause.combine(Cause.die(new Error("beside")), Cause.fail(new Refused({ n: 3 })))
      for (const exit of [Exit.fail(new Refused({ n: 3 })), Exit.failCause(cause)]) {
        const again = yield* Effect.flip(Effect.flatten(replay(Outcome.fromExit(exit, codecs)!)))
        assert.instanceOf(again, Refused)
        assert.strictEqual(again.n, 3)
      }
    }))

  it.effect("of a defect is an error with its name, message and causes again", () =>
    Effect.gen(function*() {
      const boom = new RangeError("boom", { cause: new Error("why", { cause: { code: 7 } }) })
      const again = yield* replay(Outcome.fromExit(Exit.die(boom), codecs)!)
      assert(Exit.isFailure(again) && again.cause.reasons[0]?._tag === "Die")
      const { defect } = again.cause.reasons[0]
      assert.instanceOf(defect, Error)
      assert.deepStrictEqual([defect.name, defect.message], ["RangeError", "boom"])
      assert.deepStrictEqual([(defect.cause as Error).message, (defect.cause as Error).cause], ["why", { code: 7 }])
      assert.include(defect.stack, "outcome.test.ts")
    }))

  it.effect("of a defect that is no error, or cannot be written, is something that describes it", () =>
    Effect.gen(function*() {
      const cyclic: { self?: unknown } = {}
      cyclic.self = cyclic
      const unlookable = [
        Object.create(null),
        { message: 1n },
        new Proxy({}, {
          get: () => {
            throw new Error("not to be looked at")
          }
        })
      ]
      for (const defect of ["text", 7, null, undefined, { a: 1 }, cyclic, 1n, Symbol("s"), () => 1, ...unlookable]) {
        assert.isTrue(Result.isSuccess(Codec.described.encode(defect)))
        const outcome = Outcome.fromDefect(defect)
        assert.strictEqual(outcome._tag, "Defect")
        assert.doesNotThrow(() => JSON.parse(Outcome.stringify(outcome)))
        assert.isTrue(Exit.hasDies(yield* replay(outcome)))
      }
    }))

  it.effect("of a timeout is one again", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* replay(Outcome.timedOut), Exit.fail("timed out"))
    }))

  it("of an interruption is none", () => {
    assert.isUndefined(Outcome.fromExit(Exit.failCause(Cause.interrupt(1)), codecs))
  })

  it("of a value that cannot be stored is a defect that says so", () => {
    const success = Outcome.fromExit(Exit.succeed({ n: Number.NaN }), codecs)
    assert(success?._tag === "Defect")
    assert.include(success.defect, "value.n is NaN")
    const failure = Outcome.fromExit(Exit.fail({ n: "three" } as unknown as Refused), codecs)
    assert(failure?._tag === "Defect")
    assert.include(failure.defect, "The error cannot be stored")
  })

  it("is read however its text is spaced", () => {
    const spaced = Outcome.parse("{ \"_tag\": \"Success\", \"value\": { \"a\": 1 } }")
    assert.deepStrictEqual(spaced, { _tag: "Success", value: "{\"a\":1}" })
    assert.deepStrictEqual(Outcome.parse("{\"_tag\":\"Success\",\"value\":{\"a\":1}}"), spaced)
    assert.deepStrictEqual(Outcome.parse("{\"_tag\":\"Success\"}"), { _tag: "Success", value: undefined })
  })
})
