/**
 * What keeps a store from being built: whether it may pass, and what to do about it. Nothing was connected before, so a server that
 * does not let us in will not do so by itself.
 */
import type { SqlError } from "effect/sql/SqlError"
import type { StoreError } from "../../Errors.ts"
import { codeOf, detailOf, fateOfOurs, passing, storeErrorOf } from "./errors.ts"
import { quoted } from "./names.ts"

/** As whom, and to what. */
export interface Who {
  readonly username?: string | undefined
  readonly database?: string | undefined
}

/** An error as the remedies look at it: the server's code or the socket's, and the words. */
interface Sign {
  readonly code: string
  readonly words: string
}

interface Remedy {
  readonly of: (sign: Sign) => boolean
  readonly remedy: string | ((who: Who) => string)
  /** It may get better by itself; what is not in the list may when the connection failed. */
  readonly passes?: true
}

const coded = (...codes: ReadonlyArray<string>) => ({ code }: Sign) => codes.includes(code)

const worded = (pattern: RegExp, codes = /^(28|08P01)/) => ({ code, words }: Sign) =>
  codes.test(code) && pattern.test(words)

const noCode = /^$/

/** The first that applies. Poolers say much under the code 08P01. */
const remedies: ReadonlyArray<Remedy> = [
  {
    of: worded(/no encryption|SSL off|SSL required/i),
    remedy:
      "If the server lets nobody in without encryption, set sslmode=verify-full or sslmode=require; otherwise add a line " +
      "to its pg_hba.conf for this user, database and address"
  },
  {
    of: worded(/client certificate/i),
    remedy: "Give a certificate that the server takes for this user, with sslcert and sslkey"
  },
  {
    of: worded(/pg_hba\.conf/i),
    remedy: "Add a line to the server's pg_hba.conf for this user, database and address"
  },
  {
    of: worded(/role .* does not exist|no such user|not permitted to log in/i),
    remedy: "Create the role, allow it to log in, or give another user"
  },
  { of: worded(/no such database/i), remedy: "Create the database, or give the name of another" },
  {
    of: worded(/unsupported startup parameter/i),
    remedy: "Take it out of the URL, or let the pooler ignore it"
  },
  {
    of: (sign) => coded("28P01", "28000")(sign) || worded(/authentication failed|no such user/i)(sign),
    remedy:
      "Correct the user or the password; in a URL, characters such as @ : / ? # and % of a password are percent-encoded"
  },
  {
    of: coded("3D000"),
    remedy: ({ database }) =>
      `Create it${database === undefined ? "" : ` (create database ${quoted(database)})`}, or give the name of another`
  },
  {
    of: coded("42501"),
    remedy: ({ database, username }) =>
      database === undefined || username === undefined
        ? "Grant the role what it lacks"
        : `Missing: grant connect on database ${quoted(database)} to ${quoted(username)}`
  },
  { of: worded(/requested password/, noCode), remedy: "Give the password, in a URL as user:password@host" },
  {
    of: worded(/^(Unsupported SASL|Authentication method)/, noCode),
    remedy: "Let the server ask for a password with scram-sha-256, md5 or password in its pg_hba.conf"
  },
  {
    of: worded(/does not support TLS/, noCode),
    remedy: "Set sslmode=prefer or sslmode=disable, or switch the server's ssl on"
  },
  {
    of: coded(
      "SELF_SIGNED_CERT_IN_CHAIN",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
    ),
    remedy:
      "Nobody who is trusted vouches for the server's certificate: name the file with its authority in sslrootcert"
  },
  { of: coded("CERT_HAS_EXPIRED"), remedy: "Renew the server's certificate, or correct this machine's clock" },
  { of: coded("CERT_NOT_YET_VALID"), remedy: "Correct this machine's clock, or the server's certificate" },
  {
    of: coded("ERR_TLS_CERT_ALTNAME_INVALID"),
    remedy: "Connect by a name that the server's certificate is for, or set sslmode=verify-ca to do without"
  },
  {
    of: coded("42704", "22023", "42601"),
    remedy: "Correct what the URL has in `options`, or what the role has as defaults"
  },
  { of: coded("EACCES", "EPERM"), remedy: "Allow this process's user to use the socket" },
  {
    of: ({ code }) => /^(ERR_SSL_|ERR_TLS_|CERT_|EPROTO$)/.test(code),
    remedy:
      "This process and the server do not agree on encryption: compare sslmode and its companions with the server's"
  },
  {
    of: worded(/in response to SSLRequest|message during startup|^Unknown backend message/, noCode),
    remedy: "What answers there does not speak as a Postgres does: correct the host and the port in the URL",
    passes: true
  },
  {
    of: coded("ENOTFOUND", "EAI_AGAIN"),
    remedy: "Correct the host in the URL if this is not the name of one",
    passes: true
  },
  {
    of: coded("ECONNREFUSED", "ENOENT"),
    remedy: "Start the server there, or correct the host and the port in the URL",
    passes: true
  }
]

const signOf = (error: SqlError): Sign => {
  const cause = error.reason.cause as { readonly code?: unknown; readonly errors?: ReadonlyArray<Error> } | undefined
  const code = codeOf(error) ?? cause?.code
  return { code: typeof code === "string" ? code : "", words: detailOf(error) }
}

const isShut = (error: SqlError): boolean =>
  error.reason._tag !== "ConnectionError" && !passing.test(codeOf(error) ?? "")

export const bootError = (method: string, who: Who = {}) => (error: SqlError): StoreError => {
  if (error.reason.operation !== "connect") return storeErrorOf(method, fateOfOurs(error), error)
  const sign = signOf(error)
  const found = remedies.find(({ of }) => of(sign))
  const shut = found === undefined ? isShut(error) : found.passes !== true
  const remedy = typeof found?.remedy === "function" ? found.remedy(who) : found?.remedy
  const detail = remedy === undefined ? sign.words : `${sign.words.replace(/\.$/, "")}. ${remedy}.`
  return storeErrorOf(method, shut ? "HandBack" : fateOfOurs(error), error, detail)
}

/** The server has none. */
export const lacksEncryption = (error: SqlError): boolean => /does not support TLS/.test(detailOf(error))

/** Whether what went wrong concerns encryption, so that with it or without it may go better. */
export const concernsEncryption = (error: SqlError): boolean => {
  const { code } = signOf(error)
  return code === "28000" || lacksEncryption(error) || /^(ERR_SSL_|ERR_TLS_|CERT_|EPROTO$)/.test(code) ||
    /SELF_SIGNED|UNABLE_TO_/.test(code)
}
