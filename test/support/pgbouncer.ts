/** A PgBouncer before a server, where the program is installed (Debian's package `pgbouncer`). */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

export const isInstalled = spawnSync("pgbouncer", ["--version"]).status === 0

export interface Options {
  readonly mode: "session" | "transaction"
  /** How many sessions of the server it keeps for a database. */
  readonly size?: number
}

/** It does not run as root either. */
const unprivileged = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) => Number(execFileSync("id", [flag, "nobody"]))
  return { uid: id("-u"), gid: id("-g") }
}

const freePort = async (): Promise<number> => {
  const probe = Net.createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const { port } = probe.address() as Net.AddressInfo
  probe.close()
  await once(probe, "close")
  return port
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.on("error", () => resolve(false)).on("connect", () => {
      socket.destroy()
      resolve(true)
    })
  })

/** The URL of a server's database by way of a PgBouncer that ends with the scope. */
export const bouncerBefore = (url: string, { mode, size = 10 }: Options): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const [server, port, user] = [new URL(url), await freePort(), unprivileged()]
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-pgbouncer-"))
      const file = Path.join(folder, "pgbouncer.ini")
      Fs.writeFileSync(
        file,
        `[databases]
* = host=${server.hostname} port=${server.port} user=${server.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${size}
`
      )
      Fs.chmodSync(folder, 0o755)
      const child = spawn("pgbouncer", ["-q", file], { ...user, stdio: "ignore", cwd: folder })
      for (let i = 0; i < 500 && !(await accepts(port)); i++) await sleep(20)
      const through = new URL(url)
      through.hostname = "127.0.0.1"
      through.port = String(port)
      return { child, folder, url: through.href }
    }),
    ({ child, folder }) =>
      Effect.promise(async () => {
        child.kill("SIGKILL")
        if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
        Fs.rmSync(folder, { recursive: true, force: true })
      })
  ).pipe(Effect.map(({ url }) => url))
