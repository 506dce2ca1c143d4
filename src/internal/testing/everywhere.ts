/** What executions of one program leave, with a crash and without, and in what they differ. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import type { StoreError } from "../../Errors.ts"
import type { Run, StepId, StepRecord, SystemDb } from "../../SystemDb.ts"
import type { Attempt } from "../interposed.ts"
import { isFinished } from "../lifecycle.ts"
import * as Outcome from "../outcome.ts"
import type { Course } from "./course.ts"
import { describe, labelOf, type Point } from "./points.ts"
import type { Trap } from "./workers.ts"

/**
 * After a crash the program came to something else than without one. Says where the crash was and what differs.
 *
 * @category errors
 * @since 0.1.0
 */
export class CrashDiffers extends Schema.TaggedError<CrashDiffers>("effect-durable/CrashDiffers")("CrashDiffers", {
  /** Where the crash was. */
  crash: Schema.String,
  differences: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `It came out otherwise after a crash at this point, ${this.crash}:${
      this.differences.map((difference) => `\n  ${difference}`).join("")
    }`
  }
}

/** What an execution of the program left. */
export interface World<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly points: ReadonlyArray<Point>
  /** By a name that is the same in every world. */
  readonly runs: ReadonlyMap<string, Left>
}

interface Left {
  readonly run: Run
  readonly steps: ReadonlyMap<string, StepRecord>
  /** How often the effect of each step began. */
  readonly begun: ReadonlyMap<string, number>
  /** The steps that had begun and were not recorded when their worker crashed. */
  readonly underWay: ReadonlySet<string>
}

// ── executing ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Stage {
  readonly db: SystemDb["Service"]
  readonly course: Course
  readonly started: ReadonlySet<string>
  readonly traps: Set<Trap>
  readonly watchers: Set<(attempt: Attempt) => void>
}

/** Which time that something is done at this point, from 1. */
export interface CrashAt {
  readonly point: Point
  readonly nth: number
}

const bump = <K>(counts: Map<K, number>, key: K): number => {
  const count = (counts.get(key) ?? 0) + 1
  counts.set(key, count)
  return count
}

const getOrMake = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

interface Watched {
  readonly begun: Map<string, number>
  /** Steps that are under way, with their worker. */
  readonly open: Map<string, string>
  readonly underWay: Set<string>
}

/** Executes the program on a stage that nothing has happened on, with a crash at one point or without. */
export const execute = Effect.fnUntraced(function*<A, E, R>(
  { course, db, started, traps, watchers }: Stage,
  program: Effect.Effect<A, E, R>,
  crashAt: CrashAt | undefined
): Effect.fn.Return<World<A, E>, StoreError, R> {
  const points: Array<Point> = []
  const times = new Map<string, number>()
  const watched = new Map<string, Watched>()
  const watchedOf = (runId: string) =>
    getOrMake(watched, runId, (): Watched => ({ begun: new Map(), open: new Map(), underWay: new Set() }))
  const crash = crashAt === undefined ? undefined : describe(crashAt.point)

  watchers.add(({ execution, id }) => {
    const { begun, open } = watchedOf(execution.run.id)
    bump(begun, labelOf(id))
    open.set(labelOf(id), execution.lease.worker)
  })
  traps.add((point, { lease }) => {
    if (point.side === "after" && point.step !== undefined) watchedOf(point.runId).open.delete(stepOf(point))
    points.push(point)
    const here = describe(point)
    const there = bump(times, here) === crashAt?.nth && here === crash
    if (there) {
      for (const { open, underWay } of watched.values()) {
        for (const [step, worker] of open) if (worker === lease.worker) underWay.add(step)
      }
    }
    return there
  })

  const exit = yield* Effect.exit(course.until(program))
  // What nobody awaits is to end as well, where it can.
  yield* Effect.exit(
    course.until(Effect.flatMap(allRuns(db), (runs) =>
      Effect.forEach(
        runs.filter(({ status }) => !isFinished(status)),
        ({ id }) => db.awaitRun(id)
      )))
  )

  const runs = new Map<string, Left>()
  const found = yield* allRuns(db)
  const names = namesOf(found, [...started])
  for (const run of found) {
    const name = `run ${names.get(run.id)} of ${run.workflow}`
    const steps = new Map((yield* db.listSteps(run.id)).map((step) => [labelOf(step), step]))
    const { begun, underWay } = watchedOf(run.id)
    runs.set(name, { run, steps, begun, underWay })
  }
  return { exit, points, runs }
})

const stepOf = ({ key, occurrence, step }: Point): string => labelOf({ name: step!, key, occurrence } satisfies StepId)

const pageSize = 1_000

/** Oldest first. */
const allRuns = Effect.fnUntraced(function*(db: SystemDb["Service"]) {
  const found: Array<Run> = []
  for (;;) {
    const page: ReadonlyArray<Run> = yield* db.listRuns({}, { limit: pageSize, after: found.at(-1) ?? null })
    found.push(...page)
    if (page.length < pageSize) return found.reverse()
  }
})

const isUuid = (id: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)

/** Names of runs that do not depend on when they were started: an id that was made has the time in it. */
const namesOf = (runs: ReadonlyArray<Run>, started: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const counts = new Map<string, number>()
  const names = new Map<string, string>()
  const inOrder = runs.toSorted((a, b) => started.indexOf(a.id) - started.indexOf(b.id))
  for (const { id, parent, workflow } of inOrder) {
    const ofParent = parent === null ? undefined : names.get(parent)
    if (isUuid(id)) names.set(id, `${bump(counts, workflow)}`)
    else if (ofParent !== undefined && id.startsWith(parent!)) names.set(id, `${ofParent}${id.slice(parent!.length)}`)
    else names.set(id, id)
  }
  return names
}

// ── comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** How something ended, without what may differ rightly: where in the code a defect was thrown. */
const plainOutcome = (outcome: string | null): string => {
  if (outcome === null) return "no outcome"
  const parsed = Outcome.parse(outcome)
  if (parsed._tag !== "Defect") return outcome
  const defect = Outcome.reviveDefect(parsed.defect)
  return `defect ${defect instanceof Error ? `${defect.name}: ${defect.message}` : Formatter.format(defect)}`
}

const tagOf = (outcome: string | null): string => outcome === null ? "no outcome" : Outcome.parse(outcome)._tag

const same = (a: unknown, b: unknown): boolean =>
  Equal.equals(a, b) ||
  (a instanceof Error && b instanceof Error && a.name === b.name && a.message === b.message &&
    Formatter.format({ ...a }) === Formatter.format({ ...b }))

const sameExit = (a: Exit.Exit<unknown, unknown>, b: Exit.Exit<unknown, unknown>): boolean => {
  if (Exit.isSuccess(a) || Exit.isSuccess(b)) {
    return Exit.isSuccess(a) && Exit.isSuccess(b) && same(a.value, b.value)
  }
  const [ours, others] = [a.cause.reasons, b.cause.reasons]
  return ours.length === others.length && ours.every((reason, index) => {
    const other = others[index]!
    if (Cause.isFailReason(reason)) return Cause.isFailReason(other) && same(reason.error, other.error)
    if (Cause.isDieReason(reason)) return Cause.isDieReason(other) && same(reason.defect, other.defect)
    return Cause.isInterruptReason(other)
  })
}

const shownExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit) ? `success ${Formatter.format(exit.value)}` : Cause.pretty(exit.cause).split("\n")[0]!

/** In what the world with the crash differs from the one without. */
export const differences = (
  base: World<unknown, unknown>,
  world: World<unknown, unknown>,
  varying: ReadonlySet<string>
): ReadonlyArray<string> => {
  const found: Array<string> = []
  if (!sameExit(base.exit, world.exit)) {
    found.push(`the program ended with ${shownExit(world.exit)}, and not with ${shownExit(base.exit)}`)
  }
  for (const [name, left] of base.runs) {
    const other = world.runs.get(name)
    if (other === undefined) found.push(`there was no ${name}`)
    else found.push(...runDifferences(name, left, other, varying))
  }
  for (const name of world.runs.keys()) if (!base.runs.has(name)) found.push(`there was also ${name}`)
  return found
}

const runDifferences = (
  name: string,
  base: Left,
  world: Left,
  varying: ReadonlySet<string>
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const outcomeOf = ({ run }: Left) =>
    `${run.status}${varying.has(run.workflow) ? "" : `, ${plainOutcome(run.outcome)}`}`
  if (outcomeOf(base) !== outcomeOf(world)) {
    found.push(`${name} ended as ${outcomeOf(world)}, and not as ${outcomeOf(base)}`)
  }
  for (const [label, step] of base.steps) {
    const other = world.steps.get(label)
    const shown = step.kind === "Value" || varying.has(step.name) ? tagOf : plainOutcome
    if (other === undefined) found.push(`${name} did not record ${label}`)
    else if (other.kind !== step.kind) found.push(`${name} recorded ${label} as a ${other.kind}, not as a ${step.kind}`)
    else if (shown(other.outcome) !== shown(step.outcome)) {
      found.push(`${name} recorded ${shown(other.outcome)} of ${label}, and not ${shown(step.outcome)}`)
    }
  }
  for (const label of world.steps.keys()) if (!base.steps.has(label)) found.push(`${name} also recorded ${label}`)
  for (const [label, count] of world.begun) {
    const most = (base.begun.get(label) ?? 0) + (world.underWay.has(label) ? 1 : 0)
    if (count > most && !varying.has(world.steps.get(label)?.name ?? label)) {
      found.push(`the effect of ${label} in ${name} ran ${times(count)}, and not at most ${times(most)}`)
    }
  }
  return found
}

const times = (count: number): string => count === 1 ? "once" : `${count} times`

/** Every point the world came to, told apart where it came to one several times. */
export const crashesOf = ({ points }: World<unknown, unknown>): ReadonlyArray<CrashAt> => {
  const counts = new Map<string, number>()
  return points.map((point) => ({ point, nth: bump(counts, describe(point)) }))
}

/** The refusal, if there is something to say. */
export const judge = (
  base: World<unknown, unknown>,
  world: World<unknown, unknown>,
  { nth, point }: CrashAt,
  varying: ReadonlySet<string>
): CrashDiffers | undefined => {
  const came = world.points.filter((other) => describe(other) === describe(point)).length >= nth
  const found = [
    ...came ? [] : ["it did not come to this point, although nothing had happened to it before"],
    ...differences(base, world, varying)
  ]
  if (found.length === 0) return undefined
  return new CrashDiffers({
    crash: `${describe(point)}${nth === 1 ? "" : `, for the ${nth}. time`}`,
    differences: found
  })
}
