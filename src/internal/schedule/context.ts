/**
 * The context of a schedule over the years: stored with the identity of the schema that wrote it, and migrated by the code that
 * reads it when that has another schema by then.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Codec from "../codec.ts"

/**
 * An earlier schema of a context, and how its values become values of the present one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Migration<out C> {
  readonly from: Schema.Codec<any, any>
  readonly migrate: (context: any) => C
}

/**
 * How a context written under an earlier schema is read under the present one. Chains are not followed: say for each earlier
 * schema how it becomes the present one.
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Schema from "effect/Schema"
 *
 * const Old = Schema.Struct({ hours: Schema.Finite })
 * const New = Schema.Struct({ lookback: Schema.Finite, unit: Schema.Literals(["hours", "days"]) })
 *
 * export const payload = Schedule.Tick(New, {
 *   migrations: [Schedule.migration(Old, ({ hours }) => ({ lookback: hours, unit: "hours" as const }))]
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const migration = <Old, C>(
  from: Schema.Codec<Old, any>,
  migrate: (context: Old) => C
): Migration<C> => ({ from, migrate })

/** What is known of the schema of a context. */
export interface Described {
  /** The same for schemas with the same JSON form. */
  readonly identity: string
  /** JSON text. */
  readonly jsonSchema: string
}

/** FNV-1a over 64 bits, as two halves that start apart. */
const digest = (text: string): string => {
  let high = 0x811c9dc5
  let low = 0x01000193
  for (let index = 0; index < text.length; index++) {
    high = Math.imul(high ^ text.charCodeAt(index), 0x01000193)
    low = Math.imul(low ^ text.charCodeAt(index), 0x85ebca6b)
  }
  return [high, low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("")
}

const described = new WeakMap<Schema.Top, Described | null>()

/** Null when the schema has no JSON Schema. */
export const describe = (schema: Schema.Top): Described | null => {
  const known = described.get(schema)
  if (known !== undefined) return known
  const made = Result.try(() => {
    const jsonSchema = JSON.stringify(Schema.toJsonSchemaDocument(schema))
    return { identity: digest(jsonSchema), jsonSchema }
  })
  const found = Result.getOrElse(made, () => null)
  described.set(schema, found)
  return found
}

const contexts = new WeakMap<Schema.Top, Schema.Top>()

/** The schema of the context that a payload has; undefined when the payload was not made by `Tick`. */
export const ofPayload = (payload: Schema.Top): Schema.Top | undefined => contexts.get(payload)

const withoutMigrations = (context: Schema.Codec<any, any>) =>
  Schema.Struct({ scheduledAt: Schema.DateTimeUtc, context })

const Written = Schema.Struct({
  scheduledAt: Schema.DateTimeUtc,
  context: Schema.optionalKey(Schema.Unknown),
  contextSchema: Schema.optionalKey(Schema.String)
})

const text = (value: unknown): string | undefined => value === undefined ? undefined : JSON.stringify(value)

/**
 * Reads a stored context: with the schema that wrote it when that is known, else with the first one that understands it, the
 * present one before earlier ones.
 */
const read = (
  context: Schema.Codec<any, any>,
  migrations: ReadonlyArray<Migration<any>>,
  value: unknown,
  identity: string | undefined
): Result.Result<unknown, string> => {
  const known = identity !== undefined && identity !== describe(context)?.identity
    ? migrations.find(({ from }) => describe(from)?.identity === identity)
    : undefined
  if (known !== undefined) return migrated(known, value)
  const present = Codec.fromSchema(context).decode(text(value))
  if (Result.isSuccess(present) || identity === describe(context)?.identity) return present
  const readable = migrations.find(({ from }) => Result.isSuccess(Codec.fromSchema(from).decode(text(value))))
  return readable === undefined ? present : migrated(readable, value)
}

const migrated = ({ from, migrate }: Migration<any>, value: unknown): Result.Result<unknown, string> =>
  Result.flatMap(
    Codec.fromSchema(from).decode(text(value)),
    (old) =>
      Result.try({ try: () => migrate(old) as unknown, catch: (error) => `its migration failed: ${String(error)}` })
  )

const withMigrations = (context: Schema.Codec<any, any>, migrations: ReadonlyArray<Migration<any>>) => {
  const codec = Codec.fromSchema(context)
  const invalid = (message: string) => Effect.fail(new SchemaIssue.InvalidValue({ message: `context: ${message}` }))
  return Written.pipe(Schema.decodeTo(
    Schema.Struct({ scheduledAt: Schema.toType(Schema.DateTimeUtc), context: Schema.Any }),
    SchemaTransformation.transformEffect({
      decode: (written: typeof Written.Type) =>
        Result.match(read(context, migrations, written.context, written.contextSchema), {
          onSuccess: (value) => Effect.succeed({ scheduledAt: written.scheduledAt, context: value }),
          onFailure: invalid
        }),
      encode: (tick: { readonly scheduledAt: typeof Written.Type["scheduledAt"]; readonly context: unknown }) =>
        Result.match(codec.encode(tick.context), {
          onSuccess: (encoded) =>
            Effect.succeed({
              scheduledAt: tick.scheduledAt,
              ...encoded !== undefined && { context: JSON.parse(encoded) as unknown }
            }),
          onFailure: invalid
        })
    })
  ))
}

/** The payload of scheduled runs: a tick and a context of this schema. */
export const payload = (
  context: Schema.Codec<any, any>,
  migrations: ReadonlyArray<Migration<any>>
): Schema.Codec<any, any> => {
  const schema = migrations.length === 0 ? withoutMigrations(context) : withMigrations(context, migrations)
  contexts.set(schema, context)
  return schema as Schema.Codec<any, any>
}

/**
 * Why a JSON value is not what a stored JSON Schema asks for; undefined when it is, or when the document cannot be used. The
 * documents are our own, so their patterns are trusted.
 */
export const fault = (jsonSchema: string, value: unknown): string | undefined =>
  Result.match(
    Result.try(() =>
      SchemaRepresentation.fromJsonSchemaDocument(JSON.parse(jsonSchema), { patterns: "apply" }) as Schema.Codec<
        any,
        any
      >
    ),
    {
      onFailure: () => undefined,
      onSuccess: (schema) =>
        Result.match(Schema.decodeUnknownResult(schema)(value), {
          onSuccess: () => undefined,
          onFailure: (error) => error.message
        })
    }
  )
