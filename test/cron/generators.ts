/** Random expressions, zones and instants. */
import { Arbitrary } from "effect"
import * as Schema from "effect/Schema"

export const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const oneOf = <A>(...values: ReadonlyArray<A>) => Arbitrary.map(int(0, values.length - 1), (index) => values[index]!)

const item = (min: number, max: number) =>
  Arbitrary.map(
    Arbitrary.all([int(0, 5), int(min, max), int(min, max), int(1, max - min + 1)]),
    ([form, a, b, step]) => {
      const range = `${Math.min(a, b)}-${Math.max(a, b)}`
      return ["*", `${a}`, `${b}`, range, `*/${step}`, `${range}/${step}`][form]!
    }
  )

const field = (min: number, max: number) =>
  Arbitrary.map(
    Arbitrary.all([int(0, 3), item(min, max), item(min, max)]),
    ([form, first, second]) => form === 0 ? `${first},${second}` : first
  )

const dates = Arbitrary.map(
  Arbitrary.all([int(0, 9), field(1, 31), int(1, 31), int(1, 30)]),
  ([form, plain, day, before]) =>
    ["*", "?", "L", `L-${before}`, "LW", `${day}W`, `${day}W,${plain}`, `L,${day}`][form] ?? plain
)

const weekdays = Arbitrary.map(
  Arbitrary.all([int(0, 9), field(0, 6), int(0, 7), int(1, 5)]),
  ([form, plain, day, week]) =>
    ["*", "?", `${day}#${week}`, `${day}L`, `+${day}`, `+${plain}`, `${day}#${week},${day}L`][form] ?? plain
)

/** The day fields and the month. */
export const days = Arbitrary.map(
  Arbitrary.all([dates, oneOf("*", "*", "*", "2", "1-6", "*/3", "2,4,6,9,11"), weekdays]),
  (fields) => fields.join(" ")
)

/** A time of day, more often one that says little than one that says much. */
export const time = Arbitrary.map(
  Arbitrary.all([
    oneOf("0", "0", "30", "*/20", "*"),
    Arbitrary.all([int(0, 2), oneOf("0", "*/10", "*", "30", "15,45"), field(0, 59)]),
    Arbitrary.all([int(0, 2), oneOf("*", "0", "2", "1-3", "*/2", "0,23"), field(0, 23)])
  ]),
  ([second, [anyMinute, minute, minutes], [anyHour, hour, hours]]) =>
    `${second} ${anyMinute === 0 ? minutes : minute} ${anyHour === 0 ? hours : hour}`
)

export const expression = Arbitrary.map(Arbitrary.all([time, days]), ([time, days]) => `${time} ${days}`)

export const zones = [
  "UTC",
  "+05:45",
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Pacific/Kiritimati",
  "America/Recife",
  "Asia/Gaza",
  "Africa/Monrovia",
  "Antarctica/Troll",
  "Africa/Casablanca",
  "Europe/Dublin",
  "Asia/Kathmandu",
  "America/Sao_Paulo",
  "America/Havana",
  "Antarctica/Casey"
] as const

export const zone = oneOf(...zones)

/** Any millisecond of the years 1890 to 2110. */
export const instant = Arbitrary.map(
  Arbitrary.all([int(-80, 139), int(0, 366 * 86_400 - 1), int(0, 999)]),
  ([year, second, milli]) => Date.UTC(1970 + year, 0) + second * 1000 + milli
)
