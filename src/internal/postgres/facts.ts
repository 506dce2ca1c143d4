/** What goes through the writer: what fibers do to runs, one fact each, and which facts may share a statement. */
import type { Lease, NewRun, NewStepRecord } from "../records.ts"

export type Fact =
  | { readonly _tag: "Start"; readonly run: NewRun }
  | { readonly _tag: "Step"; readonly lease: Lease; readonly step: NewStepRecord }
  | {
    readonly _tag: "Finish"
    readonly lease: Lease
    readonly status: "Succeeded" | "Failed"
    readonly outcome: string
  }
  | { readonly _tag: "Suspend"; readonly lease: Lease; readonly wakeAt: number; readonly trace: string | null }

/** Roughly how much a fact adds to the statement, in characters. */
export const weightOf = (fact: Fact): number => {
  switch (fact._tag) {
    case "Start":
      return fact.run.payload.length
    case "Step":
      return (fact.step.outcome?.length ?? 0) + (fact.step.errors?.length ?? 0)
    case "Finish":
      return fact.outcome.length
    case "Suspend":
      return 0
  }
}

/** The facts of one statement: for one run either one start, one end, one suspension, or steps that differ. */
export class Together {
  /** Run id → the steps written for it, or null when something else is. */
  readonly #runs = new Map<string, Set<string> | null>()

  /** False when the fact must wait for the next statement. */
  add(fact: Fact): boolean {
    const runId = fact._tag === "Start" ? fact.run.id : fact.lease.runId
    const present = this.#runs.get(runId)
    if (fact._tag !== "Step") {
      if (present !== undefined) return false
      this.#runs.set(runId, null)
      return true
    }
    const { key, name, occurrence } = fact.step
    const step = `${occurrence}\0${name}\0${key}`
    if (present === undefined) this.#runs.set(runId, new Set([step]))
    else if (present === null || present.has(step)) return false
    else present.add(step)
    return true
  }
}
