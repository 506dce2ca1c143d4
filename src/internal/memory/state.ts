/** What the memory store keeps: rows that are replaced and never changed in place, so that a returned row stays as it was. */
import * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type {
  Audit,
  Backfill,
  Control,
  Entry,
  Hint,
  NewAudit,
  NewBackfill,
  NewEntry,
  Run,
  ScheduleRow,
  StepId,
  StepRecord
} from "../../SystemDb.ts"
import { allows, type Command, isFinished, to } from "../lifecycle.ts"
import { Locks } from "./locks.ts"

/** A step's record, and the epoch of the lease it was written under. */
export interface Recorded {
  readonly record: StepRecord
  readonly epoch: number
}

/** A schedule's row; what became of its last run is looked up when it is read. */
export type Schedule = Omit<ScheduleRow, "lastRunStatus">

/** An audit, and the id of the change that it is about, if it has one. */
export interface Audited {
  readonly change: string | null
  readonly audit: Audit
}

export interface Worker {
  readonly id: string
  readonly renewedAt: number
  readonly leaseUntil: number
  /** Whether the worker still holds its session lock. */
  readonly locked: boolean
  /** What it has bodies for; null when it does not say. */
  readonly workflows: ReadonlyArray<string> | null
}

/** A run without a history, before it is given to a worker or enqueued. */
export type Draft =
  & Pick<Run, "id" | "workflow" | "payload">
  & Partial<
    Pick<
      Run,
      "timeoutMillis" | "schedule" | "tick" | "origin" | "overlap" | "startBy" | "backfill" | "parent" | "trace"
    >
  >

/** Adds to the set under a key, or takes from it; empty sets are not kept. */
const mark = (sets: Map<string, Set<string>>, key: string | null, id: string, present: boolean): void => {
  if (key === null) return
  const set = sets.get(key) ?? new Set()
  if (present) sets.set(key, set.add(id))
  else if (set.delete(id) && set.size === 0) sets.delete(key)
}

export class State {
  readonly runs = new Map<string, Run>()
  /** The ids of the runs that have not finished, so that nothing costs more as history grows. */
  readonly live = new Set<string>()
  /** Run id → label of the step → record, in the order they were first recorded. */
  readonly steps = new Map<string, Map<string, Recorded>>()
  readonly schedules = new Map<string, Schedule>()
  readonly workers = new Map<string, Worker>()
  /** Workflow → the application that it belongs to. */
  readonly applications = new Map<string, string>()
  readonly controls = new Map<string, Control>()
  /** Schedule → the ids of its runs, so that its history is found without the others'. */
  readonly runsOf = new Map<string, Set<string>>()
  /** Overlap scope → the ids of its live runs. */
  readonly overlapping = new Map<string, Set<string>>()
  /** Overlap scope → its turn. */
  readonly overlapTurns = new Map<string, number>()
  /** Run → the ids of runs that started it by its id after it was there, and rely on it as long as they live. */
  readonly links = new Map<string, Set<string>>()
  /** Backfill → the ids of its live runs. */
  readonly filling = new Map<string, Set<string>>()
  /** The ids of runs whose end has to be taken note of. */
  readonly settling = new Set<string>()
  /** Schedule → the ids of its runs that have ended and are still to be taken note of. */
  readonly unsettled = new Map<string, Set<string>>()
  /** Schedule → its ledger entries, in the order they were recorded. */
  readonly entries = new Map<string, Array<Entry>>()
  /** In the order they were recorded. */
  audits: Array<Audited> = []
  /** The id of a change that was made → how many audits are left that tell so. */
  readonly changes = new Map<string, number>()
  readonly backfills = new Map<string, Omit<Backfill, "live">>()
  readonly locks = new Locks()
  #turn = 0
  #position = 0
  readonly hints: PubSub.PubSub<Hint>
  readonly hinting: boolean

  constructor(hints: PubSub.PubSub<Hint>, options: { readonly hints: boolean }) {
    this.hints = hints
    this.hinting = options.hints
  }

  publish(...hints: ReadonlyArray<Hint>): void {
    if (!this.hinting) return
    for (const hint of hints) PubSub.publishUnsafe(this.hints, hint)
  }

  put(run: Run): Run {
    const live = !isFinished(run.status)
    this.runs.set(run.id, run)
    if (live) this.live.add(run.id)
    else this.live.delete(run.id)
    mark(this.runsOf, run.schedule, run.id, true)
    mark(this.overlapping, run.overlap, run.id, live)
    mark(this.filling, run.backfill, run.id, live)
    if (this.settling.has(run.id)) mark(this.unsettled, run.schedule, run.id, !live)
    return run
  }

  /** Takes a run that has ended out of the store. */
  drop({ id, schedule }: Run): void {
    this.runs.delete(id)
    this.steps.delete(id)
    this.settling.delete(id)
    this.links.delete(id)
    for (const run of Array.from(this.links.keys())) mark(this.links, run, id, false)
    mark(this.runsOf, schedule, id, false)
    mark(this.unsettled, schedule, id, false)
  }

  /** Keeps a run for as long as the other one lives. */
  link(id: string, parent: string): void {
    mark(this.links, id, parent, true)
  }

  /** A run whose end was taken note of. */
  settle(id: string): void {
    this.settling.delete(id)
    mark(this.unsettled, this.runs.get(id)?.schedule ?? null, id, false)
  }

  /** A number that was not used before. */
  nextTurn(): number {
    return ++this.#turn
  }

  raiseOverlap(scope: string): number {
    const turn = this.nextTurn()
    this.overlapTurns.set(scope, turn)
    return turn
  }

  record(entry: NewEntry, now: number): void {
    const entries = this.entries.get(entry.schedule) ?? []
    entries.push({ ...entry, position: ++this.#position, recordedAt: now })
    this.entries.set(entry.schedule, entries)
  }

  /** A backfill that stands at the beginning. */
  fill(backfill: NewBackfill, now: number): Omit<Backfill, "live"> {
    const created = {
      ...backfill,
      status: "Active" as const,
      cursor: backfill.newestFirst ? backfill.to : backfill.from,
      started: 0,
      existing: 0,
      turn: this.nextTurn(),
      createdAt: now,
      updatedAt: now,
      finishedAt: null
    }
    this.backfills.set(created.id, created)
    return created
  }

  /** Records an audit, by which its change can be recognised. */
  audit(audit: NewAudit, now: number, change: string | null = null): void {
    this.audits.push({ change, audit: { ...audit, position: ++this.#position, at: now } })
    if (change !== null) this.changes.set(change, (this.changes.get(change) ?? 0) + 1)
  }

  /** Forgets these audits, and the changes that nothing else tells of. */
  forget(audits: ReadonlySet<Audited>): void {
    this.audits = this.audits.filter((audit) => !audits.has(audit))
    for (const { change } of audits) {
      if (change === null) continue
      const left = (this.changes.get(change) ?? 0) - 1
      if (left > 0) this.changes.set(change, left)
      else this.changes.delete(change)
    }
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
      deaths: 0,
      isolated: false,
      handbacks: 0,
      wakeAt: owned ? null : begin.wakeAt,
      deadline: owned && timeoutMillis !== null ? now + timeoutMillis : null,
      timeoutMillis,
      schedule: draft.schedule ?? null,
      tick: draft.tick ?? null,
      origin: draft.origin ?? null,
      overlap: draft.overlap ?? null,
      startBy: draft.startBy ?? null,
      backfill: draft.backfill ?? null,
      reason: null,
      parent: draft.parent ?? null,
      trace: draft.trace ?? null,
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
