/** Ticks as the store takes them: their run ids, and batches of them. */
import * as DateTime from "effect/DateTime"
import type * as Cron from "../../Cron.ts"
import type { TickRun } from "../../SystemDb.ts"
import { nextTick } from "./decide.ts"

/** An instant as ids and payloads write it. */
export const iso = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** The run of a tick: the same id whoever fires or backfills it. */
export const ofTick = (schedule: string, tick: number): TickRun => {
  const scheduledAt = iso(tick)
  return { runId: `sched-${schedule}-${scheduledAt}`, tick, scheduledAt }
}

/** A run that was asked for by hand. The id is its own, so that any number of them at one instant are that many runs. */
export const ofTrigger = (schedule: string, at: number, uuid: string): TickRun => ({
  runId: `sched-${schedule}-trigger-${uuid}`,
  tick: at,
  scheduledAt: iso(at)
})

/** The most ticks that one statement enqueues. */
export const batchSize = 500

/** The runs of the ticks from `from` on and before `to`, in batches; each is built when it is asked for. */
export function* batches(
  schedule: string,
  cron: Cron.Cron,
  from: number,
  to: number
): Generator<ReadonlyArray<TickRun>, void> {
  let batch: Array<TickRun> = []
  for (let tick = nextTick(cron, from - 1); tick !== null && tick < to; tick = nextTick(cron, tick)) {
    batch.push(ofTick(schedule, tick))
    if (batch.length < batchSize) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/**
 * A tick that was backfilled. `created` is false when it had a run already, which is then the one of the handle.
 *
 * @category models
 * @since 0.1.0
 */
export class Backfilled<out H> {
  readonly runId: string
  readonly created: boolean
  readonly #tick: number
  readonly #handleOf: (runId: string) => H

  constructor(tick: Pick<TickRun, "runId" | "tick"> & { readonly created: boolean }, handleOf: (runId: string) => H) {
    this.runId = tick.runId
    this.created = tick.created
    this.#tick = tick.tick
    this.#handleOf = handleOf
  }

  /** The instant the run is for. */
  get tick(): DateTime.Utc {
    return DateTime.makeUnsafe(this.#tick)
  }

  /** The run's handle; typed when the schedule was given by its value. Made when asked for, as there may be many. */
  get handle(): H {
    return this.#handleOf(this.runId)
  }
}
