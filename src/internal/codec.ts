/** Schema ⇄ stored JSON text. Without a schema a value must be plain JSON, and that is verified before it is stored. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * A value that JSON text represents as it is, or `undefined`, which is stored as the absence of a value.
 */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** `A` where it is plain JSON, `never` in every place where it is not. */
export type Jsonable<A> = A extends string | number | boolean | null ? A
  : A extends bigint | symbol | ((...args: any) => any) ? never
  : A extends ReadonlyArray<unknown> ? { readonly [K in keyof A]: Jsonable<A[K]> }
  : A extends object ? { readonly [K in keyof A]: K extends symbol ? never : Jsonable<Exclude<A[K], undefined>> }
  : never

/** Whether every value of `A` can be stored without a schema: plain JSON, or no value at all. */
export type IsPlain<A> = [A] extends [never] ? true
  : [A] extends [void | undefined] ? true
  : 0 extends (1 & A) ? true
  : unknown extends A ? false
  : [Exclude<A, undefined | void>] extends [Jsonable<Exclude<A, undefined | void>>] ? true
  : false

/** Values to text and back; a failure is a sentence fragment saying what is wrong and where. */
export interface Codec<A> {
  /** `undefined` stands for "no value". */
  readonly encode: (value: A) => Result.Result<string | undefined, string>
  readonly decode: (text: string | undefined) => Result.Result<A, string>
}

/** Where and why a value is not plain JSON, or undefined when it is. */
const jsonFault = (value: unknown, path: string): string | undefined => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined
    case "number":
      return Number.isFinite(value) ? undefined : `${path} is ${value}, which JSON cannot say`
    case "object":
      return value === null ? undefined : objectFault(value, path)
    default:
      return `${path} is a ${typeof value}, which JSON cannot say`
  }
}

const objectFault = (value: object, path: string): string | undefined => {
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const fault = jsonFault(value[index], `${path}[${index}]`)
      if (fault !== undefined) return fault
    }
    return undefined
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    return `${path} is an instance of ${prototype.constructor?.name ?? "a class"}, which JSON does not give back`
  }
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key]
    const fault = member === undefined ? undefined : jsonFault(member, `${path}.${key}`)
    if (fault !== undefined) return fault
  }
  return undefined
}

const plain: Codec<any> = {
  encode: (value) => {
    if (value === undefined) return Result.succeed(undefined)
    const fault = jsonFault(value, "value")
    return fault === undefined ? Result.succeed(JSON.stringify(value)) : Result.fail(`${fault}; give it a schema`)
  },
  decode: (text) => Result.succeed(text === undefined ? undefined : JSON.parse(text))
}

/** The codec for values that need no schema. */
export const plainJson = <A>(): Codec<A> => plain

/** For errors that nobody gets back as what they were: keeps the tag and the message, for people to read. */
export const described: Codec<any> = {
  encode: (error) =>
    Result.succeed(JSON.stringify({ _tag: error?._tag ?? error?.name, message: error?.message ?? String(error) })),
  decode: plain.decode
}

const schemaCodecs = new WeakMap<Schema.Top, Codec<any>>()

/** The codec of a schema: its canonical JSON form, the same for tools in any language. Built once per schema. */
export const fromSchema = <A>(schema: Schema.Codec<A, any>): Codec<A> => {
  const known = schemaCodecs.get(schema)
  if (known !== undefined) return known
  const json = Schema.toCodecJson(schema)
  const encode = Schema.encodeUnknownResult(json)
  const decode = Schema.decodeUnknownResult(json)
  const codec: Codec<A> = {
    encode: (value) =>
      Result.mapBoth(encode(value), {
        onSuccess: (encoded) => encoded === undefined ? undefined : JSON.stringify(encoded),
        onFailure: (error) => error.message
      }),
    decode: (text) =>
      Result.mapBoth(decode(text === undefined ? undefined : JSON.parse(text)), {
        onSuccess: (value) => value as A,
        onFailure: (error) => error.message
      })
  }
  schemaCodecs.set(schema, codec)
  return codec
}

/** The codec of a schema, or of plain JSON when there is none. */
export const make = <A>(schema: Schema.Codec<A, any> | undefined): Codec<A> =>
  schema === undefined ? plainJson() : fromSchema(schema)
