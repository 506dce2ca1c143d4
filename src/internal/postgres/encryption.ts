/**
 * What `sslmode` and its companions come to, as libpq reads them. Where libpq decides with every connection whether it is
 * encrypted, that is decided once, when the store is built: a database that is later reached without what it had then is refused.
 */
import * as Effect from "effect/Effect"
import { createPrivateKey, X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import * as Tls from "node:tls"
import { InvalidInput } from "../../Errors.ts"

/** What the driver takes: none, or how to make it. */
export type Encryption = false | Tls.ConnectionOptions

/** In the order of their strength. */
export const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const

export type Mode = typeof modes[number]

/** As it stands in a URL. */
export interface Asked {
  readonly mode: Mode | undefined
  /** `system`, or a file. */
  readonly rootCert: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly password: string | undefined
  readonly minVersion: Tls.SecureVersion | undefined
  readonly maxVersion: Tls.SecureVersion | undefined
  /** Only a server that proves who it is, and on this connection. */
  readonly bound: boolean
}

const refuse = (reason: string) => new InvalidInput({ field: "url", reason })

const reasonOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const fileOf = (parameter: string, path: string) =>
  Effect.try({
    try: () => Fs.readFileSync(path, "utf8"),
    catch: (cause) => refuse(`the file of ${parameter} cannot be read (${reasonOf(cause)})`)
  })

/** Those Node trusts by itself or is told to trust, and those of the operating system. */
const trusted = (): ReadonlyArray<string> => [
  ...Tls.getCACertificates("default"),
  ...Tls.getCACertificates("system")
]

const certificates = Effect.fnUntraced(function*(parameter: string, path: string) {
  const pem = yield* fileOf(parameter, path)
  yield* Effect.try({
    try: () => new X509Certificate(pem),
    catch: (cause) => refuse(`the file of ${parameter} has no certificate in it (${reasonOf(cause)})`)
  })
  return pem
})

const keyOf = Effect.fnUntraced(function*(path: string, passphrase: string | undefined) {
  const key = yield* fileOf("sslkey", path)
  yield* Effect.try({
    try: () => createPrivateKey({ key, passphrase }),
    catch: (cause) => refuse(`the file of sslkey has no key in it that sslpassword opens (${reasonOf(cause)})`)
  })
  return key
})

const authorities = (rootCert: string | undefined) =>
  rootCert === undefined || rootCert === "system"
    ? Effect.sync(trusted)
    : Effect.map(certificates("sslrootcert", rootCert), (pem) => [pem])

/** Without a file nobody is checked by `require`; with one, what libpq does is the same as for `verify-ca`. */
const modeOf = ({ bound, mode, rootCert }: Asked): Effect.Effect<Mode, InvalidInput> => {
  // What the two have in common: nobody in between can pass himself off as the server. The driver has no channel binding.
  if (bound) {
    return mode === "disable"
      ? Effect.fail(refuse("channel_binding=require needs encryption, and sslmode=disable takes it away"))
      : Effect.succeed("verify-full")
  }
  if (rootCert !== "system" || (mode ?? "verify-full") === "verify-full") {
    return Effect.succeed(mode ?? (rootCert === "system" ? "verify-full" : "prefer"))
  }
  return Effect.fail(refuse(`sslmode=${mode} is too weak for sslrootcert=system; use sslmode=verify-full`))
}

const contextOf = Effect.fnUntraced(function*(asked: Asked, verifies: boolean) {
  const { cert, key, maxVersion, minVersion, password } = asked
  if ((cert === undefined) !== (key === undefined)) return yield* refuse("sslcert and sslkey must be given together")
  if (password !== undefined && key === undefined) return yield* refuse("sslpassword needs sslkey")
  const options: Tls.SecureContextOptions = {
    ...(verifies && { ca: Array.from(yield* authorities(asked.rootCert)) }),
    ...(cert !== undefined && { cert: yield* certificates("sslcert", cert) }),
    ...(key !== undefined && { key: yield* keyOf(key, password) }),
    ...(password !== undefined && { passphrase: password }),
    ...(minVersion !== undefined && { minVersion }),
    ...(maxVersion !== undefined && { maxVersion })
  }
  // What is in the files is not to be seen in the client's options.
  return yield* Effect.try({
    try: () => Tls.createSecureContext(options),
    catch: (cause) => refuse(`what it says about TLS cannot be used together (${reasonOf(cause)})`)
  })
})

/** What to try, in this order, each only if the one before fails for what concerns encryption. */
export const waysOf = Effect.fnUntraced(function*(
  asked: Asked,
  socket: boolean
): Effect.fn.Return<ReadonlyArray<Encryption>, InvalidInput> {
  const mode = yield* modeOf(asked)
  if (socket) {
    if (asked.bound) return yield* refuse("channel_binding=require needs encryption, and a unix socket has none")
    return [false]
  }
  if (mode === "disable") return [false]
  const verifies = mode === "verify-full" || mode === "verify-ca" || asked.rootCert !== undefined
  const encrypted: Encryption = {
    secureContext: yield* contextOf(asked, verifies),
    rejectUnauthorized: verifies,
    ...(mode !== "verify-full" && { checkServerIdentity: () => undefined })
  }
  if (mode === "allow") return [false, encrypted]
  return mode === "prefer" ? [encrypted, false] : [encrypted]
})
