// Real processes on a real server, and what the tests ask of both.
import * as Postgres from "effect-durable/Postgres"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EffectSchedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const application = fileURLToPath(new URL("application.ts", import.meta.url))

/** A process of the application, ready when this returns, and killed with the scope if it still lives. */
export const startProcess = (
  url: string,
  options: { readonly name?: string; readonly leaseMillis?: number } = {}
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(
        process.execPath,
        [
          "--conditions=@effect-durable/source",
          application,
          url,
          options.name ?? "crash",
          String(options.leaseMillis ?? 10_000)
        ],
        { stdio: ["ignore", "pipe", "inherit"] }
      )
      await once(child.stdout!, "data")
      return child
    }),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )

/** Sends a signal and, for SIGKILL and SIGTERM, waits until the process is gone. */
export const signal = (child: ChildProcess, name: NodeJS.Signals): Effect.Effect<void> =>
  Effect.promise(async () => {
    const gone = name === "SIGSTOP" || name === "SIGCONT" ? undefined : once(child, "exit")
    child.kill(name)
    await gone
  })

/** Waits until the effect gives true; the test's own time limit ends a wait that never does. */
export const settle = <E, R>(fact: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.asVoid(Effect.repeat(fact, { schedule: EffectSchedule.spaced("50 millis"), until: (holds) => holds }))

/** A client of the database, with the tables that the application's steps write to. */
export const client = (url: string) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const sql = yield* SqlClient
    yield* sql`create table effects (run int not null, step int not null, pid int not null, at timestamptz default clock_timestamp())`
    yield* sql`create table bookings (run int not null)`
    yield* sql`create table ticks (schedule text not null, tick timestamptz not null)`
  })).pipe(Layer.provideMerge(Postgres.layer({ url })))
