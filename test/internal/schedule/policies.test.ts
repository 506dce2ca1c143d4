import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { decode, defaults, encode, type PolicyOptions } from "../../../src/internal/schedule/policies.ts"

const stored = (options: PolicyOptions) => Result.getOrThrow(encode(options))

it.effect("every policy is written out, the defaults too", () =>
  Effect.sync(() => {
    assert.strictEqual(stored({}), "{\"missed\":\"latest\",\"whilePaused\":\"skip\",\"graceMillis\":60000}")
    assert.deepStrictEqual(JSON.parse(stored({ missed: "skip", whilePaused: { all: "2 hours" }, grace: 0 })), {
      missed: "skip",
      whilePaused: { allMillis: 7_200_000 },
      graceMillis: 0
    })
  }))

it.effect("what is written is read again", () =>
  Effect.sync(() => {
    for (const missed of ["skip", "latest", { all: "3 days" }, { all: Duration.infinity }] as const) {
      assert.deepStrictEqual(Result.getOrThrow(decode(stored({ missed }))), JSON.parse(stored({ missed })))
    }
  }))

it.effect("policies that a row does not state have their defaults", () =>
  Effect.sync(() => assert.deepStrictEqual(Result.getOrThrow(decode("{}")), defaults)))

it.effect("policies that cannot be understood are not guessed", () =>
  Effect.sync(() => {
    for (
      const text of ["", "[]", "{\"missed\":\"never\"}", "{\"graceMillis\":-1}", "{\"missed\":{\"allMillis\":\"1\"}}"]
    ) {
      assert.isTrue(Result.isFailure(decode(text)), text)
    }
  }))
