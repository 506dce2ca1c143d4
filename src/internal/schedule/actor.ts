/** Who asks for a change. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { InvalidInput } from "../../Errors.ts"
import { notInBody } from "../inBody.ts"
import * as texts from "../texts.ts"

/**
 * Who changes schedules, and from where; written into the audit of every change.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operator {
  readonly name: string
  /** Such as an application, a command line or an address. */
  readonly source: string | null
}

/**
 * The operator on whose behalf a fiber changes schedules. Provide it where a request comes in; unknown unless provided.
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Schedule.pause("daily-summary", { reason: "the source moves tonight" }).pipe(
 *   Effect.provideService(Schedule.CurrentOperator, { name: "mia", source: "10.0.0.7" })
 * )
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentOperator = Context.Reference<Operator>("effect-durable/Schedule/CurrentOperator", {
  defaultValue: () => ({ name: "unknown", source: null })
})

/** The library itself, when a policy makes it act. */
export const policy: Operator = { name: "effect-durable", source: "policy" }

/**
 * Refuses a reason or an operator that the audit could not keep, and a body that would change schedules again on each replay. At
 * the door of every verb, before anything is read.
 */
export const door = Effect.fnUntraced(function*(reason: string | undefined): Effect.fn.Return<void, InvalidInput> {
  yield* notInBody("change of a schedule")
  const { name, source } = yield* CurrentOperator
  yield* Effect.fromResult(texts.check("operator.name", name))
  yield* Effect.fromResult(texts.check("operator.source", source ?? ""))
  yield* Effect.fromResult(texts.check("reason", reason ?? ""))
})
