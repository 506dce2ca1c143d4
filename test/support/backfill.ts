/** What tests of backfills stand on: a schedule of every minute, the hour before the day begins, and what ran. */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Backfill from "../../src/Backfill.ts"
import * as Schedule from "../../src/Schedule.ts"
import * as Workflow from "../../src/Workflow.ts"
import { inTime } from "./engine.ts"

export const day = Date.UTC(2030, 0, 1)
export const second = 1_000
export const minute = 60 * second
export const hour = 60 * minute

export const Beat = Workflow.make("beat", { payload: Schedule.Tick(Schema.Unknown) })

export const schedule = Schedule.make("beat", { workflow: Beat, cron: "0 * * * * *", context: "own", overlap: "allow" })

/** The hour before the day begins: 60 ticks of `schedule`. */
export const window = { from: day - hour, to: day }
export const minutes = (from: number, to: number) =>
  Array.from({ length: Math.ceil((to - from) / minute) }, (_, n) => from + n * minute)

/** A body that takes `millis`, and what it was run for. */
export const recorder = (millis = 0) => {
  const ticks: Array<number> = []
  const contexts: Array<unknown> = []
  const peak = { live: 0, most: 0 }
  const body = Beat.toLayer(({ context, scheduledAt }) =>
    Effect.gen(function*() {
      ticks.push(DateTime.toEpochMillis(scheduledAt))
      contexts.push(context)
      peak.most = Math.max(peak.most, ++peak.live)
      if (millis > 0) yield* Effect.sleep(millis)
      peak.live--
    })
  )
  return { ticks, contexts, peak, body }
}

export const start = TestClock.setTime(day)

export const stored = (id: string) => Effect.map(Backfill.get(id), Option.getOrThrow)

export const ended = (id: string, every: Duration.Input = "50 millis") => inTime(Backfill.await(id), every)

export const audits = Effect.map(
  Schedule.audit("beat"),
  (entries) =>
    entries.filter(({ action }) => action.startsWith("backfill")).map(({ action, actor, reason }) => [
      action,
      actor,
      Option.getOrNull(reason)
    ])
)
