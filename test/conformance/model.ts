/**
 * Two stores are given the same commands and must give the same answers: sequences are generated, run on both, and compared
 * answer by answer and as a whole at the end. Run with Memory as one of the two, Memory is the model of the other.
 */
import { assert, layer } from "@effect/vitest"
import type * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import type { StoreError } from "../../src/Errors.ts"
import { isFinished } from "../../src/internal/lifecycle.ts"
import { Faults } from "../../src/internal/memory/faults.ts"
import { Interceptor, SystemDb } from "../../src/SystemDb.ts"
import type { Stranger } from "../support/stranger.ts"
import { strangerOf } from "../support/strangers.ts"
import { type Command, commands, type HostileCommand, isHostileCommand, isRunCommand } from "./commands.ts"
import { settle, virtual } from "./fixture.ts"
import { Planner } from "./planning.ts"
import { type Answer, half, type Store, Subject } from "./subject.ts"

/** A store, and somebody who holds rows of it. */
interface Attacked {
  readonly db: Store
  readonly stranger: Stranger
}

const prone = [
  "fire",
  "changeSchedules",
  "claim",
  "recordStep",
  "finish",
  "cancel",
  "triggerSchedule",
  "advanceBackfill"
] as const

/** One store in the course of one sequence. */
export class Course {
  readonly #subject: Subject
  readonly #planner: Planner
  readonly #stranger: Stranger
  readonly faults = new Faults()

  constructor({ db, stranger }: Attacked, prefix: string) {
    this.#stranger = stranger
    this.#subject = new Subject(db, prefix)
    this.#planner = new Planner(this.#subject)
  }

  readonly begin = Effect.gen({ self: this }, function*() {
    yield* this.#subject.begin
    yield* this.#planner.begin
  })

  /** Ends the sequence so that nothing of it is left that another could stumble over. */
  readonly end = Effect.gen({ self: this }, function*() {
    this.faults.forget()
    yield* this.#stranger.letGo
    yield* this.#subject.leave
    for (const run of yield* this.#subject.runs) {
      if (!isFinished(run.status)) yield* this.#subject.db.cancel(run.id, null)
    }
    yield* this.#planner.end
  })

  /** Everything the store holds of this sequence. */
  readonly dump = Effect.gen({ self: this }, function*() {
    const runs = yield* this.#subject.runs
    return this.#subject.normalised({
      runs,
      steps: yield* Effect.forEach(runs, (run) => this.#subject.db.listSteps(run.id)),
      ...yield* this.#planner.dump
    })
  })

  /** The store's answer, or its refusal. */
  readonly answer = (command: Command): Effect.Effect<string> =>
    this.#waitedFor(this.#execute(command)).pipe(
      Effect.result,
      Effect.flatMap((result) => {
        if (Result.isSuccess(result)) return Effect.succeed(this.#subject.normalised(result.success))
        const error = result.failure
        // Those that were planned ask again; no other is to be expected.
        if (error._tag === "StoreError") {
          return (error as unknown as StoreError).retryable ? Effect.succeed("no answer") : Effect.die(error)
        }
        return Effect.succeed(this.#subject.normalised({ ...error }))
      })
    )

  /** Whoever waits for a row that is held gets it; whether it had to wait is part of the answer. */
  #waitedFor<A, E>(execution: Effect.Effect<A, E>): Effect.Effect<{ readonly answer: A; readonly waited: boolean }, E> {
    return Effect.gen({ self: this }, function*() {
      const fiber = yield* Effect.forkChild(execution, { startImmediately: true })
      const state = Effect.map(
        this.#stranger.waiting,
        (waiting) => fiber.pollUnsafe() !== undefined ? "answered" : waiting > 0 ? "waiting" : undefined
      )
      const waited = (yield* settle(state, (state) => state !== undefined)) === "waiting"
      if (waited) yield* this.#stranger.letGo
      return { answer: yield* Fiber.join(fiber), waited }
    })
  }

  #attack(command: HostileCommand): Effect.Effect<unknown> {
    switch (command._tag) {
      case "HoldSchedule":
        return this.#stranger.hold({ of: "schedule", key: this.#subject.name(`s${command.schedule}`) })
      case "LetGo":
        return this.#stranger.letGo
      case "Fault":
        return Effect.sync(() => this.faults.plan(command.lost ? "lost" : "rolledBack", prone[command.method]!))
    }
  }

  #execute(command: Command): Answer {
    if (isHostileCommand(command)) return this.#attack(command)
    if (command._tag === "Advance") return TestClock.adjust(command.halfSeconds * half) as Effect.Effect<void>
    if (isRunCommand(command)) return this.#subject.execute(command)
    const planner = this.#planner
    return Effect.gen(function*() {
      const result = yield* Effect.result(planner.execute(command))
      const moved = yield* planner.moved
      return { answer: Result.isSuccess(result) ? result.success : yield* Effect.fail(result.failure), moved }
    })
  }
}

/** What a store answered to each command, and what it holds at the end. */
const transcript = Effect.fnUntraced(function*(attacked: Attacked, prefix: string, sequence: ReadonlyArray<Command>) {
  const course = new Course(attacked, prefix)
  return yield* Effect.provideService(play(course, sequence), Interceptor, course.faults.intercept)
})

const play = Effect.fnUntraced(function*(course: Course, sequence: ReadonlyArray<Command>) {
  yield* course.begin
  const answers: Array<string> = []
  for (const command of sequence) answers.push(`${JSON.stringify(command)}\n${yield* course.answer(command)}`)
  course.faults.forget()
  answers.push(`at the end\n${yield* course.dump}`)
  yield* course.end
  return answers
})

class One extends Context.Service<One, Attacked>()("effect-durable/test/One") {}
class Other extends Context.Service<Other, Attacked>()("effect-durable/test/Other") {}

const attacked = Effect.gen(function*() {
  const db = yield* SystemDb
  return { db, stranger: yield* strangerOf(db) }
})

/** Declares the comparison of two stores. */
export const compare = <R1, E1, R2, E2>(
  name: string,
  one: Layer.Layer<SystemDb | R1, E1>,
  other: Layer.Layer<SystemDb | R2, E2>,
  options: Arbitrary.CheckOptions & { readonly timeout?: number } = {}
): void => {
  const { timeout = 120_000, ...arbitrary } = options
  const both = Layer.merge(
    Layer.effect(One, attacked).pipe(Layer.provide(Layer.fresh(one as Layer.Layer<SystemDb, E1>))),
    Layer.effect(Other, attacked).pipe(Layer.provide(Layer.fresh(other as Layer.Layer<SystemDb, E2>)))
  )
  layer(both, { excludeTestServices: true, timeout: "1 minute" })(name, (it) => {
    it.effect.prop(
      "both stores give the same answers to any sequence of commands, and hold the same at the end",
      [commands],
      ([sequence]) =>
        Effect.gen(function*() {
          const prefix = `m${globalThis.crypto.randomUUID().slice(0, 8)}-`
          const expected = yield* virtual(transcript(yield* One, prefix, sequence))
          const actual = yield* virtual(transcript(yield* Other, prefix, sequence))
          for (const [i, answer] of expected.entries()) {
            // Written out, because the report of a shrunk sequence abbreviates what it compares.
            assert.isTrue(actual[i] === answer, `\none store: ${answer}\nthe other: ${actual[i]}`)
          }
        }),
      { timeout, arbitrary: { runs: 100, size: 100, ...arbitrary } }
    )
  })
}
