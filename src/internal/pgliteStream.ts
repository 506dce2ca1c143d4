/**
 * Wire connections to an embedded PGlite: what a client writes to a {@link Wire} PGlite runs, what PGlite answers the
 * client reads. No message is translated, so codecs, errors and statements are those of a Postgres server.
 *
 * PGlite has one session. Connections take turns on it: the next one starts when the last one has ended and the session
 * is as new again. Notifications are the session's, not a connection's, so listening holds no connection.
 */
import { Buffer } from "node:buffer"
import { Duplex } from "node:stream"
import type { Engine } from "./pgliteEngine.ts"
import { Inbox, query, refusal, type Unit } from "./pgliteFrames.ts"

export interface Notification {
  readonly processId: number
  readonly channel: string
  readonly payload: string
}

export interface Subscriber {
  readonly onNotification: (notification: Notification) => void
  /** The session is closed; there will be no more notifications. */
  readonly onClose: () => void
}

// ── one connection ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Handed to the reader at a time, so that one that pauses is not given a whole result first. */
const pieceBytes = 64 * 1024

class Wire extends Duplex {
  readonly units: Array<Unit> = []
  private readonly session: Session
  private readonly inbox = new Inbox()
  private outgoing: Buffer = Buffer.alloc(0)
  private wanted = false

  constructor(session: Session) {
    super({ allowHalfOpen: false })
    this.session = session
  }

  /** The reader has been handed every answer there is. Until then, nothing more is run for it. */
  get isDrained(): boolean {
    return this.outgoing.length === 0
  }

  /** Called by the session only when drained. */
  answer(bytes: Buffer): void {
    if (this.destroyed) return
    this.outgoing = bytes
    this.flush()
  }

  private flush(): void {
    while (this.wanted && this.outgoing.length > 0) {
      const piece = this.outgoing.subarray(0, pieceBytes)
      this.outgoing = this.outgoing.subarray(pieceBytes)
      this.wanted = this.push(piece)
    }
    if (this.isDrained) this.session.wake()
  }

  override _read(): void {
    this.wanted = true
    this.flush()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: () => void): void {
    for (const unit of this.inbox.push(chunk)) this.accept(unit)
    callback()
  }

  private accept(unit: Unit): void {
    switch (unit.kind) {
      case "sslRequest":
        return this.answer(Buffer.from("N"))
      // A statement is run in one go, so there is never one to cancel. Hanging up is what a server does in any case.
      case "cancelRequest":
      case "terminate":
        return void this.destroy()
      case "startup":
        this.session.enter(this)
    }
    this.units.push(unit)
    this.session.wake()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.units.length = 0
    this.outgoing = Buffer.alloc(0)
    this.session.leave(this)
    callback(error)
  }
}

// ── the session ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** What the end of a connection does on a server, but for UNLISTEN. */
const reset = [
  query("rollback"),
  query(
    "close all; set session authorization default; reset all; deallocate all; discard temp; discard sequences; " +
      "select pg_advisory_unlock_all()"
  )
]

const channelName = (channel: string): string => `"${channel.replaceAll("\"", "\"\"")}"`

const closed = "The embedded database is closed"

interface Job {
  readonly bytes: Uint8Array
  readonly done: (output: Buffer) => void
  readonly failed: (cause: unknown) => void
}

export class Session {
  private readonly engine: Engine
  private readonly turns: Array<Wire> = []
  private readonly resets: Array<Uint8Array> = []
  private readonly controls: Array<Job> = []
  private readonly subscribers = new Map<string, Set<Subscriber>>()
  private readonly onClosed: Array<() => void> = []
  private inTransaction = false
  private running = false
  private closed = false

  constructor(engine: Engine) {
    this.engine = engine
  }

  readonly connect = (): Duplex => new Wire(this)

  enter(wire: Wire): void {
    if (this.closed) return void wire.destroy(new Error(closed))
    this.turns.push(wire)
  }

  leave(wire: Wire): void {
    const turn = this.turns.indexOf(wire)
    if (turn < 0) return
    this.turns.splice(turn, 1)
    if (turn === 0) this.resets.push(...reset)
    this.wake()
  }

  /** Runs the next job in a turn of the event loop of its own: however many there are, the rest of the program goes on. */
  wake(): void {
    if (this.running || !this.hasWork()) return
    this.running = true
    setImmediate(() => {
      const job = this.next()
      if (job === undefined) return this.rest()
      this.engine.run(job.bytes).then((output) => {
        this.observe(output)
        job.done(output)
      }).then(() => this.rest(), (cause: unknown) => {
        job.failed(cause)
        this.rest()
      })
    })
  }

  private rest(): void {
    this.running = false
    this.wake()
    if (!this.running) { for (const resume of this.onClosed.splice(0)) resume() }
  }

  private hasWork(): boolean {
    return this.resets.length > 0 || (this.controls.length > 0 && !this.inTransaction) || this.ready() !== undefined
  }

  /** The connection whose turn it is, if it waits for PGlite and not for its reader. */
  private ready(): Wire | undefined {
    const wire = this.turns[0]
    return wire !== undefined && wire.units.length > 0 && wire.isDrained ? wire : undefined
  }

  private next(): Job | undefined {
    const bytes = this.resets.shift()
    if (bytes !== undefined) return { bytes, done: () => {}, failed: () => {} }
    if (this.controls.length > 0 && !this.inTransaction) return this.controls.shift()
    const wire = this.ready()
    const unit = wire?.units.shift()
    if (wire === undefined || unit === undefined) return undefined
    return {
      bytes: unit.bytes,
      done: (output) => wire.answer(output),
      failed: (cause) => wire.destroy(new Error("The embedded database gave up; close it and open it again", { cause }))
    }
  }

  /** Looks at the heads of the answers for what concerns the session: transaction status and notifications. */
  private observe(output: Buffer): void {
    for (let at = 0; at + 5 <= output.length; at += 1 + output.readInt32BE(at + 1)) {
      const type = output.readUInt8(at)
      if (type === 0x5a) this.inTransaction = output.readUInt8(at + 5) !== 0x49
      if (type === 0x41) this.notify(output, at)
    }
  }

  private notify(output: Buffer, at: number): void {
    const channelEnd = output.indexOf(0, at + 9)
    const channel = output.toString("utf8", at + 9, channelEnd)
    const payload = output.toString("utf8", channelEnd + 1, output.indexOf(0, channelEnd + 1))
    const notification = { processId: output.readInt32BE(at + 5), channel, payload }
    for (const subscriber of this.subscribers.get(channel) ?? []) subscriber.onNotification(notification)
  }

  /**
   * Calls `done` once the session listens. It waits for the transaction that is open, if one is: LISTEN in a transaction
   * that is rolled back would not last, and in one that has failed would be refused.
   */
  subscribe(channel: string, subscriber: Subscriber, done: (failure?: unknown) => void): void {
    if (this.closed) return done(new Error(closed))
    const subscribers = this.subscribers.get(channel) ?? new Set()
    this.subscribers.set(channel, subscribers.add(subscriber))
    this.control(`listen ${channelName(channel)}`, done)
  }

  unsubscribe(channel: string, subscriber: Subscriber): void {
    const subscribers = this.subscribers.get(channel)
    if (subscribers?.delete(subscriber) !== true || subscribers.size > 0) return
    this.subscribers.delete(channel)
    this.control(`unlisten ${channelName(channel)}`, () => {})
  }

  private control(sql: string, done: (failure?: unknown) => void): void {
    this.controls.push({ bytes: query(sql), done: (output) => done(refusal(output)), failed: done })
    this.wake()
  }

  /** Ends every connection, and calls `done` when PGlite is at rest and may be closed. */
  close(done: () => void): void {
    this.closed = true
    while (this.turns[0] !== undefined) this.turns[0].destroy()
    for (const subscribers of this.subscribers.values()) for (const { onClose } of subscribers) onClose()
    this.subscribers.clear()
    this.onClosed.push(done)
    if (!this.running) this.rest()
  }
}
