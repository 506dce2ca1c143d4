/** What the memory store keeps: rows that are replaced and never changed in place, so that a returned row stays as it was. */
import * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type { Hint, Run, ScheduleRow, StepId, StepRecord } from "../../SystemDb.ts"
import { allows, type Command, isFinished, to } from "../lifecycle.ts"

/** A step's record, and the epoch of the lease it was written under. */
export interface Recorded {
  readonly record: StepRecord
  readonly epoch: number
}

/** A schedule's row; what became of its last run is looked up when it is read. */
export type Schedule = Omit<ScheduleRow, "lastRunStatus">

export interface Worker {
  readonly id: string
  readonly renewedAt: number
  readonly leaseUntil: number
  /** Whether the worker still holds its session lock. */
  readonly locked: boolean
}

/** A run without a history, before it is given to a worker or enqueued. */
export type Draft =
  & Pick<Run, "id" | "workflow" | "payload">
  & Partial<Pick<Run, "timeoutMillis" | "schedule" | "tick" | "parent">>

export class State {
  readonly runs = new Map<string, Run>()
  /** The ids of the runs that have not finished, so that nothing costs more as history grows. */
  readonly live = new Set<string>()
  /** Run id → label of the step → record, in the order they were first recorded. */
  readonly steps = new Map<string, Map<string, Recorded>>()
  readonly schedules = new Map<string, Schedule>()
  readonly workers = new Map<string, Worker>()
  readonly hints: PubSub.PubSub<Hint>
  readonly #hinting: boolean

  constructor(hints: PubSub.PubSub<Hint>, options: { readonly hints: boolean }) {
    this.hints = hints
    this.#hinting = options.hints
  }

  publish(...hints: ReadonlyArray<Hint>): void {
    if (!this.#hinting) return
    for (const hint of hints) PubSub.publishUnsafe(this.hints, hint)
  }

  put(run: Run): Run {
    this.runs.set(run.id, run)
    if (isFinished(run.status)) this.live.delete(run.id)
    else this.live.add(run.id)
    return run
  }

  /** Creates a run: owned under epoch 1 at once, or waiting from `wakeAt` on. */
  create(draft: Draft, now: number, begin: { readonly owner: string } | { readonly wakeAt: number }): Run {
    const timeoutMillis = draft.timeoutMillis ?? null
    const owned = "owner" in begin
    return this.put({
      id: draft.id,
      workflow: draft.workflow,
      status: owned ? "Running" : "Enqueued",
      payload: draft.payload,
      outcome: null,
      owner: owned ? begin.owner : null,
      epoch: owned ? 1 : 0,
      attempt: 1,
      wakeAt: owned ? null : begin.wakeAt,
      deadline: owned && timeoutMillis !== null ? now + timeoutMillis : null,
      timeoutMillis,
      schedule: draft.schedule ?? null,
      tick: draft.tick ?? null,
      parent: draft.parent ?? null,
      createdAt: now,
      startedAt: owned ? now : null,
      finishedAt: null
    })
  }

  /** The one way a run gets another status. The caller has asked already; asking again here catches our own mistakes. */
  move(command: Command, run: Run, changes: Pick<Run, "status"> & Partial<Run>): Run {
    if (!allows(command, run.status) || !to[command].includes(changes.status)) {
      throw new Error(`${command} cannot take run ${run.id} from ${run.status} to ${changes.status}`)
    }
    return this.put({ ...run, ...changes })
  }

  /** The Running runs for which `owned` holds. */
  running(owned: (owner: string) => boolean): ReadonlyArray<Run> {
    const found: Array<Run> = []
    for (const id of this.live) {
      const run = this.runs.get(id)
      if (run?.status === "Running" && run.owner !== null && owned(run.owner)) found.push(run)
    }
    return found
  }

  recorded(runId: string): ReadonlyArray<StepRecord> {
    return Array.from(this.steps.get(runId)?.values() ?? [], ({ record }) => record)
  }
}

export const label = (step: StepId): string => JSON.stringify([step.name, step.key, step.occurrence])

/** One synchronous block at one instant of the fiber's Clock: nothing comes between its reads and its writes. */
export const atomic = <A, E = never>(block: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Clock.clockWith((clock) => block(clock.currentTimeMillisUnsafe()))

/** Lifts the UTF-16 units of astral characters over the rest of the basic plane, where their code points are. */
const rank = (unit: number): number => unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800

/** Orders strings by code point, as a database with the C collation does. */
export const byCodePoint = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i))
    if (difference !== 0) return difference
  }
  return a.length - b.length
}
