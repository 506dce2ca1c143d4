/**
 * Hints: to this process's fibers at once, and to other processes by NOTIFY, which is sent outside of any transaction, since
 * it takes a lock on the whole database at commit. A hint that cannot be sent is dropped, and one that nobody heard is lost.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Hint } from "../../SystemDb.ts"
import { live } from "./database.ts"

export interface Hints {
  readonly publish: (hint: Hint) => void
  readonly stream: Stream.Stream<Hint>
}

/** Drops every hint, for tests. */
export const silent: Hints = { publish: () => {}, stream: Stream.never }

/** Whoever is further behind than this loses the oldest. */
const backlog = 4096

/** Hints that stay in the process. */
export const local: Effect.Effect<Hints, never, Scope.Scope> = Effect.gen(function*() {
  const hub = yield* Effect.acquireRelease(PubSub.sliding<Hint>(backlog), PubSub.shutdown)
  return {
    publish: (hint) => void PubSub.publishUnsafe(hub, hint),
    stream: Stream.fromPubSub(hub)
  }
})

// ── what is worth saying ────────────────────────────────────────────────────────────────────────────────────────────

interface Message {
  readonly from: string
  readonly hints: ReadonlyArray<Hint>
}

/** A notification carries less than 8000 bytes. */
const largestMessage = 7900
const manyIds = 100

/** What to look at when it is not known what was said. */
const anything: ReadonlyArray<Hint> = [
  { _tag: "RunsReady" },
  { _tag: "RunsFinished", runIds: [] },
  { _tag: "SchedulesChanged" }
]

/** What many hints come to: each kind once, with ids as long as there are few of them. */
export class Outbox {
  #ready = false
  #changed = false
  #cancelled = new Set<string>()
  /** Null when only "some" can be said. */
  #finished: Set<string> | null = new Set()

  add(hint: Hint): void {
    switch (hint._tag) {
      case "RunsReady":
        this.#ready = true
        return
      case "SchedulesChanged":
        this.#changed = true
        return
      case "RunCancelled":
        if (this.#cancelled.size < manyIds) this.#cancelled.add(hint.runId)
        return
      case "RunsFinished":
        if (hint.runIds.length === 0 || (this.#finished?.size ?? 0) + hint.runIds.length > manyIds) {
          this.#finished = null
        } else {
          for (const id of hint.runIds) this.#finished?.add(id)
        }
    }
  }

  /** The message as text, and an empty outbox. */
  empty(from: string): string {
    const hints: Array<Hint> = Array.from(this.#cancelled, (runId) => ({ _tag: "RunCancelled", runId }))
    if (this.#ready) hints.push({ _tag: "RunsReady" })
    if (this.#changed) hints.push({ _tag: "SchedulesChanged" })
    if (this.#finished === null) hints.push({ _tag: "RunsFinished", runIds: [] })
    else if (this.#finished.size > 0) hints.push({ _tag: "RunsFinished", runIds: Array.from(this.#finished) })
    this.#ready = false
    this.#changed = false
    this.#cancelled = new Set()
    this.#finished = new Set()
    const text = JSON.stringify({ from, hints } satisfies Message)
    return Buffer.byteLength(text) <= largestMessage ? text : JSON.stringify({ from, hints: anything })
  }
}

// ── between processes ───────────────────────────────────────────────────────────────────────────────────────────────

const pause = "10 millis"
const firstReconnectMillis = 50
const lastReconnectMillis = 5_000

/** Sends to others what is published here. The first hint goes at once, and then at most one message per pause. */
const send = Effect.fnUntraced(function*(sql: PgClient, channel: string, self: string) {
  const outbox = new Outbox()
  const bell = yield* Queue.sliding<void>(1)
  const flush = Effect.suspend(() => Effect.ignore(sql.notify(channel, outbox.empty(self))))
  const loop = Queue.take(bell).pipe(Effect.andThen(flush), Effect.andThen(Effect.sleep(pause)), Effect.forever)
  // What is said last, such as that runs were handed back, is what others wait for.
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(
      Queue.size(bell),
      (waiting) =>
        waiting === 0 ? Effect.void : live(Effect.ignore(Effect.timeout(Effect.interruptible(flush), "1 second")))
    )
  )
  yield* Effect.forkScoped(live(loop))
  return (hint: Hint): void => {
    outbox.add(hint)
    Queue.offerUnsafe(bell, undefined)
  }
})

const isMessage = (value: unknown): value is Message =>
  typeof value === "object" && value !== null && "hints" in value && Array.isArray(value.hints)

const parse = (payload: string): Effect.Effect<unknown> =>
  Effect.orElseSucceed(Effect.try({ try: (): unknown => JSON.parse(payload), catch: () => undefined }), () => undefined)

/** Hears what others send, on a connection of its own, and connects again when that breaks. */
const listen = (config: PgConnection.Config, channel: string, self: string, inProcess: Hints): Effect.Effect<never> => {
  let failures = 0
  const session = Effect.gen(function*() {
    const connection = yield* PgConnection.make({ ...config, multiplex: false })
    const notifications = yield* connection.listen(channel)
    failures = 0
    // What was said before is lost.
    anything.forEach(inProcess.publish)
    while (true) {
      const { payload } = yield* Queue.take(notifications)
      const message = yield* parse(payload)
      if (isMessage(message) && message.from !== self) message.hints.forEach(inProcess.publish)
    }
  })
  const backoff = Effect.suspend(() =>
    Effect.sleep(Math.min(lastReconnectMillis, firstReconnectMillis * 2 ** failures++))
  )
  return live(Effect.forever(Effect.catch(Effect.scoped(session), () => backoff)))
}

/** Hints shared with every process that uses the same schema of the same database. */
export const shared = Effect.fnUntraced(function*(
  sql: PgClient,
  channel: string,
  options: { readonly listen: boolean }
): Effect.fn.Return<Hints, never, Scope.Scope> {
  const inProcess = yield* local
  const self = globalThis.crypto.randomUUID()
  const sendToOthers = yield* send(sql, channel, self)
  if (options.listen) yield* Effect.forkScoped(listen(sql.config, channel, self, inProcess))
  return {
    publish: (hint) => {
      inProcess.publish(hint)
      sendToOthers(hint)
    },
    stream: inProcess.stream
  }
})
