/**
 * Hints: to this process's fibers at once, and to other processes by NOTIFY, which is sent outside of any transaction, since
 * it takes a lock on the whole database at commit. A hint that cannot be sent is dropped, and one that nobody heard is lost.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { Hint } from "../../SystemDb.ts"
import { loop, rarely } from "../supervise.ts"
import { live } from "./database.ts"
import { answered, type Deadlines, within } from "./deadline.ts"
import { reliedOn, setting } from "./settings.ts"

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
const send = Effect.fnUntraced(function*(sql: PgClient, channel: string, self: string, deadlines: Deadlines) {
  const outbox = new Outbox()
  const bell = yield* Queue.sliding<void>(1)
  const flush = Effect.suspend(() =>
    Effect.ignore(deadlines.statement("notify", sql.notify(channel, outbox.empty(self))))
  )
  const pass = Queue.take(bell).pipe(Effect.andThen(flush), Effect.andThen(Effect.sleep(pause)))
  // What is said last, such as that runs were handed back, is what others wait for.
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(
      Queue.size(bell),
      (waiting) => waiting === 0 ? Effect.void : within(flush, "1 second", () => Effect.void)
    )
  )
  yield* Effect.forkScoped(live(loop("hint sender", pass)))
  return (hint: Hint): void => {
    outbox.add(hint)
    Queue.offerUnsafe(bell, undefined)
  }
})

const envelope = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ from: Schema.String, hints: Schema.Array(Schema.Unknown) }))
)

const hintOf = Schema.decodeUnknownOption(Schema.Union([
  Schema.TaggedStruct("RunsReady", {}),
  Schema.TaggedStruct("RunsFinished", { runIds: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("RunCancelled", { runId: Schema.String }),
  Schema.TaggedStruct("SchedulesChanged", {})
]))

/** What a notification says, and whether all of it makes sense: anybody who may connect to the database can send one. */
export const read = (
  payload: string
): { readonly from: string | undefined; readonly hints: ReadonlyArray<Hint>; readonly clean: boolean } => {
  const message = envelope(payload)
  if (Option.isNone(message)) return { from: undefined, hints: [], clean: false }
  const hints = message.value.hints.flatMap((hint) => Option.toArray(hintOf(hint)))
  return { from: message.value.from, hints, clean: hints.length === message.value.hints.length }
}

/**
 * Often enough that a connection which fell silent is missed soon: polls go on meanwhile. To listen again changes nothing, and
 * shows whoever looks at the server's sessions what this one is for.
 */
const askEvery = "15 seconds"
const answerWithin = "10 seconds"

/** Hears what others send, on a connection of its own, and connects again when that breaks or falls silent. */
const listen = (config: PgConnection.Config, channel: string, self: string, inProcess: Hints): Effect.Effect<never> => {
  let failures = 0
  const warnOfNonsense = rarely((processId: number) =>
    Effect.logWarning(
      `A notification from server process ${processId} on channel ${channel} makes no sense and is passed over`
    )
  )
  const warnOfAbsence = rarely((error: SqlError) =>
    Effect.logWarning(`Nothing is heard from other processes until channel ${channel} can be listened to again`, error)
  )

  const session = Effect.gen(function*() {
    // Closed after the connection, which then need not be told anything, and may not answer.
    const listening = yield* Effect.scope
    yield* Effect.scoped(Effect.gen(function*() {
      const connection = yield* PgConnection.make({ ...config, multiplex: false })
      const pinned = yield* Scope.provide(connection.pin, listening)
      const ask = (text: string) => answered(pinned.query(text, [], false), answerWithin)
      yield* ask(setting(reliedOn))
      const notifications = yield* answered(Scope.provide(pinned.listen(channel), listening), answerWithin)
      failures = 0
      // What was said before is lost.
      anything.forEach(inProcess.publish)
      const hear = Effect.gen(function*() {
        const { payload, processId } = yield* Queue.take(notifications)
        const message = read(payload)
        if (message.from !== self) message.hints.forEach(inProcess.publish)
        if (!message.clean) yield* warnOfNonsense(processId)
      })
      yield* Effect.raceFirst(
        Effect.forever(hear),
        Effect.forever(Effect.andThen(Effect.sleep(askEvery), ask(`listen "${channel}"`)))
      )
    }))
  })
  const backoff = Effect.suspend(() =>
    Effect.sleep(Math.min(lastReconnectMillis, firstReconnectMillis * 2 ** failures++))
  )
  return live(loop(
    "listener",
    Effect.catch(
      Effect.scoped(session),
      (error) => Effect.andThen(failures > 0 ? warnOfAbsence(error) : Effect.void, backoff)
    )
  ))
}

/** Hints shared with every process that uses the same schema of the same database. */
export const shared = Effect.fnUntraced(function*(
  sql: PgClient,
  channel: string,
  deadlines: Deadlines,
  options: { readonly listen: boolean }
): Effect.fn.Return<Hints, never, Scope.Scope> {
  const inProcess = yield* local
  const self = globalThis.crypto.randomUUID()
  const sendToOthers = yield* send(sql, channel, self, deadlines)
  if (options.listen) yield* Effect.forkScoped(listen(sql.config, channel, self, inProcess))
  return {
    publish: (hint) => {
      inProcess.publish(hint)
      sendToOthers(hint)
    },
    stream: inProcess.stream
  }
})
