/**
 * As much of the wire protocol as it takes to know where messages end.
 */
import { Buffer } from "node:buffer"

/** See the message formats of the protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html */
export type UnitKind = "sslRequest" | "cancelRequest" | "startup" | "batch" | "terminate"

/** What is run in one go: everything a client wrote up to, and with, the message that asks for an answer. */
export interface Unit {
  readonly kind: UnitKind
  readonly bytes: Uint8Array
}

/** Request codes that take the place of a protocol version before the session has started. */
const requests: ReadonlyMap<number, UnitKind> = new Map([[80877103, "sslRequest"], [80877102, "cancelRequest"]])

/** Message types after which a client waits: Query, Sync, FunctionCall, Terminate. */
const closing: ReadonlyMap<number, UnitKind> = new Map([
  [0x51, "batch"],
  [0x53, "batch"],
  [0x46, "batch"],
  [0x58, "terminate"]
])

/** Cuts what arrives, in chunks of any size, into units. */
export class Inbox {
  private chunks: Array<Uint8Array> = []
  private length = 0
  /** No message is complete before this many bytes are here. Saves joining the chunks of a large message again and again. */
  private needed = 0
  /** Where the first message not yet looked at begins. Those before it wait for the end of their unit. */
  private offset = 0
  private started = false

  push(chunk: Uint8Array): ReadonlyArray<Unit> {
    this.chunks.push(chunk)
    this.length += chunk.length
    if (this.length < this.needed) return []
    const buffer = this.chunks.length === 1
      ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
      : Buffer.concat(this.chunks)
    const units: Array<Unit> = []
    let start = 0
    let end = this.endOf(buffer, this.offset)
    while (end <= buffer.length) {
      const kind = this.kindAt(buffer, this.offset)
      this.offset = end
      if (kind !== undefined) {
        units.push({ kind, bytes: buffer.subarray(start, end) })
        start = end
      }
      end = this.endOf(buffer, this.offset)
    }
    this.chunks = start < buffer.length ? [buffer.subarray(start)] : []
    this.length = buffer.length - start
    this.offset -= start
    this.needed = end - start
    return units
  }

  /** Before the start-up message, messages have no type byte. Without a whole header, the end of the header. */
  private endOf(buffer: Buffer, offset: number): number {
    const body = offset + (this.started ? 5 : 8)
    if (buffer.length < body) return body
    return Math.max(
      body,
      this.started ? offset + 1 + buffer.readInt32BE(offset + 1) : offset + buffer.readInt32BE(offset)
    )
  }

  private kindAt(buffer: Buffer, offset: number): UnitKind | undefined {
    if (this.started) return closing.get(buffer.readUInt8(offset))
    const request = requests.get(buffer.readInt32BE(offset + 4))
    this.started = request === undefined
    return request ?? "startup"
  }
}

/** A statement as one whole message: the simple query protocol. */
export const query = (sql: string): Uint8Array => {
  const text = Buffer.from(`${sql}\0`)
  const head = Buffer.from("Q\0\0\0\0")
  head.writeInt32BE(text.length + 4, 1)
  return Buffer.concat([head, text])
}

/** The fields of an error, if that is what the answer begins with. */
export const refusal = (output: Buffer): Error | undefined =>
  output[0] === 0x45
    ? new Error(output.toString("utf8", 5, 1 + output.readInt32BE(1)).split("\0").join(" "))
    : undefined
