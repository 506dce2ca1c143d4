/** Checks the number of fields of an expression that is known to the compiler. */

/** The fields of a text, seven at most: more are not told apart. */
type FieldsOf<S extends string, Found extends ReadonlyArray<string> = []> = Found["length"] extends 7 ? Found
  : S extends `${infer Head} ${infer Tail}` ? FieldsOf<Tail, Head extends "" ? Found : [...Found, Head]>
  : S extends "" ? Found
  : [...Found, S]

type Macro = "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly"

type Needs6 = "a cron expression needs 6 fields, with seconds first"

type Verdict<S extends string, F extends ReadonlyArray<string>> = F extends
  [infer M extends `@${string}`, ...infer More]
  ? [M, More] extends [Macro, []] ? S : `${M} is no macro that stands for a cron expression`
  : F["length"] extends 6 ? S
  : F["length"] extends 5 ? `${Needs6}; try: 0 ${S}`
  : F["length"] extends 7 ? `${Needs6}, and no years`
  : Needs6

/** Whether the compiler knows every character: an index signature is optional, a property is not. */
type IsKnown<S extends string> = {} extends Record<S, 1> ? false : true

/**
 * `S` itself, or, for text that cannot be an expression, a sentence that says why. Text that is not wholly known to the compiler
 * passes, as does text with tabs; both are checked when it is parsed.
 */
export type Expression<S extends string> = S extends unknown
  ? IsKnown<S> extends false ? S : S extends `${string}\t${string}` ? S : Verdict<S, FieldsOf<S>>
  : never
