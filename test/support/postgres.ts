/**
 * Databases and servers for tests, on a real Postgres.
 */
import { Effect, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import { inject } from "vitest"
import { execute, quoteName, type ServerOptions, startServer, type StopMode, withDatabase } from "./server.ts"

/** The URL of the server that `DATABASE_URL` names, or else of the one that all test files of this run share. */
const sharedServer: Effect.Effect<string> = Effect.promise(async () => {
  const given = process.env["DATABASE_URL"] ?? ""
  if (given !== "") return given
  const answer = await fetch(inject("postgresBroker"))
  const text = await answer.text()
  return answer.ok ? text : Promise.reject(new Error(text))
})

/** An empty database with a name of its own, dropped with the scope, whoever may still be connected. */
export const freshDatabase: Effect.Effect<{ readonly url: string }, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* sharedServer
  const name = `test_${randomUUID().replaceAll("-", "")}`
  yield* Effect.acquireRelease(
    Effect.orDie(execute(server, `create database ${quoteName(name)}`)),
    () => Effect.orDie(execute(server, `drop database if exists ${quoteName(name)} with (force)`))
  )
  return { url: withDatabase(server, name) }
})

/** A server that a test may stop, restart and kill. Its URL stays the same, and so does its data. */
export interface TestServer {
  readonly url: string
  readonly start: Effect.Effect<void>
  readonly stop: (mode?: StopMode) => Effect.Effect<void>
  readonly restart: (mode?: StopMode) => Effect.Effect<void>
  readonly kill9: Effect.Effect<void>
  readonly createDatabase: (name: string) => Effect.Effect<string>
}

/** A server of the test's own, started, and removed with the scope. Syncs to disk unless told otherwise. */
export const testServer = (options: ServerOptions = {}): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => startServer({ durable: true, ...options })),
    (server) => Effect.promise(() => server.remove())
  ).pipe(Effect.map((server) => ({
    url: server.url,
    start: Effect.promise(() => server.start()),
    stop: (mode) => Effect.promise(() => server.stop(mode)),
    restart: (mode) => Effect.promise(() => server.restart(mode)),
    kill9: Effect.promise(() => server.kill9()),
    createDatabase: (name) => Effect.promise(() => server.createDatabase(name))
  })))
