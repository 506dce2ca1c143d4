/**
 * What a connection URL says, as libpq reads it. Whatever it says that cannot be done here is refused by name, since a URL must
 * not mean less than it says. A refusal quotes nothing that may be a piece of a password.
 */
import type { PgPoolConfig } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Net from "node:net"
import * as Os from "node:os"
import type { SecureVersion } from "node:tls"
import { InvalidInput } from "../../Errors.ts"
import * as Encryption from "./encryption.ts"

export interface Address {
  /** All but encryption. */
  readonly config: PgPoolConfig & { readonly host: string; readonly port: number; readonly username: string }
  /** What to try, in this order. */
  readonly encryptions: ReadonlyArray<Encryption.Encryption>
  /** It is said that there is a pooler in transaction mode. */
  readonly pooled: boolean
  /** Only a server that can be written to will do. */
  readonly writable: boolean
}

const form = "postgres://user:password@host:5432/database"

const refuse = (reason: string) => new InvalidInput({ field: "url", reason })

// ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Parts {
  readonly user: string
  readonly password: string
  readonly authority: string
  readonly database: string
  readonly query: string
}

const codes = "%23 for #, %25 for %, %2F for /, %3F for ?, %40 for @"

const partsOf = Effect.fnUntraced(function*(url: string): Effect.fn.Return<Parts, InvalidInput> {
  if (typeof url !== "string") return yield* refuse(`must be text such as ${form}; is the environment variable set?`)
  const text = url.trim()
  if (text === "") return yield* refuse(`must not be empty, but such as ${form}; is the environment variable set?`)
  if (/^\w+\s*=/.test(text)) return yield* refuse(`must be a URL and not keywords with values: write ${form}`)
  const [scheme] = /^postgres(?:ql)?:\/\//.exec(text) ?? []
  if (scheme === undefined) {
    const [other] = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text) ?? []
    const given = other === undefined ? "" : `, and not with ${other}`
    return yield* refuse(`must begin with postgres:// or postgresql://${given}, such as ${form}`)
  }
  const rest = text.slice(scheme.length)
  if (/[\s\p{Cc}]/u.test(rest)) return yield* refuse("must have no white space in it; write %20 for a space")
  const parts = /^(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^@/?#]*)(?:\/([^@/?#]*))?(?:\?([^@#]*))?$/.exec(rest)
  if (parts === null) {
    return yield* refuse(
      "cannot be told apart into user, password, host and database: in a user, a password and a name of a database " +
        `some characters are to be percent-encoded (${codes})`
    )
  }
  const [, user = "", password = "", authority = "", database = "", query = ""] = parts
  return {
    user: yield* decoded("the user", user),
    password: yield* decoded("the password", password),
    authority,
    database: yield* decoded("the database", database),
    query
  }
})

const decoded = Effect.fnUntraced(function*(what: string, text: string): Effect.fn.Return<string, InvalidInput> {
  const value = yield* Effect.try({
    try: () => decodeURIComponent(text),
    catch: () => refuse(`${what} has a % that begins no encoded character; write %25 for a % itself`)
  })
  return value.includes("\0") ? yield* refuse(`${what} must not contain the NUL character`) : value
})

const portOf = Effect.fnUntraced(function*(text: string): Effect.fn.Return<number, InvalidInput> {
  if (text.includes(",")) return yield* severalHosts
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? port : yield* refuse(
    "the port must be a number from 1 to 65535; an IPv6 address stands in brackets, and a password with : / ? # or @ in " +
      "it is percent-encoded"
  )
})

const severalHosts = Effect.fail(refuse(
  "several hosts cannot be given here: name the one that leads to the server that can be written to, such as a name or an " +
    "address that moves with it"
))

/** Both may be missing: the host is empty then. */
const hostAndPort = Effect.fnUntraced(function*(authority: string) {
  if (authority.includes(",")) return yield* severalHosts
  const [, bracketed, plain = "", port = ""] = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(authority) ?? []
  const host = yield* decoded("the host", bracketed ?? plain)
  if (bracketed !== undefined && !Net.isIPv6(host)) return yield* refuse("what stands in brackets is no IPv6 address")
  if (host === "" && authority !== "" && !authority.startsWith(":")) {
    return yield* refuse("the host cannot be told apart from the port; an IPv6 address stands in brackets")
  }
  return { host, port: port === "" ? undefined : yield* portOf(port) }
})

// ── parameters ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Values = "text" | "seconds" | ReadonlyArray<string>

/** What these ask for is what is done in any case. */
const asAlways: Readonly<Record<string, Values>> = {
  client_encoding: ["UTF8", "utf8", "UTF-8", "utf-8", "auto"],
  gssencmode: ["disable", "prefer"],
  load_balance_hosts: ["disable"],
  sslcompression: ["0"],
  sslnegotiation: ["postgres"],
  sslsni: ["1"],
  uselibpqcompat: ["true"]
}

const versions: ReadonlyArray<SecureVersion> = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

/** What is looked at below: everything else is refused. */
const known = {
  application_name: "text",
  channel_binding: ["disable", "prefer", "require"],
  connect_timeout: "seconds",
  dbname: "text",
  fallback_application_name: "text",
  host: "text",
  keepalives: ["0", "1"],
  keepalives_idle: "seconds",
  options: "text",
  password: "text",
  pgbouncer: ["true", "false"],
  port: "text",
  ssl: ["true"],
  ssl_max_protocol_version: versions,
  ssl_min_protocol_version: versions,
  sslcert: "text",
  sslkey: "text",
  sslmode: Encryption.modes,
  sslpassword: "text",
  sslrootcert: "text",
  target_session_attrs: ["any", "read-write", "primary"],
  user: "text"
} satisfies Readonly<Record<string, Values>>

type Parameters = { readonly [Name in keyof typeof known]?: string }

const taken = new Map<string, Values>(Object.entries({ ...known, ...asAlways }))

/** Where else it is said. */
const elsewhere = new Map(Object.entries({
  connection_limit: "it is the layer's option `maxConnections`",
  hostaddr: "give the address as the host",
  passfile: "put the password into the URL",
  pool_timeout: "it is the layer's option `retryFor`",
  schema: "it is the layer's option `schema`",
  service: "write out what it stands for"
}))

const takes = (values: Values, value: string): boolean =>
  values === "text" || (values === "seconds" ? /^\d{1,6}$/.test(value) : values.includes(value))

const listed = (values: Values): string =>
  typeof values !== "string" ? values.join(", ") : values === "seconds" ? "a whole number of seconds" : values

const quotable = (value: string): string => /^[\w.-]{1,40}$/.test(value) ? `, and not ${value}` : ""

const parametersOf = Effect.fnUntraced(function*(query: string): Effect.fn.Return<Parameters, InvalidInput> {
  const found: Record<string, string> = {}
  for (const pair of query.split("&").filter((pair) => pair !== "")) {
    const [name = "", ...rest] = pair.split("=")
    if (!/^\w{1,40}$/.test(name) || rest.length === 0) {
      return yield* refuse("behind the ? there must be parameters such as sslmode=require, with & between them")
    }
    const values = taken.get(name)
    if (values === undefined) {
      const how = elsewhere.get(name) ?? "take it away if it is not needed"
      return yield* refuse(`the parameter ${name} cannot be honoured here, and is not ignored: ${how}`)
    }
    const value = yield* decoded(`the parameter ${name}`, rest.join("="))
    // As if it were not there, to libpq.
    if (value === "") delete found[name]
    else if (takes(values, value)) found[name] = value
    else return yield* refuse(`${name} must be ${listed(values)} here${quotable(value)}`)
  }
  return found
})

// ── all of it ───────────────────────────────────────────────────────────────────────────────────────────────────────

const systemUser = Effect.try({
  try: () => Os.userInfo().username,
  catch: () => refuse("names no user, and the operating system has no name for this one either")
})

const keepAliveOf = ({ keepalives, keepalives_idle: idle }: Parameters): PgPoolConfig["keepAlive"] =>
  keepalives === "0" ? undefined : idle === undefined || idle === "0" ? "30 seconds" : Duration.seconds(Number(idle))

const timeoutOf = (text: string | undefined): PgPoolConfig["connectTimeout"] =>
  text === undefined ? undefined : Number(text) === 0 ? Duration.infinity : Duration.seconds(Number(text))

const isSocket = (host: string): boolean => host.startsWith("/")

/** Reads the URL, and the files that it names. Nothing of the environment is taken for what it does not say, but for the user. */
export const read = Effect.fnUntraced(function*(
  url: string | Redacted.Redacted
): Effect.fn.Return<Address, InvalidInput> {
  const parts = yield* partsOf(Redacted.isRedacted(url) ? Redacted.value(url) : url)
  const authority = yield* hostAndPort(parts.authority)
  const parameters = yield* parametersOf(parts.query)
  const host = (parameters.host ?? authority.host) || "localhost"
  if (host.includes(",")) return yield* severalHosts
  if (host.startsWith("@")) {
    return yield* refuse("a socket without a file cannot be reached here; name the socket's folder")
  }
  const port = parameters.port === undefined ? authority.port ?? 5432 : yield* portOf(parameters.port)
  const password = parameters.password ?? parts.password
  const encryptions = yield* Encryption.waysOf({
    mode: (parameters.sslmode as Encryption.Mode | undefined) ?? (parameters.ssl === undefined ? undefined : "require"),
    rootCert: parameters.sslrootcert,
    cert: parameters.sslcert,
    key: parameters.sslkey,
    password: parameters.sslpassword,
    minVersion: parameters.ssl_min_protocol_version as SecureVersion | undefined,
    maxVersion: parameters.ssl_max_protocol_version as SecureVersion | undefined,
    bound: parameters.channel_binding === "require"
  }, isSocket(host))
  return {
    config: {
      host,
      port,
      username: (parameters.user ?? parts.user) || (yield* systemUser),
      database: (parameters.dbname ?? parts.database) || undefined,
      password: password === "" ? undefined : Redacted.make(password),
      applicationName: parameters.application_name ?? parameters.fallback_application_name,
      startupOptions: parameters.options,
      connectTimeout: timeoutOf(parameters.connect_timeout),
      keepAlive: keepAliveOf(parameters)
    },
    encryptions,
    pooled: parameters.pgbouncer === "true",
    writable: parameters.target_session_attrs === "read-write" || parameters.target_session_attrs === "primary"
  }
})

/** What a client connects to, for people. */
export const described = ({ database, host = "localhost", port = 5432, username }: PgPoolConfig): string => {
  const name = database ?? username
  const at = isSocket(host) ? `${host}/.s.PGSQL.${port}` : Net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
  return `the database ${name === undefined ? "" : `${JSON.stringify(name)} `}at ${at}`
}
