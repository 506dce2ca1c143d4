/**
 * Reads the expressions of Quartz as Quartz does: weekdays are counted from 1 for Sunday, `a/n` goes on to the end of the
 * field, ranges go round, and exactly one of the two day fields is `?`. What Quartz takes but reads only in part is refused.
 */
import * as Result from "effect/Result"
import type { Fault } from "./fault.ts"
import { type FieldShape, quartzShapes } from "./fields.ts"
import { format } from "./format.ts"
import { fieldBounds, readFields } from "./parser.ts"
import { isDigit, isLetter, Reader } from "./reader.ts"

const hash = 35
const star = 42
const dash = 45
const slash = 47
const zero = 48
const question = 63
const upperL = 76
const upperW = 87

const [, , , dayOfMonth, , dayOfWeek] = quartzShapes

/** The items of Quartz in fields that are otherwise like ours. A method that returns false has found a fault. */
class QuartzReader extends Reader {
  override readonly shapes = quartzShapes
  /** The bounds of the field being read: some items of it must be alone. */
  #start = 0
  #end = 0

  override field(shape: FieldShape, start: number, end: number): boolean {
    this.#start = start
    this.#end = end
    return super.field(shape, start, end)
  }

  override item(shape: FieldShape, start: number, end: number): boolean {
    const code = this.input.charCodeAt(start)
    if (code === star) return this.all(shape, start, end)
    if (code === slash) return this.step(shape, start, end) && this.add(shape, shape.min, shape.max, this.value)
    if (code === upperL && shape === dayOfMonth) return this.lastDay(start, end)
    if (code === upperL && shape === dayOfWeek && start + 1 === end) {
      // By itself it is the last day of the week.
      return this.alone(shape) && this.add(shape, shape.max, shape.max, 1)
    }
    if (!this.read(shape, start, end)) return this.unlike(shape, start, end, start)
    const { after, named, value } = this
    if (!this.within(shape, value, start, after)) return false
    if (after === end) return this.add(shape, value, value, 1)
    const mark = this.input.charCodeAt(after)
    if (mark === dash) return this.range(shape, start, end)
    if (mark === slash) {
      return named
        ? this.steppedName(shape, start, after, end)
        : this.step(shape, after, end) && this.add(shape, value, shape.max, this.value)
    }
    if (mark === upperW && shape === dayOfMonth && after + 1 === end) {
      this.nearestDays |= 1 << (value - 1)
      return this.alone(shape)
    }
    return shape === dayOfWeek ? this.nth(start, end) : this.unlike(shape, start, end, after)
  }

  /** `a-b` and `a-b/n`; the first value has been read. A range that runs backwards goes on at the start of the field. */
  override range(shape: FieldShape, start: number, end: number): boolean {
    const { after, named, value: first } = this
    if (!this.read(shape, after + 1, end)) return this.unlike(shape, start, end, after + 1)
    const { after: rangeEnd, value: last } = this
    if (!this.within(shape, last, after + 1, rangeEnd)) return false
    if (this.named !== named) {
      const name = (value: number) => shape.names[value - shape.min]
      return this.fail(shape, "Malformed", start, rangeEnd, `${name(first)}-${name(last)}`)
    }
    if (rangeEnd < end && this.input.charCodeAt(rangeEnd) !== slash) return this.unlike(shape, start, end, rangeEnd)
    if (rangeEnd < end && named) return this.steppedName(shape, start, rangeEnd, end)
    if (rangeEnd < end && !this.step(shape, rangeEnd, end)) return false
    const step = rangeEnd < end ? this.value : 1
    const until = first > last ? last + shape.size : last
    for (let value = first; value <= until; value += step) {
      const around = value > shape.max ? value - shape.size : value
      this.add(shape, around, around, 1)
    }
    return true
  }

  /** `L`, `L-n` and `LW`. */
  override lastDay(start: number, end: number): boolean {
    const mark = this.input.charCodeAt(start + 1)
    if (mark === upperW && start + 2 === end) {
      this.lastWorkingDay = true
      return this.alone(dayOfMonth!)
    }
    if (start + 1 === end) this.lastDays |= 1
    else if (
      mark === dash && isDigit(this.input.charCodeAt(start + 2)) && this.read(dayOfMonth!, start + 2, end) &&
      this.after === end && this.value <= 30
    ) this.lastDays |= 1 << this.value
    else return this.fail(dayOfMonth!, "Modifier", start, end)
    return true
  }

  /** `d#k` and `dL`; the weekday has been read. */
  override nth(start: number, end: number): boolean {
    const { after, value } = this
    const weekday = 1 << (value - 1)
    const mark = this.input.charCodeAt(after)
    if (mark === upperL && after + 1 === end) {
      this.lastWeekdays |= weekday
      return this.alone(dayOfWeek!)
    }
    const week = this.input.charCodeAt(after + 1) - zero
    if (mark !== hash || after + 2 !== end || week < 1 || week > 5) return this.unlike(dayOfWeek!, start, end, after)
    if (week === 5) this.fifthWeekdays |= weekday
    else this.nthWeekdays |= weekday << (7 * (week - 1))
    return this.alone(dayOfWeek!)
  }

  /** Quartz drops a step that follows a name. */
  steppedName(shape: FieldShape, start: number, slashAt: number, end: number): false {
    return this.fail(shape, "InvalidStep", start, end, this.input.slice(start, slashAt))
  }

  /** Quartz refuses a list with such an item, or reads the first alone. */
  alone(shape: FieldShape): boolean {
    return !this.input.slice(this.#start, this.#end).includes(",") ||
      this.fail(shape, "Modifier", this.#start, this.#end)
  }

  unlike(shape: FieldShape, start: number, end: number, position: number): false {
    const code = this.input.charCodeAt(position)
    const isWord = shape.names.length > 0 && position === start && isLetter(code) && end - start > 1
    if (isWord) return this.misfit(shape, start, end, position)
    const isModifier = code === question || code === hash || code === upperL || code === upperW
    return this.fail(shape, isModifier ? "Modifier" : "Malformed", start, end)
  }
}

const isOpen = (input: string, start: number, end: number): boolean =>
  start + 1 === end && input.charCodeAt(start) === question

/** Letters of both cases are the same to Quartz. Only those of ASCII are changed, so that positions stay. */
const inCapitals = (input: string): string => input.replace(/[a-z]+/g, (letters) => letters.toUpperCase())

/** The canonical form of what an expression of Quartz says. */
export const fromQuartz = (input: string): Result.Result<string, Fault> => {
  const bounds = fieldBounds(input)
  const start = bounds[0] ?? 0
  const end = bounds[bounds.length - 1] ?? input.length
  const fault = (reason: Fault["reason"], field: Fault["field"], start: number, end: number, hint?: string) =>
    Result.fail<Fault>({ field, reason, start, end, hint })

  if (bounds.length === 0) return fault("Empty", "expression", start, end)
  if (bounds.length !== 12 && bounds.length !== 14) return fault("FieldCount", "expression", start, end)
  const read = readFields(new QuartzReader(inCapitals(input)), bounds)
  if (Result.isFailure(read)) return Result.fail(read.failure)
  const [dates, datesEnd, , , weekdays, weekdaysEnd] = bounds.slice(6) as [
    number,
    number,
    number,
    number,
    number,
    number
  ]
  const datesOpen = isOpen(input, dates, datesEnd)
  if (datesOpen && isOpen(input, weekdays, weekdaysEnd)) {
    return fault("DayFields", "dayOfWeek", weekdays, weekdaysEnd, "*")
  }
  if (!datesOpen && !isOpen(input, weekdays, weekdaysEnd)) {
    return read.success.daysFree && !read.success.weekdaysFree
      ? fault("DayFields", "dayOfMonth", dates, datesEnd, "?")
      : fault("DayFields", "dayOfWeek", weekdays, weekdaysEnd, read.success.weekdaysFree ? "?" : undefined)
  }
  const hasYear = bounds.length === 14 && input.slice(bounds[12], bounds[13]) !== "*"
  return hasYear ? fault("Year", "expression", bounds[12]!, bounds[13]!) : Result.succeed(format(read.success))
}
