/** Calendars of what is left out: ticks that count, but do not start anything. */
import * as Result from "effect/Result"
import * as Cron from "../../Cron.ts"
import { enumerate, shortened } from "./base.ts"
import { dayOf, formatDay, isYearly, type Weekday, weekday, weekdayNames, weekdays } from "./civil.ts"
import * as Reading from "./reading.ts"
import { dayAt } from "./wallClock.ts"

export interface Exclusion {
  readonly stored: Readonly<Record<string, unknown>>
  /** Why a tick is excluded, or null. */
  readonly reason: (tick: number) => string | null
  readonly describe: () => string
}

const known = ["dates", "weekdays", "cron", "timeZone", "name"]

const date = (field: string, input: unknown): Reading.Read<string> =>
  typeof input === "string" && (dayOf(input) !== undefined || isYearly(input))
    ? Result.succeed(input)
    : Reading.invalid(field, "must be a date as in \"2030-12-25\", or in \"12-25\" for every year")

const isWeekend = (days: ReadonlyArray<Weekday>): boolean => days.join() === "SAT,SUN"

const mostShown = 3

const orUndefined = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> | undefined =>
  values.length === 0 ? undefined : values

/** Reads one calendar; `usual` is the zone of the ticks, if they have one. */
const read =
  (usual: Reading.NamedZone | undefined) => (field: string, input: unknown): Reading.Read<Exclusion, Reading.Refusal> =>
    Result.gen(function*() {
      const given = yield* Reading.fields(field, input, known)
      if (!["dates", "weekdays", "cron"].some((key) => key in given)) {
        return yield* Reading.invalid(field, "must have dates, weekdays or a cron")
      }
      const list = <A>(key: string, read: (field: string, input: unknown) => Reading.Read<A>) =>
        Reading.list(`${field}.${key}`, given[key] ?? [], read)
      const dates = Reading.sorted(yield* list("dates", date))
      const days = Reading.sorted(yield* list("weekdays", Reading.oneOf(weekdays)), (day) => weekdays.indexOf(day))
      const ownZone = yield* Reading.optional(`${field}.timeZone`, given["timeZone"], Reading.timeZone)
      const name = yield* Reading.optional(`${field}.name`, given["name"], Reading.text)
      const named = ownZone ?? usual
      if (named === undefined) {
        return yield* Reading.invalid(`${field}.timeZone`, "must be given, as the parts of the timing have several")
      }
      const { name: zoneName, zone } = named
      // It asks what the clock shows at a tick, not what would fire then.
      const rules = { timeZone: zoneName, gap: "skip", fold: "both" } as const
      const cron = yield* Reading.optional(`${field}.cron`, given["cron"], Reading.cron(rules))
      const dateSet = new Set(dates)
      const daySet = new Set(days)

      const byDay = (tick: number): string | null => {
        if (dates.length === 0 && days.length === 0) return null
        const day = dayAt(zone, tick)
        const today = formatDay(day)
        if (dateSet.has(today)) return today
        if (dateSet.has(today.slice(5))) return today.slice(5)
        if (!daySet.has(weekday(day))) return null
        return isWeekend(days) ? `weekends: ${weekday(day)}` : `weekday ${weekday(day)}`
      }
      const byCron = (tick: number): string | null =>
        cron !== undefined && Cron.matches(cron.cron, Math.floor(tick / 1000) * 1000) ? `cron ${cron.text}` : null
      const isOwnZone = zone.name !== usual?.zone.name

      return {
        stored: {
          dates: orUndefined(dates),
          weekdays: orUndefined(days),
          cron: cron?.text,
          timeZone: isOwnZone ? zoneName : undefined,
          name
        },
        reason: (tick) => {
          const reason = byDay(tick) ?? byCron(tick)
          return reason === null ? null : name ?? reason
        },
        describe: () => {
          const parts = [
            ...(dates.length === 0 ? [] : [`on ${shortened(dates, mostShown, "more dates")}`]),
            ...(days.length === 0 ? [] : [isWeekend(days) ? "on weekends" : `on ${enumerate(days.map(inWords))}`]),
            ...(cron === undefined ? [] : [`when the cron ${cron.text} matches`])
          ]
          return [
            enumerate(parts),
            ...(isOwnZone ? [`in ${zoneName}`] : []),
            ...(name === undefined ? [] : [`(${name})`])
          ]
            .join(" ")
        }
      }
    })

const inWords = (day: Weekday): string => weekdayNames[day]

const saysNothing = ({ stored }: Exclusion): boolean =>
  stored["dates"] === undefined && stored["weekdays"] === undefined && stored["cron"] === undefined

/** The calendars of a timing, without those whose lists turned out empty. */
export const readAll = (
  field: string,
  input: unknown,
  usual: Reading.NamedZone | undefined
): Reading.Read<ReadonlyArray<Exclusion>, Reading.Refusal> => {
  const one = read(usual)
  const given = Array.isArray(input)
    ? Reading.list(field, input, one)
    : Result.map(Reading.optional(field, input, one), (one) => one === undefined ? [] : [one])
  return Result.map(given, (exclusions) => exclusions.filter((exclusion) => !saysNothing(exclusion)))
}
