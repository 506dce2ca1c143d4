/** Between values and what is stored of them. */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { Cron, Fold, Gap, Options } from "../../Cron.ts"
import { describe } from "./fault.ts"
import { read } from "./reading.ts"

export const Parts = Schema.Struct({
  expression: Schema.String,
  timeZone: Schema.String,
  gap: Schema.optionalKey(Schema.Literals(["shift", "skip"])),
  fold: Schema.optionalKey(Schema.Literals(["first", "second", "both"]))
})

const decode = (expression: string, options: Options, encoded: unknown): Effect.Effect<Cron, SchemaIssue.Issue> =>
  Result.match(read(expression, options), {
    onSuccess: (cron) => Effect.succeed(cron),
    onFailure: ({ fault, input }) =>
      Effect.fail(new SchemaIssue.InvalidValue({ message: describe(input, fault) }, encoded))
  })

/** Rules that the expression alone would not give. */
const chosen = (cron: Cron): { gap?: Gap; fold?: Fold } => {
  const usual = read(cron.expression, { timeZone: cron.timeZone })
  return Result.isSuccess(usual) && Equal.equals(usual.success, cron) ? {} : { gap: cron.gap, fold: cron.fold }
}

export const fromParts = SchemaTransformation.transformEffect({
  decode: (parts: typeof Parts.Type) => decode(parts.expression, parts, parts),
  encode: (cron: Cron) => Effect.succeed({ expression: cron.expression, timeZone: cron.timeZone, ...chosen(cron) })
})

export const fromText = SchemaTransformation.transformEffect({
  decode: (text: string) => decode(text, {}, text),
  encode: (cron: Cron) =>
    cron.timeZone === "UTC" && !("gap" in chosen(cron))
      ? Effect.succeed(cron.expression)
      : Effect.fail(new SchemaIssue.InvalidValue({ message: "Expected a Cron in UTC with the usual rules" }, cron))
})
