/** What a body sees of a step the first time and on replay: the same, or the step dies and says where the value is at fault. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Step from "../src/Step.ts"
import * as Workflow from "../src/Workflow.ts"
import { single, whileTimePasses } from "./support/engine.ts"

type Seen = Exit.Exit<unknown, unknown>

/** What a body sees of each of these steps, the first time and on replay. */
const both = (steps: ReadonlyArray<Effect.Effect<unknown, unknown, any>>) =>
  Effect.gen(function*() {
    const seen: Array<ReadonlyArray<Seen>> = []
    const Flow = Workflow.make("flow")
    const { run } = yield* single(Flow.toLayer(() =>
      Effect.gen(function*() {
        seen.push(yield* Effect.forEach(steps, (step) => Effect.exit(step)))
        yield* Workflow.sleep("1 hour")
      }) as Effect.Effect<void, never, Workflow.CurrentRun>
    ))
    assert(Exit.isSuccess(yield* whileTimePasses(run(Flow.execute()), "10 minutes")))
    assert.lengthOf(seen, 2)
    return seen[0]!.map((first, index) => [first, seen[1]![index]!] as const)
  })

const valueOf = (exit: Seen): unknown => {
  if (Exit.isSuccess(exit)) return exit.value
  const [reason] = exit.cause.reasons
  return reason?._tag === "Fail" ? { failed: reason.error } : reason?._tag === "Die" ? reason.defect : reason
}

const same = ([first, again]: readonly [Seen, Seen]): void => {
  const [a, b] = [valueOf(first), valueOf(again)]
  if (Equal.equals(a, b)) return
  assert.deepStrictEqual(b, a)
}

const refusal = ([first, again]: readonly [Seen, Seen]): string => {
  same([first, again])
  const defect = valueOf(first)
  assert.instanceOf(defect, Error)
  return defect.message
}

const step = (value: unknown, success?: Schema.Codec<any, any>) =>
  Step.run("s", Effect.succeed(value as any), success === undefined ? {} : { success })

const failing = (error: unknown, schema?: Schema.Codec<any, any>) =>
  Step.run("f", Effect.fail(error as any), schema === undefined ? {} : { error: schema })

describe("the first execution and the replay see the same", () => {
  const nothing = Object.assign(Object.create(null), { a: 1 })
  const described = Object.assign([1, 2], { total: 3 })
  const hidden = Object.defineProperty({ a: 1 }, "toJSON", { value: () => "else" })

  it.effect("of values that JSON changes without a word", () =>
    Effect.gen(function*() {
      const values: ReadonlyArray<unknown> = [
        undefined,
        { a: undefined, b: 1 },
        { a: [{ b: undefined }] },
        nothing,
        { nested: nothing },
        described,
        hidden,
        JSON.parse("{\"__proto__\":{\"a\":1}}"),
        "\0 and \ud800"
      ]
      for (const pair of yield* both(values.map((value) => step(value)))) {
        assert.isTrue(Exit.isSuccess(pair[0]))
        same(pair)
      }
      for (const pair of yield* both(values.map((value) => failing(value)))) {
        assert.isFalse(Exit.hasDies(pair[0]))
        same(pair)
      }
    }))

  it.effect("of what a schema leaves out, adds or rounds", () =>
    Effect.gen(function*() {
      const Optional = Schema.Struct({ a: Schema.optional(Schema.Finite), b: Schema.UndefinedOr(Schema.String) })
      const pairs = yield* both([
        step({ a: undefined, b: undefined }, Optional),
        step({ a: 1, b: "x", more: true }, Optional),
        step(new Date(1.5), Schema.Date),
        step(undefined, Schema.Void),
        failing({ a: undefined, b: undefined }, Optional),
        failing(undefined, Schema.Void)
      ])
      pairs.forEach(same)
      assert.deepStrictEqual(valueOf(pairs[1]![0]), { a: 1, b: "x" })
    }))

  it.effect("of a failure with undefined, and of one with null", () =>
    Effect.gen(function*() {
      const pairs = yield* both([failing(undefined), failing(null)])
      assert.deepStrictEqual(pairs.map((pair) => pair.map(valueOf)), [
        [{ failed: undefined }, { failed: undefined }],
        [{ failed: null }, { failed: null }]
      ])
    }))

  it.effect("of a defect, which is described", () =>
    Effect.gen(function*() {
      class Broken extends Error {
        readonly code = 7
      }
      const pairs = yield* both([Step.run("d", Effect.die(new Broken("no"))), Step.run("e", Effect.die({ code: 7 }))])
      pairs.forEach(same)
    }))

  it.effect("although whoever made the value still changes it", () =>
    Effect.gen(function*() {
      const shared = { entries: [1] }
      const changing = Effect.tap(step(shared), () => Effect.sync(() => void shared.entries.push(2)))
      const [pair] = yield* both([changing])
      assert.deepStrictEqual(pair!.map(valueOf), [{ entries: [1] }, { entries: [1] }])
    }))

  it.effect("of the time and of ids", () =>
    Effect.gen(function*() {
      for (const pair of yield* both([Workflow.now, Workflow.uuid])) same(pair)
    }))
})

describe("a value that JSON does not give back is refused with its place", () => {
  it.effect("with a schema and without, as a success and as a failure", () =>
    Effect.gen(function*() {
      const Numbers = Schema.Struct({ list: Schema.Array(Schema.Number) })
      const refusals = (yield* both([
        step(-0),
        step(-0, Schema.Number),
        step({ list: [1, -0] }, Numbers),
        step({ a: [Number.NaN] }, Schema.Any),
        step({ a: { b: new Date(0) } }, Schema.Any),
        // oxlint-disable-next-line no-sparse-arrays
        step({ list: [1, , 2] }),
        failing({ a: -0 }),
        failing({ list: [-0] }, Numbers)
      ])).map(refusal)
      const places = ["value is", "value is", "value.list[1]", "a", "a", "value.list[1]", "value.a", "value.list[0]"]
      for (const [index, place] of places.entries()) {
        assert.include(refusals[index], "cannot be stored")
        assert.include(refusals[index], place)
      }
    }))
})

describe("for any value", () => {
  const Text = Schema.Struct({ id: Schema.String, note: Schema.optionalKey(Schema.String) })
  class Money extends Schema.Class<Money>("test/Money")({ amount: Schema.BigInt, at: Schema.DateTimeUtc }) {}
  const Rich = Schema.Struct({
    money: Schema.Option(Money),
    numbers: Schema.Array(Schema.Number),
    perhaps: Schema.optional(Schema.UndefinedOr(Schema.Number)),
    tagged: Schema.Union([Schema.TaggedStruct("A", { a: Schema.Date }), Schema.TaggedStruct("B", { b: Text })]),
    unknown: Schema.Unknown
  })

  /** Equal on both, or a defect that says where. */
  const lawful = (pair: readonly [Seen, Seen]): void => {
    same(pair)
    if (Exit.hasDies(pair[0])) assert.match(refusal(pair), /cannot be stored: (value\S* is|[^]*at \[)/)
  }

  it.effect.prop(
    "with a schema, as a success and as a failure",
    [Arbitrary.schema(Schema.Array(Rich))],
    ([values]) =>
      Effect.gen(function*() {
        for (const pair of yield* both(values.flatMap((value) => [step(value, Rich), failing(value, Rich)]))) {
          lawful(pair)
        }
      }),
    { arbitrary: { runs: 10 } }
  )

  it.effect.prop(
    "without a schema, whatever it is",
    [Arbitrary.schema(Schema.Array(Schema.Unknown))],
    ([values]) =>
      Effect.gen(function*() {
        for (const pair of yield* both(values.flatMap((value) => [step(value), failing(value)]))) lawful(pair)
      }),
    { arbitrary: { runs: 10 } }
  )

  it.effect.prop(
    "that is JSON, with members left undefined",
    [Arbitrary.schema(Schema.Array(Schema.Json))],
    ([values]) =>
      Effect.gen(function*() {
        for (
          const pair of yield* both(
            values.flatMap((value) => [step({ value, none: undefined }), failing([{ value, none: undefined }])])
          )
        ) {
          lawful(pair)
        }
      }),
    { arbitrary: { runs: 10 } }
  )
})
