import { assert, it } from "@effect/vitest"
import * as Cron from "effect-durable/Cron"
import * as Errors from "effect-durable/Errors"
import * as Memory from "effect-durable/Memory"
import * as Schedule from "effect-durable/Schedule"
import * as Effect from "effect/Effect"
import { HeartbeatFailed } from "../src/internal/engine/heartbeat.ts"
import * as PgliteErrors from "../src/internal/pgliteErrors.ts"

interface ErrorClass {
  readonly name: string
  readonly fields: Readonly<Record<string, unknown>>
}

const classes = [
  ...Object.values(Errors),
  Cron.CronParseError,
  HeartbeatFailed,
  ...Object.values(PgliteErrors)
].filter((exported) => "fields" in exported) as unknown as ReadonlyArray<ErrorClass>

it("no field of an error hides what every error has: its name, message and stack", () => {
  assert.isAbove(classes.length, 20)
  for (const { fields, name } of classes) {
    for (const member of ["name", "message", "stack"]) {
      assert.isFalse(Object.hasOwn(fields, member), `${member} of ${name}`)
    }
  }
})

it.effect("an error is called by its kind, and its message says what it is about", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(Schedule.pause("backup-7"))
    assert.strictEqual(error.name, "effect-durable/ScheduleNotFound")
    assert.include(error.message, "backup-7")
  }).pipe(Effect.provide(Memory.layer)))
