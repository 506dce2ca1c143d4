/**
 * The folder an embedded database lives in: who may use it, how it comes into being, and how it is kept safe.
 *
 *     <dataDir>/lock         locked, by means of SQLite, for as long as the process that uses the folder lives
 *     <dataDir>/holder.json  who that is, to be told to whoever is refused
 *     <dataDir>/pgdata       the database; appears when it is complete
 *     <dataDir>/pgdata.new   a database in the making, or what is left of one; not yet used by anyone
 */
import { PGlite } from "@electric-sql/pglite"
import { NodeFS } from "@electric-sql/pglite/nodefs"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { type Engine, start, stop } from "./pgliteEngine.ts"
import { DataFolderInUse, type EmbeddedError, EmbeddedNotStarted, notStarted } from "./pgliteErrors.ts"

// ── who may use it ──────────────────────────────────────────────────────────────────────────────────────────────────

const Holder = Schema.fromJsonString(Schema.Struct({ pid: Schema.Int, host: Schema.String }))

const holderOf = (dataDir: string): Effect.Effect<{ readonly pid?: number; readonly host?: string }> =>
  Effect.try({ try: () => Fs.readFileSync(Path.join(dataDir, "holder.json"), "utf8"), catch: (cause) => cause }).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Holder)),
    Effect.orElseSucceed(() => ({}))
  )

const isBusy = (cause: unknown): boolean => (cause as { readonly errcode?: unknown } | undefined)?.errcode === 5

/**
 * Takes the folder for this process, or says who has it.
 *
 * The lock is the operating system's own on an open file (fcntl; LockFileEx on Windows), by way of the SQLite that Node
 * has built in, as Node offers no file lock itself. The kernel drops it when the process ends, however it ends, so there
 * is no leftover to judge: a file with a pid cannot tell a dead holder from one in another container, where the same
 * pid means another process, and a socket in the folder does not work on every file system a container mounts. It is a
 * lock on the file and not on its name, so another path to the folder makes no difference. Nothing else in this process
 * may open the file: POSIX drops a process's locks on a file whenever the process closes it.
 */
const lock = (dataDir: string): Effect.Effect<void, EmbeddedError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: (): DatabaseSync => {
        const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
        const file = new DatabaseSync(Path.join(dataDir, "lock"))
        file.exec("pragma journal_mode = memory; begin exclusive")
        Fs.writeFileSync(
          Path.join(dataDir, "holder.json"),
          `${JSON.stringify({ pid: process.pid, host: Os.hostname() })}\n`
        )
        return file
      },
      catch: (cause) => cause
    }).pipe(
      Effect.catch((cause): Effect.Effect<never, EmbeddedError> =>
        isBusy(cause)
          ? Effect.flatMap(holderOf(dataDir), (holder) => Effect.fail(new DataFolderInUse({ dataDir, ...holder })))
          : Effect.fail(
            notStarted(dataDir, " (while locking the folder, which this process must be able to write to)")(cause)
          )
      )
    ),
    (file) =>
      Effect.sync(() => {
        Fs.rmSync(Path.join(dataDir, "holder.json"), { force: true })
        file.close()
      })
  )

// ── what keeps it safe ──────────────────────────────────────────────────────────────────────────────────────────────

interface OpenFile {
  readonly nfd: number
}

/** EIO, in the numbers of WebAssembly's system interface. Postgres panics, as it must: it no longer knows what is on disk. */
const inputOutputError = 29

/**
 * PGlite's file system on a folder, which does nothing when Postgres asks it to sync a file: what was committed would
 * survive the process but not the machine. This one syncs.
 */
class SyncedFs extends NodeFS {
  override init(...[db, options]: Parameters<NodeFS["init"]>): ReturnType<NodeFS["init"]> {
    return super.init(db, options).then(({ emscriptenOpts }) => ({
      emscriptenOpts: {
        ...emscriptenOpts,
        preRun: [
          ...(emscriptenOpts.preRun ?? []),
          (module: object) => {
            const { NODEFS } = module as { readonly NODEFS: { readonly stream_ops: Record<string, unknown> } }
            NODEFS.stream_ops["fsync"] = (file: OpenFile) =>
              Result.isSuccess(Result.try(() => Fs.fsyncSync(file.nfd))) ? 0 : inputOutputError
          }
        ]
      }
    }))
  }
}

/** As PGlite starts by itself, but with fsync on, and by the one call for it that reaches the file system. */
const syncedParams = [...PGlite.defaultStartParams.filter((param) => param !== "-F"), "-c", "wal_sync_method=fsync"]

const otherVersion =
  "Nothing was changed. Use the version of PGlite that has this Postgres, or move the folder away to begin anew."

/** The folder comes into being as soon as there is a file system on it. */
const startIn = (folder: string, dataDir: string): Effect.Effect<Engine, EmbeddedNotStarted> =>
  Effect.suspend(() =>
    start({ fs: new SyncedFs(folder), startParams: syncedParams, relaxedDurability: false }, dataDir)
  ).pipe(Effect.mapError((error) =>
    error.reason.includes("database files are incompatible with server")
      ? new EmbeddedNotStarted({ ...error, reason: `${error.reason}\n${otherVersion}` })
      : error
  ))

/** Windows cannot sync a folder, and needs not. */
const syncPath = (path: string): void => {
  if (Os.platform() === "win32" && Fs.statSync(path).isDirectory()) return
  const file = Fs.openSync(path, Os.platform() === "win32" ? "r+" : "r")
  Fs.fsyncSync(file)
  Fs.closeSync(file)
}

/** Makes the database beside its place and moves it there when all of it is on disk: a crash leaves none, not half of one. */
const create = Effect.fnUntraced(function*(dataDir: string, folder: string) {
  const draft = `${folder}.new`
  const inFolder = <A>(step: () => A) => Effect.try({ try: step, catch: notStarted(dataDir) })
  yield* inFolder(() => Fs.rmSync(draft, { recursive: true, force: true }))
  yield* Effect.flatMap(startIn(draft, dataDir), stop)
  yield* inFolder(() => {
    for (const path of Fs.readdirSync(draft, { recursive: true, encoding: "utf8" })) syncPath(Path.join(draft, path))
    syncPath(draft)
    Fs.renameSync(draft, folder)
    syncPath(dataDir)
  })
})

/** What every database has. Without the first of them PGlite would make a new one over the data. */
const parts = ["PG_VERSION", "global/pg_control", "base", "pg_wal"]

/** Whether there is a database. A folder with data in it that is none is damaged, and left as it is for people to mend. */
const present = (folder: string, dataDir: string): Effect.Effect<boolean, EmbeddedNotStarted> =>
  Effect.flatMap(
    Effect.try({
      try: () => Fs.existsSync(folder) && Fs.readdirSync(folder).length > 0,
      catch: notStarted(dataDir)
    }),
    (filled) => {
      const missing = filled ? parts.filter((part) => !Fs.existsSync(Path.join(folder, part))) : []
      if (missing.length === 0) return Effect.succeed(filled)
      const reason = `${folder} has data in it but is not a whole database, for it lacks ${missing.join(", ")}; ` +
        "nothing was touched. Put back what is missing, or move the folder away to begin anew."
      return Effect.fail(new EmbeddedNotStarted({ dataDir, reason }))
    }
  )

/** Refuses a folder that is a Postgres's own: there would be a database inside of a database. */
const foreign = (dataDir: string): Effect.Effect<void, EmbeddedNotStarted> =>
  Effect.suspend(() => {
    if (!Fs.existsSync(Path.join(dataDir, "PG_VERSION"))) return Effect.void
    const reason =
      "the folder is the data of a Postgres itself, for it has a PG_VERSION in it; nothing was touched. Give the " +
      "folder above it if this store has made that one, or another folder."
    return Effect.fail(new EmbeddedNotStarted({ dataDir, reason }))
  })

/** Opens the database in the folder, creating both as needed, for this process alone. */
export const openFolder = Effect.fnUntraced(function*(dataDir: string) {
  const absolute = Path.resolve(dataDir)
  const folder = Path.join(absolute, "pgdata")
  yield* Effect.try({
    try: () => Fs.mkdirSync(absolute, { recursive: true }),
    catch: notStarted(absolute, " (while making the folder; give the path of one that is there or can be made)")
  })
  yield* foreign(absolute)
  // Before there is so much as a lock in a folder that is to be left as it is.
  yield* present(folder, absolute)
  yield* lock(absolute)
  return yield* Effect.acquireRelease(
    present(folder, absolute).pipe(
      Effect.flatMap((there) => there ? Effect.void : create(absolute, folder)),
      Effect.andThen(startIn(folder, absolute))
    ),
    stop
  )
})
