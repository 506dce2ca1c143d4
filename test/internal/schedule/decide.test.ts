import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Cron from "../../../src/Cron.ts"
import { countLimit, decide, nextTick, tickLimit } from "../../../src/internal/schedule/decide.ts"
import { defaults, type Policies, type Rule } from "../../../src/internal/schedule/policies.ts"

const base = Date.UTC(2030, 2, 30, 12)
const second = 1_000
const minute = 60 * second

const parse = (expression: string, timeZone = "UTC") => Result.getOrThrow(Cron.parse(expression, { timeZone }))

const everySecond = parse("* * * * * *")

/** The policy, tick by tick, as the documentation says it. */
const naive = (cron: Cron.Cron, policies: Policies, cursor: number, now: number, limit: number) => {
  const due = [...Cron.occurrences(cron, { from: cursor, to: now + 1 })]
  const late = due.filter((tick) => now - tick > policies.graceMillis)
  const rule = policies.missed
  const madeUp = rule === "skip"
    ? []
    : rule === "latest"
    ? late.slice(-1)
    : late.filter((tick) => now - tick <= rule.allMillis)
  const chosen = [...madeUp, ...due.slice(late.length)]
  const after = nextTick(cron, Math.max(now, cursor - 1))
  return { ticks: chosen.slice(0, limit), nextAt: chosen[limit] ?? after, missed: late.length - madeUp.length }
}

const crons = [
  everySecond,
  parse("*/7 * * * * *"),
  parse("0 * * * * *"),
  parse("0 */10 * * * *"),
  parse("0 30 2 * * *", "Europe/Berlin"),
  parse("0 0 * * * *", "Europe/Berlin"),
  parse("0 0 9 * * 1-5", "America/New_York")
]

const below = (n: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: n }))

it.effect.prop(
  "a decision is what the policies say about each tick",
  {
    cron: below(crons.length - 1),
    start: below(2 * 3600),
    length: below(2 * 3600),
    fraction: below(999),
    rule: Schema.Literals(["skip", "latest", "all"]),
    window: below(2 * 3600),
    grace: below(1800),
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 600 }))
  },
  (given) =>
    Effect.sync(() => {
      const cron = crons[given.cron]!
      // Coarse schedules are looked at through a long window, fine ones through a short one.
      const scale = given.cron < 3 ? second : minute
      const cursor = nextTick(cron, base + given.start * scale)!
      const now = cursor + given.length * scale + given.fraction
      const missed: Rule = given.rule === "all" ? { allMillis: given.window * scale } : given.rule
      const policies = { ...defaults, missed, graceMillis: given.grace * scale }
      assert.deepStrictEqual(
        decide(cron, policies, cursor, now, given.limit),
        naive(cron, policies, cursor, now, given.limit)
      )
    }),
  { arbitrary: { runs: 300 } }
)

const rules: ReadonlyArray<readonly [Rule, number, number]> = [
  ["skip", 540, 61],
  ["latest", 539, 62],
  [{ allMillis: 5 * minute }, 300, 301],
  [{ allMillis: 30 * second }, 540, 61],
  [{ allMillis: 60 * minute }, 0, 500]
]

it.effect.each(rules)("ten minutes of seconds, decided by %o", ([missed, passedOver, fired]) =>
  Effect.sync(() => {
    const decision = decide(everySecond, { ...defaults, missed }, base, base + 10 * minute)
    assert.deepStrictEqual([decision.missed, decision.ticks.length], [passedOver, fired])
  }))

it.effect("what one decision leaves is where the next one begins, and nothing is fired twice", () =>
  Effect.sync(() => {
    const policies = { ...defaults, missed: { allMillis: 60 * minute } }
    const now = base + 60 * minute
    const fired: Array<number> = []
    let cursor: number | null = base
    while (cursor !== null && cursor <= now) {
      const decision = decide(everySecond, policies, cursor, now)
      assert.isAtMost(decision.ticks.length, tickLimit)
      fired.push(...decision.ticks)
      cursor = decision.nextAt
    }
    assert.deepStrictEqual(fired, [...Cron.occurrences(everySecond, { from: base, to: now + 1 })])
    assert.strictEqual(cursor, now + second)
  }))

it.effect("years of missed seconds are counted as far as the limit", () =>
  Effect.sync(() => {
    const decision = decide(everySecond, defaults, 0, base)
    assert.deepStrictEqual([decision.missed, decision.ticks.length], [countLimit, 62])
  }))

it.effect("a cursor that is no tick of the cron any more fires nothing and moves on", () =>
  Effect.sync(() => {
    const hourly = parse("0 0 * * * *")
    const cursor = base + minute
    assert.deepStrictEqual(decide(hourly, defaults, cursor, cursor), {
      ticks: [],
      nextAt: base + 60 * minute,
      missed: 0
    })
  }))
