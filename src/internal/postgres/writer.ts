/**
 * Group commit. Facts from all fibers gather while the writer's connection is busy, and go out as one statement the moment
 * it is free; there is no timer. A statement that fails for a reason of its own is tried again in halves, so that one bad
 * fact fails alone; one that fails because the store is away is tried again as it is, until it is back.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { StoreError } from "../../Errors.ts"
import { TimeSource } from "../../SystemDb.ts"
import { type Batch, type Compile, type Fact, keyOf, weightOf } from "./batch.ts"
import { isoOf } from "./database.ts"
import { isTransient, storeError } from "./errors.ts"

/** What is known of a fact once its statement is through: whether it holds, and the deadline of a run that was started. */
export interface Written {
  readonly held: boolean
  readonly deadline: Date | null
}

interface Pending {
  readonly fact: Fact
  /** Virtual time, where a test drives the store by the fiber's clock. */
  readonly now: number | null
  /** When to give up on an absent store, in the writer's clock; never for what the owner of a run writes. */
  readonly giveUpAt: number | null
  readonly resume: (exit: Exit.Exit<Written, StoreError>) => void
  abandoned: boolean
}

interface Row {
  readonly kind: Fact["_tag"]
  readonly n: number
  readonly id: string | null
  readonly deadline: Date | null
}

export interface Writer {
  readonly write: (fact: Fact) => Effect.Effect<Written, StoreError>
}

const largestBatch = 1000
const heaviestBatch = 4_000_000
const longestBackoffMillis = 1_000
const realClock = Clock.Clock.defaultValue

const methods: Readonly<Record<Fact["_tag"], string>> = {
  Start: "start",
  Step: "recordStep",
  Finish: "finish",
  Suspend: "suspend"
}

export interface Options {
  readonly compile: Compile
  /** Runs a statement on the writer's own connection. */
  readonly execute: (batch: Batch) => Effect.Effect<ReadonlyArray<object>, SqlError>
  readonly retryForMillis: number
  /** Called with every batch that went through. */
  readonly onWritten: (facts: ReadonlyArray<Fact>, written: ReadonlyArray<Written>) => void
}

export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Writer, never, Scope.Scope> {
  let waiting: Array<Pending> = []
  let closing = false
  const bell = yield* Queue.sliding<void>(1)

  /** Takes what fits in one statement; the rest, and what must not share it, stays in order. */
  const gather = (): ReadonlyArray<Pending> => {
    const batch: Array<Pending> = []
    const left: Array<Pending> = []
    const keys = new Set<string>()
    let weight = 0
    for (const pending of waiting) {
      if (pending.abandoned) continue
      const key = keyOf(pending.fact)
      const fits = batch.length < largestBatch && (weight < heaviestBatch || batch.length === 0)
      if (fits && !keys.has(key) && (batch.length === 0 || batch[0]!.now === pending.now)) {
        keys.add(key)
        weight += weightOf(pending.fact)
        batch.push(pending)
      } else {
        left.push(pending)
      }
    }
    waiting = left
    return batch
  }

  const acknowledge = (batch: ReadonlyArray<Pending>, rows: ReadonlyArray<Row>): void => {
    const acknowledged = new Map(
      rows.map((row) => [row.kind === "Start" ? `Start${row.id}` : `${row.kind}${row.n}`, row])
    )
    const counts = { Start: 0, Step: 0, Finish: 0, Suspend: 0 }
    const written = batch.map(({ fact }): Written => {
      const count = ++counts[fact._tag]
      const row = acknowledged.get(fact._tag === "Start" ? `Start${fact.run.id}` : `${fact._tag}${count}`)
      return { held: row !== undefined, deadline: row?.deadline ?? null }
    })
    options.onWritten(batch.map(({ fact }) => fact), written)
    batch.forEach(({ resume }, index) => resume(Exit.succeed(written[index]!)))
  }

  const fail = (batch: ReadonlyArray<Pending>, error: SqlError): void => {
    for (const { fact, resume } of batch) resume(Exit.fail(storeError(methods[fact._tag])(error)))
  }

  const flush = (batch: ReadonlyArray<Pending>, failures = 0): Effect.Effect<void> => {
    if (batch.length === 0) return Effect.void
    const now = batch[0]!.now
    const statement = options.compile(batch.map(({ fact }) => fact), now === null ? null : isoOf(now))
    return Effect.matchEffect(options.execute(statement), {
      onSuccess: (rows) => Effect.sync(() => acknowledge(batch, rows as ReadonlyArray<Row>)),
      onFailure: (error) => isTransient(error) ? waitOut(batch, error, failures) : halve(batch, error)
    })
  }

  const halve = (batch: ReadonlyArray<Pending>, error: SqlError): Effect.Effect<void> => {
    if (batch.length === 1) return Effect.sync(() => fail(batch, error))
    const middle = batch.length >> 1
    return Effect.andThen(flush(batch.slice(0, middle)), Effect.suspend(() => flush(batch.slice(middle))))
  }

  const waitOut = (batch: ReadonlyArray<Pending>, error: SqlError, failures: number): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const patient = ({ giveUpAt }: Pending) => !closing && (giveUpAt === null || giveUpAt > now)
      fail(batch.filter((pending) => !patient(pending)), error)
      const left = batch.filter((pending) => patient(pending) && !pending.abandoned)
      return Effect.andThen(
        Effect.sleep(Math.min(longestBackoffMillis, 10 * 2 ** failures)),
        Effect.suspend(() => flush(left, failures + 1))
      )
    })

  const run: Effect.Effect<void> = Effect.gen(function*() {
    while (true) {
      while (waiting.length > 0) yield* flush(gather())
      if (closing) return
      yield* Queue.take(bell)
    }
  })

  // The writer lives by the real clock, whatever clock its first caller has.
  const fiber = yield* Effect.forkDetach(
    Effect.provideService(run, Clock.Clock, realClock()).pipe(Effect.uninterruptible)
  )
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closing = true
      Queue.offerUnsafe(bell, undefined)
      return Effect.asVoid(Fiber.await(fiber))
    })
  )

  return {
    write: (fact) =>
      Effect.withFiber((fiber) => {
        const virtual = fiber.getRef(TimeSource) === "fiber"
        const patient = fact._tag !== "Start"
        return Effect.callback<Written, StoreError>((resume) => {
          const pending: Pending = {
            fact,
            now: virtual ? fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() : null,
            giveUpAt: patient ? null : realClock().currentTimeMillisUnsafe() + options.retryForMillis,
            resume,
            abandoned: false
          }
          waiting.push(pending)
          Queue.offerUnsafe(bell, undefined)
          return Effect.sync(() => {
            pending.abandoned = true
          })
        })
      })
  }
})
