/** Backfills. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ScheduleNotFound } from "../../Errors.ts"
import type { Backfill, SystemDb } from "../../SystemDb.ts"
import { startTicks } from "./firing.ts"
import { cancelRun } from "./runs.ts"
import { rowOf } from "./schedules.ts"
import { atomic, byCodePoint, type State } from "./state.ts"

type Store = SystemDb["Service"]
type Methods = Pick<
  Store,
  | "createBackfill"
  | "findBackfill"
  | "listBackfills"
  | "changeBackfill"
  | "dueBackfills"
  | "advanceBackfill"
>

type Stored = Omit<Backfill, "live">

const newestFirst = (a: Pick<Backfill, "createdAt" | "id">, b: Pick<Backfill, "createdAt" | "id">): number =>
  b.createdAt - a.createdAt || byCodePoint(b.id, a.id)

export const make = (state: State): Methods => {
  const withLive = (backfill: Stored): Backfill => ({
    ...backfill,
    live: state.filling.get(backfill.id)?.size ?? 0
  })
  const put = (backfill: Stored, changes: Partial<Stored>, now: number): Stored => {
    const next = { ...backfill, ...changes, turn: state.nextTurn(), updatedAt: now }
    state.backfills.set(next.id, next)
    return next
  }

  const enqueued = (backfill: string): ReadonlyArray<string> =>
    Array.from(state.filling.get(backfill) ?? []).filter((runId) => state.runs.get(runId)?.status === "Enqueued")

  return {
    createBackfill: (backfill, audit) =>
      atomic((now): ReturnType<Store["createBackfill"]> => {
        const existing = state.backfills.get(backfill.id)
        if (existing !== undefined) return Effect.succeed({ created: false, backfill: withLive(existing) })
        if (!state.schedules.has(backfill.schedule)) {
          return Effect.fail(new ScheduleNotFound({ schedule: backfill.schedule }))
        }
        const created = state.fill(backfill, now)
        state.audit(audit, now)
        state.publish({ _tag: "SchedulesChanged" })
        return Effect.succeed({ created: true, backfill: withLive(created) })
      }),

    findBackfill: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(state.backfills.get(id)), withLive)),

    listBackfills: (schedule, { after, limit }) =>
      Effect.sync(() =>
        Array.from(state.backfills.values())
          .filter((backfill) =>
            (schedule === null || backfill.schedule === schedule) &&
            (after === null || newestFirst(after, backfill) < 0)
          )
          .sort(newestFirst)
          .slice(0, limit)
          .map(withLive)
      ),

    changeBackfill: ({ audit, id, status, turn }) =>
      state.locks.until(
        () => status !== "Cancelled" || !enqueued(id).some((runId) => state.locks.run(runId)),
        atomic((now) => {
          const backfill = state.backfills.get(id)
          if (backfill?.turn !== turn || (backfill.status !== "Active" && backfill.status !== "Paused")) {
            return Effect.succeed(false)
          }
          put(backfill, { status, finishedAt: status === "Cancelled" ? now : null }, now)
          state.audit(audit, now)
          if (status === "Cancelled") {
            for (const runId of enqueued(id)) {
              cancelRun(state, state.runs.get(runId)!, "Its backfill was cancelled", now)
            }
          }
          state.publish({ _tag: "SchedulesChanged" })
          return Effect.succeed(true)
        })
      ),

    dueBackfills: (limit) =>
      Effect.sync(() =>
        Array.from(state.backfills.values(), withLive)
          .filter(({ concurrency, cursor, live, status }) =>
            status === "Active" && (cursor === null ? live === 0 : live < concurrency)
          )
          .sort((a, b) => newestFirst(b, a))
          .slice(0, limit)
          .map((backfill) => {
            const schedule = state.schedules.get(backfill.schedule)
            return { backfill, schedule: schedule === undefined ? null : rowOf(state, schedule) }
          })
      ),

    advanceBackfill: ({ cursor, done, id, settle, ticks, timeoutMillis, turn }) =>
      atomic((now) => {
        const backfill = state.backfills.get(id)
        const schedule = backfill === undefined ? undefined : state.schedules.get(backfill.schedule)
        if (backfill?.turn !== turn || backfill.status !== "Active") return Effect.succeed(false)
        if (schedule === undefined && ticks.length > 0) return Effect.succeed(false)
        const runs = schedule === undefined ? [] : startTicks(state, schedule, ticks, {
          now,
          owner: null,
          context: backfill.context,
          counts: false,
          backfill: id,
          settle,
          timeoutMillis
        })
        put(
          backfill,
          {
            cursor,
            started: backfill.started + runs.length,
            existing: backfill.existing + ticks.length - runs.length,
            ...done && { status: "Done" as const, finishedAt: now }
          },
          now
        )
        return Effect.succeed(true)
      })
  }
}
