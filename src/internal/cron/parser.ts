/** Reads an expression in one pass over its characters, and stops at the leftmost fault. */
import * as Result from "effect/Result"
import { everMatches } from "./calendar.ts"
import type { Fault } from "./fault.ts"
import { dayOfMonth, dayOfWeek, type Fields, isBlank } from "./fields.ts"
import { Reader } from "./reader.ts"

const macros: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 0 1 1 *"],
  ["@annually", "0 0 0 1 1 *"],
  ["@monthly", "0 0 0 1 * *"],
  ["@weekly", "0 0 0 * * 0"],
  ["@daily", "0 0 0 * * *"],
  ["@midnight", "0 0 0 * * *"],
  ["@hourly", "0 0 * * * *"]
])

const plus = 43
const question = 63
const at = 64

const fault = (reason: Fault["reason"], start: number, end: number, hint?: string) =>
  Result.fail<Fault>({ field: "expression", reason, start, end, hint })

/** No kind of expression has more fields than this. */
const mostFields = 7

/** The positions at which fields start and end, by turns. One that is too many takes all that follows with it. */
export const fieldBounds = (input: string): Array<number> => {
  const bounds: Array<number> = []
  let end = input.length
  while (end > 0 && isBlank(input.charCodeAt(end - 1))) end--
  for (let index = 0; index < end; index++) {
    if (isBlank(input.charCodeAt(index))) continue
    bounds.push(index)
    if (bounds.length > 2 * mostFields) index = end
    while (index < end && !isBlank(input.charCodeAt(index))) index++
    bounds.push(index)
  }
  return bounds
}

/** The first six of seven fields, when the seventh says nothing and so can be left out. */
const withoutYears = (input: string, bounds: ReadonlyArray<number>): string | undefined => {
  if (bounds.length !== 14 || !/^[*?]$/.test(input.slice(bounds[12], bounds[13]))) return undefined
  const six = input.slice(bounds[0], bounds[11])
  return Result.isSuccess(parse(six)) ? six : undefined
}

/** Reads an expression or a macro. */
export const parse = (input: string): Result.Result<Fields, Fault> => {
  const bounds = fieldBounds(input)
  if (bounds.length === 0) return fault("Empty", 0, input.length)
  const start = bounds[0]!
  const end = bounds[bounds.length - 1]!
  if (input.charCodeAt(start) === at) {
    const macro = input.slice(start, end)
    const meaning = macros.get(macro)
    if (meaning !== undefined) return parse(meaning)
    const lower = macro.toLowerCase()
    return fault("UnknownMacro", start, end, macros.has(lower) ? lower : undefined)
  }
  if (bounds.length !== 12) {
    const hint = bounds.length === 10 ? `0 ${input.slice(start, end)}` : withoutYears(input, bounds)
    return fault("FieldCount", start, end, hint)
  }
  return readFields(new Reader(input), bounds)
}

/** Reads six fields at these bounds. */
export const readFields = (reader: Reader, bounds: ReadonlyArray<number>): Result.Result<Fields, Fault> => {
  const { input, shapes } = reader
  const low: Array<number> = []
  const high: Array<number> = []
  const free: Array<boolean> = []
  let both = false
  for (let index = 0; index < 6; index++) {
    const shape = shapes[index]!
    let start = bounds[2 * index]!
    const end = bounds[2 * index + 1]!
    if (shape === dayOfWeek && input.charCodeAt(start) === plus && start + 1 < end) {
      both = true
      start++
    }
    const isDays = index === 3 || index === 5
    const open = isDays && !both && start + 1 === end && input.charCodeAt(start) === question
    if (open) reader.open(shape)
    else if (!reader.field(shape, start, end)) return Result.fail(reader.fault!)
    low.push(reader.low)
    high.push(reader.high)
    free.push(reader.free)
  }
  const read: Fields = {
    secondsLow: low[0]!,
    secondsHigh: high[0]!,
    minutesLow: low[1]!,
    minutesHigh: high[1]!,
    hours: low[2]!,
    days: low[3]! | (high[3]! << 30),
    lastDays: reader.lastDays,
    nearestDays: reader.nearestDays,
    lastWorkingDay: reader.lastWorkingDay,
    months: low[4]!,
    weekdays: low[5]!,
    nthWeekdays: reader.nthWeekdays,
    fifthWeekdays: reader.fifthWeekdays,
    lastWeekdays: reader.lastWeekdays,
    daysFree: free[3]!,
    weekdaysFree: free[5]!,
    both
  }
  if (everMatches(read)) return Result.succeed(read)
  reader.fail(dayOfMonth, "NeverFires", bounds[6]!, bounds[7]!)
  return Result.fail(reader.fault!)
}
