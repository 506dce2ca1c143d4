import { assert, it } from "@effect/vitest"
import { Arbitrary } from "effect"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type Job, limits, rest, stretch } from "../../../src/internal/schedule/backfilling.ts"
import { plan } from "../../../src/internal/schedule/plan.ts"
import * as Policies from "../../../src/internal/schedule/policies.ts"
import { iso, runIdOf, type Ticking } from "../../../src/internal/schedule/ticks.ts"
import * as Timing from "../../../src/Timing.ts"
import * as Cron from "../../cron/generators.ts"
import * as Generate from "../../timing/generators.ts"

const ticking = (timing: Timing.Timing, options: Policies.PolicyOptions = {}): Ticking => {
  const timetable = Result.getOrThrow(Timing.parse(timing))
  const policies = Result.getOrThrow(Policies.fromOptions(options))
  return { name: "s", incarnation: null, timetable, policies, plan: plan("s", timetable, policies) }
}

const seconds = ticking({ every: "1 second" })
const start = Date.UTC(2030, 0, 1)
const job = (changes: Partial<Job> = {}): Job => ({
  id: "b",
  from: start,
  to: start + 60_000,
  newestFirst: false,
  concurrency: 10,
  rerun: false,
  cursor: changes.newestFirst === true ? start + 60_000 : start,
  live: 0,
  ...changes
})

/** Every tick of the window that no calendar excludes. */
const wanted = ({ plan, timetable }: Ticking, from: number, to: number) => {
  const ticks: Array<number> = []
  for (let tick = plan.next(from - 1); tick !== null && tick < to; tick = plan.next(tick)) {
    if (timetable.excluded(tick) === null) ticks.push(tick)
  }
  return ticks
}

it.effect.prop(
  "the stretches of a backfill are all ticks of its window, each once and in order, however it is interleaved",
  [
    Generate.timing,
    Generate.instant,
    Arbitrary.all([Generate.oneOf(60_000, 3_600_000, 86_400_000), Generate.oneOf(0, 1, 7, 60)]),
    Arbitrary.all([Generate.oneOf(true, false), Generate.oneOf(1, 2, 10, 1_000), Generate.oneOf(1, 3, 500)]),
    Arbitrary.all([Generate.oneOf(1, 5, 10_000), Cron.int(0, 1_000_000)])
  ],
  ([timing, from, [unit, units], [newestFirst, concurrency, starts], [looks, seed]]) =>
    Effect.sync(() => {
      const given = ticking(timing)
      const all = wanted(given, from, from + units * unit).slice(0, 500)
      // Of fine timings a part is enough.
      const to = all.length < 500 ? from + units * unit : all.at(-1)! + 1
      let state = job({ from, to, newestFirst, concurrency, cursor: newestFirst ? to : from })
      let noise = seed
      const seen: Array<number> = []
      const live: Array<number> = []
      for (let steps = 0;; steps++) {
        assert.isBelow(steps, 40_000)
        const next = stretch(state, given, new Set(), { starts, looks })
        seen.push(...next.ticks.map(({ tick }) => tick))
        live.push(...next.ticks.map(({ tick }) => tick))
        assert.isAtMost(next.ticks.length, starts)
        assert.isAtMost(live.length, concurrency)
        if (next.done) {
          assert.strictEqual(live.length, 0)
          break
        }
        // Some runs end before it is looked at again: all of them when nothing could be started otherwise.
        noise = (noise * 1_103_515_245 + 12_345) % 2_147_483_648
        const left = live.length === concurrency || next.cursor === null ? 0 : noise % (live.length + 1)
        live.length = left
        state = { ...state, cursor: next.cursor, live: left }
      }
      assert.deepStrictEqual(seen, newestFirst ? all.toReversed() : all)
    }),
  { timeout: 60_000, arbitrary: { runs: 300 } }
)

it("a stretch starts as many runs as there may be beside those that are live", () => {
  const next = stretch(job({ live: 7 }), seconds)
  assert.deepStrictEqual(next.ticks.map(({ tick }) => tick), [start, start + 1_000, start + 2_000])
  assert.strictEqual(next.cursor, start + 2_001)
  assert.deepStrictEqual(stretch(job({ live: 10 }), seconds), { ticks: [], cursor: start, done: false })
})

it("a stretch goes back from the end of the window, which is not in it", () => {
  const next = stretch(job({ newestFirst: true, concurrency: 2 }), seconds)
  assert.deepStrictEqual(next.ticks.map(({ tick }) => tick), [start + 59_000, start + 58_000])
  assert.strictEqual(next.cursor, start + 58_000)
})

it("runs that are known to be there take no place", () => {
  const known = new Set([0, 1, 2, 4].map((n) => runIdOf(seconds, start + n * 1_000)))
  const next = stretch(job({ concurrency: 2 }), seconds, known)
  assert.deepStrictEqual(next.ticks.map(({ tick }) => (tick - start) / 1_000), [0, 1, 2, 3, 4, 5])
})

it("a stretch is no longer than one statement, and looks at no more ticks than take a moment", () => {
  const year = { from: start, to: start + 365 * 86_400_000, concurrency: 100_000 }
  const next = stretch(job(year), seconds)
  assert.strictEqual(next.ticks.length, limits.starts)
  const excluded = ticking({ every: "1 second", except: { cron: "* * * * * *" } })
  const empty = stretch(job(year), excluded)
  assert.deepStrictEqual(empty, { ticks: [], cursor: start + (limits.looks - 1) * 1_000 + 1, done: false })
})

it("a backfill is done when every tick was looked at and no run of it is live", () => {
  assert.isFalse(stretch(job({ cursor: null, live: 1 }), seconds).done)
  assert.isTrue(stretch(job({ cursor: null }), seconds).done)
  assert.isTrue(stretch(job({ to: start }), seconds).done)
  assert.isFalse(stretch(job({ concurrency: 1_000 }), seconds).done)
})

it("the bounds of the schedule bound its backfills", () => {
  const bounded = ticking({ every: "1 second" }, { from: new Date(start + 5_000), until: new Date(start + 8_000) })
  const { ticks } = stretch(job(), bounded)
  assert.deepStrictEqual(ticks.map(({ tick }) => (tick - start) / 1_000), [5, 6, 7])
})

it("runs have the scheduler's ids, or the backfill's own when ticks are run again, and no start deadline", () => {
  const late = ticking({ every: "1 second" }, { startDeadline: "1 second" })
  const [first] = stretch(job(), late).ticks
  assert.deepStrictEqual(first, {
    runId: `sched-s-${iso(start)}`,
    tick: start,
    scheduledAt: iso(start),
    origin: JSON.stringify({ cause: "backfill", previous: start - 1_000, next: start + 1_000 }),
    startBy: null
  })
  const [again] = stretch(job({ rerun: true, id: "b7" }), late).ticks
  assert.strictEqual(again!.runId, `sched-s-${iso(start)}-backfill-b7`)
})

it("what is left of the window lies before the cursor or after it, as the backfill goes", () => {
  const cursor = start + 20_000
  assert.deepStrictEqual(rest(job({ cursor })), { from: cursor, to: start + 60_000 })
  assert.deepStrictEqual(rest(job({ cursor, newestFirst: true })), { from: start, to: cursor })
  assert.deepStrictEqual(rest(job({ cursor: null })), { from: start + 60_000, to: start + 60_000 })
})
