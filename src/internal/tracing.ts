/**
 * The spans of runs. Whoever starts a run is the parent of its span, in whatever process and however often it is executed; a run that
 * nobody's span started has its first execution's as the parent of the later ones.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import type { Run } from "./records.ts"
import { storable } from "./texts.ts"

/** The span that others may continue. Without a tracer that shows spans to anybody it is the one that came from elsewhere, if any. */
const shownSpan = (fiber: Fiber.Fiber<unknown, unknown>): Tracer.AnySpan | undefined => {
  let span = Context.getOrUndefined(fiber.context as Context.Context<Tracer.ParentSpan>, Tracer.ParentSpan)
  if (fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer) return span
  while (span?._tag === "Span") span = Option.getOrUndefined(span.parent)
  return span
}

/** The span a fiber is in as it is stored, for whoever continues it elsewhere: JSON text. Null when there is none. */
export const traceOf = (fiber: Fiber.Fiber<unknown, unknown>): string | null => {
  const span = shownSpan(fiber)
  if (span === undefined || Context.get(span.annotations, Tracer.DisablePropagation)) return null
  const { sampled, spanId, traceId } = span
  return storable(traceId) && storable(spanId) ? JSON.stringify({ traceId, spanId, sampled }) : null
}

/** The span that is stored; nothing when it is none that this version can read: then the run has a trace of its own. */
const read = (trace: string): Tracer.ExternalSpan | undefined => {
  const parsed: Partial<Record<keyof Tracer.ExternalSpan, unknown>> | null = Result.getOrElse(
    Result.try(() => JSON.parse(trace)),
    () => null
  )
  const { sampled, spanId, traceId } = parsed ?? {}
  return typeof traceId === "string" && typeof spanId === "string"
    ? Tracer.externalSpan({ traceId, spanId, sampled: sampled !== false })
    : undefined
}

/** For spans of the library's own: where in its code they begin tells nobody anything, and costs a stack trace each. */
export const unstacked = { captureStackTrace: false } as const

/** How an execution ended, as its span says it. */
export interface Ending {
  /** Such as Succeeded or Suspended. */
  readonly status: string
  readonly exit: Exit.Exit<unknown, unknown>
}

const optionsOf = (run: Run, worker: string, parent: Tracer.AnySpan | undefined): Tracer.SpanOptions => ({
  ...unstacked,
  kind: "consumer",
  attributes: {
    "run.id": run.id,
    "run.attempt": run.attempt,
    "run.epoch": run.epoch,
    workflow: run.workflow,
    worker,
    ...run.schedule === null
      ? {}
      : { schedule: run.schedule, tick: run.tick === null ? null : DateTime.formatIso(DateTime.makeUnsafe(run.tick)) }
  },
  ...parent === undefined ? { root: true } : { parent }
})

/**
 * Runs one execution of a run in its span, made with this tracer. `worker` is who executes it, `endingOf` says how it came out.
 * Nobody would see a span of Effect's own tracer, so none is made: the run is in the span that it was started in, if in any.
 */
export const execute = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  run: Run,
  worker: string,
  tracer: Tracer.Tracer,
  endingOf: (value: A) => Ending
): Effect.Effect<A, E, R> => {
  const parent = run.trace === null ? undefined : read(run.trace)
  if (tracer === Tracer.nativeTracer) {
    return parent === undefined ? effect : Effect.provideService(effect, Tracer.ParentSpan, parent)
  }
  return Effect.suspend(() => {
    let done: Exit.Exit<A, E> | undefined
    const shown = Effect.flatMap(Effect.exit(effect), (exit): Effect.Effect<unknown, unknown> => {
      done = exit
      if (Exit.isFailure(exit)) return exit
      const { exit: shown, status } = endingOf(exit.value)
      return Effect.andThen(Effect.annotateCurrentSpan("run.status", status), shown)
    })
    const spanned = Effect.withSpan(shown, `Run.${run.workflow}`, optionsOf(run, worker, parent))
    return Effect.flatMap(
      Effect.exit(Effect.provideService(spanned, Tracer.Tracer, tracer)),
      // What the span shows as an error is none to whoever executes the run.
      (exit) => done ?? exit as Exit.Exit<never, never>
    )
  })
}
