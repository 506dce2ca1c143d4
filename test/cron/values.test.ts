import { assert, describe, it } from "@effect/vitest"
import * as Cron from "effect-durable/Cron"
import * as EffectCron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import * as Generate from "./generators.ts"

const berlin = { timeZone: "Europe/Berlin" }
const nightly = Cron.parseUnsafe("0 30 2 * * *", berlin)

describe("a value", () => {
  it.effect("equals what means the same in the same zone", () =>
    Effect.sync(() => {
      const same = Cron.parseUnsafe("0,0 30 2-2 ? JAN-DEC *", { timeZone: "europe/berlin", gap: "shift" })
      assert.isTrue(Equal.equals(nightly, same))
      assert.strictEqual(Hash.hash(nightly), Hash.hash(same))
      for (
        const other of [
          Cron.parseUnsafe("0 30 2 * * *"),
          Cron.parseUnsafe("0 31 2 * * *", berlin),
          Cron.parseUnsafe("0 30 2 1-31 * *", berlin),
          Cron.parseUnsafe("0 30 2 * * *", { ...berlin, gap: "skip" }),
          Cron.parseUnsafe("0 30 2 * * *", { ...berlin, fold: "both" }),
          "0 30 2 * * *",
          undefined
        ]
      ) assert.isFalse(Equal.equals(nightly, other))
    }))

  it.effect("prints as its expression, and with its zone as JSON", () =>
    Effect.sync(() => {
      assert.strictEqual(`${nightly}`, "0 30 2 * * *")
      assert.strictEqual(Cron.format(nightly), "0 30 2 * * *")
      const json = { _id: "Cron", expression: "0 30 2 * * *", timeZone: "Europe/Berlin", gap: "shift", fold: "first" }
      assert.deepStrictEqual(nightly.toJSON(), json)
      assert.strictEqual(inspect(nightly), inspect(json))
    }))

  it.effect("is recognised, and can be piped", () =>
    Effect.sync(() => {
      assert.isTrue(Cron.isCron(nightly))
      for (const other of [null, {}, "0 0 0 * * *", EffectCron.parseUnsafe("* * * * *")]) {
        assert.isFalse(Cron.isCron(other))
      }
      const at = Date.UTC(2026, 0)
      const range = { from: at, to: at + 1e9 }
      assert.deepStrictEqual(nightly.pipe(Cron.next(at)), Cron.next(nightly, at))
      assert.deepStrictEqual(nightly.pipe(Cron.prev(at)), Cron.prev(nightly, at))
      assert.strictEqual(nightly.pipe(Cron.matches(at)), false)
      assert.strictEqual(nightly.pipe(Cron.count(range)), 12)
      assert.deepStrictEqual([...nightly.pipe(Cron.occurrences(range))], [...Cron.occurrences(nightly, range)])
    }))
})

describe("occurrences", () => {
  const range = { from: Date.UTC(2026, 0), to: Date.UTC(2027, 0) }

  it.effect("can be iterated again", () =>
    Effect.sync(() => {
      const all = Cron.occurrences(nightly, range)
      assert.deepStrictEqual([...all], [...all])
      assert.strictEqual([...all].length, 365)
    }))

  it.effect("without an end are found one at a time", () =>
    Effect.sync(() => {
      const [first, second] = Cron.occurrences(nightly, { from: range.from })
      assert.deepStrictEqual([first, second], [Date.UTC(2026, 0, 1, 1, 30), Date.UTC(2026, 0, 2, 1, 30)])
    }))

  it.effect("as a stream are the same", () =>
    Effect.gen(function*() {
      const streamed = yield* Stream.runCollect(Cron.stream(nightly, { ...range, reverse: true }))
      assert.deepStrictEqual(streamed, [...Cron.occurrences(nightly, range)].reverse())
      const some = yield* Cron.stream(nightly, { from: range.from }).pipe(Stream.take(3), Stream.runCollect)
      assert.strictEqual(some.length, 3)
    }))

  it.effect("are given as dates on request", () =>
    Effect.sync(() => {
      const at = DateTime.makeUnsafe("2026-03-29T00:00:00Z")
      const iso = Option.map(DateTime.formatIso)
      assert.deepStrictEqual(iso(Cron.nextDateTime(nightly, at)), Option.some("2026-03-29T01:00:00.000Z"))
      assert.deepStrictEqual(iso(nightly.pipe(Cron.prevDateTime(at))), Option.some("2026-03-28T01:30:00.000Z"))
    }))
})

describe("codecs", () => {
  const roundTrip = <S extends Schema.Codec<Cron.Cron, any>>(codec: S, cron: Cron.Cron) =>
    Effect.gen(function*() {
      const encoded = yield* Schema.encodeEffect(codec)(cron)
      const decoded = yield* Schema.decodeUnknownEffect(codec)(encoded)
      assert.isTrue(Equal.equals(decoded, cron))
      return encoded as unknown
    })

  it.effect("a string carries an expression in UTC, and nothing else", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* roundTrip(Cron.FromString, Cron.parseUnsafe("@daily")), "0 0 0 * * *")
      for (const cron of [nightly, Cron.parseUnsafe("@daily", { fold: "both" })]) {
        assert.isTrue(Result.isFailure(yield* Effect.result(Schema.encodeEffect(Cron.FromString)(cron))))
      }
      const error = yield* Effect.flip(Schema.decodeUnknownEffect(Cron.FromString)("0 0 30 2 *"))
      assert.include(error.message, "try: 0 0 0 30 2 *")
    }))

  it.effect("parts carry the zone, and rules that were chosen", () =>
    Effect.gen(function*() {
      const parts = { expression: "0 30 2 * * *", timeZone: "Europe/Berlin" }
      assert.deepStrictEqual(yield* roundTrip(Cron.FromParts, nightly), parts)
      const chosen = Cron.parseUnsafe("0 30 2 * * *", { ...berlin, gap: "skip" })
      assert.deepStrictEqual(yield* roundTrip(Cron.FromParts, chosen), { ...parts, gap: "skip", fold: "first" })
      const error = yield* Effect.flip(Schema.decodeUnknownEffect(Cron.FromParts)({ ...parts, timeZone: "Nowhere" }))
      assert.include(error.message, "time zone")
    }))

  it.effect("a struct with a value in it has a JSON codec", () =>
    Effect.gen(function*() {
      const codec = Schema.toCodecJson(Schema.Struct({ cron: Cron.Cron }))
      const encoded = yield* Schema.encodeEffect(codec)({ cron: nightly })
      assert.deepStrictEqual(encoded, { cron: { expression: "0 30 2 * * *", timeZone: "Europe/Berlin" } })
      assert.isTrue(Equal.equals((yield* Schema.decodeUnknownEffect(codec)(encoded)).cron, nightly))
    }))
})

describe("a crontab line", () => {
  it.effect("gets a seconds field", () =>
    Effect.sync(() => {
      for (
        const [line, expression] of [
          ["30 2 * * 1-5", "0 30 2 * * 1-5"],
          ["  */5 * * * *  ", "0 */5 * * * *"],
          ["0 0 1 * MON", "0 0 0 1 * MON"],
          ["@hourly", "@hourly"],
          // A day field that starts with a star makes a crontab ask for both.
          ["0 0 */2 * MON", "0 0 0 */2 * +MON"],
          ["0 0 13 * */5", "0 0 0 13 * +*/5"],
          ["0 0 * * */5", "0 0 0 * * */5"]
        ] as const
      ) assert.deepStrictEqual(Cron.fromUnix(line), Result.succeed(expression))
    }))

  it.effect("is refused with positions in the line", () =>
    Effect.sync(() => {
      const fault = (line: string) => {
        const { end, input, reason, start } = Result.getOrThrow(Result.flip(Cron.fromUnix(line)))
        assert.strictEqual(input, line)
        return [reason, line.slice(start, end)]
      }
      assert.deepStrictEqual(fault("  0 22-2 * * *"), ["ReversedRange", "22-2"])
      assert.deepStrictEqual(fault("0 0 0 1 * *"), ["FieldCount", "0 0 0 1 * *"])
      assert.deepStrictEqual(fault("0 0 30 2 *"), ["NeverFires", "30"])
      assert.deepStrictEqual(fault(" @reboot"), ["UnknownMacro", "@reboot"])
      assert.deepStrictEqual(fault("  "), ["Empty", "  "])
    }))

  it.effect("is told how many fields it has and how many it needs", () =>
    Effect.sync(() => {
      const message = (line: string) => Result.getOrThrow(Result.flip(Cron.fromUnix(line))).message.split("\n")[0]
      assert.strictEqual(message("0 0 * *"), "4 fields: a crontab line has 5")
      assert.strictEqual(
        message("0 0 0 1 * *"),
        "6 fields: a crontab line has 5; with seconds first it needs no translation"
      )
      assert.strictEqual(message(`0 ${",".repeat(500)} 0 0 1 * * a b c`), "10 fields: a crontab line has 5")
    }))
})

describe("the Cron of Effect", () => {
  it.effect.prop(
    "is taken over and given back with the same occurrences, away from clock changes",
    [Generate.expression, Generate.instant],
    ([expression, at]) =>
      Effect.sync(() => {
        const parsed = Cron.parse(expression, { timeZone: "Etc/GMT-9" })
        if (Result.isFailure(parsed)) return
        const theirs = Cron.toEffectCron(parsed.success)
        if (Option.isNone(theirs)) return assert.match(expression, /[LW#]/)
        const again = Option.getOrThrow(Cron.fromEffectCron(theirs.value))
        assert.isTrue(Equal.equals(again, parsed.success) || expression.includes("+"))
        for (const instant of [at, at + 1e9]) {
          assert.deepStrictEqual(Cron.next(again, instant), Cron.next(parsed.success, instant))
        }
        assert.strictEqual(
          EffectCron.next(theirs.value, DateTime.makeUnsafe(at)).getTime(),
          Option.getOrThrow(Cron.next(parsed.success, at))
        )
      }),
    { arbitrary: { runs: 200 } }
  )

  it.effect("keeps its rule for repeated times", () =>
    Effect.sync(() => {
      for (const [onDstOverlap, fold] of [["earlier", "first"], ["later", "second"], ["both", "both"]] as const) {
        const theirs = EffectCron.parseUnsafe("*/30 * * * *", "Europe/Berlin", { onDstOverlap })
        const ours = Option.getOrThrow(Cron.fromEffectCron(theirs))
        assert.deepStrictEqual([ours.fold, ours.expression], [fold, "0 */30 * * * *"])
        assert.strictEqual(Option.getOrThrow(Cron.toEffectCron(ours)).onDstOverlap, onDstOverlap)
      }
    }))

  it.effect("cannot be taken over without a zone or a date, nor given back with a chosen rule for gaps", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(Cron.fromEffectCron(EffectCron.parseUnsafe("0 0 * * *")), Option.none())
      assert.deepStrictEqual(Cron.fromEffectCron(EffectCron.parseUnsafe("0 0 30 2 *", "UTC")), Option.none())
      const chosen = Cron.parseUnsafe("0 0 0 * * *", { ...berlin, gap: "skip" })
      assert.deepStrictEqual(Cron.toEffectCron(chosen), Option.none())
    }))
})

describe("in words", () => {
  it.effect("an expression is one sentence that names the zone and its clock changes", () =>
    Effect.sync(() => {
      const wall = ", in Europe/Berlin, by the clock on the wall: " +
        "skipped times fire right after the change, repeated ones once."
      const always = ", in Europe/Berlin, by the clock on the wall: skipped times do not fire, repeated ones twice."
      for (
        const [expression, sentence] of [
          ["0 30 2 * * *", `At 02:30:00, every day${wall}`],
          ["0 0 9,17 * * MON-FRI", `At 09:00:00 and 17:00:00, on Monday to Friday${wall}`],
          ["*/10 * * * * *", `Every 10 seconds, every day${always}`],
          ["0 */5 * * * *", `Every 5 minutes, every day${always}`],
          ["0 0 * * * *", `Every hour, every day${always}`],
          ["0 30 * * * *", `At minute 30 of every hour, every day${always}`],
          ["0 */15 9-17 * * *", `Every 15 minutes of hours 9 to 17, every day${wall}`],
          ["0 0 0 1,15,L * *", `At 00:00:00, on the 1st and 15th and the last day of the month${wall}`],
          ["0 0 0 13 * +FRI", `At 00:00:00, on the 13th of the month if that is Friday${wall}`],
          ["0 0 0 13 6 FRI", `At 00:00:00, on the 13th of the month and on Friday, both only in June${wall}`],
          [
            "0 0 0 15W,LW,L-2 2,3 *",
            "At 00:00:00, on the working day nearest to the 15th, 2 days before the last day " +
            `and the last working day in February and March${wall}`
          ],
          ["0 0 0 * * 2#2,5L", `At 00:00:00, on the 2nd Tuesday and the last Friday of the month${wall}`]
        ] as const
      ) assert.strictEqual(Cron.describe(Cron.parseUnsafe(expression as string, berlin)), sentence)
    }))

  it.effect("chosen rules are said, and a zone without changes is", () =>
    Effect.sync(() => {
      const say = (options: Cron.Options) => Cron.describe(Cron.parseUnsafe("0 0 0 * * *", options))
      assert.strictEqual(say({}), "At 00:00:00, every day, in UTC, which has no clock changes.")
      assert.include(
        say({ ...berlin, gap: "skip", fold: "second" }),
        "skipped times do not fire, repeated ones once, at the second pass."
      )
      assert.include(say({ ...berlin, fold: "both" }), "repeated ones twice.")
    }))
})
