/**
 * Time zones as tables of segments: stretches of time with one offset from UTC, and what is particular at their ends.
 *
 * The tables come from `Intl` and are filled block by block as instants are asked for. A block is cut at fixed instants, so
 * what it contains does not depend on who asked first. All times are in whole seconds: *instants* since the epoch, *local
 * times* as what the clock on the wall shows, read as if it were UTC.
 */
import * as Result from "effect/Result"

/** A stretch of time with one offset. Only instants from `start` until before `end` are in it. */
export interface Segment {
  readonly start: number
  readonly end: number
  /** Local time minus instant. */
  readonly offset: number
  /** The first local time that the change at `start` left out; the local time at `start` when it left out none. */
  readonly gapFrom: number
  /** Local times before this one were already passed in the segment before. */
  readonly repeatsUntil: number
  /** Local times from this one on come again in the next segment. */
  readonly repeatedFrom: number
  /** Within these instants nothing particular happens, whatever the rules for changes are. */
  readonly calmFrom: number
  readonly calmUntil: number
}

/** The instants between which occurrences are looked for: the years 1 to 9999. */
export const minInstant = -62_135_596_800
export const maxInstant = 253_402_300_799

const day = 86_400

/** A change by more than this corrects the calendar (an island crosses the date line) and is no daylight saving time. */
const largestShift = 3 * 3600

/** Two changes have never been closer than 6 days and 23 hours, so no probe this wide apart misses a pair of them. */
const probe = 6 * day

const blockLength = 256 * probe

/** All of time at one offset. */
const always = (offset: number): Segment => ({
  start: -Infinity,
  end: Infinity,
  offset,
  gapFrom: -Infinity,
  repeatsUntil: -Infinity,
  repeatedFrom: Infinity,
  calmFrom: minInstant,
  calmUntil: maxInstant + 1
})

/** A segment that contains nothing, for a search that has not been anywhere. */
export const nowhere: Segment = { ...always(0), calmFrom: Infinity, calmUntil: -Infinity }

/** A time zone, shared by everything that was parsed for it. */
export class Zone {
  /** The canonical name. */
  readonly name: string
  /** Whether the offset never changes. */
  readonly fixed: boolean
  readonly #format: Intl.DateTimeFormat
  readonly #always: Segment | undefined
  readonly #blocks = new Map<number, ReadonlyArray<Segment>>()
  /** The block looked at last, as the next look is mostly into the same. */
  #last = NaN
  #lastBlock: ReadonlyArray<Segment> = []

  constructor(name: string, format: Intl.DateTimeFormat) {
    this.name = name
    this.#format = format
    this.fixed = name === "UTC" || name.startsWith("+") || name.startsWith("-")
    this.#always = this.fixed ? always(this.#offsetAt(0)) : undefined
  }

  /** The segment an instant is in. Costs about a millisecond in a block that nobody asked for yet. */
  segmentAt(instant: number): Segment {
    if (this.#always !== undefined) return this.#always
    const block = this.#blockOf(Math.floor(instant / blockLength))
    let index = 0
    while (block[index]!.end <= instant) index++
    return block[index]!
  }

  #blockOf(number: number): ReadonlyArray<Segment> {
    if (number === this.#last) return this.#lastBlock
    let block = this.#blocks.get(number)
    if (block === undefined) {
      block = this.#survey(number * blockLength)
      this.#blocks.set(number, block)
    }
    this.#last = number
    this.#lastBlock = block
    return block
  }

  /** Reads an offset such as `GMT-00:44:30`; there is none of seconds in most, and the numbers have two digits. */
  #offsetAt(instant: number): number {
    const text = this.#format.format(instant * 1000)
    const sign = text.indexOf("GMT") + 3
    const two = (at: number) => (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48
    const size = two(sign + 1) * 3600 + two(sign + 4) * 60 + (text.length > sign + 6 ? two(sign + 7) : 0)
    return text.charCodeAt(sign) === 43 ? size : -size
  }

  /** The first instant after `from` at which the offset is no longer `offset`, given that it is another one at `to`. */
  #changeBetween(from: number, to: number, offset: number): number {
    let before = from
    let after = to
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2)
      if (this.#offsetAt(middle) === offset) before = middle
      else after = middle
    }
    return after
  }

  /** The segments of a block. It looks one probe further at both ends, because a change there may reach into the block. */
  #survey(start: number): ReadonlyArray<Segment> {
    const end = start + blockLength
    const segments: Array<Segment> = []
    let change: Change | undefined
    let offset = this.#offsetAt(start - probe)
    for (let from = start - probe; from < end + probe; from += probe) {
      if (this.#offsetAt(from + probe) === offset) continue
      const at = this.#changeBetween(from, from + probe, offset)
      const next: Change = { at, before: offset, after: this.#offsetAt(at) }
      if (at > start && (change === undefined || change.at < end)) {
        segments.push(between(start, end, offset, change, next))
      }
      change = next
      offset = next.after
    }
    if (change === undefined || change.at < end) segments.push(between(start, end, offset, change, undefined))
    return segments
  }
}

interface Change {
  readonly at: number
  /** The offsets before and after it. */
  readonly before: number
  readonly after: number
}

/** By how much a change moves the clock; corrections of the calendar count as none. */
const shiftOf = (change: Change | undefined): number => {
  if (change === undefined) return 0
  const shift = change.after - change.before
  return Math.abs(shift) > largestShift ? 0 : shift
}

/** The segment between two changes, as far as it is in the block. */
const between = (
  blockStart: number,
  blockEnd: number,
  offset: number,
  first: Change | undefined,
  last: Change | undefined
): Segment => {
  const start = first === undefined ? blockStart : Math.max(blockStart, first.at)
  const end = last === undefined ? blockEnd : Math.min(blockEnd, last.at)
  const gap = shiftOf(first) > 0 && first!.at === start ? shiftOf(first) : 0
  const repeatsUntil = shiftOf(first) < 0 ? first!.at + first!.before : -Infinity
  const repeatedFrom = shiftOf(last) < 0 ? last!.at + last!.after : Infinity
  return {
    start,
    end,
    offset,
    gapFrom: start + offset - gap,
    repeatsUntil,
    repeatedFrom,
    calmFrom: Math.max(start + 1, repeatsUntil - offset, minInstant),
    calmUntil: Math.min(end, repeatedFrom - offset, maxInstant + 1)
  }
}

const zones = new Map<string, Zone>()

/** More spellings of zone names than this are looked up each time, so that the names people send do not fill the memory. */
const maxSpellings = 2000

/** The time zone of this name or offset, in any case and by any alias; undefined when there is none. */
export const zoneOf = (name: string): Zone | undefined => {
  const known = zones.get(name)
  if (known !== undefined) return known
  const format = Result.try(() =>
    // The weekday only keeps the text short: something of the date must be in it.
    new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset", weekday: "narrow" })
  )
  if (Result.isFailure(format)) return undefined
  const canonical = format.success.resolvedOptions().timeZone
  const zone = zones.get(canonical) ?? new Zone(canonical, format.success)
  zones.set(canonical, zone)
  if (zones.size < maxSpellings) zones.set(name, zone)
  return zone
}
