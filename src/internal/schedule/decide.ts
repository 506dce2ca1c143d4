/** What is due and what has been missed: the rules of catching up, pure. */
import * as Option from "effect/Option"
import * as Cron from "../../Cron.ts"
import type { Policies, Rule } from "./policies.ts"

/** What to do with a schedule whose cursor has come. */
export interface Decision {
  /** The ticks to fire, in order. */
  readonly ticks: ReadonlyArray<number>
  /** Where the cursor goes: the first tick after those, which may be due as well; null when there is none. */
  readonly nextAt: number | null
  /** How many ticks are passed over; {@link countLimit} stands for that many or more. */
  readonly missed: number
}

/** The most ticks one decision fires; the rest is left to the next one. */
export const tickLimit = 500

/** Missed ticks are counted up to here, so that a year of lost seconds costs no more than an afternoon of them. */
export const countLimit = 10_000

/** The first tick strictly after `after`, or null. */
export const nextTick = (cron: Cron.Cron, after: number): number | null => Option.getOrNull(Cron.next(cron, after))

/**
 * From where on ticks are fired: ticks from `cursor` on and before this instant are passed over, all others are fired.
 * Ticks before `edge` are missed, and the rule is about those.
 */
export const firstChosen = (cron: Cron.Cron, rule: Rule, cursor: number, now: number, edge: number): number => {
  if (edge <= cursor) return cursor
  if (rule === "skip") return edge
  if (rule !== "latest") return Math.max(cursor, Math.min(edge, now - rule.allMillis))
  const latest = Option.getOrNull(Cron.prev(cron, edge))
  return latest === null || latest < cursor ? edge : latest
}

/** The number of ticks from `from` on and before `to`, counted up to the limit. */
const count = (cron: Cron.Cron, from: number, to: number): number => {
  let counted = 0
  if (to <= from) return counted
  for (let tick = nextTick(cron, from - 1); tick !== null && tick < to; tick = nextTick(cron, tick)) {
    if (++counted === countLimit) break
  }
  return counted
}

/** The ticks from `from` on up to and including `now`, at most `limit` of them, and the one after. */
const take = (cron: Cron.Cron, from: number, now: number, limit: number): Omit<Decision, "missed"> => {
  const ticks: Array<number> = []
  let tick = nextTick(cron, from - 1)
  while (tick !== null && tick <= now && ticks.length < limit) {
    ticks.push(tick)
    tick = nextTick(cron, tick)
  }
  return { ticks, nextAt: tick }
}

/**
 * Decides about the ticks of an Active schedule from its cursor up to now. Those late by no more than the grace always fire,
 * one by one; about those that are later the policy for missed ticks decides.
 */
export const decide = (
  cron: Cron.Cron,
  policies: Policies,
  cursor: number,
  now: number,
  limit: number = tickLimit
): Decision => {
  const from = firstChosen(cron, policies.missed, cursor, now, now - policies.graceMillis)
  return { ...take(cron, from, now, limit), missed: count(cron, cursor, from) }
}
