/** `sslmode` and its companions, and unix sockets, before servers that have TLS and one that has none. */
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Postgres from "../src/Postgres.ts"
import * as Run from "../src/Run.ts"
import { type Authority, authority, type Certificate, isInstalled } from "./support/certificates.ts"
import { testServer } from "./support/postgres.ts"
import { execute } from "./support/server.ts"

/** Each user gets in by one way. */
const hba = `
local all all trust
hostssl all encrypted 127.0.0.0/8 trust
hostnossl all plain 127.0.0.0/8 trust
hostssl all certified 127.0.0.0/8 cert
host all postgres 127.0.0.0/8 trust
`

const sockets = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-sockets-"))
    Fs.chmodSync(folder, 0o777)
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

/** A server, and its port at two addresses: the certificates are for the first one. */
const serverWith = Effect.fnUntraced(function*(certificate: Certificate | undefined, from: Authority) {
  const folder = yield* sockets
  const server = yield* testServer({
    durable: false,
    settings: {
      listen_addresses: "127.0.0.1,127.0.0.2",
      unix_socket_directories: folder,
      ...(certificate !== undefined && {
        ssl: "on",
        ssl_cert_file: "server.crt",
        ssl_key_file: "server.key",
        ssl_ca_file: "ca.crt"
      })
    },
    files: {
      "pg_hba.conf": hba,
      ...(certificate !== undefined && {
        "server.crt": certificate.text,
        "server.key": certificate.key,
        "ca.crt": Fs.readFileSync(from.file, "utf8")
      })
    }
  })
  yield* Effect.orDie(
    execute(server.url, ...["encrypted", "plain", "certified"].map((role) => `create role ${role} superuser login`))
  )
  const { port } = new URL(server.url)
  return { folder, port, url: (user: string, host = "127.0.0.1") => `postgres://${user}@${host}:${port}/postgres` }
})

interface Servers {
  readonly authority: Authority
  readonly client: Certificate
  readonly other: Authority
  readonly withTls: Effect.Success<ReturnType<typeof serverWith>>
  readonly expired: Effect.Success<ReturnType<typeof serverWith>>
  readonly without: Effect.Success<ReturnType<typeof serverWith>>
}

const Servers = Context.Service<Servers>("Servers")

const servers = Layer.effect(
  Servers,
  Effect.gen(function*() {
    const [ours, other] = [yield* authority, yield* authority]
    const names = "DNS:localhost,IP:127.0.0.1"
    return {
      authority: ours,
      other,
      client: ours.sign("certified", names),
      withTls: yield* serverWith(ours.sign("server", names), ours),
      expired: yield* serverWith(ours.sign("expired", names, -1), ours),
      without: yield* serverWith(undefined, ours)
    }
  })
)

/** Whether the store's sessions are encrypted. */
const encrypted = (url: string) =>
  Effect.gen(function*() {
    yield* Run.list()
    const sql = yield* SqlClient
    const rows = yield* sql<{ readonly ssl: boolean }>`
      select ssl from pg_stat_ssl join pg_stat_activity using (pid) where backend_type = 'client backend'`
    assert.isAbove(rows.length, 1)
    assert.isTrue(rows.every(({ ssl }) => ssl === rows[0]!.ssl))
    return rows[0]!.ssl
  }).pipe(Effect.provide(Postgres.layer({ url }), { local: true }))

const refusal = (url: string) => Effect.flip(encrypted(url))

const refused = (url: string, detail: RegExp) =>
  Effect.map(refusal(url), (error) => {
    assert.deepInclude(error, { _tag: "StoreError", retryable: false })
    assert.match(error.message, detail)
  })

const root = ({ file }: Authority) => `sslrootcert=${encodeURIComponent(file)}`

describe.skipIf(!isInstalled)("encryption (skipped where openssl is not installed)", () => {
  layer(servers, { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    const modes: ReadonlyArray<readonly [parameters: string, withTls: boolean | RegExp, without: boolean | RegExp]> = [
      ["", true, false],
      ["sslmode=disable", false, false],
      ["sslmode=allow", false, false],
      ["sslmode=prefer", true, false],
      ["sslmode=require", true, /does not support TLS. Set sslmode=prefer/],
      ["sslmode=verify-ca", /sslrootcert/, /does not support TLS/],
      ["sslmode=verify-full", /sslrootcert/, /does not support TLS/],
      ["sslrootcert=system", /sslrootcert/, /does not support TLS/],
      ["channel_binding=require", /sslrootcert/, /does not support TLS/]
    ]
    for (const [parameters, withTls, without] of modes) {
      it.effect(`with ${parameters || "nothing said"} is as libpq has it, where there is TLS and where there is none`, () =>
        Effect.gen(function*() {
          const all = yield* Servers
          for (const [server, expected] of [[all.withTls, withTls], [all.without, without]] as const) {
            const url = `${server.url("postgres")}?${parameters}`
            if (typeof expected === "boolean") assert.strictEqual(yield* encrypted(url), expected)
            else yield* refused(url, expected)
          }
        }))
    }

    it.effect("that is verified takes the authority that sslrootcert names, and no other", () =>
      Effect.gen(function*() {
        const { authority, other, withTls } = yield* Servers
        const url = withTls.url("postgres")
        for (const mode of ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", "channel_binding=require"]) {
          assert.isTrue(yield* encrypted(`${url}?${mode}&${root(authority)}`), mode)
          yield* refused(`${url}?${mode}&${root(other)}`, /name the file with its authority in sslrootcert/)
        }
      }))

    it.effect("that is verified in full asks for the server's name, and verify-ca does not", () =>
      Effect.gen(function*() {
        const { authority, withTls } = yield* Servers
        const url = withTls.url("postgres", "127.0.0.2")
        assert.isTrue(yield* encrypted(`${url}?sslmode=verify-ca&${root(authority)}`))
        yield* refused(
          `${url}?sslmode=verify-full&${root(authority)}`,
          /Connect by a name that .* or set sslmode=verify-ca/
        )
        const named = withTls.url("postgres", "localhost")
        assert.isTrue(yield* encrypted(`${named}?sslmode=verify-full&${root(authority)}`))
      }))

    it.effect("by an expired certificate is refused where it is verified, and only there", () =>
      Effect.gen(function*() {
        const { authority, expired } = yield* Servers
        yield* refused(
          `${expired.url("postgres")}?sslmode=verify-ca&${root(authority)}`,
          /Renew the server's certificate/
        )
        assert.isTrue(yield* encrypted(`${expired.url("postgres")}?sslmode=require`))
      }))

    it.effect("is chosen as the server's pg_hba.conf lets this user in, where the mode leaves the choice", () =>
      Effect.gen(function*() {
        const { withTls } = yield* Servers
        assert.isFalse(yield* encrypted(`${withTls.url("plain")}?sslmode=prefer`))
        assert.isTrue(yield* encrypted(`${withTls.url("encrypted")}?sslmode=allow`))
        yield* refused(`${withTls.url("encrypted")}?sslmode=disable`, /no encryption. .*sslmode=/)
        yield* refused(`${withTls.url("plain")}?sslmode=require`, /pg_hba.conf/)
      }))

    it.effect("with a client's certificate lets in whom it is for", () =>
      Effect.gen(function*() {
        const { client, withTls } = yield* Servers
        const [cert, key] = [client.file, client.keyFile].map(encodeURIComponent)
        const url = `${withTls.url("certified")}?sslmode=require`
        assert.isTrue(yield* encrypted(`${url}&sslcert=${cert}&sslkey=${key}`))
        yield* refused(url, /sslcert and sslkey/)
      }))

    it.effect("of the versions that the URL allows, and no others", () =>
      Effect.gen(function*() {
        const { withTls } = yield* Servers
        const url = `${withTls.url("postgres")}?sslmode=require`
        assert.isTrue(yield* encrypted(`${url}&ssl_min_protocol_version=TLSv1.3`))
        yield* refused(`${url}&ssl_max_protocol_version=TLSv1`, /agree on encryption/)
      }))

    it.effect("is not asked for on a unix socket, in any form of its URL", () =>
      Effect.gen(function*() {
        const { withTls: { folder, port } } = yield* Servers
        const encoded = encodeURIComponent(folder)
        for (
          const url of [
            `postgres://postgres@/postgres?host=${folder}&port=${port}`,
            `postgres://postgres@:${port}/postgres?host=${encoded}&sslmode=verify-full`,
            `postgres://postgres@${encoded}:${port}/postgres`,
            `postgres:///postgres?user=postgres&host=${folder}&port=${port}`
          ]
        ) assert.isFalse(yield* encrypted(url), url)
      }))
  })
})
