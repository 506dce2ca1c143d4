/** The names of what is measured, in one place. */
import * as Metric from "effect/Metric"

/** Runs that ended on this process, by workflow and status. */
export const runsEnded = Metric.counter("effect_durable_runs_ended_total", {
  description: "Runs that ended on this process",
  incremental: true
})

/** Runs this process took over from workers that died. */
export const runsRecovered = Metric.counter("effect_durable_runs_recovered_total", {
  description: "Runs taken over from workers that died",
  incremental: true
})

/** Executions that stopped because another worker owns their run, or because it was cancelled. */
export const leasesLost = Metric.counter("effect_durable_leases_lost_total", {
  description: "Executions stopped because their lease was lost",
  incremental: true
})

/** Recorded steps that a body did not come to before it ended, by workflow. */
export const recordsUnreached = Metric.counter("effect_durable_records_unreached_total", {
  description: "Recorded steps that a body did not come to before it ended",
  incremental: true
})

/** Runs that wait although no live worker has a body for their workflow, by workflow; a thousand when there are more. */
export const runsUnattended = Metric.gauge("effect_durable_runs_unattended", {
  description: "Runs that wait although no live worker has a body for their workflow, a thousand at most"
})

/** Runs this process handed back because the store failed in a way that may or may not pass. */
export const runsHandedBack = Metric.counter("effect_durable_runs_handed_back_total", {
  description: "Runs handed back because of an error of the store that may or may not pass",
  incremental: true
})

/** Ticks this process turned into runs. */
export const ticksFired = Metric.counter("effect_durable_ticks_fired_total", {
  description: "Ticks turned into runs by this process",
  incremental: true
})

/** Ticks this process passed over because of their schedule's policy for missed ticks. */
export const ticksMissed = Metric.counter("effect_durable_ticks_missed_total", {
  description: "Ticks passed over by the policy for missed ticks",
  incremental: true
})

/** How late ticks were fired, in milliseconds. */
export const tickLateness = Metric.histogram("effect_durable_tick_lateness_millis", {
  description: "Milliseconds between a tick and its firing",
  boundaries: [5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 60_000]
})

/** Passes of a supervised loop that failed and were tried again, by loop. */
export const loopFailures = Metric.counter("effect_durable_loop_failures_total", {
  description: "Passes of an engine loop that failed and were tried again",
  incremental: true
})
