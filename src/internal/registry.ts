/** What the workflow layers and the engine know of each other: bodies go in, executions come out. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { ClaimedRun, Run } from "../SystemDb.ts"
import type { Execution } from "./execution.ts"

/** How the body of a run ended: what to record. */
export interface End {
  readonly status: "Succeeded" | "Failed"
  /** JSON text of the outcome. */
  readonly outcome: string
  /** Why the body was not begun: what the run was given does not decode. */
  readonly unreadable?: string | undefined
}

/**
 * A workflow's body, with its services provided and its values coded. Never fails; an interruption leaves nothing to record.
 */
export interface Body {
  readonly workflow: string
  /** The time-out of runs that were started without saying one, as schedules start theirs. */
  readonly timeoutMillis: number | null
  /** Whether other applications may have a body for it as well. */
  readonly shared: boolean
  /** With what the spans of its runs are made. */
  readonly tracer: Tracer.Tracer
  readonly execute: (execution: Execution) => Effect.Effect<End>
}

/** A free slot on this process's worker, taken for a run that is about to be started here. */
export interface Reservation {
  readonly worker: string
  /** Executes the run in the slot. */
  readonly submit: (run: ClaimedRun) => void
  /** Gives the slot back: the run is not this worker's to execute. */
  readonly free: () => void
  /** Gives the slot back without knowing whether the run exists; if it does, it is handed to any worker. */
  readonly abandon: () => void
}

/** A run that executes on this process, as its waiters see it. */
export interface LocalRun {
  readonly await: Effect.Effect<Pick<Run, "status" | "outcome" | "attempt"> | undefined>
}

/**
 * The worker of this process, as workflows and schedules see it. Provided by the engine's layer.
 */
export class Engine extends Context.Service<Engine, {
  /** The application's name: it owns what it declares. */
  readonly application: string
  /** The application's version, when it says one. */
  readonly version: Option.Option<string>
  /** Dies where the workflow belongs to another application. Makes the worker claim runs of this workflow until the scope closes; then drains them. */
  readonly register: (body: Body) => Effect.Effect<void, never, Scope.Scope>
  /** Takes a slot for a run of this workflow, if this worker executes it and has one free. */
  readonly reserve: (workflow: string, runId: string) => Reservation | undefined
  /** The execution of this run here, if there is one. */
  readonly local: (runId: string) => LocalRun | undefined
}>()("effect-durable/Engine (provide Engine.layer)") {}
