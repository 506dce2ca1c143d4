/** The ways an embedded Postgres refuses to start. Apart from what starts it, so that they need none of PGlite's types. */
import * as Schema from "effect/Schema"
import * as Os from "node:os"

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

/** The data folder is open already: in another process, or in this one. Nothing was touched. */
export class DataFolderInUse
  extends Schema.TaggedError<DataFolderInUse>("effect-durable/DataFolderInUse")("DataFolderInUse", {
    dataDir: Schema.String,
    /** Absent when the holder has taken the folder this very moment and has not said yet who it is. */
    pid: Schema.optionalKey(Schema.Int),
    host: Schema.optionalKey(Schema.String)
  })
{
  override get message(): string {
    if (this.pid === process.pid && this.host === Os.hostname()) {
      return `The data folder ${this.dataDir} is open already in this process (${this.pid}); ` +
        "build its layer once and share it, or use another folder."
    }
    return `The data folder ${this.dataDir} is in use by ` +
      (this.pid === undefined ? "another process" : `process ${this.pid} on host ${this.host}`) +
      "; stop that process, or use another folder. Processes that are to share their runs need a Postgres server."
  }
}

export type EmbeddedError = DataFolderInUse | EmbeddedNotStarted

/** What PGlite reads from beside its own code, which a bundler does not bring along. */
const dataFile = /pglite\.(data|wasm)|initdb\.wasm/

const messageOf = (cause: unknown): string => {
  const message = cause instanceof Error ? cause.message : String(cause)
  const file = (cause as { readonly input?: unknown } | null | undefined)?.input ?? message
  return dataFile.test(String(file))
    ? `${message}\n  A file of PGlite's is not where its code is. In a bundle, mark @electric-sql/pglite as external.`
    : message
}

export const notStarted = (dataDir: string | undefined, note = "") => (cause: unknown): EmbeddedNotStarted =>
  new EmbeddedNotStarted({ ...(dataDir !== undefined && { dataDir }), reason: `${messageOf(cause)}${note}`, cause })
