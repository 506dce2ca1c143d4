/**
 * The policies by example: what is said about the six ticks 10, 20 … 60 by somebody who looks at 62. A tick is late before 57.
 * Each example is also asked of the model.
 *
 * `S` started on time · `U` started to catch up · `c` coalesced · missed: `d` down, `w` window, `p` cap, `t` start deadline,
 * `m` undecided when the pause began · `P` paused · `F` frozen · `X` excluded · `k` skipped · `b` waits · overlapped: `l` live,
 * `f` buffer full, `r` replaced · `-` no answer
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { decide, type Subject } from "../../../src/internal/schedule/decide.ts"
import type { OverlapRule } from "../../../src/internal/schedule/policies.ts"
import { model } from "./model.ts"
import { assertSame, everyMillis, outcomeOf, subjectOf, ticksOf } from "./worlds.ts"

const now = 62
const six = [10, 20, 30, 40, 50, 60]
const all = Array.from({ length: 40 }, (_, index) => 10 * (index + 1))
const timetable = everyMillis(10)

type Given = NonNullable<Parameters<typeof subjectOf>[1]>

const letters: Readonly<Record<string, string>> = {
  "start/schedule": "S",
  "start/catch-up": "U",
  "waits/schedule": "b",
  "waits/catch-up": "b",
  "Missed/Down": "d",
  "Missed/Window": "w",
  "Missed/Cap": "p",
  "Missed/Late": "t",
  "Missed/Paused": "m",
  Paused: "P",
  Frozen: "F",
  Skipped: "k"
}

const letterOf = (answer: string | undefined): string => {
  if (answer === undefined) return "-"
  const [decision, reason] = answer.split("/")
  if (decision === "Coalesced") return "c"
  if (decision === "Excluded") return "X"
  if (decision === "Overlapped") return { Live: "l", BufferFull: "f", Replaced: "r" }[reason!]!
  return letters[answer]!
}

/** What is said about the six. */
const answersOf = (subject: Subject, at = now): string => {
  const ticks = ticksOf(subject, all)
  const outcome = outcomeOf(subject, ticks, decide(subject, at))
  assertSame(outcome, model(subject, ticks, at))
  return six.map((tick) => letterOf(outcome.answers.get(tick))).join("")
}

// ── why ticks are late, and what is caught up ───────────────────────────────────────────────────────────────────────

/** Counted back from 62: all are in; 30 is just in; 30 is just out; all are out. */
const windows = [null, 60, 32, 31, 1]
const caps = [null, 1, 2, 9]

/** For each cap, or one for all. */
type ByCap = string | readonly [string, string, string, string]
/** For each window, or one for all windows and caps. */
type ByWindow = string | readonly [ByCap, ByCap, ByCap, ByCap, ByCap]

interface Case {
  readonly given: Given
  readonly none: ByWindow
  readonly latest: ByWindow
  readonly all: ByWindow
}

const down: Omit<Case, "given"> = {
  none: "dddddS",
  latest: ["ccccUS", "ccccUS", "wwccUS", "wwwcUS", "wwwwwS"],
  all: [
    ["UUUUUS", "ppppUS", "pppUUS", "UUUUUS"],
    ["UUUUUS", "ppppUS", "pppUUS", "UUUUUS"],
    ["wwUUUS", "wwppUS", "wwpUUS", "wwUUUS"],
    ["wwwUUS", "wwwpUS", "wwwUUS", "wwwUUS"],
    "wwwwwS"
  ]
}

const askedForLatest: ByWindow = ["cccccU", "cccccU", "wwcccU", "wwwccU", "wwwwww"]
const askedForAll: ByWindow = [
  ["UUUUUU", "pppppU", "ppppUU", "UUUUUU"],
  ["UUUUUU", "pppppU", "ppppUU", "UUUUUU"],
  ["wwUUUU", "wwpppU", "wwppUU", "wwUUUU"],
  ["wwwUUU", "wwwppU", "wwwpUU", "wwwUUU"],
  "wwwwww"
]
const thenDown: ByWindow = ["cccUUS", "cccUUS", "wwcUUS", "wwwUUS", "wwwwwS"]

const cases: Readonly<Record<string, Case>> = {
  "late because nobody looked, in a crash or an outage,": { given: {}, ...down },
  "late because of a freeze that was lifted with catch-up": {
    // Which is a freeze that never was.
    given: { freezes: [] },
    ...down
  },
  "in a freeze that is over": {
    given: { freezes: [{ from: 5, to: 55 }] },
    none: "FFFFFS",
    latest: "FFFFFS",
    all: "FFFFFS"
  },
  "late in part because of a crash that went before a freeze": {
    given: { freezes: [{ from: 35, to: 55 }] },
    none: "dddFFS",
    latest: ["ccUFFS", "ccUFFS", "wwUFFS", "wwwFFS", "wwwFFS"],
    all: [
      ["UUUFFS", "ppUFFS", "pUUFFS", "UUUFFS"],
      ["UUUFFS", "ppUFFS", "pUUFFS", "UUUFFS"],
      "wwUFFS",
      "wwwFFS",
      "wwwFFS"
    ]
  },
  "in a freeze that goes on": {
    given: { freezes: [{ from: 30, to: null }] },
    none: "ddFFFF",
    latest: ["cUFFFF", "cUFFFF", "wwFFFF", "wwFFFF", "wwFFFF"],
    all: [
      ["UUFFFF", "pUFFFF", "UUFFFF", "UUFFFF"],
      ["UUFFFF", "pUFFFF", "UUFFFF", "UUFFFF"],
      "wwFFFF",
      "wwFFFF",
      "wwFFFF"
    ]
  },
  "of a pause that was ended without catch-up": {
    given: { row: { nextAt: 70 } },
    none: "------",
    latest: "------",
    all: "------"
  },
  "of a pause whose time is over": {
    given: { row: { status: "Paused", pausedAt: 5, resumeAt: now } },
    none: "PPPPPP",
    latest: "PPPPPP",
    all: "PPPPPP"
  },
  "around a pause whose time was over long before somebody looked": {
    given: { row: { status: "Paused", pausedAt: 25, resumeAt: 45 } },
    none: "mmPPdS",
    latest: ["mmPPUS", "mmPPUS", "mmPPUS", "mmPPUS", "mmPPwS"],
    all: ["mmPPUS", "mmPPUS", "mmPPUS", "mmPPUS", "mmPPwS"]
  },
  "of a pause that lasts": {
    given: { row: { status: "Paused", pausedAt: 5, resumeAt: now + 1 } },
    none: "------",
    latest: "------",
    all: "------"
  },
  "of a pause that was ended with catch-up of the latest": {
    given: { state: { resumed: { at: now, mode: "latest" } } },
    none: askedForLatest,
    latest: askedForLatest,
    all: askedForLatest
  },
  "of a pause that was ended with catch-up of all": {
    given: { state: { resumed: { at: now, mode: "all" } } },
    none: askedForAll,
    latest: askedForAll,
    all: askedForAll
  },
  "of a pause that was ended with catch-up of the latest at 45, before a crash,": {
    given: { state: { resumed: { at: 45, mode: "latest" } } },
    none: ["cccUdS", "cccUdS", "wwcUdS", "wwwUdS", "wwwwdS"],
    latest: thenDown,
    all: thenDown
  }
}

describe("ticks", () => {
  for (const [cause, { given, ...expected }] of Object.entries(cases)) {
    for (const mode of ["none", "latest", "all"] as const) {
      it.effect(`${cause} are decided by the rule "${mode}" within its window and its cap`, () =>
        Effect.sync(() => {
          const byWindow = expected[mode]
          for (const [row, windowMillis] of windows.entries()) {
            const byCap = typeof byWindow === "string" ? byWindow : byWindow[row]!
            for (const [column, cap] of caps.entries()) {
              const policies = { graceMillis: 5, catchUp: { mode, windowMillis, cap } }
              assert.strictEqual(
                answersOf(subjectOf(timetable, { ...given, policies })),
                typeof byCap === "string" ? byCap : byCap[column]!,
                `window ${windowMillis}, cap ${cap}`
              )
            }
          }
        }))
    }
  }
})

// ── one policy at a time ────────────────────────────────────────────────────────────────────────────────────────────

const catchAll = { mode: "all", windowMillis: null, cap: null } as const

describe("a tick", () => {
  it.effect("is on time when it was due exactly the grace ago, and late a millisecond later", () =>
    Effect.sync(() => {
      const subject = subjectOf(timetable, { policies: { graceMillis: 12 } })
      assert.strictEqual(answersOf(subject, 62), "cccUSS")
      assert.strictEqual(answersOf(subject, 63), "ccccUS")
    }))

  it.effect("starts until its deadline, and is missed after it, also when it is on time or waits", () =>
    Effect.sync(() => {
      const policies = { catchUp: catchAll, graceMillis: 5, startDeadlineMillis: 32 }
      assert.strictEqual(answersOf(subjectOf(timetable, { policies })), "ttUUUS")
      assert.strictEqual(
        answersOf(subjectOf(timetable, { policies: { ...policies, startDeadlineMillis: 1 } })),
        "tttttt"
      )
      const overlap: OverlapRule = { mode: "bufferAll", max: 9, key: null }
      const buffered = [{ tick: 10, cause: "schedule" as const }, { tick: 30, cause: "schedule" as const }]
      const waiting = subjectOf(timetable, {
        policies: { ...policies, overlap },
        state: { buffered },
        row: { nextAt: 40, waitingSince: 5 }
      })
      assert.strictEqual(answersOf(waiting), "t-Sbbb")
    }))

  it.effect("is excluded before it is skipped, skipped before it is frozen, and frozen before it is late", () =>
    Effect.sync(() => {
      const excluding = { ...timetable, excluded: (tick: number) => tick === 10 ? "holidays" : null }
      const subject = subjectOf(excluding, {
        policies: { graceMillis: 5, catchUp: catchAll },
        state: { skips: [10, 20], skipNext: 1 },
        freezes: [{ from: 0, to: 45 }]
      })
      assert.strictEqual(answersOf(subject), "XkkFUS")
      const { after, entries } = decide(subject, now)
      assert.deepStrictEqual([after.state.skips, after.state.skipNext], [[10], 0])
      assert.deepStrictEqual(entries.map(({ count, first, last }) => [first, last, count]), [
        [10, 10, 1],
        [20, 30, 2],
        [40, 40, 1]
      ])
    }))

  it.effect("is none before the schedule begins, none when it ends and none when enough runs were started", () =>
    Effect.sync(() => {
      const bounds = { from: 30, until: 50 }
      const bounded = subjectOf(timetable, { policies: { catchUp: catchAll, ...bounds }, row: { nextAt: 30 } })
      assert.strictEqual(answersOf(bounded), "--SS--")
      assert.isNull(decide(bounded, now).after.nextAt)
      const few = subjectOf(timetable, {
        policies: { maxRuns: 5 },
        state: { countedFrom: 10 },
        row: { started: 13 }
      })
      assert.strictEqual(answersOf(few), "SS----")
      // Whether they are new is known when they are recorded.
      const { after } = decide(few, now)
      assert.deepStrictEqual([after.nextAt, after.wakeAt], [30, now])
      for (const [started, nextAt] of [[14, 40], [15, null]] as const) {
        const left = { ...few, row: { ...few.row, ...after, started } }
        assert.strictEqual(decide(left, now).after.nextAt, nextAt)
      }
    }))

  it.effect("is looked at when its jitter is over, and starts then on time", () =>
    Effect.sync(() => {
      const subject = subjectOf(timetable, { policies: { jitterMillis: 8, graceMillis: 0 } })
      const { wakeAt } = decide(subject, 0).after
      assert.isAtLeast(wakeAt!, 10)
      assert.isBelow(wakeAt!, 18)
      assert.strictEqual(answersOf(subject, wakeAt! - 1), "------")
      assert.strictEqual(answersOf(subject, wakeAt!), "S-----")
    }))
})

const overlaps: ReadonlyArray<readonly [OverlapRule["mode"], number | null, live: number, expected: string]> = [
  ["allow", null, 3, "SSSSSS"],
  ["allow", 2, 0, "SSllll"],
  ["allow", 2, 1, "Slllll"],
  ["allow", 2, 3, "llllll"],
  ["allow", 9, 3, "SSSSSS"],
  ["skip", null, 0, "Slllll"],
  ["skip", null, 1, "llllll"],
  ["bufferOne", null, 0, "Sbffff"],
  ["bufferOne", null, 1, "bfffff"],
  ["bufferAll", 3, 0, "Sbbbff"],
  ["bufferAll", 3, 2, "bbbfff"],
  ["bufferAll", 9, 0, "Sbbbbb"],
  ["cancelOther", null, 0, "rrrrrS"],
  ["cancelOther", null, 2, "rrrrrS"]
]

const runsOf = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    runId: `live-${index}`,
    schedule: "other",
    tick: -index,
    // The run that was created first is not the one whose id or tick is first.
    createdAt: -index
  }))

describe("overlap", () => {
  it.effect.each(overlaps)("of six ticks under %o with at most %o, while so many runs are live: %o, leads to %o", ([
    mode,
    max,
    live,
    expected
  ]) =>
    Effect.sync(() => {
      const subject = subjectOf(timetable, {
        policies: { overlap: { mode, max, key: null } },
        row: { live: runsOf(live) }
      })
      assert.strictEqual(answersOf(subject), expected)
      const { cancels, entries } = decide(subject, now)
      assert.deepStrictEqual(
        cancels.map(({ runId }) => runId).sort(),
        mode === "cancelOther" ? runsOf(live).map(({ runId }) => runId) : []
      )
      if (mode === "cancelOther") return
      for (const { runId } of entries) {
        assert.strictEqual(runId, live > 0 ? `live-${live - 1}` : "sched-report-1970-01-01T00:00:00.010Z")
      }
    }))
})

// ── runs that ended ─────────────────────────────────────────────────────────────────────────────────────────────────

const endings: ReadonlyArray<
  readonly [before: number, ended: string, failures: number, pauses: boolean, events: string]
> = [
  [0, "", 0, false, ""],
  [0, "F", 1, false, "failure"],
  [1, "D", 2, true, "failure"],
  [1, "C", 1, false, ""],
  [0, "S", 0, false, "success"],
  [1, "S", 0, false, "recovered success"],
  [0, "FF", 2, true, "failure failure"],
  [0, "FCF", 2, true, "failure failure"],
  [0, "FSF", 1, false, "failure recovered success failure"],
  [0, "FFS", 0, false, "failure failure recovered success"],
  [5, "F", 6, true, "failure"]
]

const statuses = { F: "Failed", D: "Dead", S: "Succeeded", C: "Cancelled" } as const

describe("failures", () => {
  it.effect.each(endings)(
    "%o in a row and then runs that end as in %o make %o; that it pauses itself is %o; events: %o",
    ([
      before,
      letters,
      failures,
      pauses,
      events
    ]) =>
      Effect.sync(() => {
        const ended = Array.from(letters, (letter, index) => ({
          runId: `run-${index}`,
          tick: index,
          status: statuses[letter as keyof typeof statuses],
          createdAt: 0,
          finishedAt: index
        }))
        const subject = subjectOf(timetable, {
          policies: { pauseAfterFailures: 2, onFailure: "tell", onRecovered: "tell", heartbeat: "https://example.com" },
          state: { failures: before },
          row: { ended, nextAt: 70 }
        })
        assert.strictEqual(answersOf(subject), "------")
        const decision = decide(subject, now)
        assert.deepStrictEqual(decision.events.map(({ event }) => event).join(" "), events)
        assert.deepStrictEqual(decision.settled, ended.map(({ runId }) => runId))
        const { nextAt, pauseReason, pausedAt, state, status, wakeAt } = decision.after
        assert.strictEqual(state.failures, failures)
        assert.deepStrictEqual(
          [status, pausedAt, nextAt, wakeAt],
          pauses ? ["Paused", now, 70, null] : ["Active", null, 70, 70]
        )
        assert.strictEqual(pauseReason !== null, pauses)
      })
  )
})
