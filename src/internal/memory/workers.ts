/** Workers: their registration, their pulse, and what happens to the runs of dead ones. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Pulse, Run, SystemDb } from "../../SystemDb.ts"
import { handBack, progressed } from "./leased.ts"
import { atomic, byCodePoint, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<Store, "registerWorker" | "pulse">

const suffix = Effect.map(Random.next, (fraction) => Math.floor(fraction * 2 ** 48).toString(16).padStart(12, "0"))

/** A run that somebody holds is left for a pulse to find. */
const deregister = (state: State, id: string) =>
  atomic((now) => {
    // One that crashed hands nothing back: its runs wait until it is found dead.
    if (state.workers.get(id)?.locked === false) return Effect.void
    state.workers.delete(id)
    handBack(state, state.running((owner) => owner === id).filter((run) => !state.locks.run(run.id)), now)
    return Effect.void
  })

const registerWorker = (state: State): Store["registerWorker"] => ({ application, leaseMillis, workflows = null }) =>
  Effect.acquireRelease(
    Effect.flatMap(suffix, (suffix) =>
      atomic((now) => {
        const id = `${application}-${suffix}`
        state.workers.set(id, { id, renewedAt: now, leaseUntil: now + leaseMillis, locked: true, workflows })
        return Effect.succeed(id)
      })),
    (id) => deregister(state, id)
  )

/** Enqueues the runs again, or gives those up that were alone on their worker and did nothing but kill it. */
const recover = (state: State, runs: ReadonlyArray<Run>, now: number) => {
  const dead: Array<string> = []
  for (const run of runs) {
    const deaths = progressed(state, run) ? 0 : run.deaths + 1
    const orphan = { owner: null, isolated: false, deaths }
    if (run.isolated && deaths > 0) {
      state.move("recover", run, { ...orphan, status: "Dead", finishedAt: now })
      dead.push(run.id)
    } else {
      state.move("recover", run, { ...orphan, status: "Enqueued", wakeAt: now, attempt: run.attempt + 1 })
    }
  }
  const recovered = runs.length - dead.length
  if (recovered > 0) state.publish({ _tag: "RunsReady" })
  if (dead.length > 0) state.publish({ _tag: "RunsFinished", runIds: dead })
  return { recovered, dead: dead.sort(byCodePoint) }
}

const absent: Pulse = { alive: false, suspects: [], recovered: 0, dead: [] }

const pulse = (state: State): Store["pulse"] => ({ judges = true, leaseMillis, suspects, worker }) =>
  atomic((now) => {
    const self = state.workers.get(worker)
    if (self === undefined) return Effect.succeed(absent)
    // Silent itself for as long, it knows nothing of others, who have to come back first.
    const sure = judges && self.leaseUntil >= now
    state.workers.set(worker, { ...self, renewedAt: now, leaseUntil: now + leaseMillis })

    for (const other of Array.from(state.workers.values())) {
      const suspected = !other.locked &&
        suspects.some((suspect) => suspect.worker === other.id && suspect.renewedAt === other.renewedAt)
      if (sure && other.id !== worker && (other.leaseUntil < now || suspected)) state.workers.delete(other.id)
    }
    // Whoever is not registered is dead, also when it came to own a run after it had been removed.
    const orphans = state.running((owner) => !state.workers.has(owner)).filter(({ id }) => !state.locks.run(id))
    return Effect.succeed({
      alive: true,
      ...recover(state, orphans, now),
      suspects: Array.from(state.workers.values())
        .filter((other) => sure && other.id !== worker && !other.locked)
        .map((other) => ({ worker: other.id, renewedAt: other.renewedAt }))
        .sort((a, b) => byCodePoint(a.worker, b.worker))
    })
  })

export const make = (state: State): Methods => ({
  registerWorker: registerWorker(state),
  pulse: pulse(state)
})

/** Drops the worker's session lock, as the end of its process would: nothing is handed back, now or later. */
export const crash = (state: State, worker: string): void => {
  const entry = state.workers.get(worker)
  if (entry !== undefined) state.workers.set(worker, { ...entry, locked: false })
}
