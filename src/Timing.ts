/**
 * Timings: when a schedule ticks, as plain data.
 *
 * A timing is cron expressions, instants, an interval of elapsed time, an interval of days, weeks or months, or the union of
 * several of these; and calendars of what is left out. An instant that it names is a *tick*, a number of milliseconds since the
 * epoch. {@link parse} makes a {@link Timetable} of it, which finds ticks. Everything here is pure and synchronous, and does not
 * depend on the time zone of the host.
 *
 * Not in here: what happens at a tick, which is in `Schedule`; the language of cron expressions, which is in `Cron`.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type * as Cron from "./Cron.ts"
import type { InvalidInput } from "./Errors.ts"
import type * as Civil from "./internal/timing/civil.ts"
import { read } from "./internal/timing/timetable.ts"
import { names } from "./internal/timing/union.ts"
import * as WallClock from "./internal/timing/wallClock.ts"

// ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * An instant: a `DateTime`, a `Date`, milliseconds since the epoch, parts that include a year, or ISO text as in
 * `"2030-01-01T09:00:00Z"`, which without an offset is in UTC. Parts of a millisecond are dropped.
 *
 * @category models
 * @since 0.1.0
 */
export type Instant = DateTime.DateTime.Input

/**
 * When a schedule ticks: one of four ways or a union of them, and what is left out. Plain data; {@link Timing} is its schema too.
 *
 * @category models
 * @since 0.1.0
 */
export type Timing = Part | UnionTiming

/**
 * A timing that is no union, and can be a part of one.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = CronTiming | InstantTiming | ElapsedTiming | CalendarTiming

/**
 * The ticks of several timings: an instant is one tick, however many of them name it.
 *
 * What a part excludes is excluded unless another part names it too and does not. The `except` of the union excludes whichever
 * part names a tick, judged in the time zone of the parts; if they have several, each of its calendars must name one.
 *
 * @category models
 * @since 0.1.0
 */
export interface UnionTiming extends Excluding {
  readonly union: readonly [Part, ...ReadonlyArray<Part>]
}

/**
 * The occurrences of a cron expression, or of several: each instant is one tick, however many of them name it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CronTiming extends Excluding {
  /** Six fields, seconds first, or a macro such as `@daily`. */
  readonly cron: string | readonly [string, ...ReadonlyArray<string>]
  /** A name of the time zone database, or an offset such as `"+02:00"`. Default UTC. */
  readonly timeZone?: string | undefined
  /** Default as for `Cron.parse`. */
  readonly gap?: Cron.Gap | undefined
  /** Default as for `Cron.parse`. */
  readonly fold?: Cron.Fold | undefined
}

/**
 * Instants that are named one by one, in any order. Its time zone is UTC.
 *
 * @category models
 * @since 0.1.0
 */
export interface InstantTiming extends Excluding {
  readonly at: Instant | ReadonlyArray<Instant>
}

/**
 * A fixed distance in elapsed time, from the anchor on; without one it is counted from the epoch, backwards too. Clock changes
 * do not matter, and its time zone is UTC.
 *
 * @category models
 * @since 0.1.0
 */
export interface ElapsedTiming extends Excluding {
  /** Whole milliseconds, at least one second. */
  readonly every: Duration.Input
  readonly anchor?: Instant | undefined
}

/**
 * Times of day on every so manieth day, week or month.
 *
 * @category models
 * @since 0.1.0
 */
export interface CalendarTiming extends Excluding {
  readonly calendar: CalendarInterval
}

/**
 * Every `every`-th day, week or month from the day `from` on, which is the first, at times of that day by the clock on the wall.
 *
 * Weeks keep the weekday of `from` unless `weekdays` says others, and begin on Monday: those of `from`'s own week that are before
 * it are left out. Months keep its day of the month; a month without that day has its last day instead.
 *
 * @category models
 * @since 0.1.0
 */
export interface CalendarInterval {
  /** A whole number from 1 up. */
  readonly every: number
  readonly unit: "days" | "weeks" | "months"
  /** On which days of a week, for `weeks` only. Default the weekday of `from`. */
  readonly weekdays?: ReadonlyArray<Weekday> | undefined
  /** `"HH:MM"` or `"HH:MM:SS"`. */
  readonly at: string | ReadonlyArray<string>
  /** A name of the time zone database, or an offset such as `"+02:00"`. Default UTC. */
  readonly timeZone?: string | undefined
  /** `"YYYY-MM-DD"` */
  readonly from: string
  /** What becomes of a time that a clock change leaves out. Default `"shift"`. */
  readonly gap?: Cron.Gap | undefined
  /** Which of the two passes of a repeated time tick. Default `"first"`. */
  readonly fold?: Cron.Fold | undefined
}

/**
 * A calendar of what is left out: a tick on one of the dates or weekdays, or that the cron matches, is excluded.
 *
 * Dates, weekdays and cron ask what the calendar and the clock on the wall show at the tick: one that a clock change moved is
 * judged by where it went, and both passes of a repeated time match alike. Parts of a second do not matter.
 *
 * @category models
 * @since 0.1.0
 */
export interface Except {
  /** `"YYYY-MM-DD"`, or `"MM-DD"` for every year. */
  readonly dates?: ReadonlyArray<string> | undefined
  readonly weekdays?: ReadonlyArray<Weekday> | undefined
  readonly cron?: string | undefined
  /** Where dates, weekdays and cron are judged. Default the time zone of the timing. */
  readonly timeZone?: string | undefined
  /** Shown as the reason. */
  readonly name?: string | undefined
}

/**
 * The days of a week, by the names that cron expressions have for them.
 *
 * @category models
 * @since 0.1.0
 */
export type Weekday = Civil.Weekday

/**
 * What every timing may have. Of several calendars the first that excludes a tick gives the reason.
 *
 * @category models
 * @since 0.1.0
 */
export interface Excluding {
  readonly except?: Except | ReadonlyArray<Except> | undefined
}

/**
 * A timing that was read and found right.
 *
 * Order:   `next(t) > t`, `prev(t) < t`, and the ticks between two instants are the same in both directions
 * Cost:    `next` and `prev` take about a microsecond for each cron, up to some tens for intervals of the calendar
 *
 * @category models
 * @since 0.1.0
 */
export interface Timetable {
  /**
   * The timing as JSON, in which {@link fromText} reads it back: durations in milliseconds, instants in ISO format, sets in
   * order, and without what is the default. Timings that say the same in another order or in other units have equal texts;
   * crons and names of time zones stay as they were written.
   */
  readonly text: string
  /** The time zone; `"UTC"` for instants and elapsed time, and for a union whose parts have several. */
  readonly timeZone: string
  /** A short form for people: the crons, or such as `every 2 days at 09:00`. Time zone and exclusions are not in it. */
  readonly expression: string
  /** What a union is made of, each once, in the order of their texts; only a union has it. */
  readonly parts?: ReadonlyArray<Timetable> | undefined
  /** The first tick strictly after an instant, excluded ones included; null when there is none until the end of the year 9999. */
  next(after: number): number | null
  /** The last tick strictly before an instant, excluded ones included; null when there is none since the start of the year 1. */
  prev(before: number): number | null
  /** Why a tick is left out: the calendar's name, or which date, weekday or cron it is; null when it is not left out. */
  excluded(tick: number): string | null
  /** One English sentence, with the time zone, the rule for clock changes and the exclusions. Its wording may change. */
  describe(): string
}

// ── constructors ────────────────────────────────────────────────────────────────────────────────────────────────────

type List = readonly [string, ...ReadonlyArray<string>]

/** Each is checked by itself, so that the compiler's message is about the one that is wrong. */
type Each<L extends List> = { readonly [I in keyof L]: Cron.Expression<L[I]> }

/**
 * Ticks at the occurrences of a cron expression, or of each of several.
 *
 * A literal that cannot be an expression, such as one with five fields, does not compile; the rest is checked by {@link parse}.
 *
 * @example
 * ```ts
 * import * as Timing from "effect-durable/Timing"
 *
 * export const shops = Timing.cron(["0 0 8 * * MON-FRI", "0 0 10 * * SAT"], { timeZone: "Europe/Lisbon" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const cron = <const S extends string, const L extends List>(
  expression: Cron.Expression<S> | Each<L>,
  options?: Cron.Options
): CronTiming => ({ cron: expression as string | List, ...options })

/**
 * Ticks once, at this instant, or at each of these.
 *
 * @example
 * ```ts
 * import * as Timing from "effect-durable/Timing"
 *
 * export const launch = Timing.at("2030-01-01T09:00:00Z")
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const at = (instant: Instant | ReadonlyArray<Instant>): InstantTiming => ({ at: instant })

/**
 * Ticks at a fixed distance in elapsed time: from the anchor on, or without one counted from the epoch.
 *
 * Shape:   whole milliseconds, at least one second
 *
 * @example
 * ```ts
 * import * as Timing from "effect-durable/Timing"
 *
 * export const poll = Timing.every("90 minutes", { anchor: "2030-01-01T00:10:00Z" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const every = (
  duration: Duration.Input,
  options?: { readonly anchor?: Instant | undefined }
): ElapsedTiming => ({ every: duration, ...options })

/**
 * Ticks at times of day on every so manieth day, week or month.
 *
 * @example
 * ```ts
 * import * as Timing from "effect-durable/Timing"
 *
 * export const payday = Timing.calendar({
 *   every: 1,
 *   unit: "months",
 *   from: "2030-01-31", // and 28 February, 31 March, 30 April
 *   at: ["09:00", "17:30"],
 *   timeZone: "America/New_York"
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const calendar = (interval: CalendarInterval): CalendarTiming => ({ calendar: interval })

/**
 * Ticks whenever one of several timings does: several intervals, or crons, intervals and instants together.
 *
 * @example
 * ```ts
 * import * as Timing from "effect-durable/Timing"
 *
 * export const syncs = Timing.union([
 *   Timing.cron("0 0 6 * * *", { timeZone: "Europe/Lisbon" }),
 *   Timing.except(Timing.every("4 hours"), { weekdays: ["SAT", "SUN"] }),
 *   Timing.at("2030-01-01T09:00:00Z")
 * ])
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const union = (timings: readonly [Part, ...ReadonlyArray<Part>]): UnionTiming => ({ union: timings })

/** What can be a part of a union stays so. */
type Excepted<T extends Timing> = T extends Part ? Part : Timing

type ExceptOf<S extends string> = Omit<Except, "cron"> & { readonly cron?: Cron.Expression<S> | undefined }

/**
 * Leaves out the ticks that a calendar names, beside those that are left out already.
 *
 * @example
 * ```ts
 * import { pipe } from "effect/Function"
 * import * as Timing from "effect-durable/Timing"
 *
 * export const workingDays = pipe(
 *   Timing.cron("0 0 9 * * *", { timeZone: "Europe/Lisbon" }),
 *   Timing.except({ weekdays: ["SAT", "SUN"] }),
 *   Timing.except({ dates: ["01-01", "12-25", "2030-04-19"], name: "holidays" })
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const except: {
  <const S extends string>(except: ExceptOf<S>): <T extends Timing>(timing: T) => Excepted<T>
  <T extends Timing, const S extends string>(timing: T, except: ExceptOf<S>): Excepted<T>
} = dual(2, (timing: Timing, except: Except): Timing => ({
  ...timing,
  except: timing.except === undefined ? except : [timing.except, except].flat()
}))

// ── timetables ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Reads a timing.
 *
 * Fails:   `CronParseError` for a cron or its time zone · `InvalidInput`, whose `field` names what is wrong, such as
 *          `timing.calendar.at` or `timing.except.dates[1]`; a field that is not known is wrong
 *
 * @example
 * ```ts run
 * import * as Result from "effect/Result"
 * import * as Timing from "effect-durable/Timing"
 *
 * const { expression, text } = Result.getOrThrow(Timing.parse(Timing.every("90 minutes")))
 * expression // => every 90 minutes
 * text // => {"every":5400000}
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const parse = (timing: Timing): Result.Result<Timetable, Cron.CronParseError | InvalidInput> => read(timing)

/**
 * Reads the text of a {@link Timetable} back. A failure says what is wrong with it; no text makes it throw.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromText = (text: string): Result.Result<Timetable, string> =>
  Result.flatMap(
    Result.try({ try: () => JSON.parse(text) as unknown, catch: () => "it is not JSON" }),
    (json) => Result.mapError(read(json), (error) => error.message)
  )

/**
 * Whether a clock change leaves out or repeats local times on the day of a tick, in the time zone of the timetable. Changes of
 * more than three hours correct the calendar and are none. Of a union it is asked of the parts that name the tick.
 *
 * @category conversions
 * @since 0.1.0
 */
export const clockChange = (timetable: Timetable, tick: number): "spring-forward" | "fall-back" | null =>
  timetable.parts === undefined
    ? WallClock.changeAt(timetable.timeZone, tick)
    : timetable.parts.filter((part) => names(part, tick)).map((part) => clockChange(part, tick))
      .find((change) => change !== null) ?? null

// ── schemas ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const checked = <A>(input: unknown, then: (timetable: Timetable) => A): Effect.Effect<A, SchemaIssue.Issue> =>
  Result.match(read(input), {
    onSuccess: (timetable) => Effect.succeed(then(timetable)),
    onFailure: ({ message }) => Effect.fail(new SchemaIssue.InvalidValue({ message }, input))
  })

/**
 * A codec between the JSON value of a timing, as in the text of its {@link Timetable}, and {@link Timing}. What it decodes is
 * that same plain data; decoding and encoding fail as {@link parse} does.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Timing: Schema.Codec<Timing, Schema.Json> = Schema.Json.pipe(
  Schema.decodeTo(
    Schema.declare((u): u is Timing => Result.isSuccess(read(u)), { expected: "Timing" }),
    SchemaTransformation.transformEffect({
      decode: (json: Schema.Json) => checked(json, ({ text }) => JSON.parse(text) as Timing),
      encode: (timing: Timing) => checked(timing, ({ text }) => JSON.parse(text) as Schema.Json)
    })
  )
)
