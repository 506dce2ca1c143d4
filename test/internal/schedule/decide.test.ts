import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  decide,
  type Decision,
  type Limits,
  limits as defaultLimits,
  type Subject
} from "../../../src/internal/schedule/decide.ts"
import type { Policies } from "../../../src/internal/schedule/policies.ts"
import { initial } from "../../../src/internal/schedule/state.ts"
import { model, type Outcome, type Ticks } from "./model.ts"
import { assertSame, everyMillis, isIdle, live, outcomeOf, recorded, subjectOf, world } from "./worlds.ts"

/** Holds at each look of generated histories. */
const law = (
  name: string,
  body: (subject: Subject, ticks: Ticks, now: number, decision: Decision) => void,
  runs = 600
) =>
  it.effect.prop(name, [world], ([world]) => Effect.sync(() => live(world, body)), {
    timeout: 60_000,
    arbitrary: { runs }
  })

/** What is left when it is recorded, and when it is known whether its runs were the last that there may be. */
const recordedOnce = (subject: Subject, decision: Decision, now: number) => {
  const left = recorded(subject, decision, now)
  if (subject.policies.maxRuns === null || decision.after.wakeAt !== now) {
    return { subject: left, after: decision.after }
  }
  const last = decide(left, now)
  assert.isTrue(isIdle(last))
  return { subject: recorded(left, last, now), after: last.after }
}

describe("a decision", () => {
  law("gives every tick the answer that the documentation gives it", (subject, ticks, now, decision) => {
    assertSame(outcomeOf(subject, ticks, decision), model(subject, ticks, now))
  }, 3_000)

  law("answers every tick from the old cursor up to the new one, and no other but those that waited", (
    subject,
    ticks,
    _now,
    decision
  ) => {
    const { after, answers } = outcomeOf(subject, ticks, decision)
    const { nextAt: cursor } = subject.row
    const waited = subject.state.buffered.map(({ tick }) => tick)
    const expected = ticks.all.filter((tick) =>
      cursor !== null && tick >= cursor && (after.nextAt === null ? answers.has(tick) : tick < after.nextAt)
    )
    assert.sameMembers([...answers.keys()].filter((tick) => !waited.includes(tick)), expected)
    // Without a cursor nothing is left open, unless there are no more ticks because enough runs were started.
    if (after.nextAt !== null || cursor === null || subject.policies.maxRuns !== null) return
    assert.deepStrictEqual(expected, ticks.all.filter((tick) => tick >= cursor))
  })

  law("starts ticks in their order, each once and none that is ahead", (_subject, ticks, now, { starts }) => {
    for (const [index, { tick }] of starts.entries()) {
      assert.isAtMost(ticks.dueAt(tick), now)
      if (index > 0) assert.isAbove(tick, starts[index - 1]!.tick)
    }
  })

  law("is the same for the same input, which it leaves as it is", (subject, _ticks, now, decision) => {
    const before = JSON.stringify(subject)
    assert.deepStrictEqual(decide(subject, now), decision)
    assert.strictEqual(JSON.stringify(subject), before)
  })

  law("leaves nothing to do at the same time", (subject, _ticks, now, decision) => {
    const settled = recordedOnce(subject, decision, now)
    const again = decide(settled.subject, now)
    assert.isTrue(isIdle(again))
    assert.deepStrictEqual(again.events, [])
    assert.deepStrictEqual(again.after, settled.after)
  })

  law("leaves nothing to do until its wake time, unless a run ends that a start waits for", (
    subject,
    _ticks,
    now,
    decision
  ) => {
    const { after: { waitingSince, wakeAt }, subject: left } = recordedOnce(subject, decision, now)
    if (wakeAt !== null) assert.isAbove(wakeAt, now)
    if (waitingSince !== null) return
    for (const later of wakeAt === null ? [now + 1, now + 1_000_000] : [now + (wakeAt - now >> 1), wakeAt - 1]) {
      assert.isTrue(isIdle(decide(left, later)))
    }
  })

  law("lets ticks in a row with the same answer be one entry", (subject, ticks, _now, { entries }) => {
    // Starts that waited are answered one by one.
    const waited = subject.state.buffered.map(({ tick }) => tick)
    for (const entry of entries) {
      const next = ticks.all.find((tick) => tick > entry.last)
      const { decision, reason, runId } = entry
      assert.isUndefined(
        entries.find((other) =>
          other.first === next && other.decision === decision && other.reason === reason && other.runId === runId &&
          !waited.includes(entry.last) && !waited.includes(other.first)
        )
      )
    }
  })

  law("is the same whatever is live when it says that it does not rely on that", (
    subject,
    _ticks,
    now,
    decision
  ) => {
    if (decision.reliesOnLive) return
    const run = { runId: "sched-other-0", schedule: "other", tick: 0, createdAt: 0 }
    for (const live of [[], [run], [...subject.row.live, run]]) {
      assert.deepStrictEqual(decide({ ...subject, row: { ...subject.row, live } }, now), decision)
    }
  })
})

// ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Decides until nothing is left, recording each decision before the next one. */
const inParts = (subject: Subject, nows: (part: number) => number, limits: Limits): ReadonlyArray<Decision> => {
  const parts: Array<Decision> = []
  for (let left = subject;;) {
    const now = nows(parts.length)
    const decision = decide(left, now, limits)
    // A tick that goes to wait, or that ends the schedule, is seen in what is left alone.
    const before = JSON.stringify(parts.at(-1)?.after)
    parts.push(decision)
    assert.isAtMost(decision.starts.length, limits.starts)
    // What waited is looked at as a whole, and a pause makes two entries at most.
    assert.isAtMost(decision.entries.length, Math.max(limits.entries, left.state.buffered.length + 2))
    const { after } = decision
    if (isIdle(decision) && JSON.stringify(after) === before) return parts
    assert.isBelow(parts.length, 200)
    left = recorded(left, decision, now)
    const goesOn = after.state.stretch !== null || !isIdle(decide(left, now))
    if (goesOn) assert.isTrue(after.waitingSince !== null || (after.wakeAt !== null && after.wakeAt <= now))
  }
}

/** All of them as if they were one; a run that a later one of them cancelled was replaced. */
const together = (subject: Subject, ticks: Ticks, parts: ReadonlyArray<Decision>): Outcome => {
  const answers = new Map<number, string>()
  const cancels: Array<string> = []
  const events: Array<string> = []
  const missed: Array<Decision["events"][number]> = []
  let left = subject
  for (const part of parts) {
    const outcome = outcomeOf(left, ticks, part)
    for (const { runId, reason } of part.cancels) {
      const tick = [...answers.keys()].find((tick) => runId === `sched-report-${new Date(tick).toISOString()}`)
      if (tick === undefined || !answers.get(tick)!.startsWith("start")) cancels.push(runId)
      else answers.set(tick, `Overlapped/Replaced/${reason.slice("Replaced by run ".length)}`)
    }
    for (const [tick, answer] of outcome.answers) answers.set(tick, answer)
    events.push(...outcome.events.filter((event) => !event.startsWith("missed")))
    missed.push(...part.events.filter(({ event }) => event === "missed"))
    left = { ...left, state: part.after.state }
  }
  if (missed.length > 0) {
    const count = missed.reduce((sum, { count }) => sum + count, 0)
    const first = Math.min(...missed.map(({ tick }) => tick))
    events.push(`missed ${count} from ${first} to ${Math.max(...missed.map(({ lastTick }) => lastTick))}`)
  }
  const { pauseReason, ...after } = parts.at(-1)!.after
  return {
    answers,
    cancels,
    settled: parts.flatMap(({ settled }) => settled),
    events,
    after: { ...after, hasPauseReason: pauseReason !== null }
  }
}

/** Which of the later runs is named depends on how far one decision looks. */
const anyReplacement = (outcome: Outcome, { mode }: Policies["overlap"]): Outcome => ({
  ...outcome,
  after: mode === "cancelOther"
    ? { ...outcome.after, state: { ...outcome.after.state, dropped: initial.dropped } }
    : outcome.after,
  answers: new Map(
    [...outcome.answers].map(([tick, words]) => {
      if (words.startsWith("Overlapped/Replaced")) return [tick, "Replaced"]
      return [tick, mode === "cancelOther" && words.startsWith("Coalesced") ? "Coalesced" : words]
    })
  )
})

const smallLimits: ReadonlyArray<Limits> = [
  { starts: 1, entries: 1, ticks: 1 },
  { starts: 2, entries: 2, ticks: 3 },
  { starts: 3, entries: 100, ticks: 100 },
  { starts: 100, entries: 2, ticks: 100 },
  { starts: 100, entries: 100, ticks: 5 }
]

describe("decisions in parts", () => {
  for (const limits of smallLimits) {
    law(`of at most ${JSON.stringify(limits)} are together the one without limits`, (subject, ticks, now, decision) => {
      // Runs that are started and replaced count as started, so that in parts fewer ticks may start than at once.
      if (subject.policies.overlap.mode === "cancelOther" && subject.policies.maxRuns !== null) return
      const parts = inParts(subject, () => now, limits)
      const whole = inParts(subject, () => now, defaultLimits)
      assert.deepStrictEqual(whole[0], decision)
      const { overlap } = subject.policies
      assertSame(
        anyReplacement(together(subject, ticks, parts), overlap),
        anyReplacement(together(subject, ticks, whole), overlap)
      )
    }, 300)
  }

  law(
    "say about a stretch of late ticks what was true when it was first looked at",
    (subject, ticks, now, decision) => {
      if (subject.row.status === "Paused" || decision.after.status === "Paused") return
      const policies: Policies = {
        ...subject.policies,
        overlap: { mode: "allow", max: null, key: null },
        startDeadlineMillis: null,
        maxRuns: null
      }
      // Starts that wait are decided first, and could fill the first part.
      const unlimited = { ...subject, policies, state: { ...subject.state, buffered: [] } }
      const first = outcomeOf(unlimited, ticks, decide(unlimited, now))
      const parts = inParts(unlimited, (part) => now + 2 * part, { starts: 2, entries: 2, ticks: 3 })
      const drifted = together(unlimited, ticks, parts)
      // The ticks of the stretch that begins with the first late one.
      const cursor = subject.row.nextAt
      const { resumed } = subject.state
      const asked = resumed !== null && cursor !== null && ticks.dueAt(cursor) <= resumed.at
      const edge = asked ? resumed.at + 1 : now - policies.graceMillis
      for (const [tick, answer] of first.answers) {
        if (tick >= (cursor ?? Infinity) && ticks.dueAt(tick) < edge) {
          assert.strictEqual(
            drifted.answers.get(tick),
            answer
          )
        }
      }
    }
  )

  it.effect("three days of missed seconds are decided in bounded parts, and only the last of them is started", () =>
    Effect.sync(() => {
      const second = 1_000
      const late = 3 * 86_400_000
      const subject = subjectOf(everyMillis(second), { policies: { graceMillis: 0 } })
      const parts = inParts(subject, (part) => late + 7 * part, defaultLimits)
      const starts = parts.flatMap(({ starts }) => starts)
      assert.deepStrictEqual(starts[0], { tick: late - second, cause: "catch-up" })
      const coalesced = parts.flatMap(({ entries }) => entries).filter(({ decision }) => decision === "Coalesced")
      assert.strictEqual(coalesced.reduce((sum, { count }) => sum + count!, 0), late / second - 2)
      assert.strictEqual(coalesced.length, Math.ceil(late / second / defaultLimits.ticks))
    }))
})
