/** Ticks as the store takes them: their run ids, and batches of them. */
import * as DateTime from "effect/DateTime"
import type { TickRun } from "../../SystemDb.ts"
import type { Timetable } from "../../Timing.ts"
import { scheduleOfTick } from "../ids.ts"
import type { Plan } from "./plan.ts"
import type { Policies } from "./policies.ts"

/** An instant as ids and payloads write it. */
export const iso = (millis: number): string => {
  if (millis !== last.millis) last = { millis, text: DateTime.formatIso(DateTime.makeUnsafe(millis)) }
  return last.text
}

/** Schedules that are due together mostly have the same tick. */
let last = { millis: 0, text: DateTime.formatIso(DateTime.makeUnsafe(0)) }

/** What the ids of a schedule's runs are made of. */
export interface Named {
  readonly name: string
  /** Set when there were runs of an earlier schedule of the name, whose ids must not be used again. */
  readonly incarnation: number | null
}

/** The id of a tick's run: the same whoever fires or backfills it. No trigger's run has such an id. */
export const runIdOf = ({ incarnation, name }: Named, tick: number): string =>
  `sched-${name}-${iso(tick)}${incarnation === null ? "" : `~${incarnation.toString(36)}`}`

/** Up to the first colon, so that the name can be told from the key. */
const nameInTrigger = (schedule: string): string => schedule.replace(/[%:]/g, encodeURIComponent)

/** The id of a run that was asked for by hand, under a key of its own. */
export const triggerIdOf = (schedule: string, key: string): string => `sched:${nameInTrigger(schedule)}:${key}`

/** The schedule whose tick or trigger a run is, as far as its id tells; wrong ids tell nothing wrong that matters. */
export const scheduleOf = (runId: string): string | undefined => {
  if (runId.startsWith("sched:")) return unescaped(runId.slice("sched:".length).split(":", 1)[0]!)
  return scheduleOfTick(runId)
}

const unescaped = (name: string): string => name.replaceAll("%3A", ":").replaceAll("%25", "%")

/** Why a run of a schedule was started, and the ticks beside its own. */
export interface Origin {
  readonly cause: "schedule" | "catch-up" | "backfill" | "trigger"
  readonly previous: number | null
  readonly next: number | null
}

const maxSkipped = 1_000

/** The nearest tick in a direction that no calendar excludes. */
const neighbour = (
  timetable: Timetable,
  from: number,
  step: (from: number) => number | null
): number | null => {
  let tick = step(from)
  for (let skipped = 0; tick !== null && skipped < maxSkipped && timetable.excluded(tick) !== null; skipped++) {
    tick = step(tick)
  }
  return tick
}

export const originOf = (plan: Plan, timetable: Timetable, tick: number, cause: Origin["cause"]): string =>
  JSON.stringify({
    cause,
    previous: neighbour(timetable, tick, plan.prev),
    next: neighbour(timetable, tick, plan.next)
  })

/** The run of a tick, which it must have begun by its start deadline. */
export const ofTick = (
  ticking: Ticking,
  tick: number,
  cause: Origin["cause"]
): TickRun => {
  const { plan, policies: { startDeadlineMillis }, timetable } = ticking
  return {
    runId: runIdOf(ticking, tick),
    tick,
    scheduledAt: iso(tick),
    origin: originOf(plan, timetable, tick, cause),
    // Nobody waits for what was asked for by hand, and a backfill is late by its nature.
    startBy: startDeadlineMillis === null || cause === "backfill" || cause === "trigger"
      ? null
      : tick + startDeadlineMillis
  }
}

/** A schedule as far as its ticks become runs. */
export interface Ticking extends Named {
  readonly plan: Plan
  readonly policies: Policies
  readonly timetable: Timetable
}

/** A run that was asked for by hand. The key is its own, so that any number of them at one instant are that many runs. */
export const ofTrigger = (ticking: Ticking, at: number, key: string): TickRun => ({
  ...ofTick(ticking, at, "trigger"),
  runId: triggerIdOf(ticking.name, key)
})

/** The most ticks that one statement enqueues. */
export const batchSize = 500

/** The runs of the ticks from `from` on and before `to` that no calendar excludes, in batches; each is built when asked for. */
export function* batches(ticking: Ticking, from: number, to: number): Generator<ReadonlyArray<TickRun>, void> {
  const { plan, timetable } = ticking
  let batch: Array<TickRun> = []
  for (let tick = plan.next(from - 1); tick !== null && tick < to; tick = plan.next(tick)) {
    if (timetable.excluded(tick) !== null) continue
    batch.push(ofTick(ticking, tick, "backfill"))
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
