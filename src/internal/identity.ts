/** How steps are named: what a body may say, and the names that are the library's own. Checked before anything runs. */
import type * as Fiber from "effect/Fiber"
import { InvalidInput } from "../Errors.ts"
import type { StepId, StepRecord } from "../SystemDb.ts"
import type { Execution } from "./execution.ts"
import * as names from "./names.ts"

const prefix = "Workflow."

/** The steps that the library makes: waits, times, ids and what came before, and how often a body has started a workflow. */
export type Own = "sleep" | "now" | "uuid" | "previous" | `start ${string}`

const refuse = (field: string, reason: string | undefined): void => {
  if (reason !== undefined) throw new InvalidInput({ field, reason })
}

const checkKey = (name: string, key: string): void => {
  if (key !== "") refuse(`key of step ${name}`, names.fault(key))
}

/** The identity of the next use of a name that a body gives. A defect when it cannot have one. */
export const identify = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  name: string,
  key = ""
): StepId => {
  refuse("step", names.fault(name))
  if (name.startsWith(prefix)) {
    refuse(`step ${name}`, `names that begin with "${prefix}" are the library's own; choose another one`)
  }
  checkKey(name, key)
  return execution.identify(fiber, name, key)
}

/** The identity of the next use of something of the library's own. */
export const identifyOwn = (
  execution: Execution,
  fiber: Fiber.Fiber<unknown, unknown>,
  own: Own,
  key = "",
  remedy?: string
): StepId => {
  const name = execution.bareNames ? own : `${prefix}${own}`
  checkKey(name, key)
  return execution.identify(fiber, name, key, remedy)
}

/** Whether the record is one of before the library's own names had their prefix. Its run goes on without it. */
export const isBare = ({ kind, name }: StepRecord): boolean =>
  kind === "Sleep" ? name === "sleep" : kind === "Value" && (name === "now" || name === "uuid")
