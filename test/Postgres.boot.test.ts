/** What building the store says while it waits, and what it says at once where waiting cannot help. */
import * as Client from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { migrate } from "../src/internal/postgres/migrate.ts"
import { migrations } from "../src/internal/postgres/migrations.ts"
import { tables } from "../src/internal/postgres/names.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Run from "../src/Run.ts"
import * as Workflow from "../src/Workflow.ts"
import { freshDatabase, type TestServer, testServer } from "./support/postgres.ts"
import { proxyTo } from "./support/proxy.ts"
import { execute, withDatabase } from "./support/server.ts"

const list = (url: string, options: Omit<Postgres.Options, "url"> = {}) =>
  Effect.provide(Run.list(), Postgres.layer({ url, ...options }), { local: true })

const Flow = Workflow.make("flow")

const start = (url: string) => Effect.provide(Flow.start(), Postgres.layer({ url }), { local: true })

/** The warnings of an effect, and the first of them that matches. */
const heard = Effect.fnUntraced(function*(pattern: RegExp) {
  const first = yield* Deferred.make<string>()
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel !== "Warn") return
    lines.push(String(message))
    if (pattern.test(String(message))) Deferred.doneUnsafe(first, Effect.succeed(String(message)))
  })
  return { lines, first: Deferred.await(first), layer: Logger.layer([logger]) }
})

/** Fails when the effect ends before it was said, and stops it then. */
const says = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>, pattern: RegExp) {
  const { first, layer } = yield* heard(pattern)
  const fiber = yield* Effect.forkChild(Effect.provide(effect, layer))
  const line = yield* Effect.raceFirst(first, Effect.andThen(Fiber.join(fiber), Effect.die("it did not wait")))
  yield* Fiber.interrupt(fiber)
  return line
})

describe("a database that is away", () => {
  it.live("is waited for aloud: what, for how long and why", () =>
    Effect.gen(function*() {
      const line = yield* says(list("postgres://me:secret@127.0.0.1:1/app"), /./)
      assert.match(line, /^Waiting for \d seconds for the database "app" at 127\.0\.0\.1:1 \(connect\): .*ECONNREFUSED/)
      assert.notInclude(line, "secret")
    }))

  it.live("fails with what to look at once retryFor is over, and without a line when that is short", () =>
    Effect.gen(function*() {
      const { layer, lines } = yield* heard(/./)
      const away = (url: string) => Effect.provide(Effect.flip(list(url, { retryFor: "100 millis" })), layer)
      const nobody = yield* away("postgres://127.0.0.1:1/app")
      assert.deepInclude(nobody, { _tag: "StoreError", method: "connect", retryable: true })
      assert.include(nobody.message, "Start the server there, or correct the host and the port")
      const unknown = yield* away("postgres://no-such-host.invalid/app")
      assert.deepInclude(unknown, { _tag: "StoreError", method: "connect", retryable: true })
      assert.include(unknown.message, "Correct the host in the URL")
      const socket = yield* away("postgres:///app?host=/nowhere")
      assert.deepInclude(socket, { _tag: "StoreError", method: "connect", retryable: true })
      assert.deepStrictEqual(lines, [])
    }))

  it.live("is waited for aloud by calls and by what is written too, in one line for all", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const proxy = yield* proxyTo(url)
      const calls = Effect.gen(function*() {
        yield* Run.list()
        yield* proxy.refuse(true)
        yield* proxy.cut
        yield* Effect.all([Run.list(), Flow.start(), Run.list()], { concurrency: "unbounded" })
      })
      const line = yield* says(Effect.provide(calls, Postgres.layer({ url: proxy.url })), /^Waiting for/)
      assert.match(line, /for the database "test_\w+" at 127\.0\.0\.1:\d+ \(\w+\) \(and 2 more wait\): /)
    }))

  it.live("a migration that another process is busy with is waited for aloud", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const t = yield* tables("effect_durable")
      const holder = yield* Layer.build(Postgres.layer({ url, schema: "other" }))
      const line = yield* Effect.provideContext(
        Effect.gen(function*() {
          const sql = yield* Client.PgClient
          return yield* sql.withTransaction(Effect.andThen(
            sql`select pg_advisory_xact_lock(hashtextextended(${`effect-durable/${t.name}`}, 0))`,
            says(list(url), /^Waiting for/)
          ))
        }),
        holder
      )
      assert.match(line, /for another process, which brings schema effect_durable up to date in the database "test_/)
    }).pipe(Effect.scoped))

  it.live("a transaction that holds a run is waited for aloud, by the run's name", () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const start = Flow.start(undefined, { runId: "held" })
      const outside = Effect.provide(start, Postgres.layer({ url }), { local: true })
      const line = yield* Effect.gen(function*() {
        const sql = yield* Client.PgClient
        return yield* sql.withTransaction(Effect.andThen(start, says(outside, /^Waiting for/)))
      }).pipe(Effect.provide(Postgres.layer({ url }), { local: true }))
      assert.include(line, "another transaction, which holds run held (start)")
    }))
})

it.live(
  "a standby is waited for where the URL asks for a server that can be written to, and only there",
  () =>
    Effect.gen(function*() {
      const server = yield* testServer({ durable: false, files: { "standby.signal": "" } })
      for (const attributes of ["primary", "read-write"]) {
        const line = yield* says(list(`${server.url}?target_session_attrs=${attributes}`), /^Waiting for/)
        assert.match(line, /The server is a standby/)
      }
      const without = yield* Effect.flip(list(server.url, { retryFor: "100 millis" }))
      assert.notInclude(without.message, "target_session_attrs")
    }).pipe(Effect.scoped),
  60_000
)

const Server = Context.Service<TestServer>("Server")

const hba = `
local all all trust
host all postgres,app,cut_off,short 127.0.0.1/32 trust
host all with_password 127.0.0.1/32 scram-sha-256
`

const server = Layer.effect(
  Server,
  Effect.gen(function*() {
    const server = yield* testServer({ durable: false, files: { "pg_hba.conf": hba } })
    yield* Effect.orDie(execute(
      server.url,
      "create role with_password superuser login password 'right'",
      "create role stranger login",
      "create role app login",
      "create role cut_off login",
      "create role \"no login\" nologin",
      "create database closed",
      "revoke connect on database closed from public"
    ))
    return server
  })
)

layer(server, { excludeTestServices: true, timeout: "1 minute" })("a mistake that does not pass by itself", (it) => {
  const at = (change: (url: URL) => void) =>
    Effect.map(Server, (server) => {
      const url = new URL(server.url)
      change(url)
      return url.href
    })
  const as = (username: string, password = "") =>
    at((url) => {
      url.username = username
      url.password = password
    })

  const mistakes: ReadonlyArray<
    readonly [what: string, url: Effect.Effect<string, never, TestServer>, message: RegExp]
  > = [
    [
      "a wrong password",
      as("with_password", "secret"),
      /password authentication failed.*\. Correct the user or the password/
    ],
    ["no password", as("with_password"), /requested password.*\. Give the password/],
    ["a role that is not there", as("nobody"), /no pg_hba.conf entry|role "nobody" does not exist/],
    [
      "an address that pg_hba.conf does not know",
      as("stranger"),
      /set sslmode=.*; otherwise add a line to its pg_hba\.conf/
    ],
    ["a database that is not there", at((url) => void (url.pathname = "/no%20such")), /create database "no such"/],
    [
      "a database that one may not connect to",
      Effect.map(as("cut_off"), (url) => withDatabase(url, "closed")),
      /Missing: grant connect on database "closed" to "cut_off"\./
    ],
    [
      "options that the server does not know",
      at((url) => void (url.search = "?options=-c%20nonsense%3D1")),
      /`options`/
    ]
  ]
  for (const [what, url, message] of mistakes) {
    it.effect(`${what} fails at once, with what to do`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(list(yield* url))
        assert.deepInclude(error, { _tag: "StoreError", method: "connect", retryable: false })
        assert.match(error.message, message)
        assert.notInclude(JSON.stringify(error), "secret")
      }))
  }

  it.effect("the same is said to a client of one's own", () =>
    Effect.gen(function*() {
      const { hostname, port } = new URL((yield* Server).url)
      const client = Client.layer({ host: hostname, port: Number(port), username: "app", database: "none" })
      const error = yield* Effect.flip(
        Effect.provide(Run.list(), Postgres.layerFromClient().pipe(Layer.provide(client)))
      )
      assert.deepInclude(error, { _tag: "StoreError", method: "connect", retryable: false })
      assert.include(error.message, "create database \"none\"")
    }))

  /** What a role may do already, each in a database of its own, and what it lacks then. */
  const lacking: ReadonlyArray<
    readonly [what: string, first: ReadonlyArray<string>, missing: RegExp]
  > = [
    ["to create the schema", [], /^grant create on database "\w+" to "app"$/],
    [
      "to create tables in a schema that was made for it",
      ["create schema effect_durable"],
      /^grant usage, create on schema "effect_durable" to "app"$/
    ],
    [
      "to use a schema that is there",
      ["boot"],
      /^grant usage on schema .*; grant select, insert, update, delete on/
    ],
    [
      "to read and write what is in the schema",
      ["boot", "grant usage on schema effect_durable to app"],
      /^grant select, insert, update, delete on all tables in schema "effect_durable" to "app"; grant usage on all sequences/
    ],
    [
      "to delete",
      [
        "boot",
        "grant usage on schema effect_durable to app",
        "grant select, insert, update on all tables in schema effect_durable to app",
        "grant usage on all sequences in schema effect_durable to app"
      ],
      /^grant select, insert, update, delete on all tables in schema "effect_durable" to "app"$/
    ]
  ]
  for (const [what, first, missing] of lacking) {
    it.effect(`a role that lacks the right ${what} fails at once, and what is named is enough`, () =>
      Effect.gen(function*() {
        const server = yield* Server
        const name = `lacks_${what.replaceAll(/\W/g, "_").slice(0, 50)}`
        const admin = yield* server.createDatabase(name)
        for (const step of first) {
          if (step === "boot") yield* list(admin)
          else yield* execute(admin, step)
        }
        const url = withDatabase(yield* as("app"), name)
        const error = yield* Effect.flip(start(url))
        assert.deepInclude(error, { _tag: "StoreError", method: "migrate", retryable: false })
        const [, named = ""] = /Missing: (.*)$/.exec(error.message) ?? []
        assert.match(named, missing)
        yield* execute(admin, ...named.split("; "))
        yield* start(url)
      }))
  }

  it.effect("a role that may not upgrade the schema fails at once, and goes on when its owner has", () =>
    Effect.gen(function*() {
      const admin = yield* (yield* Server).createDatabase("upgrade")
      yield* firstVersion(admin)
      yield* execute(
        admin,
        "grant usage, create on schema effect_durable to app",
        "alter default privileges grant select, insert, update, delete on tables to app",
        "alter default privileges grant usage on sequences to app",
        "grant select, insert, update, delete on all tables in schema effect_durable to app",
        "grant usage on all sequences in schema effect_durable to app"
      )
      const url = withDatabase(yield* as("app"), "upgrade")
      const error = yield* Effect.flip(start(url))
      assert.deepInclude(error, { _tag: "StoreError", method: "migrate", retryable: false })
      assert.include(error.message, "Let one process start as \"postgres\"")
      yield* list(admin)
      yield* start(url)
    }))

  it.effect("a role that may only read is warned once, and reads", () =>
    Effect.gen(function*() {
      const admin = yield* (yield* Server).createDatabase("reader")
      yield* list(admin)
      yield* execute(
        admin,
        "grant usage on schema effect_durable to app",
        "grant select on all tables in schema effect_durable to app"
      )
      const url = withDatabase(yield* as("app"), "reader")
      const { layer, lines } = yield* heard(/./)
      assert.deepStrictEqual(yield* Effect.provide(list(url), layer), [])
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0]!, /can only read schema effect_durable.*Missing: grant select, insert/)
    }))
})

const firstVersion = (url: string) =>
  Effect.gen(function*() {
    const t = yield* tables("effect_durable")
    yield* migrate(yield* Client.PgClient, t, migrations.slice(0, 1))
  }).pipe(Effect.provide(Postgres.layer({ url, schema: "elsewhere" }), { local: true }))
