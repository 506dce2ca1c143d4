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
  : A extends object ? {
      readonly [K in keyof A]: K extends symbol ? never
        // A member that may be absent may be `undefined` as well: it reads the same when it comes back.
        : Jsonable<Exclude<A[K], undefined>> | ({} extends Pick<A, K> ? undefined : never)
    }
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
  /** The text, and the value that will be read from it: what to go on with, so that a replay sees nothing else. */
  readonly settle: (value: A) => Result.Result<Settled<A>, string>
}

export interface Settled<A> {
  readonly text: string | undefined
  readonly value: A
}

/** Deeper than any data, and not deeper than `JSON.stringify` can follow. */
const deepest = 500

/** Where and why a value is not plain JSON, or undefined when it is. The path is written only where there is a fault. */
const jsonFault = (value: unknown, depth: number): readonly [path: string, reason: string] | undefined => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined
    case "number":
      if (Object.is(value, -0)) return ["", "is -0, which JSON does not give back"]
      return Number.isFinite(value) ? undefined : ["", `is ${value}, which JSON cannot say`]
    case "object":
      if (value === null) return undefined
      if (depth > deepest) return ["", "is nested too deeply, or refers to itself"]
      return Array.isArray(value) ? arrayFault(value, depth) : objectFault(value, depth)
    case "undefined":
      return ["", "is undefined, which JSON cannot say"]
    default:
      return ["", `is a ${typeof value}, which JSON cannot say`]
  }
}

const arrayFault = (value: ReadonlyArray<unknown>, depth: number): readonly [string, string] | undefined => {
  for (let index = 0; index < value.length; index++) {
    const fault = jsonFault(value[index], depth + 1)
    if (fault !== undefined) return [`[${index}]${fault[0]}`, fault[1]]
  }
  return undefined
}

/** A member that is `undefined` is left out, and reads as `undefined` when it comes back. */
const objectFault = (value: object, depth: number): readonly [string, string] | undefined => {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    return ["", `is an instance of ${prototype.constructor?.name ?? "a class"}, which JSON does not give back`]
  }
  if (Object.getOwnPropertySymbols(value).length > 0) return ["", "has a symbol for a key, which JSON leaves out"]
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key]
    const fault = member === undefined ? undefined : jsonFault(member, depth + 1)
    if (fault !== undefined) return [`.${key}${fault[0]}`, fault[1]]
  }
  return undefined
}

const shortened = (path: string): string => path.length > 100 ? `${path.slice(0, 100)}…` : path

/** The JSON text of a value that JSON gives back, where it comes from a schema or from nobody knows where. */
const stringify = (value: unknown, advice: string): Result.Result<string | undefined, string> => {
  if (value === undefined) return Result.succeed(undefined)
  const fault = jsonFault(value, 0)
  return fault === undefined
    ? Result.succeed(JSON.stringify(value))
    : Result.fail(`value${shortened(fault[0])} ${fault[1]}${advice}`)
}

const parse = (text: string | undefined): unknown => text === undefined ? undefined : JSON.parse(text)

const plainText = (value: unknown) => stringify(value, "; give it a schema")

const plain: Codec<any> = {
  encode: plainText,
  decode: (text) => Result.succeed(parse(text)),
  // Members that are undefined are gone when it is read, and whoever made an object may still change it.
  settle: (value) =>
    Result.map(plainText(value), (text) => ({
      text,
      value: typeof value === "object" && value !== null ? parse(text) : value
    }))
}

/** The codec for values that need no schema. */
export const plainJson = <A>(): Codec<A> => plain

/** What cannot even be looked at (a getter that throws, a message that is no text) still gets a text. */
export const describe = (look: () => string): string =>
  Result.getOrElse(Result.try(look), () => JSON.stringify({ message: "Something that cannot be described" }))

const description = (error: any): string =>
  describe(() => JSON.stringify({ _tag: error?._tag ?? error?.name, message: error?.message ?? String(error) }))

/** For errors that nobody gets back as what they were: keeps the tag and the message, for people to read. */
export const described: Codec<any> = {
  encode: (error) => Result.succeed(description(error)),
  decode: plain.decode,
  settle: (error) => Result.succeed({ text: description(error), value: error })
}

const schemaCodecs = new WeakMap<Schema.Top, Codec<any>>()

/** The codec of a schema: its canonical JSON form, the same for tools in any language. Built once per schema. */
export const fromSchema = <A>(schema: Schema.Codec<A, any>): Codec<A> => {
  const known = schemaCodecs.get(schema)
  if (known !== undefined) return known
  const json = Schema.toCodecJson(schema)
  const encode = Schema.encodeUnknownResult(json)
  const decode = Schema.decodeUnknownResult(json)
  const toText = (value: A) =>
    Result.flatMap(Result.mapError(encode(value), ({ message }) => message), (encoded) => stringify(encoded, ""))
  const fromText = (text: string | undefined) =>
    Result.mapBoth(decode(parse(text)), {
      onSuccess: (value) => value as A,
      onFailure: (error) => error.message
    })
  const codec: Codec<A> = {
    encode: toText,
    decode: fromText,
    settle: (value) =>
      Result.flatMap(toText(value), (text) =>
        Result.mapBoth(fromText(text), {
          onSuccess: (value) => ({ text, value }),
          onFailure: (reason) => `it cannot be read back: ${reason}`
        }))
  }
  schemaCodecs.set(schema, codec)
  return codec
}

/** The codec of a schema, or of plain JSON when there is none. */
export const make = <A>(schema: Schema.Codec<A, any> | undefined): Codec<A> =>
  schema === undefined ? plainJson() : fromSchema(schema)
