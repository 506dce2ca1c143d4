/**
 * Starting and stopping PGlite, and what becomes of it when Postgres inside it gives up.
 */
import { PGlite, type PGliteOptions } from "@electric-sql/pglite"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** The embedded database did not start: the folder cannot be used, or PGlite failed. */
export class EmbeddedNotStarted
  extends Schema.TaggedError<EmbeddedNotStarted>("effect-durable/EmbeddedNotStarted")("EmbeddedNotStarted", {
    /** Absent for a database in memory. */
    dataDir: Schema.optionalKey(Schema.String),
    reason: Schema.String,
    cause: Schema.optionalKey(Schema.Defect())
  })
{
  override get message(): string {
    const where = this.dataDir === undefined ? "in memory" : `in ${this.dataDir}`
    return `The embedded database ${where} did not start: ${this.reason}`
  }
}

const messageOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

export const notStarted = (dataDir: string | undefined, note = "") => (cause: unknown): EmbeddedNotStarted =>
  new EmbeddedNotStarted({ ...(dataDir !== undefined && { dataDir }), reason: `${messageOf(cause)}${note}`, cause })

// ── giving up ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What is called of Postgres to answer. */
interface Engine {
  _PostgresMainLoopOnce: () => void
  _pq_buffer_remaining_data: () => number
}

/** The status that PGlite gives to an error of a statement, which Postgres goes on after. */
const statementError = 100

const panicked = new WeakSet<PGlite>()

/**
 * Makes what Postgres does not go on after (a panic, say because the disk failed) fail the statement, and all after it.
 *
 * PGlite takes each failure for that of a statement and calls Postgres again while any input is left, and so for ever.
 * Only a failure to count what is left ends that loop.
 */
const failOnPanic = (db: PGlite): PGlite => {
  const engine: Engine = db.Module
  const { _PostgresMainLoopOnce: step, _pq_buffer_remaining_data: left } = engine
  let panic: unknown
  engine._PostgresMainLoopOnce = () => {
    if (panic !== undefined) throw panic
    const result = Result.try(() => step())
    if (Result.isSuccess(result)) return
    if ((result.failure as { readonly status?: unknown }).status !== statementError) {
      panic = result.failure
      panicked.add(db)
    }
    throw result.failure
  }
  engine._pq_buffer_remaining_data = () => {
    if (panic !== undefined) throw panic
    return left()
  }
  return db
}

// ── starting and stopping ───────────────────────────────────────────────────────────────────────────────────────────

const keptLines = 20

export const start = (options: PGliteOptions, dataDir?: string): Effect.Effect<PGlite, EmbeddedNotStarted> =>
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
    }).pipe(Effect.map(failOnPanic))
  })

/** One that has given up must not write a last checkpoint, which would vouch for what it does not know. It is dropped. */
export const stop = (db: PGlite): Effect.Effect<void> =>
  Effect.ignore(
    Effect.suspend(() => panicked.has(db) ? Effect.try(() => db.Module.FS.quit()) : Effect.tryPromise(() => db.close()))
  )

/** Opens a database in memory. */
export const openMemory: Effect.Effect<PGlite, EmbeddedNotStarted, Scope.Scope> = Effect.acquireRelease(start({}), stop)
