/**
 * A schedule that lives through any history: looks of engines that may do little at a time, runs that end, and every operation.
 * What is kept is what a store keeps; what is asked of it afterwards is asked of that alone.
 */
import { Arbitrary } from "effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { RunStatus } from "../../../src/internal/lifecycle.ts"
import { stand, type Standing, type Verdict } from "../../../src/internal/schedule/change.ts"
import { decide, type Freeze, limits } from "../../../src/internal/schedule/decide.ts"
import { fresh, read } from "../../../src/internal/schedule/definition.ts"
import { replace } from "../../../src/internal/schedule/editing.ts"
import type { LedgerEntry } from "../../../src/internal/schedule/ledger.ts"
import { pause, resume } from "../../../src/internal/schedule/pausing.ts"
import * as Policies from "../../../src/internal/schedule/policies.ts"
import { dropBuffered, skip, skipNext, unskip } from "../../../src/internal/schedule/skipping.ts"
import { encode } from "../../../src/internal/schedule/state.ts"
import { runIdOf } from "../../../src/internal/schedule/ticks.ts"
import type { DueSchedule, ScheduleRow } from "../../../src/SystemDb.ts"
import * as Timing from "../../../src/Timing.ts"

const second = 1_000
export const start = Date.UTC(2030, 0, 1)

interface Ran {
  readonly id: string
  readonly tick: number
  readonly createdAt: number
  readonly counts: boolean
  readonly settle: boolean
  readonly by: "tick" | "backfill" | "trigger"
  status: RunStatus
  finishedAt: number | null
}

/** A timing and its bounds, and since when they are in force. */
export interface InForce {
  readonly timing: string
  readonly from: number | null
  readonly until: number | null
  readonly since: number
}

export interface History {
  readonly row: ScheduleRow
  readonly now: number
  readonly runs: ReadonlyMap<string, Ran>
  readonly entries: ReadonlyArray<LedgerEntry>
  readonly inForce: ReadonlyArray<InForce>
  /** From when on, and up to when, there were no ticks because enough runs were started. */
  readonly spent: ReadonlyArray<{ readonly after: number; readonly to: number }>
}

// ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────────

const timings: ReadonlyArray<Timing.Timing> = [
  { cron: "*/10 * * * * *" },
  { cron: "*/7 * * * * *" },
  { cron: "5,25,26 * * * * *" },
  { every: "3 seconds" },
  { cron: "*/10 * * * * *", except: { cron: "30 * * * * *" } },
  { every: "20 seconds" }
]

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const PolicyNumbers = Schema.Struct({
  mode: Schema.Literals(["none", "latest", "all"]),
  window: between(10, 200),
  cap: between(1, 8),
  grace: between(0, 20),
  overlap: Schema.Literals(["allow", "allow", "skip", "bufferOne", "bufferAll", "cancelOther"]),
  max: between(1, 5),
  jitter: between(0, 25),
  deadline: between(0, 150),
  until: between(60, 2_000),
  maxRuns: between(1, 30),
  failures: between(1, 6)
})

const optionsOf = (given: typeof PolicyNumbers.Type): Policies.PolicyOptions => ({
  catchUp: {
    mode: given.mode,
    window: given.window > 100 ? undefined : `${given.window} seconds`,
    cap: given.cap > 4 ? undefined : given.cap
  },
  grace: `${given.grace} seconds`,
  overlap: given.overlap === "allow" || given.overlap === "bufferAll"
    ? { mode: given.overlap, max: given.overlap === "allow" && given.max > 3 ? undefined : given.max }
    : given.overlap,
  jitter: given.jitter > 15 ? undefined : `${given.jitter} seconds`,
  startDeadline: given.deadline > 80 ? undefined : `${given.deadline + 15} seconds`,
  until: given.until > 600 ? undefined : start + given.until * second,
  maxRuns: given.maxRuns > 12 ? undefined : given.maxRuns,
  pauseAfterFailures: given.failures > 3 ? undefined : given.failures
})

const Move = Schema.Struct({
  /** In half seconds. */
  pass: between(0, 90),
  ends: between(0, 7),
  status: Schema.Literals(["Succeeded", "Succeeded", "Failed", "Dead", "Cancelled"]),
  looks: Schema.Literals(["none", "none", "small", "whole"]),
  act: Schema.Literals([
    "none",
    "none",
    "pause",
    "pauseUntil",
    "resume",
    "catchUp",
    "retime",
    "repolicy",
    "skip",
    "skipNext",
    "unskip",
    "dropBuffered",
    "freeze",
    "thaw",
    "trigger",
    "backfill"
  ]),
  amount: between(0, 9),
  policies: PolicyNumbers
})
type Move = typeof Move.Type

export const history = Arbitrary.all([
  Arbitrary.schema(PolicyNumbers),
  Arbitrary.array(Arbitrary.schema(Move), { minLength: 5, maxLength: 30 })
])

// ── the world ───────────────────────────────────────────────────────────────────────────────────────────────────────

const isLive = ({ status }: Ran): boolean => status === "Running"

class World {
  row: ScheduleRow
  now = start
  readonly runs = new Map<string, Ran>()
  readonly entries: Array<LedgerEntry> = []
  readonly inForce: Array<InForce> = []
  readonly spent: Array<{ readonly after: number; to: number }> = []
  freezes: ReadonlyArray<Freeze> = []

  constructor(policies: Policies.Policies) {
    const definition = {
      name: "s",
      workflow: "w",
      timing: Result.getOrThrow(Timing.parse(timings[0]!)).text,
      context: "null",
      contextSchema: null,
      jsonSchema: null,
      policies: Policies.encode(policies),
      overlap: Policies.overlapScope("s", policies),
      owner: null,
      labels: "{}",
      externalId: null
    }
    const content = Result.getOrThrow(fresh(definition, start))
    const history = { lastTick: null, lastRunId: null, lastRunStatus: null, createdAt: start, updatedAt: start }
    this.row = { ...content, ...history, turn: 1, started: 0, incarnation: null }
    this.#noteTiming()
  }

  get #read() {
    return Result.getOrThrow(read(this.row))
  }

  #noteTiming(): void {
    const { from, until } = this.#read.policies
    const last = this.inForce.at(-1)
    if (last?.timing === this.row.timing && last.from === from && last.until === until) return
    this.inForce.push({ timing: this.row.timing, from, until, since: this.now })
  }

  #noteEnd(before: number | null): void {
    const answered = Math.max(
      ...this.entries.map(({ last }) => last),
      ...[...this.runs.values()].filter(({ by }) => by === "tick").map(({ tick }) => tick),
      ...this.#read.state.buffered.map(({ tick }) => tick),
      start
    )
    if (this.row.nextAt === null && before !== null) this.spent.push({ after: answered, to: Infinity })
    const spent = this.spent.at(-1)
    if (this.row.nextAt !== null && before === null && spent !== undefined) spent.to = this.now
  }

  #change(decided: (standing: Standing) => Verdict | undefined): void {
    const standing = Result.getOrThrow(stand(this.row, this.now))
    const verdict = decided(standing)
    const content = verdict?.content ?? standing.content
    const before = standing.content.nextAt
    this.entries.push(...standing.noticed?.entries ?? [], ...verdict?.entries ?? [])
    this.row = { ...this.row, ...content, turn: this.row.turn + 1 }
    this.#noteEnd(before)
    this.#noteTiming()
  }

  /** What the store knows of the schedule. */
  get #due(): DueSchedule {
    const runs = [...this.runs.values()]
    return {
      ...this.row,
      overlapTurn: null,
      behind: [],
      live: this.row.overlap === null ? [] : runs.filter((run) => run.counts && isLive(run)).map((run) => ({
        runId: run.id,
        schedule: "s",
        tick: run.tick,
        createdAt: run.createdAt
      })),
      ended: runs.filter((run) => run.settle && !isLive(run))
        .sort((a, b) => a.finishedAt! - b.finishedAt!)
        .map(({ createdAt, finishedAt, id, status, tick }) => ({
          runId: id,
          tick,
          status,
          createdAt,
          finishedAt: finishedAt!
        }))
    }
  }

  /** One decision, recorded; whether there was anything to record. */
  look(limit: typeof limits): boolean {
    if (this.freezes.at(-1)?.to === null) return false
    const { policies, state, timetable } = this.#read
    const decision = decide({ row: this.#due, timetable, policies, state, freezes: this.freezes }, this.now, limit)
    const { after, cancels, entries, settled, starts } = decision
    const before = this.row
    for (const { runId } of cancels) this.#finish(this.runs.get(runId)!, "Cancelled")
    const settle = Policies.settles(policies)
    let started = 0
    for (const { tick } of starts) {
      if (this.#start(runIdOf(this.row, tick), tick, { by: "tick", counts: true, settle })) started++
    }
    for (const runId of settled) this.runs.set(runId, { ...this.runs.get(runId)!, settle: false })
    this.entries.push(...entries)
    const { state: remembered, ...stands } = after
    this.row = {
      ...before,
      ...stands,
      state: encode(remembered),
      started: before.started + started,
      turn: before.turn + 1
    }
    this.#noteEnd(before.nextAt)
    const same = after.status === before.status && after.nextAt === before.nextAt && this.row.state === before.state
    return starts.length + entries.length + cancels.length + settled.length > 0 || !same
  }

  #start(id: string, tick: number, how: Pick<Ran, "by" | "counts" | "settle">): boolean {
    if (this.runs.has(id)) return false
    this.runs.set(id, { id, tick, createdAt: this.now, status: "Running", finishedAt: null, ...how })
    return true
  }

  #finish(run: Ran, status: RunStatus): void {
    if (!isLive(run)) return
    run.status = status
    run.finishedAt = this.now
  }

  move(move: Move): void {
    this.now += move.pass * 500
    const live = [...this.runs.values()].filter(isLive)
    live.filter((_, index) => index < 3 && (move.ends & (1 << index)) !== 0).forEach((run) =>
      this.#finish(run, move.status)
    )
    this.#act(move)
    if (move.looks === "small") this.look({ starts: 1, entries: 2, ticks: 3 })
    for (let looks = 0; move.looks === "whole" && this.look(limits) && looks < 100; looks++);
  }

  #act({ act, amount, policies }: Move): void {
    switch (act) {
      case "none":
        return
      case "pause":
        return this.#change((standing) => Result.getOrThrow(pause(standing, { reason: undefined, until: undefined })))
      case "pauseUntil": {
        const until = this.now + 1 + amount * 7_500
        return this.#change((standing) => Result.getOrThrow(pause(standing, { reason: "why", until })))
      }
      case "resume":
        return this.#change((standing) => resume(standing, undefined))
      case "catchUp":
        return this.#change((standing) => resume(standing, amount % 2 === 0 ? "latest" : "all"))
      case "retime": {
        const timing = Result.getOrThrow(Timing.parse(timings[amount % timings.length]!)).text
        return this.#change((standing) => replace(standing, { ...standing.content, timing }, "edit"))
      }
      case "repolicy": {
        const next = Result.getOrThrow(Policies.fromOptions(optionsOf(policies)))
        return this.#change((standing) =>
          replace(standing, {
            ...standing.content,
            policies: Policies.encode(next),
            overlap: Policies.overlapScope("s", next)
          }, "edit")
        )
      }
      case "skip": {
        let tick = this.row.nextAt
        for (let index = 0; index < amount && tick !== null; index++) tick = this.#read.plan.next(tick)
        if (tick === null) return
        const instant = tick
        return this.#change((standing) => Result.getOrUndefined(skip(standing, instant)))
      }
      case "skipNext":
        return this.#change((standing) => Result.getOrThrow(skipNext(standing, amount)))
      case "unskip":
        return this.#change((standing) => unskip(standing, undefined))
      case "dropBuffered":
        return this.#change((standing) => dropBuffered(standing, undefined))
      case "freeze":
        if (this.freezes.at(-1)?.to !== null) this.freezes = [...this.freezes, { from: this.now, to: null }]
        return
      case "thaw": {
        const last = this.freezes.at(-1)
        if (last === undefined || last.to !== null) return
        const before = this.freezes.slice(0, -1)
        this.freezes = amount % 2 === 0 ? [...before, { from: last.from, to: this.now }] : before
        return
      }
      case "trigger":
        this.#start(`trigger-${this.now}-${this.runs.size}`, this.now, { by: "trigger", counts: true, settle: false })
        return
      case "backfill": {
        let tick = this.#read.plan.next(this.now - 20_000)
        for (let index = 0; index < amount && tick !== null; index++) {
          this.#start(runIdOf(this.row, tick), tick, { by: "backfill", counts: false, settle: false })
          tick = this.#read.plan.next(tick)
        }
      }
    }
  }

  /** Nobody keeps it from going on any more: what waits and what is late is decided. */
  settle(): void {
    this.now += 1
    this.#act({ act: "thaw", amount: 0 } as Move)
    for (let round = 0; round < 200; round++) {
      if (this.row.status === "Paused") this.#act({ act: "resume", amount: 0 } as Move)
      for (const run of this.runs.values()) this.#finish(run, "Succeeded")
      if (!this.look(limits) && this.row.status === "Active" && this.row.waitingSince === null) return
    }
    throw new Error("It does not come to rest")
  }
}

export const live = (
  [policies, moves]: readonly [typeof PolicyNumbers.Type, ReadonlyArray<Move>]
): History => {
  const world = new World(Result.getOrThrow(Policies.fromOptions(optionsOf(policies))))
  for (const move of moves) world.move(move)
  world.settle()
  return world
}
