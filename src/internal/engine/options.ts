/** How an engine behaves, with every default in one place. */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { InvalidInput } from "../../Errors.ts"
import * as texts from "../texts.ts"

export interface Options {
  /**
   * The application's name, the same in all of its processes. Schedules declared in code belong to it, and workflows that it had a
   * body for first; workers' ids begin with it.
   */
  readonly name: string
  /** Names that the application had before: what workflows belonged to these belong to it. Default none. */
  readonly formerly?: ReadonlyArray<string> | undefined
  /**
   * The application's version, such as `"1.4.2"`: schedules that a newer version declared are not undone by an older one that
   * starts late. Default none.
   */
  readonly version?: string | undefined
  /** The runs this process executes at once; runs in a long wait do not count. Default 1000. */
  readonly concurrency?: number | undefined
  /** How long a worker may be silent before its runs are taken over. Default 10 seconds. */
  readonly lease?: Duration.Input | undefined
  /** How often the lease is renewed and dead workers are looked for. Default 1 second. */
  readonly pulseInterval?: Duration.Input | undefined
  /** How soon a change is seen when its hint is lost. Default 1 second. */
  readonly pollInterval?: Duration.Input | undefined
  /** How long a graceful stop lets runs go on before it hands them back. Default 3 seconds. */
  readonly grace?: Duration.Input | undefined
  /** Waits longer than this give the run up until they are over. Default 10 seconds. */
  readonly suspendAfter?: Duration.Input | undefined
  /**
   * How many workers in a row may die with a run, and nothing new be recorded of it, before it is a suspect: then it is executed
   * alone, and if its worker dies again it is given up. Default 20.
   */
  readonly maxAttempts?: number | undefined
  /** Whether this process executes runs. Default true. */
  readonly worker?: boolean | undefined
  /** Whether this process fires schedules and carries backfills on. Default true. */
  readonly scheduler?: boolean | undefined
  /** What this process deletes from the store when it is too old. Default nothing: everything is kept. */
  readonly retention?: Retention | undefined
}

/** How long something is kept. What either bound lets go is deleted; without any, all of it is kept. */
export interface Keep {
  readonly age?: Duration.Input | undefined
  /** For each schedule, the newest so many. */
  readonly count?: number | undefined
}

/** What is kept of the past. */
export interface Retention {
  /**
   * Runs that have ended, with their steps; age counts from their creation. Runs that no schedule started have no count. A tick
   * whose run was deleted counts as one that never ran when it is backfilled. What a live run has started is kept as long as that
   * lives. Of many schedules, those that have more than their count are found 500 at an interval.
   */
  readonly runs?: Keep | undefined
  /** Ledger entries. The age is also that of audit records. */
  readonly ledger?: Keep | undefined
  /** How often the store is looked through. Default 1 minute. */
  readonly interval?: Duration.Input | undefined
}

export interface Settings {
  readonly name: string
  readonly formerly: ReadonlyArray<string>
  readonly concurrency: number
  readonly leaseMillis: number
  readonly pulseMillis: number
  readonly pollMillis: number
  readonly graceMillis: number
  readonly suspendAfterMillis: number
  readonly maxAttempts: number
  /** Null when everything is kept. */
  readonly kept: Kept | null
}

/** What is kept of the past; null where there is no bound. */
export interface Kept {
  readonly runsAgeMillis: number | null
  readonly runsCount: number | null
  readonly ledgerAgeMillis: number | null
  readonly ledgerCount: number | null
  readonly intervalMillis: number
}

/** A slip here would execute nothing, or keep an idle process busy, without a word: it stops the engine before it starts. */
const refuse = (field: string, reason: string): never => {
  throw new InvalidInput({ field, reason })
}

/** A database counts no further; for what is counted here that is without end. */
const endless = 2 ** 31 - 1

const count = (field: string, value: number | undefined, otherwise: number): number =>
  value === undefined || value === Infinity || (Number.isSafeInteger(value) && value >= 1)
    ? Math.min(endless, value ?? otherwise)
    : refuse(field, `must be a whole number from 1 up, and is ${value}`)

const millis = (field: string, input: Duration.Input | undefined, otherwise: number, least: 0 | 1 = 1): number => {
  const given = input === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(input))
  return given >= least ? given : refuse(field, `must be at least ${least} millisecond${least === 1 ? "" : "s"} long`)
}

/** Both become part of what the store finds workers and schedules by. */
const text = (field: string, value: string): string => Result.getOrThrow(texts.checkShort(field, value))

/** A store nobody else can reach changes only by our own hand, so there polling is a safety net and can be rare. */
const alone = 60

/** A slip here would delete what was to be kept, so it stops the engine before it starts. */
const bound = (field: string, value: number | undefined, whole: boolean): number | null => {
  if (value === undefined || value === Infinity) return null
  const least = whole ? 0 : 1
  if (value >= least && (!whole || Number.isSafeInteger(value))) return value
  const reason = whole ? "must be a whole number from 0 up" : "must be longer than nothing"
  throw new InvalidInput({ field: `retention.${field}`, reason })
}

const age = (field: string, input: Duration.Input | undefined): number | null =>
  bound(field, input === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(input)), false)

const kept = ({ interval, ledger = {}, runs = {} }: Retention): Kept | null => {
  const bounds = {
    runsAgeMillis: age("runs.age", runs.age),
    runsCount: bound("runs.count", runs.count, true),
    ledgerAgeMillis: age("ledger.age", ledger.age),
    ledgerCount: bound("ledger.count", ledger.count, true)
  }
  const bounded = Object.values(bounds).some((bound) => bound !== null)
  return bounded ? { ...bounds, intervalMillis: age("interval", interval) ?? 60_000 } : null
}

export const settings = (options: Options, exclusive: boolean): Settings => {
  const leaseMillis = millis("lease", options.lease, 10_000) * (exclusive && options.lease === undefined ? alone : 1)
  const rare = exclusive ? alone : 1
  if (options.version !== undefined) text("version", options.version)
  return {
    name: text("name", options.name),
    formerly: (options.formerly ?? []).map((name) => text("formerly", name)),
    concurrency: count("concurrency", options.concurrency, 1000),
    leaseMillis,
    pulseMillis: millis("pulseInterval", options.pulseInterval, Math.min(1_000, leaseMillis / 4) * rare),
    pollMillis: millis("pollInterval", options.pollInterval, 1_000 * rare),
    graceMillis: millis("grace", options.grace, 3_000, 0),
    suspendAfterMillis: millis("suspendAfter", options.suspendAfter, 10_000, 0),
    maxAttempts: count("maxAttempts", options.maxAttempts, 20),
    kept: options.retention === undefined ? null : kept(options.retention)
  }
}
