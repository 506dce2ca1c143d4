/**
 * Group commit. The facts of all fibers gather while the writer's connection is busy, and go out as one statement the moment
 * it is free. There is no timer: a fact that is alone waits for nobody. Decision 0005.
 *
 * A statement that is refused is written again in halves, so that one bad fact fails alone. One that the database could not
 * take just now is written again, which is safe: every fact knows its own work when it finds it done.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../Errors.ts"
import type { Batch, Compile, Written } from "./batch.ts"
import { live, virtualTime } from "./database.ts"
import { noAnswer, within } from "./deadline.ts"
import { fateOf, storeError } from "./errors.ts"
import { type Fact, Together, weightOf } from "./facts.ts"

interface Pending {
  readonly fact: Fact
  /** Virtual time, where a test drives the store by the fiber's clock. */
  readonly now: number | null
  /** When to give up on an absent store, in real time; never for what the owner of a run writes. */
  readonly giveUpAt: number
  readonly resume: (exit: Exit.Exit<Written, StoreError>) => void
  /** Nobody waits for it any more. */
  abandoned: boolean
}

export interface Writer {
  readonly write: (fact: Fact) => Effect.Effect<Written, StoreError>
}

export interface Options {
  readonly compile: Compile
  /** Runs a statement on the writer's own connection. */
  readonly execute: (batch: Batch) => Effect.Effect<ReadonlyArray<object>, SqlError>
  /** Runs a statement where it may wait for a lock without everybody else having to. */
  readonly executeAside: (batch: Batch) => Effect.Effect<ReadonlyArray<object>, SqlError>
  readonly retryForMillis: number
  /** Called with every batch that went through, before those who wait for it go on. */
  readonly onWritten: (facts: ReadonlyArray<Fact>, written: ReadonlyArray<Written>) => void
}

const largestBatch = 1000
/** In characters of JSON. */
const heaviestBatch = 4_000_000
const longestPauseMillis = 1_000
/** How long closing waits for an absent database. */
const closeForMillis = 3_000

const methods: Readonly<Record<Fact["_tag"], string>> = {
  Start: "start",
  Step: "recordStep",
  Finish: "finish",
  Suspend: "suspend"
}

/** Splits off what fits into one statement. What must not share it stays, in order. */
const gather = (queue: ReadonlyArray<Pending>): readonly [batch: Array<Pending>, left: Array<Pending>] => {
  const batch: Array<Pending> = []
  const left: Array<Pending> = []
  const together = new Together()
  let weight = 0
  for (const [index, pending] of queue.entries()) {
    if (batch.length === largestBatch || weight >= heaviestBatch) return [batch, left.concat(queue.slice(index))]
    if (pending.abandoned) continue
    if ((batch[0] ?? pending).now === pending.now && together.add(pending.fact)) {
      weight += weightOf(pending.fact)
      batch.push(pending)
    } else {
      left.push(pending)
    }
  }
  return [batch, left]
}

const refuse = (batch: ReadonlyArray<Pending>, error: SqlError): void => {
  for (const { fact, resume } of batch) resume(Exit.fail(storeError(methods[fact._tag])(error)))
}

export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Writer, never, Scope.Scope> {
  const realTime = Clock.Clock.defaultValue()
  const aside = yield* FiberSet.make<void>()
  let queue: Array<Pending> = []
  let closeAt = Number.POSITIVE_INFINITY
  let closed = false
  /** Set while the writer has nothing to do. */
  let wake: (() => void) | undefined

  const attempt = (batch: ReadonlyArray<Pending>, execute: Options["execute"]) =>
    Effect.suspend(() => {
      const facts = batch.map(({ fact }) => fact)
      const statement = options.compile(facts, (batch[0] as Pending).now)
      return Effect.map(execute(statement), ([row]) => {
        const written = statement.read(row as object)
        options.onWritten(facts, written)
        batch.forEach(({ resume }, index) => resume(Exit.succeed(written[index] as Written)))
      })
    })

  /** Writes the batch, however often it takes, until each of its facts has its answer. */
  const flush = (batch: ReadonlyArray<Pending>, failures = 0): Effect.Effect<void> =>
    batch.length === 0 ? Effect.void : Effect.catch(attempt(batch, options.execute), (error) => {
      // It was connected before, so whatever keeps it from connecting now may pass.
      const fate = error.reason.operation === "connect" ? "absent" : fateOf(error)
      if (fate === "absent" || fate === "again") return pause(batch, error, failures, flush)
      if (batch.length > 1) {
        const middle = batch.length >> 1
        return Effect.andThen(flush(batch.slice(0, middle)), Effect.suspend(() => flush(batch.slice(middle))))
      }
      if (fate === "refused") return Effect.sync(() => refuse(batch, error))
      const giveUp = Effect.sync(() => refuse(batch, error))
      return Effect.asVoid(FiberSet.run(aside, Effect.onInterrupt(flushAside(batch), () => giveUp)))
    })

  /** For a fact that met a lock which somebody holds for long. */
  const flushAside = (batch: ReadonlyArray<Pending>, failures = 0): Effect.Effect<void> =>
    batch.length === 0 ?
      Effect.void :
      Effect.catch(attempt(batch, options.executeAside), (error) =>
        fateOf(error) === "refused"
          ? Effect.sync(() => refuse(batch, error))
          : pause(batch, error, failures, flushAside))

  const pause = (
    batch: ReadonlyArray<Pending>,
    error: SqlError,
    failures: number,
    again: (batch: ReadonlyArray<Pending>, failures: number) => Effect.Effect<void>
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = realTime.currentTimeMillisUnsafe()
      const patient = ({ giveUpAt }: Pending) => Math.min(giveUpAt, closeAt) > now
      // Those who came meanwhile wait for the same thing.
      refuse([...batch, ...queue].filter((pending) => !patient(pending)), error)
      queue = queue.filter(patient)
      const left = batch.filter((pending) => patient(pending) && !pending.abandoned)
      if (left.length === 0) return Effect.void
      const millis = Math.min(longestPauseMillis, 10 * 2 ** failures)
      return Effect.andThen(Effect.sleep(millis), Effect.suspend(() => again(left, failures + 1)))
    })

  const idle = Effect.callback<void>((resume) => {
    wake = () => {
      wake = undefined
      resume(Effect.void)
    }
  })

  const run = Effect.gen(function*() {
    while (true) {
      if (queue.length > 0) {
        const [batch, left] = gather(queue)
        queue = left
        yield* Effect.onInterrupt(flush(batch), () =>
          Effect.sync(() => {
            closed = true
            refuse([...batch, ...queue], noAnswer)
          }))
      } else if (closeAt === Number.POSITIVE_INFINITY) {
        yield* idle
      } else {
        closed = true
        return
      }
    }
  })

  // Not a child of whoever builds the layer, and in real time, whatever clock that has.
  const fiber = yield* Effect.forkDetach(live(run))
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closeAt = realTime.currentTimeMillisUnsafe() + closeForMillis
      wake?.()
      // A statement under way may never be answered.
      return within(Effect.asVoid(Fiber.await(fiber)), closeForMillis, () => Fiber.interrupt(fiber))
    })
  )

  return {
    write: (fact) =>
      Effect.withFiber((fiber) =>
        Effect.callback<Written, StoreError>((resume) => {
          if (closed) {
            const detail = "The store's layer is closed"
            return resume(Effect.fail(new StoreError({ method: methods[fact._tag], retryable: false, detail })))
          }
          const pending: Pending = {
            fact,
            now: virtualTime(fiber),
            giveUpAt: fact._tag === "Start"
              ? realTime.currentTimeMillisUnsafe() + options.retryForMillis
              : Number.POSITIVE_INFINITY,
            resume,
            abandoned: false
          }
          queue.push(pending)
          wake?.()
          return Effect.sync(() => {
            pending.abandoned = true
          })
        })
      )
  }
})
