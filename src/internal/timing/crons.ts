/** The ticks of one cron expression, or of several together. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Cron from "../../Cron.ts"
import { type Base, capitalize } from "./base.ts"
import * as Reading from "./reading.ts"

/** Splits what `Cron.describe` says into the times and days, and the zone with its rule for clock changes. */
export const halves = (cron: Cron.Cron): readonly [when: string, rule: string] => {
  const sentence = Cron.describe(cron).slice(0, -1)
  const at = sentence.lastIndexOf(`, in ${cron.timeZone}, `)
  return [sentence.slice(0, at), sentence.slice(at + 2)]
}

const lowered = (text: string): string => text[0]!.toLowerCase() + text.slice(1)

/** Says the zone and its rule once if the crons agree in them. */
const describe = (crons: ReadonlyArray<Cron.Cron>): string => {
  if (crons.length === 1) return halves(crons[0]!).join(", ")
  const parts = crons.map(halves)
  const rule = parts[0]![1]
  const sentences = parts.every(([, other]) => other === rule)
    ? [parts.map(([when]) => lowered(when)).join("; and "), rule]
    : [parts.map((part) => lowered(part.join(", "))).join("; and ")]
  return capitalize(sentences.join("; "))
}

/** The nearest of the ticks that the crons have on one side of an instant. */
const nearest = (
  crons: ReadonlyArray<Cron.Cron>,
  ask: (cron: Cron.Cron, from: number) => Option.Option<number>,
  choose: (a: number, b: number) => number
) =>
(from: number): number | null =>
  crons.reduce<number | null>((found, cron) => {
    const tick = Option.getOrNull(ask(cron, from))
    return tick === null || found === null ? tick ?? found : choose(tick, found)
  }, null)

/** Whether the crons have these rules without being told. */
const areUsual = (
  written: ReadonlyArray<Reading.WrittenCron>,
  usual: ReadonlyArray<Reading.WrittenCron>,
  rule: "gap" | "fold"
): boolean => written.every(({ cron }, index) => cron[rule] === usual[index]!.cron[rule])

export const read = (input: Reading.Fields): Reading.Read<Base, Reading.Refusal> =>
  Result.gen(function*() {
    const gap = yield* Reading.optional("timing.gap", input["gap"], Reading.gap)
    const fold = yield* Reading.optional("timing.fold", input["fold"], Reading.fold)
    const timeZone = yield* Reading.optional("timing.timeZone", input["timeZone"], Reading.text)
    const given = yield* Reading.oneOrMore("timing.cron", input["cron"], Reading.cron({ timeZone, gap, fold }))
    const zone = timeZone === undefined ? Reading.utc : yield* Reading.timeZone("timing.timeZone", timeZone)
    const byText = new Map(given.map((cron) => [cron.text, cron]))
    const texts = Reading.sorted(Array.from(byText.keys()))
    const written = texts.map((text) => byText.get(text)!)
    const usual = yield* Reading.list("timing.cron", texts, Reading.cron({ timeZone }))
    const crons = written.map(({ cron }) => cron)
    return {
      stored: {
        cron: Reading.oneOrList(texts),
        timeZone: zone.name === "UTC" ? undefined : zone.name,
        gap: areUsual(written, usual, "gap") ? undefined : gap,
        fold: areUsual(written, usual, "fold") ? undefined : fold
      },
      zone,
      expression: texts.join(" | "),
      next: nearest(crons, Cron.next, Math.min),
      prev: nearest(crons, Cron.prev, Math.max),
      describe: () => describe(crons)
    }
  })
