/**
 * Group commit. The facts of all fibers gather while a connection is busy, and go out as one statement the moment it is free.
 * There is no timer: a fact that is alone waits for nobody. Decision 0005.
 *
 * There are two lanes, each with a connection: one for what never waits for another transaction, and one for starts of ids that
 * somebody else may be inserting. What meets a stranger's lock leaves its lane at once and is tried again aside, so that nobody
 * stands behind it.
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
import * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../Errors.ts"
import { type Batch, type Compile, patience, type Written } from "./batch.ts"
import { live, type Patience, virtualTime } from "./database.ts"
import { noAnswer, within } from "./deadline.ts"
import { detailOf, fateOf, storeError } from "./errors.ts"
import { type Fact, Together, weightOf } from "./facts.ts"
import type { Wait } from "./waits.ts"

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

type Execute = (batch: Batch) => Effect.Effect<ReadonlyArray<object>, SqlError>

export interface Options extends Patience {
  readonly compile: Compile
  /** Runs a statement on the writer's own connection. */
  readonly execute: Execute
  /** That connection may have no settings of a session, and so no bound to how long it waits for a lock. */
  readonly pooled: boolean
  /** Runs starts that may have to wait for another transaction, on a connection of their own. Without it there are no others. */
  readonly executeStarts: Execute | undefined
  /** Runs a statement for which neither is kept waiting. */
  readonly executeAside: Execute
  /** Called with every batch that went through, before those who wait for it go on. */
  readonly onWritten: (facts: ReadonlyArray<Fact>, written: ReadonlyArray<Written>) => void
}

const largestBatch = 1000
/** In characters of JSON. */
const heaviestBatch = 4_000_000
const longestPauseMillis = 1_000
/** The longest pause before a row that somebody held is looked at again. */
const longestHeldMillis = 200
/** How many statements may be under way aside: the connections are taken from the pool, which others need too. */
const mostAside = 2
/** How long closing waits for an absent database. */
const closeForMillis = 3_000

const methods: Readonly<Record<Fact["_tag"], string>> = {
  Start: "start",
  Step: "recordStep",
  Finish: "finish",
  Suspend: "suspend"
}

const methodOf = ([first]: ReadonlyArray<Pending>): string => first === undefined ? "write" : methods[first.fact._tag]

const idOf = ([first]: ReadonlyArray<Pending>): string =>
  first === undefined ? "" : first.fact._tag === "Start" ? first.fact.run.id : first.fact.lease.runId

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

const refuse = (batch: ReadonlyArray<Pending>, error: SqlError | undefined): void => {
  for (const { fact, resume } of batch) {
    const method = methods[fact._tag]
    resume(Exit.fail(
      error === undefined
        ? new StoreError({ method, retryable: true, detail: "Somebody else holds the run's row" })
        : storeError(method)(error)
    ))
  }
}

/** Where facts gather for one connection. */
interface Lane {
  readonly execute: (batch: ReadonlyArray<Pending>) => Effect.Effect<ReadonlyArray<Pending>, SqlError>
  queue: Array<Pending>
  /** Set while the lane has nothing to do. */
  wake: (() => void) | undefined
  /** While a batch does not go through. */
  wait: Wait | undefined
  closed: boolean
}

export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Writer, never, Scope.Scope> {
  const realTime = Clock.Clock.defaultValue()
  const aside = yield* FiberSet.make<void>()
  const turns = yield* Semaphore.make(mostAside)
  let closeAt = Number.POSITIVE_INFINITY

  /** Writes the batch and answers its facts, but for those whose row somebody else holds: these are returned. */
  const attempt =
    (execute: Execute, patient?: { readonly patience: typeof patience }) => (batch: ReadonlyArray<Pending>) =>
      Effect.suspend(() => {
        const facts = batch.map(({ fact }) => fact)
        const statement = options.compile(facts, (batch[0] as Pending).now, patient)
        return Effect.map(execute(statement), ([row]) => {
          const written = statement.read(row as object)
          options.onWritten(facts, written)
          return batch.filter(({ resume }, index) => {
            const one = written[index] as Written
            if (!one.busy) resume(Exit.succeed(one))
            return one.busy
          })
        })
      })

  const attemptAside = attempt(options.executeAside, { patience })
  const lane = (execute: Lane["execute"]): Lane => ({
    execute,
    queue: [],
    wake: undefined,
    wait: undefined,
    closed: false
  })
  const fenced = lane(attempt(options.execute, options.pooled ? { patience } : undefined))
  const starts = options.executeStarts === undefined
    ? undefined
    : lane(attempt(options.executeStarts, { patience }))
  const lanes = starts === undefined ? [fenced] : [fenced, starts]

  /** Writes the batch, however often it takes, until each of its facts has its answer or has left for aside. */
  const flush = (lane: Lane, batch: ReadonlyArray<Pending>, failures = 0): Effect.Effect<void> =>
    batch.length === 0 ? Effect.void : Effect.matchEffect(lane.execute(batch), {
      onSuccess: (held) => held.length === 0 ? Effect.void : leave(held),
      onFailure: (error) => {
        // It was connected before, so whatever keeps it from connecting now may pass.
        const fate = error.reason.operation === "connect" ? "absent" : fateOf(error)
        if (fate === "slow") return leave(batch, error)
        if (fate === "absent" || fate === "again") {
          // Those who came meanwhile wait for the same thing.
          refuse(lane.queue.filter(impatient), error)
          lane.queue = lane.queue.filter((pending) => !impatient(pending))
          lane.wait ??= options.waits.open(`${options.waits.where} (${methodOf(batch)})`)
          return Effect.andThen(
            lane.wait.failed(detailOf(error)),
            pause(batch, error, failures, longestPauseMillis, (left, failures) => flush(lane, left, failures))
          )
        }
        if (batch.length === 1) return Effect.sync(() => refuse(batch, error))
        return inHalves(batch, (half) => flush(lane, half))
      }
    })

  const inHalves = (batch: ReadonlyArray<Pending>, write: (half: ReadonlyArray<Pending>) => Effect.Effect<void>) => {
    const middle = batch.length >> 1
    return Effect.andThen(write(batch.slice(0, middle)), Effect.suspend(() => write(batch.slice(middle))))
  }

  /** Goes on aside with what met a lock that somebody holds, or took too long. */
  const leave = (batch: ReadonlyArray<Pending>, error?: SqlError): Effect.Effect<void> => {
    const giveUp = Effect.sync(() => refuse(batch, error))
    const flushed = Effect.onInterrupt(flushAside(batch, error), () => giveUp)
    const what = `another transaction, which holds run ${idOf(batch)} (${methodOf(batch)})`
    return Effect.asVoid(FiberSet.run(aside, options.waits.aloud(what, flushed)))
  }

  /** What came as one may have one fact at fault, so the halves of what fails go on by themselves. */
  const flushAside = (
    batch: ReadonlyArray<Pending>,
    before: SqlError | undefined,
    failures = 0
  ): Effect.Effect<void> =>
    pause(
      batch,
      before,
      failures,
      before === undefined ? longestHeldMillis : longestPauseMillis,
      (left, failures) =>
        Effect.matchEffect(turns.withPermit(attemptAside(left)), {
          onSuccess: (held) => held.length === 0 ? Effect.void : flushAside(held, undefined, failures),
          onFailure: (error) => {
            const fate = fateOf(error)
            if (left.length === 1) {
              return fate === "refused" ? Effect.sync(() => refuse(left, error)) : flushAside(left, error, failures)
            }
            return fate === "slow" || fate === "refused"
              ? inHalves(left, (half) => leave(half, error))
              : flushAside(left, error, failures)
          }
        })
    )

  const impatient = ({ giveUpAt }: Pending) => Math.min(giveUpAt, closeAt) <= realTime.currentTimeMillisUnsafe()

  /** Goes on after a while with those of the batch that somebody still waits for. */
  const pause = (
    batch: ReadonlyArray<Pending>,
    error: SqlError | undefined,
    failures: number,
    longestMillis: number,
    again: (batch: ReadonlyArray<Pending>, failures: number) => Effect.Effect<void>
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      refuse(batch.filter(impatient), error)
      const left = batch.filter((pending) => !impatient(pending) && !pending.abandoned)
      if (left.length === 0) return Effect.void
      const millis = Math.min(longestMillis, 10 * 2 ** failures)
      return Effect.andThen(Effect.sleep(millis), Effect.suspend(() => again(left, failures + 1)))
    })

  const idle = (lane: Lane) =>
    Effect.callback<void>((resume) => {
      lane.wake = () => {
        lane.wake = undefined
        resume(Effect.void)
      }
    })

  const run = Effect.fnUntraced(function*(lane: Lane) {
    while (true) {
      if (lane.queue.length > 0) {
        const [batch, left] = gather(lane.queue)
        lane.queue = left
        yield* flush(lane, batch).pipe(
          Effect.ensuring(Effect.suspend(() => lane.wait?.over ?? Effect.void)),
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              lane.closed = true
              refuse([...batch, ...lane.queue], noAnswer)
            })
          )
        )
        lane.wait = undefined
      } else if (closeAt === Number.POSITIVE_INFINITY) {
        yield* idle(lane)
      } else {
        lane.closed = true
        return
      }
    }
  })

  // Not a child of whoever builds the layer, and in real time, whatever clock that has.
  const fibers = yield* Effect.forEach(lanes, (lane) => Effect.forkDetach(live(run(lane))))
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closeAt = realTime.currentTimeMillisUnsafe() + closeForMillis
      for (const { wake } of lanes) wake?.()
      // A statement under way may never be answered.
      const ended = Effect.andThen(Fiber.awaitAll(fibers), FiberSet.awaitEmpty(aside))
      const late = Effect.logWarning(
        `Closing goes on without all that was to be written: ${options.waits.where} does not answer, or rows are held`
      )
      return within(ended, closeForMillis, () => Effect.andThen(late, Fiber.interruptAll(fibers)))
    })
  )

  return {
    write: (fact) =>
      Effect.withFiber((fiber) =>
        Effect.callback<Written, StoreError>((resume) => {
          // An id that was just made is nobody else's.
          const lane = fact._tag === "Start" && fact.run.fresh !== true ? starts ?? fenced : fenced
          if (lane.closed) {
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
          lane.queue.push(pending)
          lane.wake?.()
          return Effect.sync(() => {
            pending.abandoned = true
          })
        })
      )
  }
})
