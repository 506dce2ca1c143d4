import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { type Cause, Context, Effect, Exit, Layer, Option, Queue, Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import Fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import Os from "node:os"
import Path from "node:path"
import { createInterface } from "node:readline"
import { vi } from "vitest"
import * as Pglite from "../../src/internal/pglite.ts"

const live = { timeout: 60_000, excludeTestServices: true } as const

const tempFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-test-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

const use = <A, E>(dataDir: string, effect: Effect.Effect<A, E, PgClient.PgClient>) =>
  Effect.provide(effect, Pglite.layer({ dataDir }), { local: true })

const query = (text: string) =>
  Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe<Readonly<Record<string, unknown>>>(text))

/** A folder with a database in it, made once; a test takes a copy, which is faster than to make one. */
class Made extends Context.Service<Made, string>()("test/Made") {
  static readonly layer = Layer.effect(
    Made,
    Effect.tap(tempFolder, (folder) => use(folder, query("select 1")))
  )
}

const madeFolder = Effect.gen(function*() {
  const folder = yield* tempFolder
  Fs.cpSync(yield* Made, folder, { recursive: true })
  return folder
})

const spiedSync = Effect.acquireRelease(
  Effect.sync(() => {
    const spy = vi.spyOn(Fs, "fsyncSync")
    syncBuiltinESMExports()
    return spy
  }),
  (spy) =>
    Effect.sync(() => {
      spy.mockRestore()
      syncBuiltinESMExports()
    })
)

interface Process {
  readonly child: ChildProcess
  readonly lines: Queue.Dequeue<string, Cause.Done>
  readonly exit: Effect.Effect<{ readonly code: number | null; readonly signal: string | null }>
}

const program = Path.join(import.meta.dirname, "pgliteProcess.ts")

const run = (command: string, dataDir: string) =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const child = spawn(process.execPath, [program, command, dataDir], { stdio: ["ignore", "pipe", "inherit"] })
      const lines = yield* Queue.unbounded<string, Cause.Done>()
      const reader = createInterface({ input: child.stdout })
      reader.on("line", (line) => Queue.offerUnsafe(lines, line))
      reader.on("close", () => Queue.endUnsafe(lines))
      const exited = once(child, "exit")
      const exit = Effect.map(Effect.promise(() => exited), ([code, signal]) => ({ code, signal }))
      return { child, lines, exit } satisfies Process
    }),
    ({ child, exit }) => Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), exit)
  )

layer(Made.layer, live)("a data folder", (it) => {
  it.effect("is created, with the folders above it, and keeps what is written", () =>
    Effect.gen(function*() {
      const folder = Path.join(yield* tempFolder, "a", "b")
      yield* use(folder, query("create table kept as select 1 as n"))
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["lock", "pgdata"])
      assert.deepStrictEqual(yield* use(folder, query("select n from kept")), [{ n: 1 }])
    }).pipe(Effect.scoped), 60_000)

  it.effect("is refused while it is open in this process, by another path too", () =>
    Effect.gen(function*() {
      const folder = yield* madeFolder
      const link = `${folder}-link`
      Fs.symlinkSync(folder, link)
      yield* Effect.addFinalizer(() => Effect.sync(() => Fs.rmSync(link)))
      yield* use(
        folder,
        Effect.gen(function*() {
          for (const path of [folder, link]) {
            const error = yield* Effect.flip(use(path, query("select 1")))
            assert.strictEqual(error._tag, "DataFolderInUse")
            assert.include(error.message, `The data folder ${path} is open already in this process (${process.pid})`)
          }
          assert.deepStrictEqual(yield* query("select 1 as one"), [{ one: 1 }])
        })
      )
    }).pipe(Effect.scoped), 60_000)

  it.effect(
    "is refused while another process holds it, naming that process, until the moment it is killed",
    () =>
      Effect.gen(function*() {
        const folder = yield* madeFolder
        const holder = yield* run("hold", folder)
        assert.strictEqual(yield* Queue.take(holder.lines), "open")
        const error = yield* Effect.flip(use(folder, query("select 1")))
        assert.strictEqual(error._tag, "DataFolderInUse")
        assert.include(
          error.message,
          `${folder} is in use by process ${holder.child.pid} on host ${Os.hostname()}; stop`
        )
        holder.child.kill("SIGKILL")
        yield* holder.exit
        assert.deepStrictEqual(yield* use(folder, query("select 1 as one")), [{ one: 1 }])
      }).pipe(Effect.scoped),
    60_000
  )

  it.effect(
    "has every transaction whose commit was acknowledged, however often its process is killed",
    () =>
      Effect.gen(function*() {
        const folder = yield* madeFolder
        let acknowledged = 0
        for (const last of [1, 40, 300]) {
          const counter = yield* run("count", folder)
          const target = acknowledged + last
          while (acknowledged < target) acknowledged = Number(yield* Queue.take(counter.lines))
          counter.child.kill("SIGKILL")
          yield* counter.exit
          while (true) {
            const line = yield* Effect.option(Queue.take(counter.lines))
            if (Option.isNone(line)) break
            acknowledged = Number(line.value)
          }
          const [row] = yield* use(folder, query("select count(*)::int as count, max(n) as last from numbers"))
          assert.strictEqual(row?.["count"], row?.["last"])
          // The one after the last acknowledged may have been committed, too.
          assert.include([acknowledged, acknowledged + 1], row?.["last"])
          acknowledged = Number(row?.["last"])
        }
      }).pipe(Effect.scoped),
    120_000
  )

  it.effect("syncs the log to disk before it acknowledges a commit", () =>
    Effect.gen(function*() {
      const folder = yield* madeFolder
      yield* use(
        folder,
        Effect.gen(function*() {
          yield* query("create table synced (n int)")
          const sync = yield* spiedSync
          yield* query("insert into synced values (1)")
          assert.strictEqual(sync.mock.calls.length, 1)
          yield* query("select n from synced")
          assert.strictEqual(sync.mock.calls.length, 1)
          yield* query("checkpoint")
          assert.isAbove(sync.mock.calls.length, 3)
        }).pipe(Effect.scoped)
      )
    }).pipe(Effect.scoped), 60_000)

  it.effect(
    "acknowledges nothing when the disk fails, and has what it acknowledged before when opened again",
    () =>
      Effect.gen(function*() {
        const folder = yield* madeFolder
        yield* use(
          folder,
          Effect.gen(function*() {
            yield* query("create table synced (n int)")
            yield* query("insert into synced values (1)")
            const sync = yield* spiedSync
            sync.mockImplementation(() => {
              throw new Error("EIO: i/o error, fsync")
            })
            for (const statement of ["insert into synced values (2)", "select 1", "insert into synced values (3)"]) {
              const error = yield* Effect.flip(query(statement))
              assert.strictEqual(error.reason._tag, "ConnectionError")
            }
          }).pipe(Effect.scoped)
        )
        const rows = yield* use(folder, query("select n from synced where n <> 2"))
        assert.deepStrictEqual(rows, [{ n: 1 }])
      }).pipe(Effect.scoped),
    60_000
  )

  it.effect("takes no notice of a database that was left half made", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      Fs.mkdirSync(Path.join(folder, "pgdata.new", "base"), { recursive: true })
      Fs.writeFileSync(Path.join(folder, "pgdata.new", "PG_VERSION"), "18\n")
      Fs.writeFileSync(Path.join(folder, "holder.json"), "{")
      assert.deepStrictEqual(yield* use(folder, query("select 1 as one")), [{ one: 1 }])
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["lock", "pgdata"])
    }).pipe(Effect.scoped), 60_000)

  it.effect.each(["PG_VERSION", "global/pg_control", "base", "pg_wal"])(
    "that lacks %s is refused and left as it is, so that nothing is lost once it is put back",
    (part) =>
      Effect.gen(function*() {
        const dataDir = yield* madeFolder
        yield* use(dataDir, query("create table kept as select 1 as n"))
        const lost = Path.join(dataDir, "pgdata", part)
        const elsewhere = Path.join(yield* tempFolder, "part")
        Fs.renameSync(lost, elsewhere)
        const left = () => Fs.readdirSync(Path.join(dataDir, "pgdata"), { recursive: true }).sort()
        const before = left()
        const error = yield* Effect.flip(use(dataDir, query("select 1")))
        assert.include(error.message, `lacks ${part}`)
        assert.deepStrictEqual(left(), before)
        Fs.renameSync(elsewhere, lost)
        assert.deepStrictEqual(yield* use(dataDir, query("select n from kept")), [{ n: 1 }])
      })
  )

  /** Every file below a folder, with what is in it. */
  const contents = (folder: string): ReadonlyArray<string> =>
    Fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).sort().map((name) => {
      const path = Path.join(folder, name)
      return Fs.statSync(path).isFile() ? `${name}: ${Fs.readFileSync(path, "hex")}` : name
    })

  const kinds: ReadonlyArray<
    readonly [what: string, files: Readonly<Record<string, string>>, dataDir: string, reason: RegExp]
  > = [
    ["is a file", { file: "x" }, "file", /did not start: EEXIST.*give the path of one that is there or can be made/],
    ["would be below a file", { file: "x" }, "file/below", /ENOTDIR.*give the path of one/],
    [
      "has foreign files where the database belongs",
      { "pgdata/notes": "x" },
      ".",
      /lacks PG_VERSION.*nothing was touched/
    ],
    ["has a file where the database belongs", { pgdata: "x" }, ".", /ENOTDIR/],
    ["has a folder where its lock belongs", { "lock/notes": "x" }, ".", /this process must be able to write to/],
    ["has something else for a lock", { lock: "x".repeat(5000) }, ".", /not a database \(while locking/],
    ["is the data of a Postgres itself", { PG_VERSION: "18\n", "base/1": "x" }, ".", /the data of a Postgres itself/]
  ]
  it.effect.each(kinds)(
    "that %s is refused with what to do, and untouched",
    ([_, files, dataDir, reason]) =>
      Effect.gen(function*() {
        const folder = yield* tempFolder
        for (const [name, text] of Object.entries(files)) {
          Fs.mkdirSync(Path.dirname(Path.join(folder, name)), { recursive: true })
          Fs.writeFileSync(Path.join(folder, name), text)
        }
        const before = contents(folder)
        const error = yield* Effect.flip(use(Path.join(folder, dataDir), query("select 1")))
        assert.strictEqual(error._tag, "EmbeddedNotStarted")
        assert.match(error.message, reason)
        assert.deepStrictEqual(contents(folder), before)
      })
  )

  it.effect("of another version of Postgres is refused with what to do, and has its data when it is that version's", () =>
    Effect.gen(function*() {
      const dataDir = yield* madeFolder
      const version = Path.join(dataDir, "pgdata", "PG_VERSION")
      const text = Fs.readFileSync(version, "utf8")
      Fs.writeFileSync(version, "19\n")
      const error = yield* Effect.flip(use(dataDir, query("select 1")))
      assert.match(error.message, /by PostgreSQL version 19.*\n.*version of PGlite that has this Postgres/)
      Fs.writeFileSync(version, text)
      assert.deepStrictEqual(yield* use(dataDir, query("select 1 as one")), [{ one: 1 }])
    }))

  it.effect("that is empty where the database belongs gets one", () =>
    Effect.gen(function*() {
      const dataDir = yield* tempFolder
      Fs.mkdirSync(Path.join(dataDir, "pgdata"))
      assert.deepStrictEqual(yield* use(dataDir, query("select 1 as n")), [{ n: 1 }])
    }))

  it.effect("that cannot be used is refused with the reason, and is free again", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const file = Path.join(folder, "file")
      Fs.writeFileSync(file, "")
      const notAFolder = yield* Effect.flip(use(file, query("select 1")))
      assert.strictEqual(notAFolder._tag, "EmbeddedNotStarted")
      assert.match(notAFolder.message, /did not start: .*file/)

      Fs.mkdirSync(Path.join(folder, "pgdata"))
      Fs.writeFileSync(Path.join(folder, "pgdata", "PG_VERSION"), "9\n")
      const foreign = yield* Effect.flip(use(folder, query("select 1")))
      assert.strictEqual(foreign._tag, "EmbeddedNotStarted")
      Fs.rmSync(Path.join(folder, "pgdata"), { recursive: true })
      assert.deepStrictEqual(yield* use(folder, query("select 1 as one")), [{ one: 1 }])
    }).pipe(Effect.scoped), 60_000)
})

layer(Made.layer, live)("closing an embedded database", (it) => {
  it.effect("ends its listeners and leaves nothing open", () =>
    Effect.gen(function*() {
      const folder = yield* madeFolder
      const queue = yield* Effect.flatMap(Scope.Scope, (scope) =>
        use(folder, Effect.flatMap(PgClient.PgClient, (sql) => Scope.provide(sql.listen("news"), scope))))
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(Queue.take(queue))))
      if (Fs.existsSync("/proc/self/fd")) {
        const open = Fs.readdirSync("/proc/self/fd").flatMap((fd) => {
          const path = Path.join("/proc/self/fd", fd)
          return Fs.existsSync(path) ? [Fs.readlinkSync(path)] : []
        })
        assert.deepStrictEqual(
          open.filter((path) =>
            path.startsWith(folder)
          ),
          []
        )
      }
    }).pipe(Effect.scoped), 60_000)

  it.effect("lets the process end by itself, with its own exit code and signal handlers", () =>
    Effect.gen(function*() {
      const folder = yield* madeFolder
      const visitor = yield* run("visit", folder)
      assert.strictEqual(yield* Queue.take(visitor.lines), "open")
      // One is the runtime's own.
      assert.strictEqual(yield* Queue.take(visitor.lines), "signal handlers: 1")
      assert.deepStrictEqual(yield* visitor.exit, { code: 0, signal: null })
    }).pipe(Effect.scoped), 60_000)

  it.effect("happens when a signal ends the process", () =>
    Effect.gen(function*() {
      const folder = yield* madeFolder
      const holder = yield* run("hold", folder)
      assert.strictEqual(yield* Queue.take(holder.lines), "open")
      holder.child.kill("SIGTERM")
      assert.strictEqual((yield* holder.exit).code, 130)
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["lock", "pgdata"])
    }).pipe(Effect.scoped), 60_000)
})
