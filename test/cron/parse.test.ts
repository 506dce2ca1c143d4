import { assert, describe, it } from "@effect/vitest"
import { Arbitrary } from "effect"
import * as Cron from "effect-durable/Cron"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Generate from "./generators.ts"

const canonical = (text: string) => Cron.parseUnsafe(text).expression
const refusal = (text: string, timeZone?: string) => Result.getOrThrow(Result.flip(Cron.parse(text, { timeZone })))

const each = <A extends ReadonlyArray<unknown>>(name: string, rows: ReadonlyArray<A>, body: (...row: A) => void) =>
  it.effect(name, () => Effect.sync(() => rows.forEach((row) => body(...row))))

describe("what is accepted", () => {
  each("the canonical form says the same thing in one way", [
    ["0 0 0 * * *", "0 0 0 * * *"],
    ["\t 00  007\t0 ? * ?  ", "0 7 0 * * *"],
    ["*/1 0-59 0-23 */1 1-12 */1", "* * * * * *"],
    ["0 0 0 1-31 * 0-7", "0 0 0 1-31 * 0-6"],
    ["0 0 0 *,5 * *,5", "0 0 0 1-31 * 0-6"],
    ["0 0 0 */2 * MON", "0 0 0 */2 * 1"],
    ["0 0 0 */31 * */7", "0 0 0 1 * 0"],
    ["3,1,2,1 0,30 0,12 * * *", "1-3 */30 */12 * * *"],
    ["5-59/15 0,59 0,1,2,5 1,2 1,7 *", "5-50/15 0,59 0-2,5 1,2 */6 *"],
    ["0 0 0 * jan,Jul sun-TUE,SAT", "0 0 0 * */6 0-2,6"],
    ["0 0 0 * * SAT-SUN", "0 0 0 * * 0,6"],
    ["0 0 0 * * SUN-SUN", "0 0 0 * * 0-6"],
    ["0 0 0 * * 5-7/2,7", "0 0 0 * * 0,5"],
    ["0 0 0 LW,L,L-3,15W,1 * *", "0 0 0 1,15W,L,L-3,LW * *"],
    ["0 0 0 * * FRIL,5#L,7#2,sun#2,1#5", "0 0 0 * * 0#2,1#5,5L"],
    ["0 0 0 1-7 * +MON", "0 0 0 1-7 * +1"],
    ["0 0 0 1-7 * +*", "0 0 0 1-7 * +*"],
    ["@yearly", "0 0 0 1 1 *"],
    ["@annually", "0 0 0 1 1 *"],
    [" @monthly ", "0 0 0 1 * *"],
    ["@weekly", "0 0 0 * * 0"],
    ["@daily", "0 0 0 * * *"],
    ["@midnight", "0 0 0 * * *"],
    ["@hourly", "0 0 * * * *"]
  ], (text: string, expected: string) => assert.strictEqual(canonical(text), expected))

  each("dates that come, if rarely, are accepted", [
    ["0 0 0 30 2 MON"],
    ["0 0 0 29 2 +SUN"],
    ["0 0 0 29W 2 *"],
    ["0 0 0 L-28 2 *"],
    ["0 0 0 31 2,3 *"],
    ["0 0 0 * 2 1#5"],
    ["0 0 0 29 2 +2#5"]
  ], (text: string) => assert.isTrue(Result.isSuccess(Cron.parse(text)), text))

  each(
    "a time zone has one canonical name, whichever way it is written",
    [
      ["europe/berlin", "Europe/Berlin"],
      ["US/Eastern", "America/New_York"],
      ["Etc/UTC", "UTC"],
      ["+0200", "+02:00"],
      ["-03:30", "-03:30"]
    ],
    (timeZone: string, name: string) => assert.strictEqual(Cron.parseUnsafe("0 0 0 * * *", { timeZone }).timeZone, name)
  )
})

describe("what is refused", () => {
  each("a message says what is wrong, points at it and says what to write", [
    [
      "*/5 * * * *",
      "5 fields: this library needs 6, with seconds first\n  */5 * * * *\n  ^^^^^^^^^^^  try: 0 */5 * * * *"
    ],
    ["0 0 22-2 * * *", "hour: 22-2 runs backwards\n  0 0 22-2 * * *\n      ^^^^  try: 22-23,0-2"],
    ["0\t0 0 0 * *", "day of month: 0 is not within 1-31\n  0 0 0 0 * *\n        ^"]
  ], (text: string, message: string) => assert.strictEqual(refusal(text).message, message))

  each("a hint is what to write in place of the fault", [
    ["0 0 12 * * ? *", "0 0 12 * * ?"],
    ["0 0 12 1 1 ? 2027", undefined],
    ["TZ=UTC 0 0 12 * * *", undefined],
    ["0 0 0 * * FRI-MON", "FRI-SUN,MON"],
    ["0 0 0 * * FRI-TUE", "FRI-SUN,MON-TUE"],
    ["0 0 0 * * 6-1", "6-7,1"],
    ["0 0 0 * * 5-0", "5-7"],
    ["0 0 0 * * 7-2", "7,1-2"],
    ["0 0 0 * DEC-JAN *", "DEC,JAN"],
    ["0 59-0 0 * * *", "59,0"],
    ["0 0 0 * * MON/2", "MON-SUN/2"],
    ["0 0 0 * JAN/3 *", "JAN-DEC/3"],
    ["0 0 0 3/7 * *", "3-31/7"],
    ["0 0 0 ?/2 * *", "*"],
    ["0 0 0 l * *", "L"],
    ["0 0 0 15w * *", "15W"],
    ["0 0 0 lw * *", "LW"],
    ["0 0 0 * * 5l", "5L"],
    ["0 0 0 * * fril", "FRIL"],
    ["0 0 0 * * Monday", "MON"],
    ["0 0 0 * September *", "SEP"],
    ["@DAILY", "@daily"]
  ], (text: string, hint: string | undefined) => assert.strictEqual(refusal(text).hint, hint, text))

  each("dates that never come are refused", [
    ["0 0 0 30,31 2 *"],
    ["0 0 0 31 2,4,6,9,11 *"],
    ["0 0 0 30W 2 *"],
    ["0 0 0 L-30 4,6 *"],
    ["0 0 0 29 * +1#1"],
    ["0 0 0 1 * +5L"],
    ["0 0 0 15W * +SAT"],
    ["0 0 0 LW * +SUN"]
  ], (text: string) => {
    const { end, field, reason, start } = refusal(text)
    assert.deepStrictEqual([field, reason], ["dayOfMonth", "NeverFires"])
    assert.strictEqual(text.slice(start, end), text.split(" ")[3])
  })

  each("the leftmost of several faults is reported", [
    ["60 0 0 * * 9", "second"],
    ["0 0 1,x,99 * * *", "hour"],
    ["0 0 0 30 2,13 *", "month"]
  ], (text: string, field: string) => assert.strictEqual(refusal(text).field, field))

  it.effect("an unknown time zone is shown as it was written", () =>
    Effect.sync(() => {
      const error = refusal("0 0 0 * * *", "Mars/Olympus")
      assert.deepStrictEqual([error.field, error.reason, error.input], ["timeZone", "UnknownTimeZone", "Mars/Olympus"])
      assert.include(error.message, "Mars/Olympus")
      assert.strictEqual(refusal("0 0 0 * * *", "").reason, "UnknownTimeZone")
    }))

  it.effect("parseUnsafe throws the error that make fails with", () =>
    Effect.gen(function*() {
      const text: string = "0 0 0 30 2 *"
      const error = yield* Effect.flip(Cron.make(text))
      assert.throws(() => Cron.parseUnsafe(text), error.message)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Cron.make("@daily"))))
    }))

  it.effect("an error survives being stored", () =>
    Effect.gen(function*() {
      const error = refusal("0 0 22-2 * * *")
      const json = yield* Schema.encodeUnknownEffect(Schema.toCodecJson(Cron.CronParseError))(error)
      const back = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(Cron.CronParseError))(json)
      assert.strictEqual(back.message, error.message)
    }))

  it.effect("a long input is shortened in the message", () =>
    Effect.sync(() => {
      const message = refusal(`${"0,".repeat(5000)}60 0 0 * * *`).message
      assert.isBelow(message.length, 400)
      assert.include(message, "60 is not within 0-59")
      assert.isBelow(refusal("x".repeat(100_000)).message.length, 600)
      const fields = `${"0,".repeat(5000)}0 0 * * *`
      assert.isBelow(refusal(fields).message.length, 600)
      assert.include(refusal(fields).message, "5 fields")
      assert.strictEqual(refusal(fields).hint, `0 ${fields}`)
    }))
})

const characters = "0123456789*/-,?LW#+ lwSUNMONJANH~@."

const noise = Arbitrary.map(
  Arbitrary.array(Generate.int(0, characters.length - 1), { maxLength: 8 }),
  (indices) => indices.map((index) => characters[index]).join("")
)

const assertSound = (text: string) => {
  const parsed = Cron.parse(text)
  if (Result.isSuccess(parsed)) return
  const { end, hint, message, start } = parsed.failure
  assert.isTrue(0 <= start && start <= end && end <= text.length)
  assert.include(message, "\n")
  if (hint === undefined) return
  // Every hint repairs the fault it is given for: what is reported next, if anything, is something else.
  const repaired = Cron.parse(text.slice(0, start) + hint + text.slice(end))
  if (Result.isSuccess(repaired)) return
  assert.notDeepEqual({ ...repaired.failure, input: "" }, { ...parsed.failure, input: "" })
}

describe("any text", () => {
  it.effect.prop(
    "is parsed or refused with a fault inside it",
    [Schema.String],
    ([text]) => Effect.sync(() => assertSound(text)),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "that looks like an expression is parsed or refused with a fault inside it",
    [Generate.expression, noise, noise, Generate.int(0, 40)],
    ([expression, first, second, at]) =>
      Effect.sync(() => {
        assertSound(expression.slice(0, at) + first + expression.slice(at))
        const fields = expression.split(" ")
        fields[at % 6] = second
        assertSound(fields.join(" "))
      }),
    { arbitrary: { runs: 1500 } }
  )
})
