import { assert, describe, it } from "@effect/vitest"
import { Arbitrary } from "effect"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Os from "node:os"
import { described, read } from "../../../src/internal/postgres/url.ts"
import * as Generate from "../../cron/generators.ts"

/** What was read, as far as it is not what nothing at all would be read as. */
const told = (url: string) =>
  Effect.map(read(url), ({ config, encryptions, pooled, writable }) => {
    const { connectTimeout, keepAlive, password, ...rest } = config
    const plain = {
      ...rest,
      ...(password !== undefined && { password: Redacted.isRedacted(password) ? Redacted.value(password) : password }),
      ...(connectTimeout !== undefined &&
        { connectTimeout: Duration.format(Duration.fromInputUnsafe(connectTimeout)) }),
      ...(keepAlive !== "30 seconds" && { keepAlive }),
      ...(pooled && { pooled }),
      ...(writable && { writable }),
      encrypted: encryptions.map((encryption) => encryption !== false)
    }
    return Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined))
  })

const [never, first, ifNeeded, always] = [[false], [true, false], [false, true], [true]]

const user = Os.userInfo().username
const local = { host: "localhost", port: 5432, username: user, encrypted: first }

/** Printed by libpq's documentation, or by those who sell databases. */
const accepted: ReadonlyArray<readonly [url: string, what: object]> = [
  ["postgres://", local],
  ["postgresql://", local],
  ["  postgres://localhost\n", local],
  ["postgres:///app", { ...local, database: "app" }],
  ["postgres://db", { ...local, host: "db" }],
  ["postgres://db:6543", { ...local, host: "db", port: 6543 }],
  ["postgres://:6543/app", { ...local, port: 6543, database: "app" }],
  ["postgres://me@db/app", { ...local, host: "db", username: "me", database: "app" }],
  ["postgres://me:@db/app", { ...local, host: "db", username: "me", database: "app" }],
  ["postgres://me%40firm:p%40%2F%3A%23%3F%25@db/my%20app", {
    ...local,
    host: "db",
    username: "me@firm",
    password: "p@/:#?%",
    database: "my app"
  }],
  ["postgres://me:a:b+c@db", { ...local, host: "db", username: "me", password: "a:b+c" }],
  ["postgres://me@[::1]:6543/app", { ...local, host: "::1", port: 6543, username: "me", database: "app" }],
  ["postgres://db?user=me&password=p%26q&port=6543&dbname=app", {
    ...local,
    host: "db",
    port: 6543,
    username: "me",
    password: "p&q",
    database: "app"
  }],
  // Sockets have no encryption, whatever is asked.
  ["postgres://me@/app?host=/var/run/postgresql", {
    ...local,
    host: "/var/run/postgresql",
    username: "me",
    database: "app",
    encrypted: never
  }],
  ["postgres://%2Fvar%2Frun%2Fpostgresql:6543/app?sslmode=verify-full", {
    ...local,
    host: "/var/run/postgresql",
    port: 6543,
    database: "app",
    encrypted: never
  }],
  ["postgresql:///app?host=/cloudsql/project:region:instance&user=me", {
    ...local,
    host: "/cloudsql/project:region:instance",
    username: "me",
    database: "app",
    encrypted: never
  }],
  ["postgres://db/?sslmode=disable", { ...local, host: "db", encrypted: never }],
  ["postgres://db/?sslmode=allow", { ...local, host: "db", encrypted: ifNeeded }],
  ["postgres://db/?sslmode=prefer", { ...local, host: "db", encrypted: first }],
  ["postgres://db/?sslmode=require", { ...local, host: "db", encrypted: always }],
  ["postgres://db/?sslmode=verify-ca", { ...local, host: "db", encrypted: always }],
  ["postgres://db/?sslmode=verify-full", { ...local, host: "db", encrypted: always }],
  ["postgres://db/?ssl=true", { ...local, host: "db", encrypted: always }],
  ["postgres://db/?sslmode=", { ...local, host: "db" }],
  ["postgres://db/?sslrootcert=system", { ...local, host: "db", encrypted: always }],
  ["postgres://db/?sslmode=require&channel_binding=require", { ...local, host: "db", encrypted: always }],
  ["postgres://db/?channel_binding=prefer&gssencmode=disable&sslnegotiation=postgres&uselibpqcompat=true", {
    ...local,
    host: "db"
  }],
  ["postgres://db/?application_name=my+app&options=-c%20geqo%3Doff%20--search_path=x", {
    ...local,
    host: "db",
    applicationName: "my+app",
    startupOptions: "-c geqo=off --search_path=x"
  }],
  ["postgres://db/?fallback_application_name=app", { ...local, host: "db", applicationName: "app" }],
  ["postgres://db/?connect_timeout=10", { ...local, host: "db", connectTimeout: "10s" }],
  ["postgres://db/?connect_timeout=0", { ...local, host: "db", connectTimeout: "Infinity" }],
  ["postgres://db/?keepalives=0", { ...local, host: "db", keepAlive: undefined }],
  ["postgres://db/?keepalives=1&keepalives_idle=7", { ...local, host: "db", keepAlive: Duration.seconds(7) }],
  ["postgres://db:6543/postgres?pgbouncer=true", {
    ...local,
    host: "db",
    port: 6543,
    database: "postgres",
    pooled: true
  }],
  ["postgres://db/?target_session_attrs=any", { ...local, host: "db" }],
  ["postgres://db/?target_session_attrs=read-write", { ...local, host: "db", writable: true }],
  ["postgres://db/?sslmode=disable&sslmode=require", { ...local, host: "db", encrypted: always }]
]

const refused: ReadonlyArray<readonly [url: string, reason: RegExp]> = [
  ["", /must not be empty.*environment variable/],
  ["   ", /must not be empty/],
  ["host=localhost dbname=app", /keywords.*write postgres:\/\/user:password@host:5432\/database/],
  ["mysql://root@db/app", /postgres:\/\/ or postgresql:\/\/, and not with mysql:\/\//],
  ["jdbc:postgresql://db/app", /must begin with postgres:\/\//],
  ["db.example.com:5432/app", /must begin with postgres:\/\//],
  ["\"postgres://db/app\"", /must begin with postgres:\/\//],
  ["postgres://me:a#b@db/app", /percent-encoded/],
  ["postgres://me:a@b@db/app", /percent-encoded/],
  ["postgres://me:a/b@db/app", /percent-encoded/],
  ["postgres://me:a?b@db/app", /percent-encoded/],
  ["postgres://me:100%@db/app", /password has a %/],
  ["postgres://me:a%00@db/app", /NUL/],
  ["postgres://me:a b@db/app", /white space/],
  ["postgres://db:port/app", /port must be a number/],
  ["postgres://db:0/app", /port must be a number/],
  ["postgres://db:65536/app", /port must be a number/],
  ["postgres://::1/app", /brackets/],
  ["postgres://[::1/app", /brackets/],
  ["postgres://[db]/app", /no IPv6/],
  ["postgres://a,b/app", /several hosts/],
  ["postgres://a:1,b:2/app", /several hosts/],
  ["postgres:///app?host=a,b", /several hosts/],
  ["postgres://db/app?port=1,2", /several hosts/],
  ["postgres:///app?host=@abstract", /cannot be told apart/],
  ["postgres:///app?host=%40abstract", /socket/],
  ["postgres://db/app?sslmode", /sslmode=require/],
  ["postgres://db/app?sslmode=no-verification", /sslmode must be disable, allow, .*not no-verification/],
  ["postgres://db/app?sslmode=Require", /sslmode must be/],
  ["postgres://db/app?ssl=false", /ssl must be true/],
  ["postgres://db/app?sslmode=require&sslrootcert=system", /too weak for sslrootcert=system/],
  ["postgres://db/app?sslrootcert=/nowhere/ca.crt", /sslrootcert cannot be read.*ENOENT/],
  ["postgres://db/app?sslrootcert=/dev/null", /sslrootcert has no certificate/],
  ["postgres://db/app?sslcert=/dev/null", /sslcert and sslkey must be given together/],
  ["postgres://db/app?sslkey=/dev/null", /sslcert and sslkey must be given together/],
  ["postgres://db/app?sslcert=/dev/null&sslkey=/dev/null", /sslcert has no certificate/],
  ["postgres://db/app?sslpassword=x", /sslpassword needs sslkey/],
  ["postgres://db/app?sslcrl=/crl", /the parameter sslcrl /],
  ["postgres://db/app?sslnegotiation=direct", /sslnegotiation must be postgres/],
  ["postgres://db/app?channel_binding=require&sslmode=disable", /channel_binding/],
  ["postgres:///app?host=/run&channel_binding=require", /channel_binding/],
  ["postgres://db/app?target_session_attrs=standby", /target_session_attrs must be any, read-write, primary/],
  ["postgres://db/app?connect_timeout=soon", /connect_timeout must be a whole number of seconds/],
  ["postgres://db/app?keepalives_count=3", /keepalives_count/],
  ["postgres://db/app?tcp_user_timeout=3", /tcp_user_timeout/],
  ["postgres://db/app?require_auth=scram-sha-256", /require_auth/],
  ["postgres://db/app?connection_limit=3", /connection_limit.*`maxConnections`/],
  ["postgres://db/app?schema=x", /schema.*`schema`/],
  ["postgres://db/app?service=x", /service/]
]

describe("a URL", () => {
  for (const [url, what] of accepted) {
    it.effect(`is read as libpq reads it: ${url.trim()}`, () =>
      Effect.map(
        told(url),
        (seen) =>
          assert.deepEqual(seen, Object.fromEntries(Object.entries(what).filter(([, value]) => value !== undefined)))
      ))
  }

  for (const [url, reason] of refused) {
    it.effect(`is refused with what is wrong with it: ${url}`, () =>
      Effect.map(Effect.flip(told(url)), (error) => {
        assert.deepInclude(error, { _tag: "InvalidInput", field: "url" })
        assert.match(error.reason, reason)
      }))
  }

  it.effect("that is no text at all is refused", () =>
    Effect.map(Effect.flip(told(undefined as unknown as string)), ({ field }) => assert.strictEqual(field, "url")))

  it.effect("is described to people without the user and the password", () =>
    Effect.gen(function*() {
      const where = (url: string) => Effect.map(read(url), ({ config }) => described(config))
      assert.strictEqual(yield* where("postgres://me:secret@db/app"), "the database \"app\" at db:5432")
      assert.strictEqual(yield* where("postgres://me@[::1]:1"), "the database \"me\" at [::1]:1")
      assert.strictEqual(yield* where("postgres:///app?host=/run"), "the database \"app\" at /run/.s.PGSQL.5432")
    }))
})

const characters = "ab1#@/:?%&=+ .,[]é\"'\\"

const noise = Arbitrary.map(
  Arbitrary.array(Generate.int(0, characters.length - 1), { maxLength: 8 }),
  (indices) => indices.map((index) => characters[index]).join("")
)

describe("any password", () => {
  it.effect.prop(
    "that is percent-encoded comes back as it was, and so do the user and the database",
    [noise, noise, noise],
    ([one, two, three]) =>
      Effect.map(
        told(`postgres://u${encodeURIComponent(one)}:p${encodeURIComponent(two)}@db/d${encodeURIComponent(three)}`),
        (seen) =>
          assert.deepInclude(seen, { username: `u${one}`, password: `p${two}`, database: `d${three}`, host: "db" })
      ),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "that is not percent-encoded is read in full or refused, and no refusal tells any of it",
    [noise, noise],
    ([one, two]) =>
      Effect.matchEffect(told(`postgres://me:${one}SECRET${two}SECRET@db/app`), {
        onFailure: ({ message }) => Effect.sync(() => assert.notInclude(message, "SECRET")),
        onSuccess: (seen) =>
          Effect.sync(() => assert.strictEqual(seen["password"], decodeURIComponent(`${one}SECRET${two}SECRET`)))
      }),
    { arbitrary: { runs: 1000 } }
  )
})
