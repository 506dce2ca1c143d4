import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Redacted, Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { freshDatabase, testServer } from "./postgres.ts"
import { startServer } from "./server.ts"

const minute = 60_000

const query = (url: string, text: string) =>
  Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe<Readonly<Record<string, unknown>>>(text)).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }), { local: true })
  )

const settle = <E, R>(fact: Effect.Effect<boolean, E, R>): Effect.Effect<boolean, E, R> =>
  Effect.repeat(Effect.delay(fact, "10 millis"), { until: (holds) => holds })

describe("freshDatabase", () => {
  it.live("gives an empty database on Postgres 18, to each a different one", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([freshDatabase, freshDatabase], { concurrency: "unbounded" })
      assert.notStrictEqual(first.url, second.url)
      yield* query(first.url, "create table mine (n int)")
      const [row] = yield* query(
        second.url,
        "select to_regclass('mine') is null as empty, current_setting('max_connections')::int as connections, " +
          "version() as version"
      )
      assert.isTrue(row?.["empty"])
      if ((process.env["DATABASE_URL"] ?? "") !== "") return
      assert.strictEqual(row?.["connections"], 200)
      assert.match(String(row?.["version"]), /^PostgreSQL 18/)
    }).pipe(Effect.scoped), minute)

  it.live("drops the database with its scope, although someone is connected", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { url } = yield* Scope.provide(freshDatabase, scope)
      const sleeper = yield* Effect.forkChild(query(url, "select pg_sleep(60)"), { startImmediately: true })
      yield* settle(Effect.map(
        query(url, "select from pg_stat_activity where query like '%pg_sleep(60)' and pid <> pg_backend_pid()"),
        (rows) => rows.length === 1
      ))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(sleeper)))
      const error = yield* Effect.flip(query(url, "select 1"))
      assert.match(String((error.reason.cause as Error).message), /does not exist/)
    }).pipe(Effect.scoped), minute)
})

describe("testServer", () => {
  it.live("syncs to disk, and keeps its URL and its data over every way to end it", () =>
    Effect.gen(function*() {
      const server = yield* testServer()
      const url = yield* server.createDatabase("kept")
      assert.deepStrictEqual(yield* query(url, "show fsync"), [{ fsync: "on" }])
      yield* query(url, "create table ends (how text)")
      const ends = {
        fast: server.restart("fast"),
        smart: server.restart("smart"),
        immediate: server.restart("immediate"),
        kill9: Effect.andThen(server.kill9, server.start)
      }
      for (const [how, end] of Object.entries(ends)) {
        yield* query(url, `insert into ends values ('${how}')`)
        yield* end
      }
      const rows = yield* query(url, "select how from ends")
      assert.deepStrictEqual(rows.map((row) => row["how"]), Object.keys(ends))
    }).pipe(Effect.scoped), minute)

  it.live("refuses connections while it is stopped", () =>
    Effect.gen(function*() {
      const server = yield* testServer({ durable: false, settings: { max_connections: "17" } })
      assert.deepStrictEqual(yield* query(server.url, "show max_connections"), [{ max_connections: "17" }])
      yield* server.stop("fast")
      assert.strictEqual((yield* Effect.flip(query(server.url, "select 1"))).reason._tag, "ConnectionError")
      yield* server.start
      assert.deepStrictEqual(yield* query(server.url, "select 1 as one"), [{ one: 1 }])
    }).pipe(Effect.scoped), minute)

  it.live(
    "ends the sessions of its clients when it is killed, those in the middle of a statement too",
    () =>
      Effect.gen(function*() {
        const server = yield* testServer()
        const busy = yield* Effect.forkChild(
          query(server.url, "select count(*) from generate_series(1, 1000000000)"),
          { startImmediately: true }
        )
        yield* settle(Effect.map(
          query(server.url, "select from pg_stat_activity where query like '%1000000000%' and pid <> pg_backend_pid()"),
          (rows) => rows.length > 0
        ))
        yield* server.kill9
        assert.isTrue(Exit.isFailure(yield* Fiber.await(busy)))
        yield* server.start
        assert.deepStrictEqual(yield* query(server.url, "select 1 as one"), [{ one: 1 }])
      }).pipe(Effect.scoped),
    minute
  )
})

describe("a server", () => {
  const script = Path.join(import.meta.dirname, "server.ts")

  const run = Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"] })
      const exit = once(child, "exit")
      const [url] = await once(createInterface({ input: child.stdout }), "line")
      return { child: child as ChildProcess, exit, url: String(url) }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    it.live(
      `ends and leaves nothing behind when the process that started it is ended by ${signal}`,
      () =>
        Effect.gen(function*() {
          const { child, exit, url } = yield* run
          const [row] = yield* query(url, "show data_directory")
          const folder = Path.dirname(String(row?.["data_directory"]))
          child.kill(signal)
          assert.deepStrictEqual(yield* Effect.promise(() => exit), [null, signal])
          yield* settle(Effect.sync(() => !Fs.existsSync(folder)))
          assert.strictEqual((yield* Effect.flip(query(url, "select 1"))).reason._tag, "ConnectionError")
        }).pipe(Effect.scoped),
      minute
    )
  }

  it.live("installs no handlers for signals or exits", () =>
    Effect.gen(function*() {
      const events = ["SIGINT", "SIGTERM", "SIGHUP", "exit", "beforeExit", "uncaughtException"]
      const count = () => events.map((event) => process.listenerCount(event))
      const before = count()
      const server = yield* Effect.promise(() => startServer())
      assert.deepStrictEqual(count(), before)
      yield* Effect.promise(() => server.remove())
      assert.isFalse(Fs.existsSync(server.path))
    }), minute)
})
