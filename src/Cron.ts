/**
 * Cron expressions: when something happens, as six fields in a time zone.
 *
 * Three words: an *occurrence* is an instant, a whole second, at which an expression fires; a *gap* is a stretch of local time
 * that a clock change skips; a *fold* is one that it repeats. An instant is a number, milliseconds since the epoch. Everything
 * here is pure and synchronous, and does not depend on the time zone of the host.
 *
 * Not in here: what happens at an occurrence, which is in `Schedule`.
 *
 * @since 0.1.0
 */
import type * as EffectCron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Equivalence from "effect/Equivalence"
import { dual } from "effect/Function"
import type { Inspectable } from "effect/Inspectable"
import * as Option from "effect/Option"
import type { Pipeable } from "effect/Pipeable"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Codec from "./internal/cron/codec.ts"
import * as English from "./internal/cron/describe.ts"
import type * as Literal from "./internal/cron/expression.ts"
import * as Fault from "./internal/cron/fault.ts"
import { fieldNames } from "./internal/cron/fields.ts"
import * as Foreign from "./internal/cron/foreign.ts"
import * as Quartz from "./internal/cron/quartz.ts"
import * as Reading from "./internal/cron/reading.ts"
import { nextMillis, prevMillis } from "./internal/cron/search.ts"
import { countBetween } from "./internal/cron/tally.ts"
import * as Value from "./internal/cron/value.ts"

// ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What marks a value as a {@link Cron}.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof Value.TypeId

/**
 * A parsed expression in its time zone: immutable, and equal to another one with the same meaning field by field.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cron extends Pipeable, Equal.Equal, Inspectable {
  readonly [Value.TypeId]: TypeId
  /** The canonical six fields: the same sets of values always read the same. `toString` gives it too. */
  readonly expression: string
  /** The canonical name as the runtime knows it, so an alias gives the name it stands for. */
  readonly timeZone: string
  readonly gap: Gap
  readonly fold: Fold
}

/**
 * What becomes of a local time in a gap: `"shift"` fires once at the first instant after the gap, `"skip"` not at all.
 *
 * @category models
 * @since 0.1.0
 */
export type Gap = "shift" | "skip"

/**
 * Which of the two passes of a repeated local time fire.
 *
 * @category models
 * @since 0.1.0
 */
export type Fold = "first" | "second" | "both"

/**
 * The time zone, UTC by default, and what clock changes do.
 *
 * Without `gap` and `fold` an expression with every hour follows elapsed time (`"skip"`, `"both"`), any other one the clock on
 * the wall (`"shift"`, `"first"`). Changes of more than three hours correct the calendar; neither rule applies to them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** A name of the time zone database, or an offset such as `"+02:00"`. */
  readonly timeZone?: string | undefined
  readonly gap?: Gap | undefined
  readonly fold?: Fold | undefined
}

/**
 * The instants from `from` on and before `to`, which without it is the end of the year 9999.
 *
 * @category models
 * @since 0.1.0
 */
export interface Range {
  readonly from: number
  readonly to?: number | undefined
  /** Latest first. */
  readonly reverse?: boolean | undefined
}

/**
 * The type of an expression: a literal that cannot be one, such as one with five fields, is a compile error that says why.
 *
 * A `string` that is not known to the compiler passes, and is checked when it is parsed. As the type of a parameter it needs
 * nothing else: `<const S extends string>(cron: Cron.Expression<S>)`.
 *
 * @category models
 * @since 0.1.0
 */
export type Expression<S extends string = string> = Literal.Expression<S>

/**
 * An expression or a time zone that cannot be read. `start` and `end` bound the leftmost fault in `input`, which is the time
 * zone if that is at fault; `hint`, where there is one, is what to write in its place. `dialect` says whose expression the input
 * was read as, by {@link fromUnix} or {@link fromQuartz}; without it, it was read as one of this library.
 *
 * @category errors
 * @since 0.1.0
 */
export class CronParseError
  extends Schema.TaggedError<CronParseError>("effect-durable/CronParseError")("CronParseError", {
    input: Schema.String,
    field: Schema.Literals(fieldNames),
    reason: Schema.Literals(Fault.reasons),
    start: Schema.Int,
    end: Schema.Int,
    hint: Schema.optionalKey(Schema.String),
    dialect: Schema.optionalKey(Schema.Literals(Fault.dialects))
  })
{
  override get message(): string {
    return Fault.describe(this.input, this)
  }
}

// ── constructors ────────────────────────────────────────────────────────────────────────────────────────────────────

const failure = (input: string, { dialect, end, field, hint, reason, start }: Fault.Fault): CronParseError =>
  new CronParseError({
    input,
    field,
    reason,
    start,
    end,
    ...(hint === undefined ? {} : { hint }),
    ...(dialect === undefined ? {} : { dialect })
  })

const parseText = (expression: string, options: Options | undefined): Result.Result<Cron, CronParseError> =>
  Result.mapError(Reading.read(expression, options), ({ fault, input }) => failure(input, fault))

/**
 * Reads six fields, seconds first, or a macro such as `@daily`.
 *
 * Shape:   second minute hour day-of-month month day-of-week; see the reference for what a field may be
 * Fails:   `CronParseError` for what is malformed, for what engines read differently, and for dates that never come
 * Source:  Open Cron Pattern Specification 1.0, with 1.1, 1.3 and the `+` of 1.4
 *
 * @example
 * ```ts run
 * import * as Result from "effect/Result"
 * import * as Cron from "effect-durable/Cron"
 *
 * const weekdays = Result.getOrThrow(Cron.parse("0 30 9 * * MON-FRI", { timeZone: "Europe/Berlin" }))
 * String(weekdays) // => 0 30 9 * * 1-5
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const parse = <const S extends string>(
  expression: Expression<S>,
  options?: Options
): Result.Result<Cron, CronParseError> => parseText(expression, options)

/**
 * Reads an expression as {@link parse} does, as an effect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const S extends string>(
  expression: Expression<S>,
  options?: Options
): Effect.Effect<Cron, CronParseError> => Effect.suspend(() => Effect.fromResult(parseText(expression, options)))

/**
 * Reads an expression as {@link parse} does, and throws the error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parseUnsafe = <const S extends string>(expression: Expression<S>, options?: Options): Cron =>
  Result.getOrThrow(parseText(expression, options))

/**
 * Turns a line of crontab(5), five fields or a macro, into the expression that fires at the same times.
 *
 * A crontab asks for both day fields as soon as one of them starts with a star, as in `0 0 *\/2 * MON`; the result says so
 * with a `+`. A positive answer always parses.
 *
 * Fails:   `CronParseError` as {@link parse}, with positions in the line
 *
 * @example
 * ```ts run
 * import * as Cron from "effect-durable/Cron"
 *
 * Cron.fromUnix("30 2 * * 1-5") // => {"_id":"Result","_tag":"Success","value":"0 30 2 * * 1-5"}
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromUnix = (line: string): Result.Result<string, CronParseError> =>
  Result.mapError(Foreign.fromUnix(line), (fault) => failure(line, { ...fault, dialect: "unix" }))

/**
 * Turns an expression of Quartz, six fields or seven, into the canonical expression that names the same times.
 *
 * Quartz counts weekdays from 1 for Sunday, reads `a/n` as from `a` to the end of the field, lets ranges go round, takes `L` as a
 * day of week for Saturday, and wants `?` in exactly one of the day fields. A positive answer always parses. Where clocks change
 * the rules of this library apply.
 *
 * Fails:   `CronParseError` as {@link parse}, with positions in the expression: for what Quartz refuses, for what it takes but
 *          reads only in part, for `L-nW`, and for a year, in whose place a schedule has `from` and `until`
 *
 * @example
 * ```ts run
 * import * as Cron from "effect-durable/Cron"
 *
 * Cron.fromQuartz("0 0/15 22-5 ? * 2-6") // => {"_id":"Result","_tag":"Success","value":"0 *\/15 0-5,22,23 * * 1-5"}
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromQuartz = (expression: string): Result.Result<string, CronParseError> =>
  Result.mapError(Quartz.fromQuartz(expression), (fault) => failure(expression, { ...fault, dialect: "quartz" }))

/**
 * Takes over a `Cron` of Effect, with its rule for repeated times. None when it has no time zone, as it then means the
 * host's, and when no date matches it.
 *
 * In a gap the rule of this library applies: the first instant after it, where Effect can give a later one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromEffectCron = (cron: EffectCron.Cron): Option.Option<Cron> =>
  Option.map(Foreign.fromEffect(cron), (search) => new Value.Value(search))

/**
 * Makes a `Cron` of Effect. None when days are counted from the end of a month, by working days or by weeks, and when `gap`
 * was chosen; the remark about gaps at {@link fromEffectCron} holds here too.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toEffectCron = (self: Cron): Option.Option<EffectCron.Cron> => Foreign.toEffect(Value.searchOf(self))

// ── guards and instances ────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Whether a value is a {@link Cron}.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCron: (u: unknown) => u is Cron = Value.isCron

/**
 * Two are equivalent that agree in expression, time zone and rules for clock changes. `Equal.equals` says the same.
 *
 * @category instances
 * @since 0.1.0
 */
export const equivalence: Equivalence.Equivalence<Cron> = Equivalence.make((self, that) => Equal.equals(self, that))

// ── occurrences ─────────────────────────────────────────────────────────────────────────────────────────────────────

const optional = (millis: number): Option.Option<number> => Number.isNaN(millis) ? Option.none() : Option.some(millis)

const nextOf = (self: Cron, after: number): Option.Option<number> => optional(nextMillis(Value.searchOf(self), after))
const prevOf = (self: Cron, before: number): Option.Option<number> => optional(prevMillis(Value.searchOf(self), before))

/**
 * Finds the first occurrence strictly after an instant.
 *
 * None only says that there is no more until the end of the year 9999: what never fires is refused when it is parsed.
 *
 * Cost:    well under a microsecond; about a millisecond for the first look into four years of a time zone
 *
 * @example
 * ```ts run
 * import * as DateTime from "effect/DateTime"
 * import * as Option from "effect/Option"
 * import * as Cron from "effect-durable/Cron"
 *
 * const nightly = Cron.parseUnsafe("0 30 2 * * *", { timeZone: "Europe/Berlin" })
 * // 02:30 does not exist on this night: clocks go from 02:00 to 03:00, at 01:00 UTC.
 * const tick = Cron.next(nightly, Date.UTC(2026, 2, 29))
 * Option.map(tick, (millis) => DateTime.formatIso(DateTime.makeUnsafe(millis))) // => some("2026-03-29T01:00:00.000Z")
 * ```
 *
 * @category occurrences
 * @since 0.1.0
 */
export const next: {
  (after: number): (self: Cron) => Option.Option<number>
  (self: Cron, after: number): Option.Option<number>
} = dual(2, nextOf)

/**
 * Finds the last occurrence strictly before an instant. None when there is none since the start of the year 1.
 *
 * Cost:    as {@link next}
 *
 * @category occurrences
 * @since 0.1.0
 */
export const prev: {
  (before: number): (self: Cron) => Option.Option<number>
  (self: Cron, before: number): Option.Option<number>
} = dual(2, prevOf)

/**
 * Finds the first occurrence strictly after a date and time, as {@link next} does.
 *
 * @category occurrences
 * @since 0.1.0
 */
export const nextDateTime: {
  (after: DateTime.DateTime): (self: Cron) => Option.Option<DateTime.Utc>
  (self: Cron, after: DateTime.DateTime): Option.Option<DateTime.Utc>
} = dual(
  2,
  (self: Cron, after: DateTime.DateTime) => Option.map(nextOf(self, DateTime.toEpochMillis(after)), DateTime.makeUnsafe)
)

/**
 * Finds the last occurrence strictly before a date and time, as {@link prev} does.
 *
 * @category occurrences
 * @since 0.1.0
 */
export const prevDateTime: {
  (before: DateTime.DateTime): (self: Cron) => Option.Option<DateTime.Utc>
  (self: Cron, before: DateTime.DateTime): Option.Option<DateTime.Utc>
} = dual(
  2,
  (self: Cron, before: DateTime.DateTime) =>
    Option.map(prevOf(self, DateTime.toEpochMillis(before)), DateTime.makeUnsafe)
)

/**
 * Whether an instant is an occurrence. An instant within a matching second, but not at its start, is none.
 *
 * @category occurrences
 * @since 0.1.0
 */
export const matches: {
  (instant: number): (self: Cron) => boolean
  (self: Cron, instant: number): boolean
} = dual(2, (self: Cron, instant: number) => nextMillis(Value.searchOf(self), instant - 1) === instant)

/**
 * The occurrences of a range, each found when it is asked for. May be iterated any number of times.
 *
 * Order:   earliest first, or latest first with `reverse`
 *
 * @example
 * ```ts run
 * import * as Cron from "effect-durable/Cron"
 *
 * const quarterly = Cron.parseUnsafe("0 0 9 LW *\/3 *")
 * const ticks = Cron.occurrences(quarterly, { from: Date.UTC(2026, 0), to: Date.UTC(2026, 6) })
 * Array.from(ticks, (millis) => new Date(millis).toISOString().slice(0, 10)) // => ["2026-01-30","2026-04-30"]
 * ```
 *
 * @category occurrences
 * @since 0.1.0
 */
export const occurrences: {
  (range: Range): (self: Cron) => Iterable<number>
  (self: Cron, range: Range): Iterable<number>
} = dual(2, (self: Cron, range: Range) => new Value.Occurrences(Value.searchOf(self), range))

/**
 * The occurrences of a range as a stream, in chunks. It does not wait for them.
 *
 * Order:   as {@link occurrences}
 *
 * @category occurrences
 * @since 0.1.0
 */
export const stream: {
  (range: Range): (self: Cron) => Stream.Stream<number>
  (self: Cron, range: Range): Stream.Stream<number>
} = dual(2, (self: Cron, range: Range) => Stream.fromIterable(occurrences(self, range)))

/**
 * Counts the occurrences of a range without finding them.
 *
 * Cost:    about 0.2 microseconds per month, however many occurrences it has
 *
 * @category occurrences
 * @since 0.1.0
 */
export const count: {
  (range: Range): (self: Cron) => number
  (self: Cron, range: Range): number
} = dual(2, (self: Cron, { from, to = Infinity }: Range) => countBetween(Value.searchOf(self), from, to))

// ── in words and as data ────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Says in one English sentence when it fires, in which zone, and what happens when the clocks of that zone change.
 *
 * What it says holds of each occurrence: steps that are cut short by the next minute, hour or day are given as values, and many
 * values are summed up as how many of a range they are. The wording is for people and may change.
 *
 * @example
 * ```ts run
 * import * as Cron from "effect-durable/Cron"
 *
 * Cron.describe(Cron.parseUnsafe("0 30 9 * * MON-FRI")) // => At 09:30:00, on Monday to Friday, in UTC, which has no clock changes.
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const describe = (self: Cron): string => English.describe(Value.searchOf(self))

/**
 * The canonical six fields; parsing them gives the same expression. The time zone is not in it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const format = (self: Cron): string => self.expression

// ── schemas ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The schema of {@link Cron} values themselves. `Schema.toCodecJson` makes it the same as {@link FromParts}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Cron: Schema.declare<Cron> = Schema.declare(isCron, {
  expected: "Cron",
  toCodecJson: () => Schema.link<Cron>()(Codec.Parts, Codec.fromParts),
  toFormatter: () => String
})

/**
 * A codec between expression and time zone, with the rules for clock changes if they were chosen, and {@link Cron}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromParts: Schema.Codec<Cron, typeof Codec.Parts.Encoded> = Codec.Parts.pipe(
  Schema.decodeTo(Cron, Codec.fromParts)
)

/**
 * A codec between an expression and a {@link Cron} in UTC. Encoding fails for one that the text alone would not give back: one
 * in another time zone, or with rules for clock changes of its own.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString: Schema.Codec<Cron, string> = Schema.String.pipe(Schema.decodeTo(Cron, Codec.fromText))
