/** Certificates for tests, made by the program `openssl`, where it is installed. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFileSync, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

export const isInstalled = spawnSync("openssl", ["version"]).status === 0

export interface Certificate {
  /** The path of its file. */
  readonly file: string
  readonly keyFile: string
  /** What is in them. */
  readonly text: string
  readonly key: string
}

export interface Authority {
  readonly file: string
  /** One that the authority has signed, for these names. */
  readonly sign: (name: string, alternatives: string, days?: number) => Certificate
}

const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

/** An authority of the test's own, in a folder that is removed with the scope. */
export const authority: Effect.Effect<Authority, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-certificates-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
).pipe(Effect.map((folder) => {
  const run = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { cwd: folder, stdio: "ignore" })
  run("req", "-x509", ...key, "-days", "9", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority")
  return {
    file: Path.join(folder, "ca.crt"),
    sign: (name, alternatives, days = 9) => {
      const [file, keyFile] = [Path.join(folder, `${name}.crt`), Path.join(folder, `${name}.key`)]
      Fs.writeFileSync(Path.join(folder, "names"), `subjectAltName=${alternatives}\n`)
      run("req", ...key, "-keyout", keyFile, "-out", "request", "-subj", `/CN=${name}`)
      const by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", String(days), "-extfile", "names"]
      run("x509", "-req", "-in", "request", "-out", file, ...by)
      return { file, keyFile, text: Fs.readFileSync(file, "utf8"), key: Fs.readFileSync(keyFile, "utf8") }
    }
  }
}))
