/** What a parsed expression says, and the shape of the six fields. */

/**
 * The six fields as sets, each a bit mask. The lowest bit stands for the smallest value of the field; seconds and minutes are
 * cut in two halves of 30 bits, so that every mask is a small integer.
 */
export interface Fields {
  readonly secondsLow: number
  readonly secondsHigh: number
  readonly minutesLow: number
  readonly minutesHigh: number
  readonly hours: number
  /** Bit d - 1 for day d. */
  readonly days: number
  /** `L` and `L-n`: bit n for n days before the last. */
  readonly lastDays: number
  /** `dW`: bit d - 1 for the working day nearest to day d. */
  readonly nearestDays: number
  /** `LW`: the last working day. */
  readonly lastWorkingDay: boolean
  /** Bit m - 1 for month m. */
  readonly months: number
  /** Bit 0 is Sunday. */
  readonly weekdays: number
  /** `d#1` to `d#4`: seven bits for each of the four weeks. */
  readonly nthWeekdays: number
  /** `d#5`. */
  readonly fifthWeekdays: number
  /** `dL` and `d#L`. */
  readonly lastWeekdays: number
  /** Written as `*`, `?` or `*\/1`, and so saying nothing about the day. */
  readonly daysFree: boolean
  readonly weekdaysFree: boolean
  /** `+`: a day must match both day fields, not either. */
  readonly both: boolean
}

/** The fields of an expression by name, and the two things besides them that can be at fault. */
export const fieldNames = [
  "expression",
  "second",
  "minute",
  "hour",
  "dayOfMonth",
  "month",
  "dayOfWeek",
  "timeZone"
] as const

export type FieldName = (typeof fieldNames)[number]

export interface FieldShape {
  readonly name: FieldName
  readonly min: number
  readonly max: number
  /** How many different values there are, which is also the largest step. */
  readonly size: number
  /** The names of the values from `min` on. */
  readonly names: ReadonlyArray<string>
}

const tab = 9
const space = 32

/** Whether a character sets fields apart. */
export const isBlank = (code: number): boolean => code === space || code === tab

export const monthNames: ReadonlyArray<string> = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December"
]

export const weekdayNames: ReadonlyArray<string> = [
  "Sunday",
  "Monday",
  "Tuesday",
  "Wednesday",
  "Thursday",
  "Friday",
  "Saturday"
]

const short = (names: ReadonlyArray<string>) => names.map((name) => name.slice(0, 3).toUpperCase())

export const second: FieldShape = { name: "second", min: 0, max: 59, size: 60, names: [] }
export const minute: FieldShape = { name: "minute", min: 0, max: 59, size: 60, names: [] }
export const hour: FieldShape = { name: "hour", min: 0, max: 23, size: 24, names: [] }
export const dayOfMonth: FieldShape = { name: "dayOfMonth", min: 1, max: 31, size: 31, names: [] }
export const month: FieldShape = { name: "month", min: 1, max: 12, size: 12, names: short(monthNames) }
/** Sunday is both 0 and 7, so that a range can start or end with it. */
export const dayOfWeek: FieldShape = { name: "dayOfWeek", min: 0, max: 7, size: 7, names: short(weekdayNames) }

/** In the order in which they are written. */
export const shapes: ReadonlyArray<FieldShape> = [second, minute, hour, dayOfMonth, month, dayOfWeek]

/** As Quartz counts them: Sunday is 1, and nothing else. */
export const quartzShapes: ReadonlyArray<FieldShape> = [
  second,
  minute,
  hour,
  dayOfMonth,
  month,
  { ...dayOfWeek, min: 1 }
]

export const fullHours = 2 ** 24 - 1
/** The days of the longest month. */
export const fullDays = 2 ** 31 - 1
export const fullMonths = 2 ** 12 - 1

/** Whether the hour says nothing: such an expression follows elapsed time across clock changes, any other the clock on the wall. */
export const isEveryHour = (fields: Fields): boolean => fields.hours === fullHours

/** The numbers of the bits that are set. */
export const bitsOf = (mask: number): Array<number> => {
  const bits: Array<number> = []
  for (let rest = mask; rest !== 0; rest &= rest - 1) bits.push(31 - Math.clz32(rest & -rest))
  return bits
}

const sixty = (low: number, high: number) => [...bitsOf(low), ...bitsOf(high).map((bit) => bit + 30)]

export const secondsOf = (fields: Fields): Array<number> => sixty(fields.secondsLow, fields.secondsHigh)
export const minutesOf = (fields: Fields): Array<number> => sixty(fields.minutesLow, fields.minutesHigh)
export const datesOf = (fields: Fields): Array<number> => bitsOf(fields.days).map((bit) => bit + 1)
