/** An hourly schedule and an engine under the virtual clock, and what its bodies saw. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Engine from "../../src/Engine.ts"
import * as Memory from "../../src/Memory.ts"
import * as Schedule from "../../src/Schedule.ts"
import type { SystemDb } from "../../src/SystemDb.ts"
import * as Workflow from "../../src/Workflow.ts"

export const day = Date.UTC(2030, 0, 1)
export const minute = 60_000
export const hour = 60 * minute

/** Takes as long as its context says, and fails if that is negative. */
export const Job = Workflow.make("job", {
  payload: Schedule.Tick(Schema.Struct({ minutes: Schema.Int })),
  error: Schema.String
})
export const Told = Workflow.make("told", { payload: Schedule.Event })

export const hourly = (policies: Schedule.PolicyOptions & { readonly minutes?: number } = {}) => {
  const { minutes = 0, ...options } = policies
  return Schedule.make("hourly", { workflow: Job, cron: "0 0 * * * *", context: { minutes }, ...options })
}

/** Runs a test at the beginning of a day over an empty store, with an engine and what its bodies saw. */
export const world = <A, E>(
  test: (seen: {
    readonly begun: ReadonlyArray<readonly [tick: number, at: number]>
    readonly told: ReadonlyArray<Schedule.Event>
    readonly occasions: ReadonlyArray<Schedule.Occasion>
    readonly fail: { current: boolean }
    readonly beats: ReadonlyArray<string>
  }) => Effect.Effect<A, E, SystemDb | Engine.Engine>,
  options: Partial<Engine.Options> = {}
) => {
  const begun: Array<readonly [number, number]> = []
  const told: Array<Schedule.Event> = []
  const occasions: Array<Schedule.Occasion> = []
  const beats: Array<string> = []
  const fail = { current: false }
  const bodies = Layer.mergeAll(
    Job.toLayer(Effect.fnUntraced(function*({ context, scheduledAt }) {
      const now = yield* DateTime.now
      // The body begins anew after each long sleep.
      if (!begun.some(([tick]) => tick === hours(scheduledAt))) begun.push([hours(scheduledAt), hours(now)])
      occasions.push(Option.getOrThrow(yield* Schedule.current))
      yield* Workflow.sleep(Duration.minutes(context.minutes))
      if (fail.current) return yield* Effect.fail("told to")
    })),
    Told.toLayer((event) => Effect.sync(() => void told.push(event)))
  )
  const engine = bodies.pipe(
    Layer.provideMerge(Engine.layer({ name: "app", ...options })),
    Layer.provide(Layer.succeed(Engine.HeartbeatRequest, (url) => Effect.sync(() => void beats.push(url)))),
    Layer.provideMerge(Memory.layer)
  )
  return Effect.andThen(
    TestClock.setTime(day),
    Effect.provide(Effect.suspend(() => test({ begun, told, occasions, fail, beats })), engine)
  )
}

export const hours = (instant: DateTime.DateTime | number) =>
  (typeof instant === "number" ? instant - day : DateTime.toEpochMillis(instant) - day) / hour

export const answers = (to: number, name = "hourly") =>
  Effect.map(
    Schedule.ledger(name, { from: day, to: day + to * hour }),
    (ledger) =>
      ledger.map(({ decision, tick }) => {
        const about = decision._tag === "Started"
          ? decision.status
          : "reason" in decision
          ? decision.reason
          : ""
        return `${hours(tick)} ${decision._tag} ${String(about)}`.trim()
      })
  )

export const info = (name = "hourly") => Effect.map(Schedule.get(name), Option.getOrThrow)
