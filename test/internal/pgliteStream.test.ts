import { PgProtocol } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Result } from "effect"
import { once } from "node:events"
import type { Duplex } from "node:stream"
import { openMemory } from "../../src/internal/pgliteEngine.ts"
import { Session } from "../../src/internal/pgliteStream.ts"

const live = { timeout: 60_000, excludeTestServices: true } as const

/** The fact a test waits for, looked at again and again until it holds. */
const settle = <E, R>(fact: Effect.Effect<boolean, E, R>): Effect.Effect<boolean, E, R> =>
  Effect.repeat(Effect.delay(fact, "5 millis"), { until: (holds) => holds })

const startup = PgProtocol.encodeStartupMessage({ user: "postgres", database: "postgres" })

/** What a client writes for one statement of the extended protocol. */
const statement = (text: string): Buffer =>
  Buffer.concat([
    Result.getOrThrow(PgProtocol.encodeParse({ name: "", query: text, parameterTypes: [] })),
    Result.getOrThrow(PgProtocol.encodeBind({ portal: "", statement: "", parameters: [] })),
    PgProtocol.encodeDescribe({ target: "portal", name: "" }),
    PgProtocol.encodeExecute({ portal: "", maxRows: 0 }),
    PgProtocol.encodeSync()
  ])

/** Reads a connection until it has said ReadyForQuery so many times: the tags of what came, and the values of its rows. */
const answers = (wire: Duplex, readies: number) =>
  Effect.callback<{ readonly tags: ReadonlyArray<string>; readonly values: ReadonlyArray<string> }>((resume) => {
    const parser = PgProtocol.makeParser()
    const tags: Array<string> = []
    const values: Array<string> = []
    const onData = (chunk: Uint8Array) => {
      for (const message of parser.push(chunk)) {
        tags.push(message._tag)
        if (message._tag === "DataRow") {
          values.push(...message.values.map((value) => Buffer.from(value ?? []).toString()))
        }
        if (message._tag === "ReadyForQuery" && --readies === 0) {
          wire.off("data", onData)
          wire.pause()
          resume(Effect.succeed({ tags, values }))
        }
      }
    }
    wire.on("data", onData)
    wire.resume()
  })

const exchange = (wire: Duplex, bytes: Uint8Array, readies = 1) =>
  Effect.andThen(Effect.sync(() => void wire.write(bytes)), answers(wire, readies))

class Db extends Context.Service<Db, Session>()("test/Db") {
  static readonly layer = Layer.effect(Db, Effect.map(openMemory, (engine) => new Session(engine)))
}

/** A connection that has started. */
const connected = Effect.gen(function*() {
  const session = yield* Db
  const wire = yield* Effect.acquireRelease(
    Effect.sync(() => session.connect()),
    (wire) => Effect.sync(() => void wire.destroy())
  )
  wire.on("error", () => {})
  const { tags } = yield* exchange(wire, startup)
  assert.strictEqual(tags[0], "AuthenticationOk")
  // The answer to the first statement says the parameters of the session besides.
  yield* exchange(wire, statement("select 1"))
  return wire
})

const closed = (wire: Duplex) =>
  Effect.callback<void>((resume) => {
    if (wire.closed) resume(Effect.void)
    else wire.once("close", () => resume(Effect.void))
  })

layer(Db.layer, live)("a wire connection", (it) => {
  it.effect("answers the same however its input is cut", () =>
    Effect.gen(function*() {
      const wire = yield* connected
      const bytes = Buffer.concat([statement("select 'one'::text"), statement("select 'two'::text")])
      const whole = yield* exchange(wire, bytes, 2)
      assert.deepStrictEqual(whole.values, ["one", "two"])
      for (const size of [1, 3, 7, 64, bytes.length - 1]) {
        for (let at = 0; at < bytes.length; at += size) wire.write(bytes.subarray(at, at + size))
        assert.deepStrictEqual(yield* answers(wire, 2), whole)
      }
    }).pipe(Effect.scoped))

  it.effect("takes an 8 MB message in pieces", () =>
    Effect.gen(function*() {
      const wire = yield* connected
      const bytes = statement(`select length('${"x".repeat(8 * 1024 * 1024)}')::text`)
      for (let at = 0; at < bytes.length; at += 16_000) wire.write(bytes.subarray(at, at + 16_000))
      assert.deepStrictEqual((yield* answers(wire, 1)).values, [String(8 * 1024 * 1024)])
    }).pipe(Effect.scoped))

  it.effect("runs what follows an error in the next unit, as a server does", () =>
    Effect.gen(function*() {
      const wire = yield* connected
      const { tags, values } = yield* exchange(
        wire,
        Buffer.concat([statement("select 1 / 0"), statement("select 'after'::text")]),
        2
      )
      assert.include(tags, "ErrorResponse")
      assert.deepStrictEqual(values, ["after"])
    }).pipe(Effect.scoped))

  it.effect("runs nothing more for a reader that does not read, and hands it the rest when it does", () =>
    Effect.gen(function*() {
      const wire = yield* connected
      const size = 4 * 1024 * 1024
      wire.write(Buffer.concat([
        statement("create sequence if not exists progress"),
        statement(`select repeat('x', ${size})`),
        statement("select nextval('progress')::text")
      ]))
      yield* settle(Effect.sync(() => wire.readableLength > 0))
      assert.isBelow(wire.readableLength, 512 * 1024)
      const { values } = yield* answers(wire, 3)
      assert.deepStrictEqual(values.map((value) => value.length), [size, 1])
    }).pipe(Effect.scoped))

  it.effect("refuses TLS, and hangs up on a request to cancel", () =>
    Effect.gen(function*() {
      const session = yield* Db
      const secured = session.connect()
      secured.write(PgProtocol.encodeSslRequest())
      const [answer] = yield* Effect.promise(() => once(secured, "data"))
      assert.strictEqual(String(answer), "N")
      assert.strictEqual((yield* exchange(secured, startup)).tags[0], "AuthenticationOk")
      secured.end(PgProtocol.encodeTerminate())
      yield* closed(secured)
      const cancelling = session.connect()
      cancelling.write(PgProtocol.encodeCancelRequest({ pid: 42, secret: 0 }))
      yield* closed(cancelling)
    }))

  it.effect("waits its turn, and finds a session in which the last connection left nothing", () =>
    Effect.gen(function*() {
      const session = yield* Db
      const first = yield* connected
      yield* exchange(first, statement("create table if not exists left_behind (n int)"))
      yield* exchange(first, statement("set application_name = 'first'"))
      yield* exchange(first, statement("create temp table gone (n int)"))
      yield* exchange(first, statement("prepare gone as select 1"))
      yield* exchange(first, statement("begin"))
      yield* exchange(first, statement("insert into left_behind values (1)"))

      const second = session.connect()
      const greeting = yield* Effect.forkChild(exchange(second, startup), { startImmediately: true })
      yield* exchange(first, statement("select 1"))
      assert.isTrue(second.readableLength === 0)
      first.destroy()
      yield* Fiber.join(greeting)

      const { values } = yield* exchange(
        second,
        statement(`select (select count(*) from left_behind)::text || current_setting('application_name') ||
          (to_regclass('gone') is null)::text || (select count(*) from pg_prepared_statements)::text`)
      )
      assert.deepStrictEqual(values, ["0true0"])
      second.destroy()
    }).pipe(Effect.scoped))

  it.effect("gives its turn back when it is destroyed before its turn came", () =>
    Effect.gen(function*() {
      const session = yield* Db
      const first = yield* connected
      const second = session.connect()
      second.write(startup)
      second.destroy()
      assert.deepStrictEqual((yield* exchange(first, statement("select 'first'::text"))).values, ["first"])
      first.destroy()
      const third = yield* connected
      assert.deepStrictEqual((yield* exchange(third, statement("select 'third'::text"))).values, ["third"])
    }).pipe(Effect.scoped))
})
