/** What an open record does to the attempts that follow. How attempts are made and recorded is in Step.retry.test.ts. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as EffectSchedule from "effect/Schedule"
import { StepTimedOut } from "../../src/Errors.ts"
import * as Attempts from "../../src/internal/attempts.ts"
import * as Codec from "../../src/internal/codec.ts"
import { Execution } from "../../src/internal/execution.ts"
import type { NewStepRecord, Run, StepRecord, SystemDb } from "../../src/SystemDb.ts"

const run: Run = {
  id: "r",
  workflow: "flow",
  status: "Running",
  payload: "null",
  outcome: null,
  owner: "w",
  epoch: 1,
  attempt: 1,
  deaths: 0,
  isolated: false,
  handbacks: 0,
  wakeAt: null,
  deadline: null,
  timeoutMillis: null,
  schedule: null,
  tick: null,
  origin: null,
  overlap: null,
  startBy: null,
  backfill: null,
  reason: null,
  parent: null,
  trace: null,
  createdAt: 0,
  startedAt: 0,
  finishedAt: null
}

/** Runs the attempts of a failing step from an open record with these errors; what it wrote, with the times. */
const continued = <E>(
  errors: ReadonlyArray<object>,
  retry: EffectSchedule.Schedule<unknown, E | StepTimedOut>,
  effect: Effect.Effect<never, E>
) =>
  Effect.gen(function*() {
    const written: Array<Pick<NewStepRecord, "attempts" | "errors" | "outcome" | "wakeAt">> = []
    const db = {
      joined: () => false,
      recordStep: (_lease: unknown, { attempts, errors, outcome, wakeAt }: NewStepRecord) =>
        Effect.sync(() => void written.push({ attempts, errors, outcome, wakeAt }))
    } as unknown as SystemDb["Service"]
    const id = { name: "s", key: "", occurrence: 1 }
    const open: StepRecord = {
      ...id,
      kind: "Step",
      attempts: errors.length,
      errors: JSON.stringify(errors),
      outcome: null,
      wakeAt: 0,
      startedAt: -10_000,
      recordedAt: -1_000
    }
    const host = { suspendAfterMillis: Number.POSITIVE_INFINITY, park: () => {}, stand: () => () => {} }
    const execution = new Execution(db, { run, steps: [open] }, { runId: "r", worker: "w", epoch: 1 }, host, true)
    yield* Effect.withFiber((fiber) => {
      execution.attach(fiber)
      const id = execution.identify(fiber, "s", "")
      const step = {
        id,
        kind: "Step",
        success: Codec.plainJson(),
        error: Codec.plainJson<E>(),
        timeout: undefined,
        retry,
        succeeded: () => {}
      } as const
      return Effect.exit(Attempts.run(execution, fiber, effect, step, open))
    })
    return written
  })

describe("attempts that continue from a record", () => {
  it.effect("are numbered on, with the errors before them kept as they were", () =>
    Effect.gen(function*() {
      const errors = [{ _tag: "Failure", error: "one" }, { _tag: "TimedOut" }]
      const written = yield* continued(errors, EffectSchedule.recurs(2), Effect.fail("three"))
      assert.deepStrictEqual(written, [{
        attempts: 3,
        errors: JSON.stringify([...errors, { _tag: "Failure", error: "three" }]),
        outcome: "{\"_tag\":\"Failure\",\"error\":\"three\"}",
        wakeAt: null
      }])
    }))

  it.effect("show the schedule every error that was recorded, timeouts included", () =>
    Effect.gen(function*() {
      const inputs: Array<unknown> = []
      const watching = EffectSchedule.recurs(2).pipe(
        EffectSchedule.setInputType<string | StepTimedOut>(),
        EffectSchedule.tap(({ input }) => Effect.sync(() => void inputs.push(input)))
      )
      yield* continued<string>(
        [{ _tag: "Failure", error: "one" }, { _tag: "TimedOut" }],
        watching,
        Effect.fail("three")
      )
      assert.strictEqual(inputs[0], "one")
      assert.instanceOf(inputs[1], StepTimedOut)
    }))

  it.effect("measure elapsed time from the first attempt, not from the restart", () =>
    Effect.gen(function*() {
      const retry = EffectSchedule.spaced("1 second").pipe(EffectSchedule.upTo({ duration: "9 seconds" }))
      const errors = [{ _tag: "Failure", error: "one" }, { _tag: "Failure", error: "two" }]
      // The first attempt was made ten seconds ago, so nine seconds are over.
      const written = yield* continued(errors, retry, Effect.fail("three"))
      assert.strictEqual(written.length, 1)
      assert.isNotNull(written[0]!.outcome)
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    }))
})
