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
    readonly waitingSince: number | null
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
  for (const run of row.ended.filter(({ createdAt }) => createdAt >= row.createdAt)) {
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

  const droppedBy = (answers: ReadonlyMap<number, string>): State["dropped"] => {
    const count = (kind: string) => [...answers.values()].filter((answer) => answer.split("/")[0] === kind).length
    return {
      missed: state.dropped.missed + count("Missed"),
      overlapped: state.dropped.overlapped + count("Overlapped"),
      coalesced: state.dropped.coalesced + count("Coalesced"),
      skipped: state.dropped.skipped + count("Skipped"),
      excluded: state.dropped.excluded + count("Excluded"),
      frozen: state.dropped.frozen + count("Frozen")
    }
  }

  // A pause that is over.
  const isOver = row.status === "Paused" && row.resumeAt !== null && row.resumeAt <= now
  const undecided = all.filter((tick) =>
    row.nextAt !== null && tick >= row.nextAt &&
    (policies.from === null || tick >= policies.from) &&
    (policies.until === null || tick < policies.until)
  )
  const passedOver = undecided.filter((tick) => isOver && dueAt(tick) < row.resumeAt!)
  for (const tick of passedOver) {
    if (!state.ahead.includes(tick)) answers.set(tick, dueAt(tick) < row.pausedAt! ? "Missed/Paused" : "Paused")
  }
  const ordinary = undecided.filter((tick) => !passedOver.includes(tick))

  // A pause that lasts, or begins. What failed as often as it may does not go on by itself.
  const lasts = row.status === "Paused" && !isOver
  const ahead = state.ahead.filter((tick) => ordinary.includes(tick))
  if (lasts || pausesItself) {
    const resumeAt = lasts && !pausesItself ? row.resumeAt : null
    return {
      answers,
      cancels: [],
      settled,
      events,
      after: {
        status: "Paused",
        nextAt: ordinary[0] ?? null,
        wakeAt: resumeAt,
        waitingSince: null,
        pausedAt: lasts ? row.pausedAt : now,
        hasPauseReason: lasts && !(pausesItself && row.resumeAt !== null) ? row.pauseReason !== null : true,
        resumeAt,
        state: { ...state, failures, ahead, dropped: droppedBy(answers) }
      }
    }
  }

  const due = ordinary.filter((tick) => dueAt(tick) <= now)

  // Lateness, of all late ticks together.
  const isFrozen = (tick: number): boolean =>
    freezes.some((freeze) => tick >= freeze.from && (freeze.to === null || tick < freeze.to))
  const isOld = (tick: number): boolean =>
    policies.catchUp.windowMillis !== null && tick < now - policies.catchUp.windowMillis
  const whileAway = due.filter((tick) => state.resumed !== null && dueAt(tick) <= state.resumed.at)
  const late = due.filter((tick) => !whileAway.includes(tick) && dueAt(tick) < now - policies.graceMillis)
  const isTooLate = (tick: number): boolean =>
    policies.startDeadlineMillis !== null && now > tick + policies.startDeadlineMillis
  const skippable = ordinary.filter((tick) => timetable.excluded(tick) === null && !state.skips.includes(tick))
  const isSkipped = (tick: number): boolean =>
    state.skips.includes(tick) || skippable.slice(0, state.skipNext).includes(tick)
  const chosenOf = (stretch: ReadonlyArray<number>, mode: string): ReadonlyArray<number> => {
    const able = stretch.filter((tick) =>
      timetable.excluded(tick) === null && !state.skips.includes(tick) && !isFrozen(tick) && !isOld(tick)
    )
    if (mode === "none") return []
    if (mode === "latest") return able.filter((tick) => !isSkipped(tick) && !isTooLate(tick)).slice(-1)
    return policies.catchUp.cap === null ? able : able.slice(-policies.catchUp.cap)
  }

  // Ticks in their order, after what waits.
  const live = [...row.live]
    .sort((a, b) => a.createdAt - b.createdAt || a.tick - b.tick || (a.runId < b.runId ? -1 : 1))
    .map(({ runId }) => runId)
  const { max, mode: overlap } = policies.overlap
  const left = policies.maxRuns === null ? Infinity : policies.maxRuns - (row.started - state.countedFrom)
  let started: ReadonlyArray<number> = []
  let waiting: ReadonlyArray<{ readonly tick: number; readonly cause: "schedule" | "catch-up" }> = []
  let replaced: ReadonlyArray<number> = []
  const cancels = new Set<string>()

  const start = (tick: number, cause: "schedule" | "catch-up", waited: boolean): string => {
    const makes = (): string => {
      started = [...started, tick]
      return `start/${cause}`
    }
    const waits = (): string => {
      waiting = [...waiting, { tick, cause }]
      return waited ? "waits on" : `waits/${cause}`
    }
    const first = row.behind.length === 0
      ? live[0] ?? (started[0] === undefined ? undefined : runOf(started[0]))
      : undefined
    const refuses = (reason: string): string =>
      ["Overlapped", reason, first].filter((part) => part !== undefined).join("/")
    const blocked = row.behind.length === 0 ? "Live" : "Waiting"
    if (isTooLate(tick)) return "Missed/Late"
    if (waited && left <= 0) return "Missed/Ended"
    const running = row.behind.length === 0 ? live.length + started.length : Infinity
    const isSpent = started.length >= left
    switch (overlap) {
      case "allow":
        if (max === null ? !isSpent || !waited : running < max && !isSpent && waiting.length === 0) return makes()
        return waited ? waits() : refuses(blocked)
      case "skip":
        if (running === 0 && waiting.length === 0 && !isSpent) return makes()
        return waited ? waits() : refuses(blocked)
      case "bufferOne":
      case "bufferAll": {
        if (running === 0 && waiting.length === 0 && !isSpent) return makes()
        const room = Math.min(overlap === "bufferOne" ? 1 : max!, left - started.length)
        if (waited || waiting.length < room) return waits()
        return refuses("BufferFull")
      }
      case "cancelOther":
        for (const runId of live) cancels.add(runId)
        if (row.behind.length > 0) return refuses("Waiting")
        replaced = [...replaced, ...started]
        started = []
        return makes()
    }
  }

  // Of late ticks of which only the last starts, it is decided first, and what is said of the others follows from it.
  const fates = new Map<ReadonlyArray<number>, string>()
  let early: ReadonlyArray<number> = ahead
  const fateOf = (stretch: ReadonlyArray<number>, target: number): string => {
    const known = fates.get(stretch)
    if (known !== undefined) return known
    const fate = ahead.includes(target)
      ? state.buffered.some(({ tick }) => tick === target) ? "waits/catch-up" : "start/catch-up"
      : start(target, "catch-up", false)
    fates.set(stretch, fate)
    if (!fate.startsWith("Overlapped") && !ahead.includes(target)) {
      early = [...early, target].sort((a, b) => a - b)
      answers.set(target, fate)
    }
    return fate
  }

  let skipNext = state.skipNext
  let skips = state.skips
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
    if (mode === "none") return "Missed/Down"
    if (isOld(tick)) return "Missed/Window"
    const chosen = chosenOf(stretch, mode)
    if (mode === "all") return chosen.includes(tick) ? start(tick, "catch-up", false) : "Missed/Cap"
    const target = chosen[0]
    if (target === undefined) return isTooLate(tick) ? "Missed/Late" : "Missed/Down"
    const fate = fateOf(stretch, target)
    if (fate.startsWith("start")) return `Coalesced/${instant(target)}/${runOf(target)}`
    if (fate.startsWith("Overlapped")) return fate
    return row.behind.length === 0 ? `Overlapped/Live/${live[0] ?? runOf(started[0]!)}` : "Overlapped/Waiting"
  }

  const isOut = (): boolean => started.length >= left
  for (const { cause, tick } of state.buffered) answers.set(tick, start(tick, cause, true))
  const decided = new Set<number>()
  for (const tick of due) {
    const stretch = whileAway.includes(tick) ? whileAway : late.includes(tick) ? late : null
    if (isOut() && early.length === 0) break
    if (stretch !== null && tick === stretch.find((other) => other >= due[0]! && !decided.has(other))) {
      const mode = stretch === whileAway ? state.resumed!.mode : policies.catchUp.mode
      const target = mode === "latest" ? chosenOf(stretch, mode)[0] : undefined
      if (target !== undefined) fateOf(stretch, target)
    }
    decided.add(tick)
    if (early.includes(tick)) early = early.filter((other) => other !== tick)
    else answers.set(tick, judge(tick))
  }
  const last = started.at(-1)
  for (const tick of replaced) answers.set(tick, `Overlapped/Replaced/${runOf(last!)}`)
  // What took the place of a run that others were to be coalesced into stands for them.
  if (replaced.length > 0) {
    for (const [tick, answer] of answers) {
      if (answer.startsWith("Coalesced")) answers.set(tick, `Coalesced/${instant(last!)}/${runOf(last!)}`)
    }
  }

  const soonest = (): number | null => {
    const tooLate = waiting.length === 0 || policies.startDeadlineMillis === null
      ? Infinity
      : waiting[0]!.tick + policies.startDeadlineMillis + 1
    const at = Math.min(tooLate, nextAt === null ? Infinity : dueAt(nextAt))
    return at === Infinity ? null : at
  }
  const hasEnded = left <= 0 && early.length === 0
  const nextAt = hasEnded ? null : ordinary.find((tick) => !decided.has(tick)) ?? null
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
      wakeAt: nextAt !== null && isOut() ? now : soonest(),
      waitingSince: waiting.length === 0
        ? null
        : started.length === 0 && state.buffered.some(({ tick }) => tick === waiting[0]!.tick)
        ? row.waitingSince ?? now
        : now,
      pausedAt: null,
      hasPauseReason: false,
      resumeAt: null,
      state: {
        countedFrom: state.countedFrom,
        skipNext,
        skips,
        buffered: waiting,
        putOff: state.putOff,
        dropped: droppedBy(answers),
        failures,
        stretch: null,
        ahead: early,
        resumed: state.resumed !== null && nextAt !== null && nextAt <= state.resumed.at ? state.resumed : null
      }
    }
  }
}
