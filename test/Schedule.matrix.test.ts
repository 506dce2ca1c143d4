import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import * as Embedded from "../src/Embedded.ts"
import * as Memory from "../src/Memory.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Schedule from "../src/Schedule.ts"
import { SystemDb } from "../src/SystemDb.ts"
import * as Workflow from "../src/Workflow.ts"
import { virtual } from "./conformance/fixture.ts"
import { freshDatabase } from "./support/postgres.ts"
import { decideAll, look, pass } from "./support/scheduler.ts"

const day = Date.UTC(2030, 0, 1)
const minute = 60_000

const Beat = Workflow.make("beat", { payload: Schedule.Tick() })

// A schedule ticks every minute. It is created at minute 0 and looked at again at 10:30: with a minute of grace the ticks 1 to 9
// are late then, and 10 is on time.
const lookedAt = 10.5

const modes = ["none", "latest", "all"] as const
/** In minutes. Nothing is outside of the first; the second begins at tick 6 exactly; no tick is inside of the last. */
const windows = [undefined, 60, 4.5, 0.01] as const
const caps = [undefined, 1, 2, 100] as const

type Cause = "nobody looks" | "the answer is lost" | "a pause" | "a freeze" | "a freeze that is caught up"
const causes: ReadonlyArray<Cause> = [
  "nobody looks",
  "the answer is lost",
  "a pause",
  "a freeze",
  "a freeze that is caught up"
]

interface Case {
  readonly name: string
  readonly mode: typeof modes[number]
  readonly window: number | undefined
  readonly cap: number | undefined
}

const cases: ReadonlyArray<Case> = modes.flatMap((mode) =>
  windows.flatMap((window) =>
    caps.map((cap) => ({ name: `${mode}-${window ?? "any"}-${cap ?? "all"}`, mode, window, cap }))
  )
)

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** The answer to each tick, said in the words of the policy and in no way like the code says it. */
const expected = (cause: Cause, { cap, mode, window }: Case): ReadonlyArray<readonly [number, string]> => {
  if (cause === "a freeze") return range(1, 10).map((tick) => [tick, "Frozen"])
  if (cause === "a pause" && mode === "none") return range(1, 10).map((tick) => [tick, "Paused"])
  // A resume that catches up is about all ticks of the pause, however late; otherwise tick 10 is on time.
  const late = range(1, cause === "a pause" ? 10 : 9)
  const onTime: ReadonlyArray<readonly [number, string]> = cause === "a pause" ? [] : [[10, "Started schedule"]]
  if (mode === "none") return [...late.map((tick) => [tick, "Missed Down"] as const), ...onTime]
  const inside = late.filter((tick) => window === undefined || tick >= lookedAt - window)
  const kept = mode === "latest" ? inside.slice(-1) : inside.slice(-(cap ?? inside.length))
  const answers = late.map((tick) => {
    if (!inside.includes(tick)) return [tick, "Missed Window"] as const
    if (kept.includes(tick)) return [tick, "Started catch-up"] as const
    return [tick, mode === "latest" ? `Coalesced ${inside.at(-1)}` : "Missed Cap"] as const
  })
  return [...answers, ...onTime]
}

const minuteOf = (instant: DateTime.Utc) => (DateTime.toEpochMillis(instant) - day) / minute

const said = ({ decision }: Schedule.Answer): string => {
  switch (decision._tag) {
    case "Started":
      return `Started ${decision.cause}`
    case "Missed":
      return `Missed ${decision.reason}`
    case "Coalesced":
      return `Coalesced ${minuteOf(DateTime.makeUnsafe(decision.into.slice(-24)))}`
    default:
      return decision._tag
  }
}

const matrix = (cause: Cause) =>
  Effect.gen(function*() {
    const db = yield* SystemDb
    yield* TestClock.setTime(day)
    yield* Schedule.apply(
      cases.map(({ cap, mode, name, window }) =>
        Schedule.make(name, {
          workflow: Beat,
          cron: "0 * * * * *",
          catchUp: { mode, window: window === undefined ? undefined : `${window} minutes`, cap }
        })
      )
    )
    if (cause === "a pause") yield* Schedule.pauseAll({})
    if (cause.startsWith("a freeze")) yield* Schedule.freeze()
    yield* TestClock.setTime(day + lookedAt * minute)
    if (cause === "a pause") {
      for (const { mode, name } of cases) yield* Schedule.resume(name, mode === "none" ? {} : { catchUp: mode })
    }
    if (cause.startsWith("a freeze")) yield* Schedule.thaw({ catchUp: cause !== "a freeze" })
    if (cause === "the answer is lost") {
      // Recorded, and decided once more by somebody who does not know; what that records must change nothing.
      const seen = yield* look(db)
      const firings = decideAll(seen, seen.now, { starts: 2 })
      yield* db.fire(firings, seen.freeze?.turn ?? null)
      yield* db.fire(firings, seen.freeze?.turn ?? null)
    }
    yield* pass(db, { starts: 3, entries: 2, ticks: 4 })
    for (const one of cases) {
      const answers = yield* Schedule.ledger(one.name, { from: day, to: day + 11 * minute })
      assert.deepStrictEqual(
        answers.map((answer) => [minuteOf(answer.tick), said(answer)] as const),
        expected(cause, one),
        one.name
      )
    }
  })

const onPostgres = Layer.unwrap(Effect.map(freshDatabase, ({ url }) => Postgres.layer({ url })))

const stores: ReadonlyArray<readonly [string, Layer.Layer<SystemDb, any>]> = [
  ["Memory", Memory.layer],
  ["Embedded", Embedded.layer()],
  ["Postgres", onPostgres]
]

for (const [name, store] of stores) {
  describe(`On ${name} every late tick gets the answer that its policy says`, () => {
    for (const cause of causes) {
      it.live(
        `when the cause is that ${cause.startsWith("a ") ? `there was ${cause}` : cause}`,
        // The store's own fibers live in real time.
        () => virtual(matrix(cause)).pipe(Effect.provide(store)),
        60_000
      )
    }
  })
}
