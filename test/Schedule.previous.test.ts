import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../src/Engine.ts"
import * as Memory from "../src/Memory.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import type { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { day, hour, hours } from "./support/hourly.ts"

class Odd extends Schema.TaggedError<Odd>("Odd")("Odd", { hour: Schema.Finite }) {}

const Count = Workflow.make("count", { payload: Schedule.Tick(), success: Schema.BigInt, error: Odd })
const Other = Workflow.make("other", { success: Schema.String })
const Hourly = Schedule.make("hourly", { workflow: Count, cron: "0 0 * * * *" })

/** What a body found, in hours: its own tick, then the last success and the last failure as they were ended. */
type Found = readonly [tick: number, success: string, failure: string]

const short = (tick: number, { lastFailure, lastSuccess }: Schedule.Previous<bigint, Odd>): Found => [
  tick,
  Option.match(lastSuccess, {
    onNone: () => "none",
    onSome: ({ scheduledAt, value }) => `${hours(scheduledAt)}: ${Result.getOrThrow(value)}`
  }),
  Option.match(lastFailure, {
    onNone: () => "none",
    onSome: ({ cause, scheduledAt }) => {
      const error = cause.reasons.find(Cause.isFailReason)?.error
      return `${hours(scheduledAt)}: ${error instanceof Odd ? `Odd ${error.hour}` : Cause.pretty(cause).split("\n")[0]}`
    }
  })
]

/** Fails at odd hours, is a bug at every fifth, and gives its hour; looks for what was before and again after a long wait. */
const world = <A, E>(
  test: (found: ReadonlyArray<Found>) => Effect.Effect<A, E, SystemDb | Engine.Engine>
) => {
  const found: Array<Found> = []
  const body = Count.toLayer(Effect.fnUntraced(function*({ scheduledAt }) {
    const tick = hours(scheduledAt)
    found.push(short(tick, yield* Schedule.previous(Count)))
    yield* Workflow.sleep("90 minutes")
    if (tick % 5 === 0) return yield* Effect.die(new Error("a bug"))
    if (tick % 2 !== 0) return yield* new Odd({ hour: tick })
    return BigInt(tick)
  }))
  const engine = body.pipe(Layer.provideMerge(Engine.layer({ name: "app" })), Layer.provideMerge(Memory.layer))
  return Effect.andThen(TestClock.setTime(day), Effect.provide(Effect.suspend(() => test(found)), engine))
}

it.effect("a body finds the last success and the last failure before its tick, typed, and the same on every replay", () =>
  world((found) =>
    Effect.gen(function*() {
      yield* Schedule.create(Hourly)
      yield* TestClock.adjust("8 hours")
      const expected: ReadonlyArray<Found> = [
        [1, "none", "none"],
        [2, "none", "none"],
        [3, "none", "1: Odd 1"],
        [4, "2: 2", "1: Odd 1"],
        [5, "2: 2", "3: Odd 3"],
        [6, "4: 4", "3: Odd 3"],
        [7, "4: 4", "5: Error: a bug"]
      ]
      for (const tick of expected.map(([tick]) => tick)) {
        const looks = found.filter(([at]) => at === tick)
        assert.isAtLeast(looks.length, tick < 7 ? 2 : 1)
        for (const look of looks) assert.deepStrictEqual(look, expected[tick - 1])
      }
    })
  ))

it.effect("a run that was backfilled finds what came before its own tick, and cancelled runs are passed over", () =>
  world((found) =>
    Effect.gen(function*() {
      yield* Schedule.create(Hourly)
      yield* TestClock.adjust("121 minutes")
      yield* Run.cancel("sched-hourly-2030-01-01T02:00:00.000Z")
      yield* Schedule.backfill("hourly", { from: day - 2 * hour, to: day - hour })
      yield* TestClock.adjust("2 hours")
      yield* Schedule.backfill("hourly", { from: day - hour, to: day })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(found.find(([tick]) => tick === -1), [-1, "-2: -2", "none"])
      assert.deepStrictEqual(found.find(([tick]) => tick === 4), [4, "-2: -2", "1: Odd 1"])
    })
  ))

it.effect("a run of an earlier schedule of the name is none of this one", () =>
  world((found) =>
    Effect.gen(function*() {
      yield* Schedule.create(Hourly)
      yield* TestClock.adjust("4 hours")
      yield* Schedule.remove("hourly")
      yield* TestClock.adjust("1 minute")
      yield* Schedule.create(Hourly)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(found.findLast(([tick]) => tick === 5), [5, "none", "none"])
    })
  ))

it.effect("a run that no schedule started has none before it, and the workflow of another run is refused", () =>
  Effect.gen(function*() {
    const body = Other.toLayer(() =>
      Effect.map(Schedule.previous(Other), ({ lastFailure, lastSuccess }) => `${lastFailure._tag} ${lastSuccess._tag}`)
    )
    const wrong = Workflow.make("wrong")
    const refused = wrong.toLayer(() => Effect.asVoid(Schedule.previous(Other)))
    yield* Effect.gen(function*() {
      assert.strictEqual(yield* Other.execute(), "None None")
      const exit = yield* Effect.exit(wrong.execute())
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "the run is one of wrong")
    }).pipe(Effect.provide(
      Layer.merge(body, refused).pipe(
        Layer.provideMerge(Engine.layer({ name: "app" })),
        Layer.provideMerge(Memory.layer)
      )
    ))
  }))
