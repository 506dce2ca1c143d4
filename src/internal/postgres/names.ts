/** Identifiers and literals as SQL text. Only the schema's name comes from outside, and it is checked. */
import * as Effect from "effect/Effect"
import { InvalidInput } from "../../Errors.ts"

/** The names of the tables of one schema, ready for SQL, and what else is named after it. */
export interface Tables {
  /** As it is, for parameters. */
  readonly name: string
  /** Quoted, for statements. */
  readonly schema: string
  readonly runs: string
  readonly steps: string
  readonly schedules: string
  readonly workers: string
  readonly overlaps: string
  readonly controls: string
  readonly ledger: string
  readonly audits: string
  readonly backfills: string
  readonly links: string
  readonly workflows: string
  /** The sequence that turns are drawn from. */
  readonly turns: string
  readonly migrations: string
  /** The channel of its hints. */
  readonly channel: string
  /** The first half of its advisory locks' keys. */
  readonly lockClass: number
}

export const defaultSchema = "effect_durable"

/** Names longer than 63 bytes are cut off, silently; the longest one is the channel's. */
const longest = 63 - "effect_durable_".length

export const quoted = (name: string): string => `"${name.replaceAll("\"", "\"\"")}"`

/** A list of literals for `in (…)`. They are our own words. */
export const literals = (words: ReadonlyArray<string>): string => words.map((word) => `'${word}'`).join(", ")

/** The same number for the same schema in every process (FNV-1a). */
const numbered = (text: string): number => {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash | 0
}

export const tables = (name: string): Effect.Effect<Tables, InvalidInput> => {
  if (!/^[a-z_][a-z0-9_]*$/.test(name) || name.startsWith("pg_") || name.length > longest) {
    const reason =
      `must be lower-case letters, digits and _, at most ${longest} of them, and not begin with pg_ or a digit; ` +
      `this one is ${JSON.stringify(name)}`
    return Effect.fail(new InvalidInput({ field: "schema", reason }))
  }
  const schema = quoted(name)
  return Effect.succeed({
    name,
    schema,
    runs: `${schema}.runs`,
    steps: `${schema}.steps`,
    schedules: `${schema}.schedules`,
    workers: `${schema}.workers`,
    overlaps: `${schema}.overlaps`,
    controls: `${schema}.controls`,
    ledger: `${schema}.ledger`,
    audits: `${schema}.audits`,
    backfills: `${schema}.backfills`,
    links: `${schema}.links`,
    workflows: `${schema}.workflows`,
    turns: `${schema}.turns`,
    migrations: `${schema}.migrations`,
    channel: `effect_durable_${name}`,
    lockClass: numbered(`effect-durable/${name}`)
  })
}
