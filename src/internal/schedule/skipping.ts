/** Ticks that an operator does not want, and starts that wait, as decisions about one schedule. */
import * as Result from "effect/Result"
import { InvalidInput } from "../../Errors.ts"
import { remember, revised, type Standing, type Verdict } from "./change.ts"
import { Ledger } from "./ledger.ts"
import { iso } from "./ticks.ts"

const largest = 1_000

const remembered = (standing: Standing, changes: Partial<Standing["state"]>, action: string): Verdict => {
  const { content, state } = standing
  const said = (from: Partial<Standing["state"]>) => ({
    skipNext: from.skipNext ?? state.skipNext,
    skips: (from.skips ?? state.skips).map(iso)
  })
  return {
    content: revised(content, { state: remember(state, changes) }),
    action,
    before: said(state),
    after: said(changes)
  }
}

/** Skips the next `count` ticks, instead of what was asked before. */
export const skipNext = (standing: Standing, count: number): Result.Result<Verdict | undefined, InvalidInput> => {
  if (!Number.isSafeInteger(count) || count < 0) {
    return Result.fail(new InvalidInput({ field: "count", reason: "must be a whole number from 0 up" }))
  }
  return Result.succeed(
    standing.state.skipNext === count ? undefined : remembered(standing, { skipNext: count }, "skipNext")
  )
}

/** Skips the tick at this instant, which must be one that is not decided. */
export const skip = (standing: Standing, instant: number): Result.Result<Verdict | undefined, InvalidInput> => {
  const { content, plan, state } = standing
  const refused = (reason: string) => Result.fail(new InvalidInput({ field: "instant", reason }))
  if (state.skips.includes(instant)) return Result.succeed(undefined)
  const isPutOff = (tick: number) => state.putOff.some((one) => one.tick === tick)
  if (!isPutOff(instant) && plan.next(instant - 1) !== instant) {
    return refused(`${iso(instant)} is no tick of schedule ${content.name}`)
  }
  if (!isPutOff(instant) && (content.nextAt === null || instant < content.nextAt)) {
    return refused(`${iso(instant)} is decided already`)
  }
  // What a pause or a calendar has passed over is not to come any more.
  const skips = [
    ...state.skips.filter((skip) => isPutOff(skip) || (content.nextAt !== null && skip >= content.nextAt)),
    instant
  ].sort((a, b) => a - b)
  if (skips.length > largest) return refused(`no more than ${largest} ticks can be skipped at a time`)
  return Result.succeed(remembered(standing, { skips }, "skip"))
}

/** Takes back what was asked: for one instant, or altogether. */
export const unskip = (standing: Standing, instant: number | undefined): Verdict | undefined => {
  const { skipNext, skips } = standing.state
  if (instant === undefined) {
    return skipNext === 0 && skips.length === 0 ? undefined : remembered(standing, { skipNext: 0, skips: [] }, "unskip")
  }
  return skips.includes(instant)
    ? remembered(standing, { skips: skips.filter((skip) => skip !== instant) }, "unskip")
    : undefined
}

/** Drops starts that wait: the one of this tick, or all. */
export const dropBuffered = (standing: Standing, tick: number | undefined): Verdict | undefined => {
  const { content, state, timetable } = standing
  const dropped = state.buffered.filter((pending) => tick === undefined || pending.tick === tick)
  if (dropped.length === 0) return undefined
  const buffered = state.buffered.filter((pending) => !dropped.includes(pending))
  const ledger = new Ledger()
  for (const pending of dropped) ledger.addAlone(pending.tick, "Overlapped", "Dropped")
  return {
    content: revised(content, {
      state: remember(state, { buffered }),
      waitingSince: buffered.length > 0 ? content.waitingSince : null
    }),
    entries: ledger.entries(timetable.text),
    action: "dropBuffered",
    before: { buffered: state.buffered.map(({ tick }) => iso(tick)) },
    after: { buffered: buffered.map(({ tick }) => iso(tick)) }
  }
}
