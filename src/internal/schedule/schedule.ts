/** The values that stand for schedules, and what can be given to stand for one. */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type * as Cron from "../../Cron.ts"
import * as Run from "../../Run.ts"
import type * as Timing from "../../Timing.ts"
import type * as Workflow from "../../Workflow.ts"
import * as Contexts from "./context.ts"
import type { PolicyOptions } from "./policies.ts"

/**
 * The payload of a scheduled run: the tick it was started for, whenever it executes, and the schedule's context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tick<out C> {
  readonly scheduledAt: DateTime.Utc
  readonly context: C
}

type ContextType<C> = C extends Schema.Codec<infer T, any> ? T
  : C extends Schema.Struct.Fields ? Schema.Struct<C>["Type"]
  : never

/**
 * The payload schema of a workflow that schedules can start.
 *
 * A context is stored with the identity of the schema that wrote it. When the code has another schema by then, `migrations` say
 * how it is read; without one for it, it must decode as it is. If it does not, the run fails, and its schedule pauses itself.
 *
 * Shape:   the schema of the context, or the fields of a struct; without one there is no context
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Schema from "effect/Schema"
 *
 * export const Report = Workflow.make("report", {
 *   payload: Schedule.Tick({ kind: Schema.String, lookbackHours: Schema.Finite })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Tick = <C extends Schema.Codec<any, any> | Schema.Struct.Fields = Schema.Void>(
  context?: C,
  options?: { readonly migrations?: ReadonlyArray<Contexts.Migration<ContextType<NoInfer<C>>>> | undefined }
): Schema.Codec<Tick<ContextType<C>>, unknown> => {
  const given = context ?? Schema.Void
  const schema = Schema.isSchema(given)
    ? given as Schema.Codec<any, any>
    : Schema.Struct(given as Schema.Struct.Fields) as unknown as Schema.Codec<any, any>
  return Contexts.payload(schema, options?.migrations ?? []) as never
}

/**
 * A schedule: a pure value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Schedule<in out C, in out A, in out E> extends PolicyOptions {
  readonly name: string
  readonly workflow: Workflow.Workflow<string, Tick<C>, A, E>
  readonly timing: Timing.Timing
  readonly context: C
  readonly labels: Readonly<Record<string, string>>
  readonly externalId: string | undefined
}

/**
 * Any schedule at all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends PolicyOptions {
  readonly name: string
  readonly workflow: {
    readonly name: string
    readonly payload: Schema.Codec<any, any>
    readonly handle: (runId: string) => Run.Handle<any, any>
  }
  readonly timing: Timing.Timing
  readonly context: unknown
  readonly labels: Readonly<Record<string, string>>
  readonly externalId: string | undefined
}

/**
 * A schedule by its value, which gives typed handles, or by its name.
 *
 * @category models
 * @since 0.1.0
 */
export type Ref = string | Any

/**
 * What a schedule gives to its runs beside the tick; known where the schedule is given by its value.
 *
 * @category models
 * @since 0.1.0
 */
export type Context<R extends Ref> = R extends Any ? R["workflow"]["payload"]["Type"]["context"] : unknown

/**
 * The handle of a run of this schedule.
 *
 * @category models
 * @since 0.1.0
 */
export type Handle<R extends Ref> = R extends Any ? ReturnType<R["workflow"]["handle"]> : Run.Handle<unknown, unknown>

type ContextOption<C> = undefined extends C ? { readonly context?: C } : { readonly context: C }

/**
 * When a schedule ticks: a cron expression with its options, or any {@link Timing.Timing}.
 *
 * @category models
 * @since 0.1.0
 */
export type When<Expression extends string> =
  | {
    readonly cron: Cron.Expression<Expression>
    readonly timeZone?: string | undefined
    /** What becomes of a tick in a gap, where a clock change skips its local time. */
    readonly gap?: Cron.Gap | undefined
    /** What becomes of a tick in a fold, where a clock change repeats its local time. */
    readonly fold?: Cron.Fold | undefined
    /** Ticks that a calendar takes out. */
    readonly except?: Timing.Except | ReadonlyArray<Timing.Except> | undefined
    readonly timing?: never
  }
  | {
    readonly timing: Timing.Timing
    readonly cron?: never
    readonly timeZone?: never
    readonly gap?: never
    readonly fold?: never
    readonly except?: never
  }

const timingOf = (when: When<string>): Timing.Timing => {
  if (when.timing !== undefined) return when.timing
  return {
    cron: when.cron as string,
    ...when.timeZone !== undefined && { timeZone: when.timeZone },
    ...when.gap !== undefined && { gap: when.gap },
    ...when.fold !== undefined && { fold: when.fold },
    ...when.except !== undefined && { except: when.except }
  } as Timing.Timing
}

/**
 * What labels and ids a schedule carries for people and tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface Marks {
  /** Free text under free names; lists and bulk commands select by them. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** The schedule's identity in another system. */
  readonly externalId?: string | undefined
}

/**
 * Makes a schedule. Nothing is stored: pass it to `layer`, `create` or `apply`.
 *
 * A literal cron of five fields, a context of another shape than the workflow's, and a workflow whose payload is not a
 * {@link Tick} do not compile. What the compiler cannot see is checked before the schedule is stored.
 *
 * Shape:   `cron` has six fields, seconds first, or is a macro such as `@daily`; `timeZone` is an IANA name, by default UTC; or
 *          `timing` in place of both; `context` may be left out where the workflow's context may be undefined
 *
 * @example
 * ```ts
 * import * as Schedule from "effect-durable/Schedule"
 * import * as Workflow from "effect-durable/Workflow"
 * import * as Schema from "effect/Schema"
 *
 * const Report = Workflow.make("report", { payload: Schedule.Tick({ kind: Schema.String }) })
 *
 * export const Daily = Schedule.make("daily-summary", {
 *   workflow: Report,
 *   cron: "0 0 6 * * *",
 *   timeZone: "Europe/Berlin",
 *   context: { kind: "summary" },
 *   overlap: "skip"
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <C, A, E, const Expression extends string = never>(
  name: string,
  options:
    & PolicyOptions
    & Marks
    & When<Expression>
    & ContextOption<NoInfer<C>>
    & { readonly workflow: Workflow.Workflow<string, Tick<C>, A, E> }
): Schedule<C, A, E> => {
  const {
    context,
    cron: _,
    except: __,
    externalId,
    fold: ___,
    gap: ____,
    labels,
    timeZone: _____,
    timing: ______,
    workflow,
    ...policies
  } = options as typeof options & { readonly context?: C }
  return {
    ...policies as PolicyOptions,
    name,
    workflow,
    timing: timingOf(options as When<string>),
    context: context as C,
    labels: labels ?? {},
    externalId
  }
}

// ── what stands for a schedule ──────────────────────────────────────────────────────────────────────────────────────

export const nameOf = (ref: Ref): string => typeof ref === "string" ? ref : ref.name
export const workflowOf = (ref: Ref): Any["workflow"] | undefined => typeof ref === "string" ? undefined : ref.workflow
export const subjectOf = (ref: Ref) => ({ name: nameOf(ref), workflow: workflowOf(ref) })

/** A handle whose outcome is read as it is stored. */
const untyped = { success: Schema.Any, error: Schema.Any }

export const handleOf = <R extends Ref>(ref: R, runId: string): Handle<R> =>
  (workflowOf(ref)?.handle(runId) ?? Run.handle(runId, untyped)) as Handle<R>
