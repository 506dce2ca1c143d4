/** Identifiers and literals as SQL text. Only the schema's name comes from outside, and it is checked. */
import * as Effect from "effect/Effect"
import { InvalidInput } from "../../Errors.ts"
import type { RunStatus } from "../lifecycle.ts"

export const quoted = (identifier: string): string => `"${identifier.replaceAll("\"", "\"\"")}"`

/** A list of statuses for `in (…)`. */
export const statusList = (statuses: ReadonlyArray<RunStatus>): string =>
  statuses.map((status) => `'${status}'`).join(", ")

/** The names of the tables of one schema, ready for SQL. */
export interface Tables {
  readonly schema: string
  readonly runs: string
  readonly steps: string
  readonly schedules: string
  readonly workers: string
  readonly migrations: string
}

const longestName = 48

/** Postgres cuts names off at 63 bytes, silently; the channel and the indexes need some of them. */
export const tables = (schema: string): Effect.Effect<Tables, InvalidInput> => {
  if (!/^[a-z_][a-z0-9_]*$/.test(schema) || schema.length > longestName) {
    return Effect.fail(
      new InvalidInput({
        field: "schema",
        reason: `must be lower-case letters, digits and _, at most ${longestName}, and this one is ${
          JSON.stringify(schema)
        }`
      })
    )
  }
  const table = (name: string) => `${quoted(schema)}.${name}`
  return Effect.succeed({
    schema,
    runs: table("runs"),
    steps: table("steps"),
    schedules: table("schedules"),
    workers: table("workers"),
    migrations: table("migrations")
  })
}
