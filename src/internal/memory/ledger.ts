/** The ledger, the audit, and what is too old to be kept of them. */
import * as Effect from "effect/Effect"
import type { Entry, HistoryFilter, HistoryRow, Prune, Run, SystemDb } from "../../SystemDb.ts"
import { isFinished } from "../lifecycle.ts"
import { atomic, byCodePoint, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<Store, "listAudits" | "listHistory" | "findDecisions" | "findPrevious" | "prune">

const runsOf = (state: State, schedule: string): ReadonlyArray<Run> =>
  Array.from(state.runsOf.get(schedule) ?? [], (id) => state.runs.get(id)!)

const ofRun = (run: Run): HistoryRow => ({ at: run.tick!, key: `r${run.id}`, run, entry: null })

const ofEntry = (entry: Entry): HistoryRow => ({
  at: entry.first,
  key: `e${String(entry.position).padStart(19, "0")}`,
  run: null,
  entry
})

const compare = (a: Pick<HistoryRow, "at" | "key">, b: Pick<HistoryRow, "at" | "key">): number =>
  a.at - b.at || byCodePoint(a.key, b.key)

/** The runs of the schedule and the workflow of this one, for earlier instants, the last one first. */
const before = (state: State, id: string): ReadonlyArray<Run> => {
  const own = state.runs.get(id)
  const schedule = state.schedules.get(own?.schedule ?? "")
  if (own === undefined || schedule === undefined || own.createdAt < schedule.createdAt) return []
  return runsOf(state, schedule.name)
    .filter(({ createdAt, tick, workflow }) =>
      tick! < own.tick! && workflow === own.workflow && createdAt >= schedule.createdAt
    )
    .sort((a, b) => b.tick! - a.tick! || byCodePoint(b.id, a.id))
}

const inside = ({ from, to }: HistoryFilter) => ({ at }: HistoryRow): boolean =>
  (from === null || at >= from) && (to === null || at < to)

/** The entries among which one that covers an instant is looked for. */
const maxLooked = 100

const byPosition = (a: Entry, b: Entry): number => a.position - b.position

// ── pruning ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Nobody is left to take note of the end of a run whose schedule was deleted. */
const noted = (state: State, id: string): boolean =>
  !state.settling.has(id) || !state.schedules.has(state.runs.get(id)?.schedule ?? "")

/** Whether a live run may start it again on replay: the one it was started in, or one that was given it by its id. */
const needed = (state: State, { id, parent }: Run): boolean =>
  (parent !== null && state.live.has(parent)) ||
  Array.from(state.links.get(id) ?? []).some((other) => state.live.has(other))

const oldRuns = (state: State, { runsBefore, runsKept }: Prune): ReadonlyArray<Run> => {
  const old = new Set<Run>()
  if (runsBefore !== null) {
    for (const run of state.runs.values()) if (isFinished(run.status) && run.createdAt < runsBefore) old.add(run)
  }
  if (runsKept !== null) {
    for (const schedule of state.runsOf.keys()) {
      const own = runsOf(state, schedule).filter(({ status }) => isFinished(status)).sort((a, b) => b.tick! - a.tick!)
      const edge = runsKept === 0 ? Infinity : own[runsKept - 1]?.tick ?? -Infinity
      for (const run of own) if (run.tick! < edge) old.add(run)
    }
  }
  // The end of one that is not settled is still to be taken note of.
  return Array.from(old)
    .filter((run) => noted(state, run.id) && !needed(state, run))
    .sort((a, b) => a.createdAt - b.createdAt || byCodePoint(a.id, b.id))
}

const oldEntries = (state: State, { entriesBefore, entriesKept }: Prune): ReadonlyArray<Entry> => {
  const old = new Set<Entry>()
  for (const entries of state.entries.values()) {
    for (const entry of entries) if (entriesBefore !== null && entry.recordedAt < entriesBefore) old.add(entry)
    if (entriesKept === null) continue
    const newest = [...entries].sort((a, b) => b.first - a.first || b.position - a.position)
    for (const entry of newest.slice(entriesKept)) old.add(entry)
  }
  return Array.from(old).sort(byPosition)
}

const prune = (state: State, request: Prune) => {
  // What somebody holds is passed over.
  const runs = oldRuns(state, request).slice(0, request.limit).filter(({ id }) => !state.locks.run(id))
  for (const run of runs) state.drop(run)
  const entries = new Set(oldEntries(state, request).slice(0, request.limit))
  for (const [schedule, all] of state.entries) state.entries.set(schedule, all.filter((entry) => !entries.has(entry)))
  const { entriesBefore } = request
  const audits = new Set(
    state.audits
      .filter(({ audit: { at } }) => entriesBefore !== null && at < entriesBefore)
      .slice(0, request.limit - entries.size)
  )
  state.forget(audits)
  return { runs: runs.length, entries: entries.size + audits.size }
}

export const make = (state: State): Methods => ({
  listAudits: (schedule, { after, limit }) =>
    Effect.sync(() =>
      state.audits
        .flatMap(({ audit }) =>
          audit.schedule === schedule && (after === null || audit.position < after) ? [audit] : []
        )
        .reverse()
        .slice(0, limit)
    ),

  listHistory: (filter, { after, limit }) =>
    Effect.sync(() => {
      const direction = filter.newestFirst ? -1 : 1
      return [
        ...runsOf(state, filter.schedule).map(ofRun),
        ...(state.entries.get(filter.schedule) ?? []).map(ofEntry)
      ]
        .filter((row) => inside(filter)(row) && (after === null || compare(row, after) * direction > 0))
        .sort((a, b) => compare(a, b) * direction)
        .slice(0, limit)
    }),

  findDecisions: (schedule, instant) =>
    Effect.sync(() => ({
      runs: runsOf(state, schedule)
        .filter(({ tick }) => tick === instant)
        .sort((a, b) => a.createdAt - b.createdAt || byCodePoint(a.id, b.id)),
      entries: (state.entries.get(schedule) ?? [])
        .filter(({ first }) => first <= instant)
        .sort((a, b) => b.first - a.first || b.position - a.position)
        .slice(0, maxLooked)
        .filter(({ last }) => last >= instant)
        .sort((a, b) => b.position - a.position)
    })),

  findPrevious: (runId) =>
    Effect.sync(() => {
      const runs = before(state, runId)
      return {
        success: runs.find(({ status }) => status === "Succeeded") ?? null,
        failure: runs.find(({ status }) => status === "Failed" || status === "Dead") ?? null
      }
    }),

  prune: (request) => atomic(() => Effect.succeed(prune(state, request)))
})
