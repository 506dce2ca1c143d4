/** What became, or will become, of one instant, in plain words; and the ticks to come. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ScheduleNotFound, StoreError, Undecodable } from "../../Errors.ts"
import type { Audit, Run, ScheduleRow } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import { CurrentOperator, policy } from "./actor.ts"
import { find, parsed, stand, type Store } from "./change.ts"
import { type Read, read } from "./definition.ts"
import { endOf, type Forecast, forecasts, type Obstacle, type Outlook } from "./forecast.ts"
import * as Freeze from "./freeze.ts"
import { type Decision, type HistoryEntry, ofEntry, ofRun, originOf } from "./history.ts"
import { iso } from "./ticks.ts"

/**
 * What is known of an instant of a schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface Explanation {
  readonly instant: DateTime.Utc
  /** Whether it is a tick of the timing as it is now. */
  readonly isTick: boolean
  /** Everything recorded about it: its runs, oldest first, then what was decided, newest first. */
  readonly recorded: ReadonlyArray<HistoryEntry>
  /** One sentence or two, for people. */
  readonly text: string
}

/**
 * A tick to come.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upcoming {
  readonly tick: DateTime.Utc
  /** When its run starts: the tick, or later by its jitter. */
  readonly startsAt: DateTime.Utc
  /** Its day has a clock change in the schedule's time zone. */
  readonly clockChange: Option.Option<"spring-forward" | "fall-back">
  /** Why it will not start, as far as that is known. */
  readonly skipped: Option.Option<string>
}

// ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const units: ReadonlyArray<readonly [millis: number, name: string]> = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1_000, "second"]
]

/** The one or two largest units, for people. */
export const inWords = (millis: number): string => {
  const words: Array<string> = []
  let left = millis
  for (const [size, name] of units) {
    const count = Math.floor(left / size)
    if (count === 0 || words.length === 2) continue
    words.push(`${count} ${name}${count === 1 ? "" : "s"}`)
    left -= count * size
  }
  return words.length === 0 ? `${millis} ms` : words.join(" ")
}

const causes = {
  schedule: "by its tick",
  "catch-up": "late, to catch up",
  backfill: "by a backfill",
  trigger: "by hand"
} as const

const missed = {
  Down: "nobody started it in time, and the policy drops late ticks",
  Late: "it could not start before its start deadline",
  Window: "it was older than the catch-up window when somebody looked",
  Cap: "more ticks were late than the catch-up cap lets start",
  Paused: "it was due, and not decided yet, when the schedule was paused",
  Edited: "it was due, and not decided yet, when the schedule was edited",
  Ended: "it waited for live runs, and the schedule had started as many runs as maxRuns allows"
} as const

const overlapped = (reason: Extract<Decision, { readonly _tag: "Overlapped" }>["reason"], by: string): string => {
  switch (reason) {
    case "Live":
      return `${by} was live, and the overlap policy starts none beside it`
    case "BufferFull":
      return `${by} was live, and as many starts were waiting for it as may wait`
    case "Waiting":
      return "starts of another schedule under the same overlap key were waiting before it"
    case "Replaced":
      return `${by}, of a later tick, took its place`
    case "Dropped":
      return "it waited for live runs, and an operator dropped it"
  }
}

const message = (outcome: string | null): string => {
  const failed = outcome === null ? undefined : parsed(outcome) as {
    readonly error?: { readonly message?: unknown; readonly _tag?: unknown }
    readonly defect?: { readonly message?: unknown }
  }
  const error = failed?.error ?? failed?.defect
  const said = [failed?.error?._tag, error?.message].filter((part) => typeof part === "string" && part !== "")
  return said.length > 0
    ? `: ${said.join(": ")}`
    : failed?.error === undefined
    ? ""
    : `: ${JSON.stringify(failed.error)}`
}

/** How the run of a tick stands, for somebody who has to decide what to do about it. */
const standing = ({ outcome, reason, status, wakeAt, workflow }: Run, now: number): string => {
  const why = reason === null ? "" : ` (${reason})`
  switch (status) {
    case "Enqueued":
      return wakeAt !== null && wakeAt > now
        ? `is Enqueued until ${iso(wakeAt)}${why}`
        : `is Enqueued: it waits for a process that has workflow ${workflow} and a free slot${why}`
    case "Running":
      return "is Running"
    case "Suspended":
      return wakeAt === null ? "is Suspended" : `is Suspended until ${iso(wakeAt)}`
    case "Succeeded":
      return "has Succeeded"
    case "Failed":
      return `has Failed${message(outcome)}`
    case "Cancelled":
      return `was Cancelled${why}`
    case "Dead":
      return `is Dead: its workers died with it, again and again`
  }
}

const started = (run: Run, now: number): string => {
  const { cause } = originOf(run)
  const lateBy = Math.max(0, run.createdAt - run.tick!)
  const late = lateBy < 1_000 ? "on time" : `${inWords(lateBy)} after its instant`
  return `It was started ${causes[cause]}, ${late}, as run ${run.id}, which ${standing(run, now)}.`
}

/** Who did it, when and why, as the audit says. */
const byWhom = ({ actor, at, reason, source }: Audit): string => {
  const by = source === policy.source && actor === policy.name
    ? "its own policy"
    : actor === unknown
    ? anOperator
    : actor
  return ` by ${by} at ${iso(at)}${reason === null ? "" : `: ${reason}`}`
}

const unknown = CurrentOperator.defaultValue().name
const anOperator = "an operator"

const skips = ["skip", "skipNext"]

/** Who did one of these things last of what had been done by then; an operator when the audit does not tell any more. */
const actOf = (acts: ReadonlyArray<Audit>, actions: ReadonlyArray<string>, by: number): string => {
  const act = acts.find(({ action, at }) => actions.includes(action) && at <= by)
  return act === undefined ? ` by ${anOperator}` : byWhom(act)
}

const cut = { Paused: ["pause"], Edited: ["edit", "apply"] }

const sentence = (decision: Decision, acts: ReadonlyArray<Audit>, until: number): string => {
  switch (decision._tag) {
    case "Started":
      return ""
    case "Overlapped":
      return `It did not start: ${
        overlapped(
          decision.reason,
          Option.match(decision.by, { onNone: () => "another run", onSome: (by) => `run ${by}` })
        )
      }.`
    case "Missed":
      return `It did not start: ${missed[decision.reason]}${
        decision.reason === "Paused" || decision.reason === "Edited" ? actOf(acts, cut[decision.reason], until) : ""
      }.`
    case "Coalesced":
      return `It was late, and did not start by itself: run ${decision.into} of a later tick stands for it.`
    case "Excluded":
      return `It did not start: a calendar excludes it (${decision.by}).`
    case "Skipped":
      return `It did not start: it was skipped${actOf(acts, skips, until)}.`
    case "Frozen":
      return `It did not start: all schedules were frozen${actOf(acts, ["freeze"], until)}.`
    case "Paused":
      return `It did not start: the schedule was paused${actOf(acts, cut.Paused, until)}.`
  }
}

// ── what is to come ─────────────────────────────────────────────────────────────────────────────────────────────────

/** How the schedule stands, a pause that has run its time being over, and what is known of who stopped it. */
interface Seen extends Outlook {
  /** Whether it is known that no live worker has a body for its workflow. */
  readonly unattended: boolean
  readonly frozen: ReturnType<typeof Freeze.on>
  readonly acts: ReadonlyArray<Audit>
}

/** How many audits are read to say who did something. */
const maxActs = 100

const see = Effect.fnUntraced(function*(
  db: Store,
  row: ScheduleRow
): Effect.fn.Return<Seen, Undecodable | StoreError> {
  const [now, bodies, control, own, all] = yield* Effect.all([
    db.now,
    db.listBodies,
    db.findControl(Freeze.key),
    db.listAudits(row.name, { limit: maxActs, after: null }),
    db.listAudits(null, { limit: maxActs, after: null })
  ])
  const freeze = Option.getOrNull(control)
  const { content, ...read } = yield* Effect.fromResult(stand(row, now))
  return {
    ...read,
    row: { ...row, ...content },
    freezes: Freeze.read(freeze).freezes,
    now,
    unattended: bodies !== null && !bodies.includes(row.workflow),
    frozen: Freeze.on(freeze),
    acts: [...own, ...all]
  }
})

const inTheWay = ({ acts, frozen, now, row }: Seen, obstacle: Obstacle): string => {
  switch (obstacle._tag) {
    case "Paused": {
      const until = row.resumeAt === null ? "" : `, until ${iso(row.resumeAt)}`
      return `the schedule is paused${actOf(acts, cut.Paused, now)}${until}`
    }
    case "Excluded":
      return `excluded: ${obstacle.by}`
    case "Skipped":
      return `skipped${actOf(acts, [obstacle.action], now)}`
    case "Frozen":
      return frozen === undefined
        ? "all schedules were frozen at its instant"
        : `all schedules are frozen by ${frozen.by} since ${iso(frozen.from)}${
          frozen.reason === null ? "" : `: ${frozen.reason}`
        }`
    case "Late":
      return obstacle.why
  }
}

/** The next ticks that are not decided, in order. */
export const upcoming = Effect.fnUntraced(function*(
  db: Store,
  name: string,
  count: number
): Effect.fn.Return<ReadonlyArray<Upcoming>, ScheduleNotFound | Undecodable | StoreError> {
  const seen = yield* see(db, yield* find(db, name))
  const ticks: Array<Upcoming> = []
  for (const { obstacle, startsAt, tick } of forecasts(seen)) {
    if (ticks.length >= count) break
    // What fell in a pause is decided when it ends, and is not to come.
    if (obstacle?._tag === "Paused" && startsAt <= seen.now) continue
    ticks.push({
      tick: DateTime.makeUnsafe(tick),
      startsAt: DateTime.makeUnsafe(startsAt),
      clockChange: Option.fromNullOr(Timing.clockChange(seen.timetable, tick)),
      skipped: Option.map(Option.fromUndefinedOr(obstacle), (obstacle) => inTheWay(seen, obstacle))
    })
  }
  return ticks
})

// ── one instant ─────────────────────────────────────────────────────────────────────────────────────────────────────

const noTick = ({ plan, policies: { from, until }, timetable }: Read, instant: number): string => {
  if (timetable.next(instant - 1) === instant) {
    if (from !== null && instant < from) return `It is no tick: the schedule begins at ${iso(from)} (from).`
    if (until !== null && instant >= until) return `It is no tick: the schedule ends at ${iso(until)} (until).`
  }
  const [before, after] = [plan.prev(instant), plan.next(instant)]
  const near = [
    before === null ? "" : `the tick before is ${iso(before)}`,
    after === null ? "" : `the one after ${iso(after)}`
  ]
    .filter((text) => text !== "")
  return `It is no tick of this schedule${near.length === 0 ? "" : `: ${near.join(", ")}`}.`
}

/** Ticks ahead are looked at one by one as far as this. */
const maxForecast = 100_000

const forecastOf = (seen: Seen, instant: number): Forecast | undefined => {
  let looked = 0
  for (const forecast of forecasts(seen)) {
    if (forecast.tick === instant) return forecast
    if (forecast.tick > instant || ++looked > maxForecast) return undefined
  }
  return undefined
}

const undecided = (seen: Seen, instant: number): string => {
  const { now, plan, row, state } = seen
  if (state.buffered.some(({ tick }) => tick === instant)) {
    return "It waits for live runs to end, and starts then; Info.buffered lists what waits."
  }
  const forecast = forecastOf(seen, instant)
  if (forecast === undefined && plan.next(instant - 1) !== instant) return noTick(seen, instant)
  const end = endOf(seen)
  if (end !== undefined && instant > now) return `The schedule has ended: ${end}.`
  if (row.nextAt === null || instant < row.nextAt) {
    if (forecast === undefined) {
      return instant < row.createdAt
        ? "It came before the schedule was created."
        : "Nothing is recorded about it: its record was pruned, or it was no tick when it came."
    }
  } else if (forecast === undefined) {
    return instant > now && plan.dueAt(instant) > now && seen.policies.maxRuns === null
      ? `It has not come yet: it starts in ${inWords(plan.dueAt(instant) - now)}, if nothing changes.`
      : "It does not start: before it comes, the schedule has started as many runs as maxRuns allows."
  }
  const { obstacle, startsAt } = forecast
  if (obstacle !== undefined) {
    return `It is not decided yet; as things stand it does not start: ${inTheWay(seen, obstacle)}.`
  }
  return startsAt > now
    ? `It has not come yet: it starts in ${inWords(startsAt - now)}.`
    : `It is due${
      now - startsAt < 1_000 ? " now" : ` since ${inWords(now - startsAt)}`
    } and starts as soon as an engine looks at it.`
}

const nobody = ({ workflow }: ScheduleRow): string =>
  `No process that lives has a body for workflow ${workflow}, so that its runs wait until one has.`

export const explain = Effect.fnUntraced(function*(
  db: Store,
  name: string,
  instant: number
): Effect.fn.Return<Explanation, ScheduleNotFound | Undecodable | StoreError> {
  const row = yield* find(db, name)
  const seen = yield* see(db, row)
  const found = yield* db.findDecisions(name, instant)
  // An entry over several ticks is about this instant only if it was one of them.
  const entries = found.entries.filter((entry) => {
    if (entry.timing === null) return entry.first === instant
    const timing = Timing.fromText(entry.timing)
    return timing._tag === "Success" && timing.success.next(instant - 1) === instant
  })
  const isTick = seen.plan.next(instant - 1) === instant
  const concerns = seen.unattended &&
    (found.runs.some(({ status }) => status === "Enqueued" || status === "Suspended") ||
      (found.runs.length === 0 && entries.length === 0 && instant > seen.now))
  const said = [
    ...found.runs.map((run) => started(run, seen.now)),
    ...entries.map((entry) => sentence(ofEntry(entry).decision, seen.acts, entry.recordedAt))
  ]
  return {
    instant: DateTime.makeUnsafe(instant),
    isTick,
    recorded: [...found.runs.map(ofRun), ...entries.map(ofEntry)],
    text: [...said.length === 0 ? [undecided(seen, instant)] : said, ...concerns ? [nobody(seen.row)] : []].join(" ")
  }
})

export const describe = Effect.fnUntraced(function*(
  db: Store,
  name: string
): Effect.fn.Return<string, ScheduleNotFound | Undecodable | StoreError> {
  const row = yield* find(db, name)
  const { timetable } = yield* Effect.fromResult(read(row))
  return timetable.describe()
})
