/** How an engine behaves, with every default in one place. */
import * as Duration from "effect/Duration"

export interface Options {
  /** The application's name. Schedules declared in code belong to it; workers' ids begin with it. */
  readonly name: string
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
  /** How many workers may die while executing a run before it is given up. Default 20. */
  readonly maxAttempts?: number | undefined
  /** Whether this process executes runs. Default true. */
  readonly worker?: boolean | undefined
  /** Whether this process fires schedules. Default true. */
  readonly scheduler?: boolean | undefined
}

export interface Settings {
  readonly name: string
  readonly concurrency: number
  readonly leaseMillis: number
  readonly pulseMillis: number
  readonly pollMillis: number
  readonly graceMillis: number
  readonly suspendAfterMillis: number
  readonly maxAttempts: number
}

const millis = (input: Duration.Input | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(input))

/** A store nobody else can reach changes only by our own hand, so there polling is a safety net and can be rare. */
const alone = 60

export const settings = (options: Options, exclusive: boolean): Settings => {
  const leaseMillis = millis(options.lease, 10_000) * (exclusive && options.lease === undefined ? alone : 1)
  const rare = exclusive ? alone : 1
  return {
    name: options.name,
    concurrency: options.concurrency ?? 1000,
    leaseMillis,
    pulseMillis: millis(options.pulseInterval, Math.min(1_000, leaseMillis / 4) * rare),
    pollMillis: millis(options.pollInterval, 1_000 * rare),
    graceMillis: millis(options.grace, 3_000),
    suspendAfterMillis: millis(options.suspendAfter, 10_000),
    maxAttempts: options.maxAttempts ?? 20
  }
}
