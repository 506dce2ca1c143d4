/**
 * Starting and stopping PGlite, and what becomes of it when Postgres inside it gives up.
 */
import { PGlite, type PGliteOptions } from "@electric-sql/pglite"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import { type EmbeddedNotStarted, notStarted } from "./pgliteErrors.ts"

// ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What PGlite calls of Postgres to answer. */
interface Postgres {
  _PostgresMainLoopOnce: () => void
  _pq_buffer_remaining_data: () => number
}

/** The status that PGlite gives to an error of a statement, which Postgres goes on after. */
const statementError = 100

/**
 * A PGlite that fails when Postgres inside it gives up: panics because the disk failed, or runs out of memory.
 *
 * PGlite itself takes each failure for that of a statement, and calls Postgres again while there is input, and so for
 * ever. That ends when there is no more input, and when counting what Postgres has left of it fails.
 */
export class Engine {
  private readonly db: PGlite
  private panic: unknown
  private input = new Uint8Array()

  constructor(db: PGlite) {
    this.db = db
    const postgres: Postgres = db.Module
    const { _PostgresMainLoopOnce: step, _pq_buffer_remaining_data: left } = postgres
    postgres._PostgresMainLoopOnce = () => {
      const result = Result.try(() => step())
      if (Result.isSuccess(result)) return
      if ((result.failure as { readonly status?: unknown } | undefined)?.status !== statementError) {
        this.panic = result.failure
        // Leaves the array that PGlite reads with a length of zero.
        this.input.buffer.transfer()
      }
      throw result.failure
    }
    postgres._pq_buffer_remaining_data = () => {
      if (this.panic !== undefined) throw this.panic
      return left()
    }
  }

  /** Runs messages of the wire protocol, and gives what Postgres answers. */
  run(messages: Uint8Array): Promise<Buffer> {
    if (this.panic !== undefined) return Promise.reject(this.panic)
    this.input = new Uint8Array(messages)
    const chunks: Array<Buffer> = []
    // Neither parses nor keeps what goes by, as PGlite's other ways in do. PGlite reuses the memory of what it hands out.
    return this.db.execProtocolRawStream(this.input, {
      syncToFs: false,
      onRawData: (bytes) => void chunks.push(Buffer.from(bytes))
    }).then(() => Buffer.concat(chunks))
  }

  /** A Postgres that gave up must not write a last checkpoint, which would vouch for what it does not know. */
  close(): Promise<void> {
    return this.panic === undefined ? this.db.close() : this.db.fs?.closeFs() ?? Promise.resolve()
  }
}

// ── starting and stopping ───────────────────────────────────────────────────────────────────────────────────────────

const keptLines = 20

export const start = (options: PGliteOptions, dataDir?: string): Effect.Effect<Engine, EmbeddedNotStarted> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const onStderr = (line: string) => {
      lines.push(line)
      if (lines.length > keptLines) lines.shift()
      return true
    }
    return Effect.tryPromise({
      try: () => PGlite.create({ ...options, onStderr }),
      catch: (cause) => notStarted(dataDir, lines.map((line) => `\n  ${line}`).join(""))(cause)
    }).pipe(Effect.map((db) => new Engine(db)))
  })

export const stop = (engine: Engine): Effect.Effect<void> => Effect.ignore(Effect.tryPromise(() => engine.close()))

/** Opens a database in memory. */
export const openMemory: Effect.Effect<Engine, EmbeddedNotStarted, Scope.Scope> = Effect.acquireRelease(start({}), stop)
