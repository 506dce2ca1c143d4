/** Reads one field after the other, by its characters. */
import { type Fault, misfit } from "./fault.ts"
import { dayOfMonth, dayOfWeek, type FieldShape, shapes } from "./fields.ts"

const hash = 35
const star = 42
const comma = 44
const dash = 45
const slash = 47
const zero = 48
const nine = 57
const upperL = 76
const upperW = 87

export const isDigit = (code: number): boolean => code >= zero && code <= nine
export const isLetter = (code: number): boolean => (code | 32) >= 97 && (code | 32) <= 122

/** Greater than any value or step, and small enough to be multiplied by ten. */
const tooLarge = 100_000

/** What has been read so far. A method that returns false has found a fault. */
export class Reader {
  readonly input: string
  readonly shapes: ReadonlyArray<FieldShape> = shapes
  fault: Fault | undefined
  /** The value read last, the position after it, and whether it was a name. */
  value = 0
  after = 0
  named = false
  /** The values of the field being read, and whether it says nothing. */
  low = 0
  high = 0
  free = false
  lastDays = 0
  nearestDays = 0
  lastWorkingDay = false
  nthWeekdays = 0
  fifthWeekdays = 0
  lastWeekdays = 0

  constructor(input: string) {
    this.input = input
  }

  fail(shape: FieldShape, reason: Fault["reason"], start: number, end: number, hint?: string): false {
    this.fault = { field: shape.name, reason, start, end, hint }
    return false
  }

  /** Reads a field that is `?`. */
  open(shape: FieldShape): void {
    this.low = this.high = 0
    this.free = this.add(shape, shape.min, shape.min + shape.size - 1, 1)
  }

  field(shape: FieldShape, start: number, end: number): boolean {
    this.low = this.high = 0
    this.free = false
    for (let from = start;;) {
      let until = from
      while (until < end && this.input.charCodeAt(until) !== comma) until++
      if (until === from) {
        const commaAt = from === end ? from - 1 : from
        return this.fail(shape, "EmptyItem", commaAt, commaAt + 1)
      }
      if (!this.item(shape, from, until)) return false
      if (until === end) {
        // One item that stands for everything says nothing; in a list it is a set like any other.
        if (from !== start) this.free = false
        return true
      }
      this.free = false
      from = until + 1
    }
  }

  item(shape: FieldShape, start: number, end: number): boolean {
    const code = this.input.charCodeAt(start)
    if (code === star) return this.all(shape, start, end)
    if (shape === dayOfMonth && code === upperL) return this.lastDay(start, end)
    if (code === slash) return this.stepAlone(shape, start, end, "*")
    if (!this.read(shape, start, end)) return this.misfit(shape, start, end, start)
    const { after, named, value } = this
    if (after === end) return this.within(shape, value, start, end) && this.add(shape, value, value, 1)
    const mark = this.input.charCodeAt(after)
    if (mark === dash) return this.range(shape, start, end)
    if (mark === slash) {
      return this.within(shape, value, start, after) &&
        this.stepAlone(shape, start, end, rangeText(shape, value, shape.max, named))
    }
    if (shape === dayOfMonth && mark === upperW && after + 1 === end && value >= 1 && value <= 31) {
      this.nearestDays |= 1 << (value - 1)
      return true
    }
    if (shape === dayOfWeek && value <= 7) return this.nth(start, end)
    return this.misfit(shape, start, end, after)
  }

  /** `*` and `*\/n`. */
  all(shape: FieldShape, start: number, end: number): boolean {
    const last = shape.min + shape.size - 1
    if (start + 1 === end) {
      this.free = true
      return this.add(shape, shape.min, last, 1)
    }
    if (this.input.charCodeAt(start + 1) !== slash) return this.misfit(shape, start, end, start + 1)
    if (!this.step(shape, start + 1, end)) return false
    this.free = this.value === 1
    return this.add(shape, shape.min, last, this.value)
  }

  /** `a-b` and `a-b/n`; the first value has been read. */
  range(shape: FieldShape, start: number, end: number): boolean {
    const { after, named, value: first } = this
    if (!this.read(shape, after + 1, end)) return this.misfit(shape, start, end, after + 1)
    const rangeEnd = this.after
    const stepped = rangeEnd < end
    if (stepped && this.input.charCodeAt(rangeEnd) !== slash) return this.misfit(shape, start, end, rangeEnd)
    const last = this.named && shape === dayOfWeek && this.value === 0 ? 7 : this.value
    if (!this.within(shape, first, start, after)) return false
    if (!this.within(shape, last, after + 1, rangeEnd)) return false
    if (first > last) {
      const hint = stepped ? undefined : turnedAround(shape, first, named, last, this.named)
      return this.fail(shape, "ReversedRange", start, rangeEnd, hint)
    }
    if (stepped && !this.step(shape, rangeEnd, end)) return false
    return this.add(shape, first, last, stepped ? this.value : 1)
  }

  /** `L`, `L-n` and `LW`. */
  lastDay(start: number, end: number): boolean {
    const mark = this.input.charCodeAt(start + 1)
    if (start + 1 === end) {
      this.lastDays |= 1
      return true
    }
    if (mark === upperW && start + 2 === end) {
      this.lastWorkingDay = true
      return true
    }
    if (mark === dash && this.read(dayOfMonth, start + 2, end) && this.after === end) {
      if (this.value >= 1 && this.value <= 30) {
        this.lastDays |= 1 << this.value
        return true
      }
    }
    return this.misfit(dayOfMonth, start, end, start)
  }

  /** `d#k`, `d#L` and `dL`; the weekday has been read. */
  nth(start: number, end: number): boolean {
    const { after } = this
    const weekday = 1 << (this.value % 7)
    const last = this.input.charCodeAt(end - 1) === upperL
    if (this.input.charCodeAt(after) === hash && after + 2 === end) {
      const week = this.input.charCodeAt(after + 1) - zero
      if (last) this.lastWeekdays |= weekday
      else if (week >= 1 && week <= 4) this.nthWeekdays |= weekday << (7 * (week - 1))
      else if (week === 5) this.fifthWeekdays |= weekday
      else return this.misfit(dayOfWeek, start, end, after)
      return true
    }
    if (!last || after + 1 !== end) return this.misfit(dayOfWeek, start, end, after)
    this.lastWeekdays |= weekday
    return true
  }

  /** A step where a range must come first. */
  stepAlone(shape: FieldShape, start: number, end: number, range: string): boolean {
    let from = start
    while (this.input.charCodeAt(from) !== slash) from++
    return this.step(shape, from, end) &&
      this.fail(shape, "StepWithoutRange", start, end, `${range}/${this.value}`)
  }

  /** Reads `/n` until `end`. */
  step(shape: FieldShape, slashAt: number, end: number): boolean {
    const start = slashAt + 1
    let step = 0
    for (let index = start; index < end; index++) {
      const code = this.input.charCodeAt(index)
      if (!isDigit(code)) return this.fail(shape, "InvalidStep", start, end)
      step = Math.min(10 * step + code - zero, tooLarge)
    }
    if (step === 0) return this.fail(shape, "InvalidStep", start === end ? slashAt : start, end)
    if (step > shape.size) return this.fail(shape, "StepTooLarge", start, end)
    this.value = step
    return true
  }

  /** Reads a number or a name from `start` on. False, without a fault, when there is none. */
  read(shape: FieldShape, start: number, end: number): boolean {
    let index = start
    let code = this.input.charCodeAt(index)
    this.named = !isDigit(code)
    if (this.named) {
      while (index < end && isLetter(this.input.charCodeAt(index))) index++
      // A fourth letter can be the L of "the last Friday".
      if (index === start + 4 && this.input.charCodeAt(start + 3) === upperL) index--
      const name = index === start + 3 ? shape.names.indexOf(this.input.slice(start, index).toUpperCase()) : -1
      this.value = shape.min + name
      this.after = index
      return name >= 0
    }
    let value = 0
    for (; index < end && isDigit(code); code = this.input.charCodeAt(++index)) {
      value = Math.min(10 * value + code - zero, tooLarge)
    }
    this.value = value
    this.after = index
    return index > start
  }

  within(shape: FieldShape, value: number, start: number, end: number): boolean {
    return (value >= shape.min && value <= shape.max) || this.fail(shape, "OutOfRange", start, end)
  }

  add(shape: FieldShape, first: number, last: number, step: number): true {
    for (let value = first; value <= last; value += step) {
      const bit = shape === dayOfWeek ? value % 7 : value - shape.min
      if (bit < 30) this.low |= 1 << bit
      else this.high |= 1 << (bit - 30)
    }
    return true
  }

  misfit(shape: FieldShape, start: number, end: number, position: number): false {
    this.fault = misfit(shape, this.input, start, end, position)
    return false
  }
}

const rangeText = (shape: FieldShape, first: number, last: number, named: boolean): string => {
  const text = (value: number) => named ? shape.names[(value - shape.min) % shape.size]! : String(value)
  return `${text(first)}-${text(last)}`
}

/** A range that runs backwards, as the two that were meant. */
const turnedAround = (shape: FieldShape, first: number, firstNamed: boolean, last: number, lastNamed: boolean) => {
  const part = (from: number, until: number, named: boolean) => {
    const text = rangeText(shape, from, until, named)
    return from === until ? text.slice(0, text.indexOf("-")) : text
  }
  // The first part ends with Sunday as 7, so the second does not begin with Sunday as 0.
  const low = shape === dayOfWeek ? 1 : shape.min
  const high = part(first, shape.max, firstNamed)
  return last < low ? high : `${high},${part(low, last, lastNamed)}`
}
