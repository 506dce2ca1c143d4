/** Makes a value of an expression, a time zone and the rules for clock changes. */
import * as Result from "effect/Result"
import type { Options } from "../../Cron.ts"
import type { Fault } from "./fault.ts"
import { isEveryHour } from "./fields.ts"
import { parse } from "./parser.ts"
import { Fold, Search } from "./search.ts"
import { Value } from "./value.ts"
import { zoneOf } from "./zone.ts"

/** A fault and the text that it is in. */
export interface Refusal {
  readonly input: string
  readonly fault: Fault
}

export const read = (expression: string, options: Options | undefined): Result.Result<Value, Refusal> => {
  const parsed = parse(expression)
  if (Result.isFailure(parsed)) return Result.fail({ input: expression, fault: parsed.failure })
  const name = options?.timeZone ?? "UTC"
  const zone = zoneOf(name)
  if (zone === undefined) {
    return Result.fail({
      input: name,
      fault: { field: "timeZone", reason: "UnknownTimeZone", start: 0, end: name.length }
    })
  }
  const wallClock = !isEveryHour(parsed.success)
  const catchUp = options?.gap === undefined ? wallClock : options.gap === "shift"
  const fold = options?.fold ?? (wallClock ? "first" : "both")
  return Result.succeed(new Value(new Search(parsed.success, zone, catchUp, Fold[fold])))
}
