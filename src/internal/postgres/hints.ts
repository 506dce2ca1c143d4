/**
 * Hints to this process's fibers at once, and to other processes by NOTIFY: coalesced, outside of any transaction, and never
 * truth. A hint that cannot be sent is dropped.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as EffectSchedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Hint } from "../records.ts"

export interface Hints {
  readonly publish: (hint: Hint) => void
  readonly stream: Stream.Stream<Hint>
}

export const silent: Hints = { publish: () => {}, stream: Stream.never }

/** Hints that stay in the process. */
export const local: Effect.Effect<Hints, never, Scope.Scope> = Effect.gen(function*() {
  const hub = yield* Effect.acquireRelease(PubSub.unbounded<Hint>(), PubSub.shutdown)
  return {
    publish: (hint) => void PubSub.publishUnsafe(hub, hint),
    stream: Stream.fromPubSub(hub)
  }
})

interface Message {
  readonly from: string
  readonly hints: ReadonlyArray<Hint>
}

/** A notification's payload must stay below 8000 bytes. */
const idsPerMessage = 100
const pauseMillis = 10

/** What is worth saying of many hints: each kind once, with ids as long as they fit. */
const coalesce = (hints: ReadonlyArray<Hint>): ReadonlyArray<Hint> => {
  const coalesced: Array<Hint> = []
  const finished: Array<string> = []
  let some = false
  for (const hint of hints) {
    if (hint._tag === "RunsFinished") {
      finished.push(...hint.runIds)
      some ||= hint.runIds.length === 0
    } else if (hint._tag === "RunCancelled" || !coalesced.some((other) => other._tag === hint._tag)) {
      coalesced.push(hint)
    }
  }
  const bytes = Buffer.byteLength(JSON.stringify(finished))
  if (finished.length > 0 || some) {
    const few = !some && finished.length <= idsPerMessage && bytes < 7000
    coalesced.push({ _tag: "RunsFinished", runIds: few ? finished : [] })
  }
  return coalesced
}

/** Hints shared with every process that uses the same schema of the same database. */
export const shared = Effect.fnUntraced(function*(
  pg: PgClient,
  channel: string,
  self: string
): Effect.fn.Return<Hints, never, Scope.Scope> {
  const inProcess = yield* local
  const outbox = yield* Queue.unbounded<Hint>()

  const send = Effect.gen(function*() {
    const hints = coalesce(yield* Queue.takeAll(outbox))
    const message: Message = { from: self, hints }
    const text = JSON.stringify(message)
    yield* Effect.ignore(pg.notify(channel, text.length < 7900 ? text : JSON.stringify({ from: self, hints: vague })))
    yield* Effect.sleep(pauseMillis)
  })

  const receive = Stream.unwrap(Effect.map(pg.listen(channel), Stream.fromQueue)).pipe(
    Stream.runForEach((notification) =>
      Effect.sync(() => {
        const message: Message = JSON.parse(notification.payload)
        if (message.from !== self) message.hints.forEach(inProcess.publish)
      })
    ),
    Effect.scoped,
    // Whatever was said while nobody listened is lost: look at everything once.
    Effect.ensuring(Effect.sync(() => vague.forEach(inProcess.publish))),
    Effect.ignoreCause,
    Effect.repeat(EffectSchedule.spaced("250 millis"))
  )

  const live = Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())
  yield* Effect.forkScoped(live(Effect.forever(send)))
  yield* Effect.forkScoped(live(receive))
  return {
    publish: (hint) => {
      inProcess.publish(hint)
      Queue.offerUnsafe(outbox, hint)
    },
    stream: inProcess.stream
  }
})

const vague: ReadonlyArray<Hint> = [
  { _tag: "RunsReady" },
  { _tag: "RunsFinished", runIds: [] },
  { _tag: "SchedulesChanged" }
]
