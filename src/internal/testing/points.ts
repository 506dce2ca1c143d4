/** The points at which a worker can crash: before and after each of the facts that make up a run. */
import type { NewStepRecord, StepId } from "../../SystemDb.ts"

/**
 * What happens to a run while a worker executes it.
 *
 * - `Start`: the worker has the run and is about to begin its body
 * - `Step`, `Undo`: the outcome of a step, or of what undoes one, is recorded
 * - `Attempt`: an attempt of either has failed, and that is recorded with the time of the next one
 * - `Sleep`: the wake time of a durable sleep is recorded
 * - `Value`: `Workflow.now` or `Workflow.uuid` is recorded
 * - `Failure`: the reason why the run fails is recorded, before its steps are undone
 * - `Child`: a run is started that the body, or a step, starts
 * - `Suspend`: the run is given up until its wake time
 * - `Finish`: the run ends
 *
 * @category models
 * @since 0.1.0
 */
export type Fact =
  | "Start"
  | "Step"
  | "Undo"
  | "Attempt"
  | "Sleep"
  | "Value"
  | "Failure"
  | "Child"
  | "Suspend"
  | "Finish"

/**
 * A point that a run comes to: before a fact, when what it is about has been done and is not written yet, or after it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Point {
  readonly side: "before" | "after"
  readonly fact: Fact
  readonly workflow: string
  readonly runId: string
  /** The name of the step, or of the child's workflow. */
  readonly step: string | undefined
  /** The key of the step, or the id of the child. */
  readonly key: string
  readonly occurrence: number
}

/** Whether something is of this workflow, run and step, as far as they are said. */
export const isOf = (
  { key, runId, step, workflow }: {
    readonly workflow?: string | { readonly name: string } | undefined
    readonly runId?: string | undefined
    readonly step?: string | undefined
    readonly key?: string | undefined
  },
  of: Pick<Point, "workflow" | "step" | "key"> & Partial<Point>
): boolean =>
  (workflow === undefined || (typeof workflow === "string" ? workflow : workflow.name) === of.workflow) &&
  (runId === undefined || runId === of.runId) && (step === undefined || step === of.step) &&
  (key === undefined || key === of.key)

export const factOf = ({ kind, outcome }: Pick<NewStepRecord, "kind" | "outcome">): Fact => {
  switch (kind) {
    case "Sleep":
    case "Value":
    case "Failure":
      return kind
    default:
      return outcome === null ? "Attempt" : kind === "Undo" ? "Undo" : "Step"
  }
}

/** A step as it is told: its name, and what else tells it apart. */
export const labelOf = ({ key, name, occurrence }: StepId): string =>
  `${name}${key === "" ? "" : ` (${key})`}${occurrence === 1 ? "" : ` #${occurrence}`}`

const happening = (point: Point, step: string): string => {
  switch (point.fact) {
    case "Start":
      return "its body began"
    case "Step":
    case "Undo":
      return `the outcome of ${step} was recorded`
    case "Attempt":
      return `a failed attempt of ${step} was recorded`
    case "Sleep":
      return `${step} was recorded`
    case "Value":
      return `the value of ${step} was recorded`
    case "Failure":
      return "the reason why it fails was recorded"
    case "Child":
      return `it started a run of ${step}`
    case "Suspend":
      return "it was suspended"
    case "Finish":
      return "its end was recorded"
  }
}

/** Says in words where a crash was: `run 42 of order: before the outcome of charge was recorded`. */
export const describe = (point: Point): string => {
  const step = point.step === undefined ? "" : labelOf({ ...point, name: point.step })
  return `run ${point.runId} of ${point.workflow}: ${point.side} ${happening(point, step)}`
}
