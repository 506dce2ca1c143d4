/** Schedules that live through histories: ticks at generated distances, looks at generated times, runs that end, operators. */
import { assert } from "@effect/vitest"
import { Arbitrary } from "effect"
import * as Schema from "effect/Schema"
import { decide, type Decision, type Freeze, type Subject } from "../../../src/internal/schedule/decide.ts"
import { plan } from "../../../src/internal/schedule/plan.ts"
import { defaults, type OverlapRule, type Policies } from "../../../src/internal/schedule/policies.ts"
import { initial, type State } from "../../../src/internal/schedule/state.ts"
import { runIdOf } from "../../../src/internal/schedule/ticks.ts"
import type { Timetable } from "../../../src/Timing.ts"
import type { Outcome, Ticks } from "./model.ts"

// ── timetables ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** These ticks and no others; excluded are those for which there is a reason. */
export const timetableOf = (
  ticks: ReadonlyArray<number>,
  excluded: (tick: number) => string | null = () => null
): Timetable => ({
  text: JSON.stringify(ticks),
  timeZone: "UTC",
  expression: "these ticks",
  next: (after) => ticks.find((tick) => tick > after) ?? null,
  prev: (before) => ticks.findLast((tick) => tick < before) ?? null,
  excluded,
  describe: () => "At these ticks"
})

/** From 0 on without end, and before. */
export const everyMillis = (step: number): Timetable => ({
  ...timetableOf([]),
  text: `every ${step}`,
  next: (after) => Math.floor(after / step) * step + step,
  prev: (before) => Math.ceil(before / step) * step - step
})

export const name = "report"

export const ticksOf = (
  { policies, timetable }: Pick<Subject, "policies" | "timetable">,
  all: ReadonlyArray<number>
): Ticks => ({
  all,
  dueAt: plan(name, timetable, policies).dueAt
})

/** A schedule whose cursor is at its first tick, Active, with nothing to remember. */
export const subjectOf = (
  timetable: Timetable,
  given: {
    readonly policies?: Partial<Policies>
    readonly state?: Partial<State>
    readonly freezes?: ReadonlyArray<Freeze>
    readonly row?: Partial<Subject["row"]>
  } = {}
): Subject => ({
  row: {
    name,
    overlap: null,
    status: "Active",
    nextAt: timetable.next(0),
    wakeAt: timetable.next(0),
    waitingSince: null,
    started: 0,
    incarnation: null,
    createdAt: 0,
    pausedAt: null,
    pauseReason: null,
    resumeAt: null,
    live: [],
    behind: [],
    ended: [],
    ...given.row
  },
  timetable,
  policies: { ...defaults, ...given.policies },
  state: { ...initial, ...given.state },
  freezes: given.freezes ?? []
})

// ── decisions ───────────────────────────────────────────────────────────────────────────────────────────────────────

const wordsOf = (parts: ReadonlyArray<string | null>): string => parts.filter((part) => part !== null).join("/")

const toldBy = ({ count, event, failures, lastTick, runId, tick }: Decision["events"][number]): string => {
  switch (event) {
    case "failure":
      return `failure of ${runId}, number ${failures}`
    case "recovered":
      return `recovered in ${runId} after ${failures}`
    case "success":
      return `success of ${runId}`
    case "missed":
      return `missed ${count} from ${tick} to ${lastTick}`
  }
}

/** What it says about each tick; fails when it says two things about one. */
export const outcomeOf = ({ state }: Subject, { all }: Ticks, decision: Decision): Outcome => {
  const answers = new Map<number, string>()
  const answer = (tick: number, words: string) => {
    assert.isFalse(answers.has(tick), `tick ${tick} is ${answers.get(tick)} and ${words}`)
    answers.set(tick, words)
  }
  for (const { cause, tick } of decision.starts) answer(tick, `start/${cause}`)
  for (const { cause, tick } of decision.after.state.buffered) {
    if (!state.buffered.some((waited) => waited.tick === tick)) answer(tick, `waits/${cause}`)
  }
  for (const { count, decision: decided, first, last, reason, runId } of decision.entries) {
    const covered = all.filter((tick) => tick >= first && tick <= last)
    if (decided !== "Paused") assert.strictEqual(covered.length, count)
    for (const tick of covered) answer(tick, wordsOf([decided, reason, runId]))
  }
  const { pauseReason, ...after } = decision.after
  return {
    answers,
    cancels: decision.cancels.map(({ runId }) => runId),
    settled: decision.settled,
    events: decision.events.map(toldBy),
    after: { ...after, hasPauseReason: pauseReason !== null }
  }
}

/** A line for each thing that is said. */
const linesOf = ({ after: { state, ...after }, answers, cancels, events, settled }: Outcome): ReadonlyArray<string> => [
  ...[...answers].sort(([a], [b]) => a - b).map(([tick, words]) => `${tick}: ${words}`),
  ...[...cancels].sort().map((runId) => `cancel ${runId}`),
  ...settled.map((runId) => `settle ${runId}`),
  ...events,
  ...Object.entries({ ...after, ...state }).map(([field, value]) => `${field} = ${JSON.stringify(value)}`).sort()
]

/** Fails with the lines that only one of them has: a property that is falsified shows no more than a message. */
export const assertSame = (actual: Outcome, expected: Outcome): void => {
  const [said, due] = [linesOf(actual), linesOf(expected)]
  const differences = [
    ...due.filter((line) => !said.includes(line)).map((line) => `- ${line}`),
    ...said.filter((line) => !due.includes(line)).map((line) => `+ ${line}`)
  ]
  if (differences.length > 0) assert.fail(`not as expected (-) but (+)\n${differences.join("\n")}`)
  assert.deepStrictEqual(said, due)
}

/** What the store has once the decision is recorded. */
export const recorded = (subject: Subject, decision: Decision, now: number): Subject => {
  const { state, ...after } = decision.after
  const gone = new Set(decision.cancels.map(({ runId }) => runId))
  const live = subject.row.live.filter(({ runId }) => !gone.has(runId))
  const started = decision.starts.map(({ tick }) => ({
    runId: runIdOf({ name, incarnation: null }, tick),
    schedule: name,
    tick,
    createdAt: now
  }))
  const ended = subject.row.ended.filter(({ runId }) => !decision.settled.includes(runId))
  const { row } = subject
  return {
    ...subject,
    state,
    row: { ...row, ...after, started: row.started + started.length, live: [...live, ...started], ended }
  }
}

/** Whether there is nothing to record. */
export const isIdle = (decision: Decision): boolean =>
  decision.starts.length + decision.entries.length + decision.cancels.length + decision.settled.length === 0

// ── worlds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const below = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Null for what is beyond. */
const maybe = (number: number, most: number): number | null => number > most ? null : number

const Overlap = Schema.Struct({
  mode: Schema.Literals(["allow", "allow", "skip", "bufferOne", "bufferAll", "cancelOther"]),
  max: between(1, 6)
})

const overlapOf = ({ max, mode }: typeof Overlap.Type): OverlapRule => ({
  mode,
  max: mode === "allow" ? maybe(max, 3) : mode === "bufferAll" ? max : null,
  key: null
})

const policiesOf = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({
    mode: Schema.Literals(["none", "latest", "all"]),
    window: below(150),
    cap: between(1, 8),
    grace: below(10),
    overlap: Overlap,
    jitter: below(24),
    startDeadline: below(150),
    from: below(60),
    until: between(60, 400),
    maxRuns: between(1, 40),
    pauseAfterFailures: between(1, 9),
    hooks: below(7)
  })),
  (given): Policies => ({
    catchUp: { mode: given.mode, windowMillis: maybe(given.window, 60), cap: maybe(given.cap, 4) },
    graceMillis: given.grace,
    overlap: overlapOf(given.overlap),
    jitterMillis: maybe(given.jitter, 12) ?? 0,
    startDeadlineMillis: maybe(given.startDeadline, 60),
    from: maybe(given.from, 20),
    until: maybe(given.until, 200),
    maxRuns: maybe(given.maxRuns, 10),
    timeoutMillis: null,
    pauseAfterFailures: maybe(given.pauseAfterFailures, 3),
    onFailure: (given.hooks & 1) === 0 ? null : "tell",
    onMissed: "tell",
    onRecovered: (given.hooks & 2) === 0 ? null : "tell",
    heartbeat: (given.hooks & 4) === 0 ? null : "https://example.com"
  })
)

const Move = Schema.Struct({
  /** How long nobody looks. */
  pass: below(30),
  /** Which of the live runs end, and how. */
  ends: below(7),
  status: Schema.Literals(["Succeeded", "Failed", "Failed", "Dead", "Cancelled"]),
  act: Schema.Literals([
    "none",
    "none",
    "none",
    "pause",
    "resume",
    "skipNext",
    "skip",
    "freeze",
    "edit",
    "other",
    "behind"
  ]),
  amount: below(7),
  mode: Schema.Literals(["latest", "all", "none"]),
  overlap: Overlap
})
type Move = typeof Move.Type

/** Ticks at distances of 1 to 9 milliseconds, some of them excluded, and what happens to the schedule. */
export const world = Arbitrary.all([
  Arbitrary.array(Arbitrary.schema(between(1, 9)), { minLength: 25, maxLength: 60 }),
  Arbitrary.schema(below(9)),
  policiesOf,
  Arbitrary.array(Arbitrary.schema(Move), { minLength: 10, maxLength: 20 })
])
export type World = readonly [ReadonlyArray<number>, number, Policies, ReadonlyArray<Move>]

/** Runs that end before anybody looks. */
const end = ({ row }: Subject, { ends, status }: Move, now: number): Pick<Subject["row"], "live" | "ended"> => {
  const over = row.live.filter((_, index) => index < 3 && (ends & (1 << index)) !== 0)
  return {
    live: row.live.filter((run) => !over.includes(run)),
    ended: [
      ...row.ended,
      ...over.filter(({ schedule }) => schedule === name)
        .map(({ createdAt, runId, tick }) => ({ runId, tick, status, createdAt, finishedAt: now }))
    ]
  }
}

/** What an operator does to it, as the operations on schedules do it. */
const act = (subject: Subject, move: Move, now: number): Subject => {
  const { act: verb, amount, mode, overlap } = move
  const { policies, row, state, timetable } = subject
  const { dueAt, firstDue, next } = plan(name, timetable, policies)
  switch (verb) {
    case "none":
      return subject
    case "pause": {
      if (row.status === "Paused") return act(subject, { ...move, act: "resume" }, now)
      const resumeAt = amount === 0 ? null : now + 6 * amount
      const pauseReason = amount % 2 === 0 ? null : "asked for"
      return { ...subject, row: { ...row, status: "Paused", pausedAt: now, pauseReason, resumeAt, waitingSince: null } }
    }
    case "resume": {
      if (row.status === "Active") return subject
      const active = { status: "Active", pausedAt: null, pauseReason: null, resumeAt: null } as const
      const caughtUp = mode !== "none" && row.nextAt !== null && dueAt(row.nextAt) <= now
      const open = firstDue(now + 1)
      const nextAt = caughtUp || row.nextAt === null ? row.nextAt : open === null ? null : Math.max(row.nextAt, open)
      const ahead = state.ahead.filter((tick) => nextAt !== null && nextAt <= tick)
      return {
        ...subject,
        row: { ...row, ...active, nextAt },
        state: { ...state, stretch: null, ahead, resumed: caughtUp ? { at: now, mode } : null }
      }
    }
    case "skipNext":
      return { ...subject, state: { ...state, skipNext: amount } }
    case "skip": {
      let tick = row.nextAt
      for (let index = 0; index < amount && tick !== null; index++) tick = next(tick)
      if (tick === null || state.skips.includes(tick)) return subject
      return { ...subject, state: { ...state, skips: [...state.skips, tick].sort((a, b) => a - b) } }
    }
    case "freeze":
      return {
        ...subject,
        freezes: [...subject.freezes, { from: now - amount, to: amount === 0 ? null : now + 3 * amount }]
      }
    case "edit":
      return { ...subject, policies: { ...policies, overlap: overlapOf(overlap) } }
    case "behind":
      return { ...subject, row: { ...row, behind: amount % 2 === 0 ? [] : ["other"] } }
    case "other": {
      const run = { runId: `sched-other-${now}`, schedule: "other", tick: now + amount, createdAt: now - 1 }
      return { ...subject, row: { ...row, live: [...row.live.filter(({ runId }) => runId !== run.runId), run] } }
    }
  }
}

/** Lives through a world; each time somebody looks the visitor is shown what is looked at. */
export const live = (
  [gaps, excludedEach, policies, moves]: World,
  visit: (subject: Subject, ticks: Ticks, now: number, decision: Decision) => void
): void => {
  const all = gaps.reduce<Array<number>>((ticks, gap) => [...ticks, (ticks.at(-1) ?? 0) + gap], [])
  const excluded = (tick: number) =>
    excludedEach > 1 && all.indexOf(tick) % excludedEach === 1 ? `calendar ${tick % 2}` : null
  const timetable = timetableOf(all, excluded)
  const { dueAt, next } = plan(name, timetable, policies)
  const nextAt = next(0)
  const wakeAt = nextAt === null ? null : dueAt(nextAt)
  let subject = subjectOf(timetable, { policies, row: { nextAt, wakeAt } })
  let now = 0
  for (const move of moves) {
    now += move.pass
    subject = { ...subject, row: { ...subject.row, ...end(subject, move, now) } }
    subject = act(subject, move, now)
    const decision = decide(subject, now)
    visit(subject, { all: all.filter((tick) => inBounds(tick, policies)), dueAt }, now, decision)
    subject = recorded(subject, decision, now)
  }
}

const inBounds = (tick: number, { from, until }: Policies): boolean =>
  (from === null || tick >= from) && (until === null || tick < until)
