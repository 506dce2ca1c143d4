import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"

/** How building the engine ends: what it says is wrong, or nothing. */
const complaint = (options: Partial<Engine.Options>) =>
  Effect.map(
    Effect.exit(Layer.build(Engine.layer({ name: "app", ...options }))),
    (exit) => Exit.isSuccess(exit) ? "" : String(Cause.squash(exit.cause))
  ).pipe(Effect.scoped, Effect.provide(Memory.layer))

const nonsense: Record<string, Partial<Engine.Options>> = {
  name: { name: "" },
  concurrency: { concurrency: 0 },
  "concurrency ": { concurrency: Number.NaN },
  "concurrency  ": { concurrency: 2.5 },
  maxAttempts: { maxAttempts: 0 },
  lease: { lease: 0 },
  pulseInterval: { pulseInterval: -1 },
  pollInterval: { pollInterval: 0 },
  grace: { grace: -1 },
  suspendAfter: { suspendAfter: -1 }
}

for (const [label, options] of Object.entries(nonsense)) {
  const field = label.trim()
  it.effect(`an engine that could not work is refused when it is built: ${JSON.stringify(options)}`, () =>
    Effect.map(complaint(options), (said) => assert.include(said, `${field}: must`)))
}

it.effect("an engine without grace, that suspends at once, is none of these", () =>
  Effect.map(
    complaint({ grace: 0, suspendAfter: 0, concurrency: 1, maxAttempts: Infinity }),
    (said) => assert.strictEqual(said, "")
  ))
