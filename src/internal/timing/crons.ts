/** The ticks of one cron expression, or of several together. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Cron from "../../Cron.ts"
import { type Base, capitalize, nearest } from "./base.ts"
import * as Reading from "./reading.ts"

/** Splits what `Cron.describe` says into the times and days, and the zone with its rule for clock changes. */
export const halves = (cron: Cron.Cron): readonly [when: string, rule: string] => {
  const sentence = Cron.describe(cron).slice(0, -1)
  const at = sentence.lastIndexOf(`, in ${cron.timeZone}, `)
  return [sentence.slice(0, at), sentence.slice(at + 2)]
}

const lowered = (text: string): string => text[0]!.toLowerCase() + text.slice(1)

/** How many crons are worth describing. */
const mostShown = 4

/** Says the zone and its rule once if the crons agree in them. */
const describe = (crons: ReadonlyArray<Cron.Cron>): string => {
  if (crons.length === 1) return halves(crons[0]!).join(", ")
  const parts = crons.slice(0, mostShown).map(halves)
  const more = crons.length > mostShown ? [`${crons.length - mostShown} more crons`] : []
  const rule = parts[0]![1]
  const agree = more.length === 0 && parts.every(([, other]) => other === rule)
  const sentences = agree
    ? [parts.map(([when]) => lowered(when)).join("; and "), rule]
    : [[...parts.map((part) => lowered(part.join(", "))), ...more].join("; and ")]
  return capitalize(sentences.join("; "))
}

/** Whether the crons have these rules without being told. */
const areUsual = (
  written: ReadonlyArray<Reading.WrittenCron>,
  usual: ReadonlyArray<Reading.WrittenCron>,
  rule: "gap" | "fold"
): boolean => written.every(({ cron }, index) => cron[rule] === usual[index]!.cron[rule])

export const read = (field: string, input: Reading.Fields): Reading.Read<Base, Reading.Refusal> =>
  Result.gen(function*() {
    const gap = yield* Reading.optional(`${field}.gap`, input["gap"], Reading.gap)
    const fold = yield* Reading.optional(`${field}.fold`, input["fold"], Reading.fold)
    const timeZone = yield* Reading.optional(`${field}.timeZone`, input["timeZone"], Reading.text)
    const given = yield* Reading.oneOrMore(`${field}.cron`, input["cron"], Reading.cron({ timeZone, gap, fold }))
    const zone = timeZone === undefined ? Reading.utc : yield* Reading.timeZone(`${field}.timeZone`, timeZone)
    const byText = new Map(given.map((cron) => [cron.text, cron]))
    const texts = Reading.sorted(Array.from(byText.keys()))
    const written = texts.map((text) => byText.get(text)!)
    const usual = yield* Reading.list(`${field}.cron`, texts, Reading.cron({ timeZone }))
    const crons = written.map(({ cron }) => cron)
    return {
      stored: {
        cron: Reading.oneOrList(texts),
        timeZone: zone.name === "UTC" ? undefined : zone.name,
        gap: areUsual(written, usual, "gap") ? undefined : gap,
        fold: areUsual(written, usual, "fold") ? undefined : fold
      },
      zones: [zone],
      expression: texts.join(" | "),
      next: nearest(crons.map((cron) => (after) => Option.getOrNull(Cron.next(cron, after))), Math.min),
      prev: nearest(crons.map((cron) => (before) => Option.getOrNull(Cron.prev(cron, before))), Math.max),
      describe: () => describe(crons)
    }
  })
