/**
 * What becomes of ticks, as the documentation says it: one pass over all ticks there are, with no limits, everything computed
 * anew. It shares no code with what it is compared with, but for types, the names of runs and the jitter, which has laws of its
 * own.
 */
import type { Subject } from "../../../src/internal/schedule/decide.ts"
import type { State } from "../../../src/internal/schedule/state.ts"

/** The undecided and decided ticks of a schedule, all there are, and when each is due. */
export interface Ticks {
  readonly all: ReadonlyArray<number>
  readonly dueAt: (tick: number) => number
}

/** A decision in a form in which two of them can be compared: answers in words, by tick. */
export interface Outcome {
  readonly answers: ReadonlyMap<number, string>
  readonly cancels: ReadonlyArray<string>
  readonly settled: ReadonlyArray<string>
  readonly events: ReadonlyArray<string>
  readonly after: {
    readonly status: string
    readonly nextAt: number | null
    readonly wakeAt: number | null
    readonly waiting: boolean
    readonly pausedAt: number | null
    readonly hasPauseReason: boolean
    readonly resumeAt: number | null
    readonly state: State
  }
}

const instant = (millis: number): string => new Date(millis).toISOString()

export const model = (subject: Subject, { all, dueAt }: Ticks, now: number): Outcome => {
  const { freezes, policies, row, state, timetable } = subject
  const runOf = (tick: number): string => `sched-${row.name}-${instant(tick)}`
  const answers = new Map<number, string>()
  const events: Array<string> = []

  // Runs that ended.
  let failures = state.failures
  let pausesItself = false
  for (const run of row.ended) {
    if (run.status === "Failed" || run.status === "Dead") {
      failures = failures + 1
      if (policies.onFailure !== null) events.push(`failure of ${run.runId}, number ${failures}`)
      if (policies.pauseAfterFailures !== null && failures >= policies.pauseAfterFailures) pausesItself = true
    }
    if (run.status === "Succeeded") {
      if (failures > 0 && policies.onRecovered !== null) events.push(`recovered in ${run.runId} after ${failures}`)
      if (policies.heartbeat !== null) events.push(`success of ${run.runId}`)
      failures = 0
      pausesItself = false
    }
  }
  const settled = row.ended.map(({ runId }) => runId)

  // A pause that lasts, or begins.
  const lasts = row.status === "Paused" && !(row.resumeAt !== null && row.resumeAt <= now)
  if (lasts || pausesItself) {
    const resumeAt = lasts ? row.resumeAt : null
    return {
      answers,
      cancels: [],
      settled,
      events,
      after: {
        status: "Paused",
        nextAt: row.nextAt,
        wakeAt: resumeAt,
        waiting: false,
        pausedAt: lasts ? row.pausedAt : now,
        hasPauseReason: lasts ? row.pauseReason !== null : true,
        resumeAt,
        state: { ...state, failures }
      }
    }
  }

  // A pause that is over.
  const isOver = row.status === "Paused"
  const undecided = all.filter((tick) =>
    row.nextAt !== null && tick >= row.nextAt &&
    (policies.from === null || tick >= policies.from) &&
    (policies.until === null || tick < policies.until)
  )
  const passedOver = undecided.filter((tick) => isOver && tick < row.resumeAt!)
  for (const tick of passedOver) answers.set(tick, tick < row.pausedAt! ? "Missed/Paused" : "Paused")
  const ordinary = undecided.filter((tick) => !passedOver.includes(tick))
  const due = ordinary.filter((tick) => dueAt(tick) <= now)

  // Lateness, of all late ticks together.
  const isFrozen = (tick: number): boolean =>
    freezes.some((freeze) => tick >= freeze.from && (freeze.to === null || tick < freeze.to))
  const isOld = (tick: number): boolean =>
    policies.catchUp.windowMillis !== null && tick < now - policies.catchUp.windowMillis
  const whileAway = due.filter((tick) => state.resumed !== null && dueAt(tick) <= state.resumed.at)
  const late = due.filter((tick) => !whileAway.includes(tick) && dueAt(tick) < now - policies.graceMillis)
  const chosenOf = (stretch: ReadonlyArray<number>, mode: string): ReadonlyArray<number> => {
    const able = stretch.filter((tick) =>
      timetable.excluded(tick) === null && !state.skips.includes(tick) && !isFrozen(tick) && !isOld(tick)
    )
    if (mode === "none") return []
    if (mode === "latest") return able.slice(-1)
    return policies.catchUp.cap === null ? able : able.slice(-policies.catchUp.cap)
  }

  // Ticks in their order, after what waits.
  const live = [...row.live]
    .sort((a, b) => a.createdAt - b.createdAt || a.tick - b.tick || (a.runId < b.runId ? -1 : 1))
    .map(({ runId }) => runId)
  const { max, mode: overlap } = policies.overlap
  let started: ReadonlyArray<number> = []
  let waiting: ReadonlyArray<{ readonly tick: number; readonly cause: "schedule" | "catch-up" }> = []
  let everStarted = state.started
  let skipNext = state.skipNext
  let skips = state.skips
  const cancels = new Set<string>()

  const start = (tick: number, cause: "schedule" | "catch-up", waited: boolean): string => {
    const makes = (): string => {
      started = [...started, tick]
      everStarted = everStarted + 1
      return `start/${cause}`
    }
    const waits = (): string => {
      waiting = [...waiting, { tick, cause }]
      return waited ? "waits on" : `waits/${cause}`
    }
    const refuses = (reason: string): string => `Overlapped/${reason}/${live[0] ?? runOf(started[0]!)}`
    if (policies.startDeadlineMillis !== null && now > tick + policies.startDeadlineMillis) return "Missed/Late"
    const running = live.length + started.length
    switch (overlap) {
      case "allow":
        if (max === null || running < max) return makes()
        return waited ? waits() : refuses("Live")
      case "skip":
        if (running === 0 && waiting.length === 0) return makes()
        return waited ? waits() : refuses("Live")
      case "bufferOne":
      case "bufferAll":
        if (running === 0 && waiting.length === 0) return makes()
        if (waited || waiting.length < (overlap === "bufferOne" ? 1 : max!)) return waits()
        return refuses("BufferFull")
      case "cancelOther":
        for (const replaced of started) {
          answers.set(replaced, `Overlapped/Replaced/${runOf(tick)}`)
          everStarted = everStarted - 1
        }
        started = []
        for (const runId of live) cancels.add(runId)
        return makes()
    }
  }

  const judge = (tick: number): string => {
    const excluded = timetable.excluded(tick)
    if (excluded !== null) return `Excluded/${excluded}`
    if (skips.includes(tick)) {
      skips = skips.filter((skip) => skip !== tick)
      return "Skipped"
    }
    if (skipNext > 0) {
      skipNext = skipNext - 1
      return "Skipped"
    }
    if (isFrozen(tick)) return "Frozen"
    const stretch = whileAway.includes(tick) ? whileAway : late.includes(tick) ? late : null
    if (stretch === null) return start(tick, "schedule", false)
    const mode = stretch === whileAway ? state.resumed!.mode : policies.catchUp.mode
    const chosen = chosenOf(stretch, mode)
    if (mode === "none") return "Missed/Down"
    if (isOld(tick)) return "Missed/Window"
    if (chosen.includes(tick)) return start(tick, "catch-up", false)
    return mode === "latest" ? `Coalesced/${instant(chosen[0]!)}/${runOf(chosen[0]!)}` : "Missed/Cap"
  }

  const isOut = (): boolean => policies.maxRuns !== null && everStarted + waiting.length >= policies.maxRuns
  for (const { cause, tick } of state.buffered) answers.set(tick, start(tick, cause, true))
  for (const tick of due) {
    if (!isOut()) answers.set(tick, judge(tick))
  }

  const nextAt = isOut() ? null : ordinary.find((tick) => !answers.has(tick)) ?? null
  const dropped = [...answers.keys()].sort((a, b) => a - b).filter((tick) =>
    ["Missed/Down", "Missed/Late", "Missed/Window", "Missed/Cap"].includes(answers.get(tick)!)
  )
  if (dropped.length > 0) events.push(`missed ${dropped.length} from ${dropped[0]} to ${dropped.at(-1)}`)
  for (const [tick, answer] of answers) if (answer === "waits on") answers.delete(tick)
  return {
    answers,
    cancels: [...cancels],
    settled,
    events,
    after: {
      status: "Active",
      nextAt,
      wakeAt: nextAt === null ? null : dueAt(nextAt),
      waiting: waiting.length > 0,
      pausedAt: null,
      hasPauseReason: false,
      resumeAt: null,
      state: {
        started: policies.maxRuns === null ? state.started : everStarted,
        skipNext,
        skips,
        buffered: waiting,
        failures,
        stretch: null,
        resumed: state.resumed !== null && nextAt !== null && nextAt <= state.resumed.at ? state.resumed : null
      }
    }
  }
}
