import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Event } from "../../../src/internal/schedule/events.ts"
import {
  decode,
  defaults,
  encode,
  fromOptions,
  merge,
  overlapScope,
  type Policies,
  type PolicyChanges,
  type PolicyOptions,
  settles
} from "../../../src/internal/schedule/policies.ts"

const read = (options: PolicyOptions): Policies => Result.getOrThrow(fromOptions(options))

const fieldOf = (options: unknown): string => {
  const result = fromOptions(options as PolicyOptions)
  return Result.isFailure(result) ? result.failure.field : "nothing"
}

const hook = { name: "tell", payload: Event }

const full: PolicyOptions = {
  catchUp: { mode: "all", window: "2 hours", cap: 5 },
  grace: "5 seconds",
  overlap: { mode: "bufferAll", max: 7, key: "reports" },
  jitter: "30 seconds",
  startDeadline: "1 hour",
  from: "2030-01-01T00:00:00Z",
  until: new Date("2031-01-01T00:00:00Z"),
  maxRuns: 10,
  timeout: "10 minutes",
  pauseAfterFailures: 3,
  onFailure: hook,
  onMissed: { ...hook, name: "missed" },
  onRecovered: { ...hook, name: "recovered" },
  heartbeat: "https://example.com/ping?id=1"
}

const fullPolicies: Policies = {
  catchUp: { mode: "all", windowMillis: 7_200_000, cap: 5 },
  graceMillis: 5_000,
  overlap: { mode: "bufferAll", max: 7, key: "reports" },
  jitterMillis: 30_000,
  startDeadlineMillis: 3_600_000,
  from: Date.UTC(2030, 0),
  until: Date.UTC(2031, 0),
  maxRuns: 10,
  timeoutMillis: 600_000,
  pauseAfterFailures: 3,
  onFailure: "tell",
  onMissed: "missed",
  onRecovered: "recovered",
  heartbeat: "https://example.com/ping?id=1"
}

describe("options", () => {
  it.effect("that are not given have their defaults, also when they are undefined", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(read({}), defaults)
      const undefineds = Object.fromEntries(Object.keys(full).map((option) => [option, undefined]))
      assert.deepStrictEqual(read(undefineds), defaults)
    }))

  it.effect("are all read, durations as milliseconds and instants as milliseconds since the epoch", () =>
    Effect.sync(() => assert.deepStrictEqual(read(full), fullPolicies)))

  it.effect("for late ticks and for overlap can be given by their mode alone", () =>
    Effect.sync(() => {
      for (const mode of ["none", "latest", "all"] as const) {
        assert.deepStrictEqual(read({ catchUp: mode }).catchUp, { mode, windowMillis: null, cap: null })
        assert.deepStrictEqual(read({ catchUp: { mode } }), read({ catchUp: mode }))
      }
      for (const mode of ["allow", "skip", "bufferOne", "cancelOther"] as const) {
        assert.deepStrictEqual(read({ overlap: mode }).overlap, { mode, max: null, key: null })
        assert.deepStrictEqual(read({ overlap: { mode } }), read({ overlap: mode }))
      }
      assert.deepStrictEqual(read({ overlap: "bufferAll" }).overlap, { mode: "bufferAll", max: 100, key: null })
      assert.deepStrictEqual(read({ overlap: { mode: "allow", max: 3 } }).overlap, { mode: "allow", max: 3, key: null })
    }))

  it.effect("that are durations can be nothing or endless, and parts of a millisecond are rounded up", () =>
    Effect.sync(() => {
      const { catchUp, graceMillis, jitterMillis, startDeadlineMillis } = read({
        catchUp: { mode: "all", window: Duration.infinity },
        grace: 0,
        jitter: Duration.micros(1n),
        startDeadline: Duration.micros(999n)
      })
      assert.deepStrictEqual([catchUp.windowMillis, graceMillis, jitterMillis, startDeadlineMillis], [
        null,
        0,
        1,
        1
      ])
      assert.strictEqual(read({ startDeadline: 0 }).startDeadlineMillis, 0)
    }))

  it.effect("that contradict each other are refused", () =>
    Effect.sync(() => {
      const refused = Result.getFailure(fromOptions({ jitter: "1 minute", startDeadline: "30 seconds" }))
      assert.strictEqual(Option.getOrThrow(refused).field, "startDeadline")
      const edited = Result.getFailure(merge(read({ startDeadline: "30 seconds" }), { jitter: "1 minute" }))
      assert.strictEqual(Option.getOrThrow(edited).field, "startDeadline")
    }))

  const bad: ReadonlyArray<readonly [field: string, option: keyof PolicyOptions, ...values: ReadonlyArray<unknown>]> = [
    ["catchUp", "catchUp", "never", "", { mode: "some" }, {}],
    ["catchUp.window", "catchUp", { mode: "all", window: "soon" }, { mode: "latest", window: -1 }],
    ["catchUp.cap", "catchUp", { mode: "all", cap: 0 }, { mode: "all", cap: 1.5 }, { mode: "all", cap: NaN }],
    ["grace", "grace", "-1 seconds", "a while", -1],
    ["overlap", "overlap", "forbid", { mode: "buffer" }, {}],
    ["overlap.max", "overlap", { mode: "allow", max: 0 }, { mode: "allow", max: 0.5 }, { mode: "skip", max: 1 }],
    ["overlap.max", "overlap", { mode: "bufferOne", max: 1 }, { mode: "cancelOther", max: 1 }],
    ["overlap.max", "overlap", { mode: "bufferAll", max: 1_001 }, { mode: "bufferAll", max: 0 }],
    ["overlap.key", "overlap", { mode: "skip", key: "" }, { mode: "skip", key: "k".repeat(201) }],
    ["jitter", "jitter", -1, "much"],
    ["startDeadline", "startDeadline", -1, "late"],
    ["from", "from", "tomorrow", NaN, new Date(NaN)],
    ["until", "until", "tomorrow", NaN, new Date(NaN)],
    ["maxRuns", "maxRuns", 0, -1, 1.5, NaN, Infinity],
    ["timeout", "timeout", 0, -1, "long"],
    ["pauseAfterFailures", "pauseAfterFailures", 0, 2.5],
    ["onFailure", "onFailure", {}, { name: "" }],
    ["onMissed", "onMissed", {}, { name: "" }],
    ["onRecovered", "onRecovered", {}, { name: "" }],
    ["heartbeat", "heartbeat", "", "example.com", "ftp://example.com", "https://", "https://a b"]
  ]

  it.effect.each(bad)(
    "that are wrong are refused by the name of the field: %s",
    ([field, option, ...values]) =>
      Effect.sync(() => {
        for (const value of values) assert.strictEqual(fieldOf({ [option]: value }), field, JSON.stringify(value))
      })
  )

  it.effect("that end before they begin are refused", () =>
    Effect.sync(() => {
      assert.strictEqual(fieldOf({ from: 2, until: 1 }), "until")
      assert.strictEqual(fieldOf({ from: 1, until: 1 }), "nothing")
    }))
})

// ── stored ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
const count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }))
// There is no negative zero in what is read as an instant, nor in JSON.
const instant = Schema.Int.check(Schema.makeFilter((millis: number) => !Object.is(millis, -0)))
const text = Schema.NullOr(Schema.String)

const policies = Schema.Struct({
  catchUp: Schema.Struct({
    mode: Schema.Literals(["none", "latest", "all"]),
    windowMillis: Schema.NullOr(millis),
    cap: Schema.NullOr(count)
  }),
  graceMillis: Schema.Union([Schema.Literal(60_000), millis]),
  overlap: Schema.Struct({
    mode: Schema.Literals(["allow", "skip", "bufferOne", "bufferAll", "cancelOther"]),
    max: Schema.NullOr(count),
    key: text
  }),
  jitterMillis: millis,
  startDeadlineMillis: Schema.NullOr(millis),
  from: Schema.NullOr(instant),
  until: Schema.NullOr(instant),
  maxRuns: Schema.NullOr(count),
  timeoutMillis: Schema.NullOr(count),
  pauseAfterFailures: Schema.NullOr(count),
  onFailure: text,
  onMissed: text,
  onRecovered: text,
  heartbeat: text
})

describe("a text", () => {
  it.effect.prop("gives back the policies it was made of, and says of them what is not the default", { policies }, ({
    policies
  }) =>
    Effect.sync(() => {
      const stored = encode(policies)
      assert.deepStrictEqual(Result.getOrThrow(decode(stored)), policies)
      const said = JSON.parse(stored) as Record<string, unknown>
      for (const [field, value] of Object.entries(said)) {
        assert.notDeepEqual<unknown>(value, defaults[field as keyof Policies])
      }
    }))

  it.effect("without fields gives the defaults, and is what they are written as", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(Result.getOrThrow(decode("{}")), defaults)
      assert.strictEqual(encode(defaults), "{}")
    }))

  it.effect("that cannot be understood is not guessed", () =>
    Effect.sync(() => {
      const texts = [
        "",
        "[]",
        "null",
        "{\"catchUp\":\"latest\"}",
        "{\"catchUp\":{\"mode\":\"some\",\"windowMillis\":null,\"cap\":null}}",
        "{\"catchUp\":{\"mode\":\"all\"}}",
        "{\"graceMillis\":-1}",
        "{\"graceMillis\":\"1\"}",
        "{\"graceMillis\":null}",
        "{\"overlap\":{\"mode\":\"allow\",\"max\":0,\"key\":null}}",
        "{\"jitterMillis\":0.5}",
        "{\"maxRuns\":0}",
        "{\"timeoutMillis\":0}",
        "{\"from\":\"2030\"}",
        "{\"onFailure\":{}}"
      ]
      for (const text of texts) assert.isTrue(Result.isFailure(decode(text)), text)
    }))

  it.effect("of all the options reads back as the policies they are", () =>
    Effect.sync(() => assert.deepStrictEqual(Result.getOrThrow(decode(encode(read(full)))), fullPolicies)))
})

// ── edits ───────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("an edit", () => {
  it.effect("replaces what it names, puts back the default for null, and keeps the rest", () =>
    Effect.sync(() => {
      const changes = { grace: "1 second", catchUp: "none", maxRuns: null, overlap: null, jitter: undefined } as const
      assert.deepStrictEqual(Result.getOrThrow(merge(fullPolicies, changes)), {
        ...fullPolicies,
        graceMillis: 1_000,
        catchUp: { mode: "none", windowMillis: null, cap: null },
        maxRuns: null,
        overlap: defaults.overlap
      })
      const nothing = Object.fromEntries(Object.keys(full).map((option) => [option, null])) as PolicyChanges
      assert.deepStrictEqual(Result.getOrThrow(merge(fullPolicies, nothing)), defaults)
      assert.deepStrictEqual(Result.getOrThrow(merge(fullPolicies, {})), fullPolicies)
    }))

  it.effect("is refused by the field that is wrong, also when that is wrong only together with what was there", () =>
    Effect.sync(() => {
      const refusedBy = (changes: PolicyChanges) => {
        const result = merge(fullPolicies, changes)
        return Result.isFailure(result) ? result.failure.field : "nothing"
      }
      assert.strictEqual(refusedBy({ maxRuns: 0 }), "maxRuns")
      assert.strictEqual(refusedBy({ until: "2029-01-01T00:00:00Z" }), "until")
      assert.strictEqual(refusedBy({ until: "2029-01-01T00:00:00Z", from: null }), "nothing")
    }))
})

describe("what policies ask for", () => {
  it.effect("is the end of runs when something is told about it, and the scope of the schedule or of a key", () =>
    Effect.sync(() => {
      assert.isFalse(settles(defaults))
      assert.isFalse(settles({ ...defaults, onMissed: "tell" }))
      for (
        const one of [
          { pauseAfterFailures: 1 },
          { onFailure: "tell" },
          { onRecovered: "tell" },
          { heartbeat: "https://example.com" }
        ]
      ) {
        assert.isTrue(settles({ ...defaults, ...one }))
      }
      assert.isNull(overlapScope("report", defaults))
      assert.isNull(overlapScope("report", read({ overlap: { mode: "allow", key: "all" } })))
      assert.strictEqual(overlapScope("report", read({ overlap: "skip" })), "schedule:report")
      assert.strictEqual(overlapScope("report", read({ overlap: { mode: "allow", max: 2 } })), "schedule:report")
      assert.strictEqual(overlapScope("report", read({ overlap: { mode: "skip", key: "all" } })), "key:all")
    }))
})
