/** Bodies: which application a workflow belongs to, and what no live worker can execute. */
import * as Effect from "effect/Effect"
import type { SystemDb, Unattended } from "../../SystemDb.ts"
import { allows } from "../lifecycle.ts"
import { atomic, byCodePoint, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<Store, "ownWorkflow" | "setBodies" | "listBodies" | "listUnattended">

const most = 1_000

const ownWorkflow = (state: State): Store["ownWorkflow"] => ({ application, formerly, workflow }) =>
  Effect.sync(() => {
    const owner = state.applications.get(workflow)
    if (owner !== undefined && !formerly.includes(owner)) return owner
    state.applications.set(workflow, application)
    return application
  })

const setBodies = (state: State): Store["setBodies"] => (id, workflows) =>
  Effect.sync(() => {
    const worker = state.workers.get(id)
    if (worker !== undefined) state.workers.set(id, { ...worker, workflows })
  })

/** What workers have bodies for that lived at this instant or later; null when one of them does not say. */
const bodies = (state: State, since: number): ReadonlySet<string> | null => {
  const found = new Set<string>()
  for (const { leaseUntil, workflows } of state.workers.values()) {
    if (leaseUntil < since) continue
    if (workflows === null) return null
    for (const workflow of workflows) found.add(workflow)
  }
  return found
}

const listUnattended = (state: State): Store["listUnattended"] => (graceMillis) =>
  atomic((now) => {
    const until = now - graceMillis
    const attended = bodies(state, until)
    if (attended === null) return Effect.succeed([])
    const waiting = new Map<string, Unattended>()
    for (const id of state.live) {
      const run = state.runs.get(id)
      if (run === undefined || run.wakeAt === null || run.wakeAt > until || attended.has(run.workflow)) continue
      if (!allows("claim", run.status)) continue
      const { runs, since } = waiting.get(run.workflow) ?? { runs: 0, since: run.wakeAt }
      waiting.set(run.workflow, {
        workflow: run.workflow,
        runs: Math.min(most, runs + 1),
        since: Math.min(since, run.wakeAt)
      })
    }
    return Effect.succeed([...waiting.values()].sort((a, b) => byCodePoint(a.workflow, b.workflow)))
  })

export const make = (state: State): Methods => ({
  ownWorkflow: ownWorkflow(state),
  setBodies: setBodies(state),
  listBodies: atomic((now) => {
    const found = bodies(state, now)
    return Effect.succeed(found === null ? null : [...found].sort(byCodePoint))
  }),
  listUnattended: listUnattended(state)
})
