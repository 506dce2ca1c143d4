/** What holds of a schedule's answers whatever happened to it. `HISTORIES` says how many are tried. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { LedgerEntry } from "../../../src/internal/schedule/ledger.ts"
import { decode } from "../../../src/internal/schedule/state.ts"
import * as Timing from "../../../src/Timing.ts"
import { type History, history, live, start } from "./histories.ts"

const histories = Number(process.env["HISTORIES"] ?? 5_000)

const timetableOf = (text: string): Timing.Timetable => Result.getOrThrow(Timing.fromText(text))

const iso = (tick: number): string => new Date(tick).toISOString().slice(11, -1)

/** The ticks of the timings that were in force at their instants, up to where the schedule stands. */
const ticksOf = ({ inForce, now, row }: History): ReadonlyArray<number> =>
  inForce.flatMap(({ from, since, timing, until }, index) => {
    const to = Math.min(inForce[index + 1]?.since ?? now, row.nextAt === null ? Infinity : row.nextAt - 1)
    const timetable = timetableOf(timing)
    const ticks: Array<number> = []
    for (let tick = timetable.next(since); tick !== null && tick <= to; tick = timetable.next(tick)) {
      if ((from === null || tick >= from) && (until === null || tick < until)) ticks.push(tick)
    }
    return ticks
  })

/** Whether enough runs had been started before it, so that it need not have been a tick. */
const isSpent = ({ spent }: History, tick: number): boolean => spent.some(({ after, to }) => tick > after && tick <= to)

const answeredBy = ({ decision, first, last, timing }: LedgerEntry): ReadonlyArray<number> => {
  if (timing === null) {
    assert.strictEqual(first, last, `${decision} is about more than one tick, and does not say which`)
    return [first]
  }
  const timetable = timetableOf(timing)
  const ticks: Array<number> = []
  for (let tick = timetable.next(first - 1); tick !== null && tick <= last; tick = timetable.next(tick)) {
    ticks.push(tick)
  }
  return ticks
}

const answersOf = ({ entries, runs }: History): ReadonlyMap<number, ReadonlyArray<string>> => {
  const answers = new Map<number, Array<string>>()
  const add = (tick: number, answer: string) => answers.set(tick, [...answers.get(tick) ?? [], answer])
  for (const { by, tick } of runs.values()) if (by === "tick") add(tick, "Started")
  for (const entry of entries) {
    for (const tick of answeredBy(entry)) add(tick, `${entry.decision} ${entry.reason}`)
  }
  return answers
}

const law = (name: string, check: (history: History) => void) =>
  it.effect.prop(name, [history], ([given]) => Effect.sync(() => check(live(given))), {
    timeout: 1_800_000,
    arbitrary: { runs: histories }
  })

describe("after any history", () => {
  law("the answers are exactly the ticks of the timings in force at their instants, each once", (history) => {
    const answers = answersOf(history)
    const ticks = ticksOf(history)
    const backfilled = new Set([...history.runs.values()].filter(({ by }) => by === "backfill").map(({ tick }) => tick))
    const open = Result.getOrThrow(decode(history.row.state)).putOff.map(({ tick }) => tick)
    const faults: Array<string> = []
    for (const tick of ticks) {
      const found = answers.get(tick) ?? []
      // One that was backfilled before it came has that run.
      if (found.length === 0 && (backfilled.has(tick) || isSpent(history, tick))) continue
      if (found.length !== (open.includes(tick) ? 0 : 1)) {
        faults.push(`${iso(tick)} has ${found.length} answers: ${found.join(", ")}`)
      }
    }
    for (const [tick, found] of answers) {
      if (!ticks.includes(tick)) faults.push(`${iso(tick)} was no tick, and is ${found.join(", ")}`)
    }
    if (faults.length > 0) assert.fail(`${faults.join("\n")}\n${iso(start)} to ${iso(history.now)}`)
  })

  law("every run that an answer names is there, and entries count their ticks", ({ entries, runs }) => {
    for (const entry of entries) {
      if (entry.runId !== null) assert.isTrue(runs.has(entry.runId), `${entry.decision} names ${entry.runId}`)
      if (entry.count !== null) assert.strictEqual(answeredBy(entry).length, entry.count)
    }
  })
})
