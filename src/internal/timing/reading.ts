/** Reads what is given for a timing: typed by the compiler or not at all, as it also comes from stored text. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Cron from "../../Cron.ts"
import { InvalidInput } from "../../Errors.ts"
import { maxInstant, minInstant, type Zone, zoneOf } from "../cron/zone.ts"
import { dayOf } from "./civil.ts"

/** The instants that a timing can name, in milliseconds: the years 1 to 9999. */
export const minMillis = minInstant * 1000
export const maxMillis = maxInstant * 1000 + 999

export type Refusal = Cron.CronParseError | InvalidInput
export type Read<A, E = InvalidInput> = Result.Result<A, E>

/** Reads a value that stands in this field. */
type Reader<A, E> = (field: string, input: unknown) => Read<A, E>

export const invalid = (field: string, reason: string): Read<never> => Result.fail(new InvalidInput({ field, reason }))

export type Fields = Readonly<Record<string, unknown>>

const isFields = (input: unknown): input is Fields =>
  typeof input === "object" && input !== null && !Array.isArray(input)

/** An object with no other fields than these; one that is there but undefined counts as absent. */
export const fields = (field: string, input: unknown, known: ReadonlyArray<string>): Read<Fields> => {
  if (!isFields(input)) return invalid(field, "must be an object")
  const given = Object.keys(input).filter((key) => input[key] !== undefined)
  const unknown = given.find((key) => !known.includes(key))
  return unknown === undefined
    ? Result.succeed(Object.fromEntries(given.map((key) => [key, input[key]])))
    : invalid(`${field}.${unknown}`, `is not one of its fields, which are ${known.join(", ")}`)
}

export const optional = <A, E>(
  field: string,
  input: unknown,
  read: Reader<A, E>
): Read<A | undefined, E> => input === undefined ? Result.succeed(undefined) : read(field, input)

export const list = <A, E>(
  field: string,
  input: unknown,
  read: Reader<A, E>
): Read<ReadonlyArray<A>, E | InvalidInput> =>
  Array.isArray(input)
    ? Result.all(Array.from<unknown, Read<A, E>>(input, (item, index) => read(`${field}[${index}]`, item)))
    : invalid(field, "must be a list")

/** A value by itself, or a list that is not empty. */
export const oneOrMore = <A, E>(
  field: string,
  input: unknown,
  read: Reader<A, E>
): Read<ReadonlyArray<A>, E | InvalidInput> => {
  if (!Array.isArray(input)) return Result.map(read(field, input), (one) => [one])
  return input.length === 0 ? invalid(field, "must not be an empty list") : list(field, input, read)
}

/** Without repetition and in one order, so that equal sets read the same. */
export const sorted = <A extends string | number>(
  values: ReadonlyArray<A>,
  rank: (value: A) => string | number = (value) => value
): ReadonlyArray<A> =>
  Array.from(new Set(values)).sort((a, b) => {
    const [first, second] = [rank(a), rank(b)]
    return first < second ? -1 : first > second ? 1 : 0
  })

/** What {@link oneOrMore} reads, in the shortest form. */
export const oneOrList = <A>(values: ReadonlyArray<A>): A | ReadonlyArray<A> =>
  values.length === 1 ? values[0]! : values

export const text = (field: string, input: unknown): Read<string> =>
  typeof input === "string" && input.trim() !== "" ? Result.succeed(input) : invalid(field, "must be text")

export const oneOf = <const A extends string>(values: ReadonlyArray<A>) => (field: string, input: unknown): Read<A> => {
  const found = values.find((value) => value === input)
  return found === undefined ? invalid(field, `must be one of ${values.join(", ")}`) : Result.succeed(found)
}

export const gap = oneOf(["shift", "skip"])
export const fold = oneOf(["first", "second", "both"])

export const positive = (field: string, input: unknown): Read<number> =>
  typeof input === "number" && Number.isSafeInteger(input) && input >= 1
    ? Result.succeed(input)
    : invalid(field, "must be a whole number from 1 up")

// ── instants and durations ──────────────────────────────────────────────────────────────────────────────────────────

/** What else an engine may read as a date depends on it, and on the time zone of the host. */
const isoInstant = /^(\d{4}-\d\d-\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/

const isReadable = (input: unknown): input is DateTime.DateTime.Input => {
  if (typeof input === "number") return true
  // Parts without a year would be taken for some of 1970.
  if (isFields(input)) return input instanceof Date || "epochMilliseconds" in input || "year" in input
  if (typeof input !== "string") return false
  const date = isoInstant.exec(input)?.[1]
  return date !== undefined && dayOf(date) !== undefined
}

export const instant = (field: string, input: unknown): Read<number> => {
  const read = isReadable(input) ? DateTime.make(input) : Option.none()
  if (Option.isNone(read)) return invalid(field, "is not an instant; write it as in \"2030-01-01T09:00:00Z\"")
  const millis = Math.trunc(DateTime.toEpochMillis(read.value))
  return millis >= minMillis && millis <= maxMillis
    ? Result.succeed(millis)
    : invalid(field, "lies outside the years 1 to 9999")
}

export const iso = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

export const duration = (field: string, input: unknown): Read<number> => {
  const duration = Duration.fromInput(input as Duration.Input)
  if (Option.isNone(duration)) return invalid(field, "is not a duration; write it as in \"90 minutes\"")
  const millis = Duration.toMillis(duration.value)
  if (millis < 1000) return invalid(field, "must be at least one second")
  return Number.isSafeInteger(millis) ? Result.succeed(millis) : invalid(field, "must be whole milliseconds")
}

// ── time zones and crons ────────────────────────────────────────────────────────────────────────────────────────────

/** A zone by the name that was given for it: what name is canonical differs between versions of the runtime. */
export interface NamedZone {
  readonly name: string
  readonly zone: Zone
}

const named = (name: string, zone: Zone): NamedZone => ({ name: zone.name === "UTC" ? "UTC" : name, zone })

export const utc: NamedZone = { name: "UTC", zone: zoneOf("UTC")! }

export const timeZone = (field: string, input: unknown): Read<NamedZone> =>
  Result.flatMap(text(field, input), (name) => {
    const zone = zoneOf(name)
    return zone === undefined ? invalid(field, "is not a time zone known here") : Result.succeed(named(name, zone))
  })

/** A cron by its text, which stays as it was written but for the blanks. */
export interface WrittenCron {
  readonly text: string
  readonly cron: Cron.Cron
}

export const cron = (options: Cron.Options) => (field: string, input: unknown): Read<WrittenCron, Refusal> =>
  typeof input === "string"
    ? Result.map(Cron.parse(input, options), (cron) => ({ text: input.trim().replace(/\s+/g, " "), cron }))
    : invalid(field, "must be a cron expression of six fields")
