import { PgClient } from "@effect/sql-pg"
import { assert, it, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, Result, Scope, Stream } from "effect"
import { type SqlError } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Pglite from "../../src/internal/pglite.ts"
import { pass } from "../../src/internal/pgliteUpkeep.ts"

const live = { timeout: 60_000, excludeTestServices: true } as const

const codeOf = (error: SqlError.SqlError): unknown => (error.reason.cause as { readonly code?: unknown }).code

/** The fact a test waits for, looked at again and again until it holds. */
const settle = <E, R>(fact: Effect.Effect<boolean, E, R>): Effect.Effect<boolean, E, R> =>
  Effect.repeat(Effect.delay(fact, "5 millis"), { until: (holds) => holds })

layer(Pglite.layer({}), live)("the client of an embedded database", (it) => {
  it.effect("speaks to Postgres 18 and says which driver it is", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const [row] = yield* sql<{ readonly number: string }>`select current_setting('server_version_num') as number`
      assert.match(row?.number ?? "", /^18/)
      assert.strictEqual(sql.driver, "pglite")
    }))

  it.effect("decodes values as the client of a server does", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const rows = yield* sql`select 9007199254740993::int8 as big, count(*) as count, 7 as small, 1.5::float8 as float,
        '{"a":[1,null]}'::jsonb as json, '2026-03-29 01:30:00+00'::timestamptz as instant,
        '\\x00ff'::bytea as bytes, array[1,2]::int4[] as ints, array['a',null]::text[] as texts, null as nothing`
      assert.deepStrictEqual(rows, [{
        big: BigInt("9007199254740993"),
        count: BigInt(1),
        small: 7,
        float: 1.5,
        json: { a: [1, null] },
        instant: new Date("2026-03-29T01:30:00Z"),
        bytes: new Uint8Array([0, 255]),
        ints: [1, 2],
        texts: ["a", null],
        nothing: null
      }])
    }))

  it.effect("takes arrays, JSON, instants and null as parameters, and arrays of them as rows", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const instant = new Date(86_400_000)
      const [one] = yield* sql`select ${sql.json({ k: "v" })} as json, ${instant}::timestamptz as instant,
        ${null}::text as nothing, 2 = any(${[1, 2]}) as member`
      assert.deepStrictEqual(one, { json: { k: "v" }, instant, nothing: null, member: true })
      const rows = yield* sql`select * from unnest(${["a", "b"]}::text[], ${[1, 2]}::int[], ${["{}", null]}::jsonb[])
        as rows (id, n, data)`
      assert.deepStrictEqual(rows, [{ id: "a", n: 1, data: {} }, { id: "b", n: 2, data: null }])
    }))

  it.effect("refuses a NUL in text with Postgres's own error, and goes on", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const asText = yield* Effect.flip(sql`select ${"a\0b"}::text`)
      const asJson = yield* Effect.flip(sql`select ${sql.json({ a: "\0" })}`)
      assert.strictEqual(codeOf(asText), "22021")
      assert.strictEqual(codeOf(asJson), "22P05")
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    }))

  it.effect("maps errors to their reasons", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql`create table unique_names (name text constraint unique_name unique check (name <> ''))`
      yield* sql`insert into unique_names values ('a')`
      const constraint = yield* sql`insert into unique_names values ('a')`.pipe(
        Effect.as("none"),
        Effect.catchReason("SqlError", "UniqueViolation", (reason) => Effect.succeed(reason.constraint))
      )
      assert.strictEqual(constraint, "unique_name")
      assert.strictEqual((yield* Effect.flip(sql`insert into unique_names values ('')`)).reason._tag, "ConstraintError")
      assert.strictEqual((yield* Effect.flip(sql`selec`)).reason._tag, "SqlSyntaxError")
    }))

  it.effect("commits a transaction that succeeds and rolls back one that fails", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql`create table kept (n int)`
      yield* sql.withTransaction(sql`insert into kept values (1)`)
      yield* Effect.ignore(sql.withTransaction(Effect.andThen(sql`insert into kept values (2)`, Effect.fail("no"))))
      assert.deepStrictEqual(yield* sql`select n from kept`, [{ n: 1 }])
    }))

  it.effect("rolls a nested transaction back to its savepoint", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql`create table nested (n int primary key)`
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`insert into nested values (1)`
        const duplicate = sql.withTransaction(sql`insert into nested values (2), (1)`)
        assert.strictEqual((yield* Effect.flip(duplicate)).reason._tag, "UniqueViolation")
        yield* sql.withTransaction(sql`insert into nested values (3)`)
      }))
      assert.deepStrictEqual(yield* sql`select n from nested order by n`, [{ n: 1 }, { n: 3 }])
    }))

  it.effect("answers fifty fibers at once, each with its own answer", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const numbers = Array.from({ length: 50 }, (_, n) => n)
      const answers = yield* Effect.forEach(numbers, (n) => sql`select ${n}::int as n`, { concurrency: "unbounded" })
      assert.deepStrictEqual(answers.map(([row]) => row?.["n"]), numbers)
    }))

  it.effect("gives each of many transactions the database to itself", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql`create table counter as select 0 as n`
      const increment = sql.withTransaction(Effect.gen(function*() {
        const [row] = yield* sql<{ readonly n: number }>`select n from counter`
        yield* Effect.yieldNow
        yield* sql`update counter set n = ${(row?.n ?? 0) + 1}`
      }))
      yield* Effect.all(Array.from({ length: 50 }, () => increment), { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* sql`select n from counter`, [{ n: 50 }])
    }))

  it.effect("goes on after a query was interrupted while it ran", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const fiber = yield* Effect.forkChild(sql`select pg_sleep(0.05)`, { startImmediately: true })
      const waiting = yield* Effect.forkChild(sql`select 1`, { startImmediately: true })
      yield* Fiber.interruptAll([fiber, waiting])
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(yield* sql`select 2 as two`, [{ two: 2 }])
    }))

  it.effect("goes on when the interruption of a query waited too long for its answer", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const fiber = yield* Effect.forkChild(sql`select pg_sleep(0.01)`, { startImmediately: true })
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      // The timer after which the client asks for the query to be cancelled is overdue before the query has run.
      for (const until = performance.now() + 50; performance.now() < until;);
      yield* Fiber.join(interruption)
      assert.deepStrictEqual(yield* sql`select 3 as three`, [{ three: 3 }])
    }))

  it.effect("rolls back a transaction whose query is interrupted, even when the client gives up its connection", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql`create table abandoned (n int)`
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        sql.withTransaction(Effect.gen(function*() {
          yield* sql`insert into abandoned values (1)`
          yield* Deferred.succeed(started, undefined)
          yield* sql`select pg_sleep(0.01)`
        }))
      )
      yield* Deferred.await(started)
      const others = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 5 }, () => sql`insert into abandoned values (2)`), {
          concurrency: "unbounded"
        }),
        { startImmediately: true }
      )
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      for (const until = performance.now() + 50; performance.now() < until;);
      yield* Fiber.join(interruption)
      yield* Fiber.join(others)
      assert.deepStrictEqual(yield* sql`select n, count(*)::int as count from abandoned group by n`, [{
        n: 2,
        count: 5
      }])
    }))

  it.effect("carries parameters and results of 8 MB", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const text = "é".repeat(4 * 1024 * 1024)
      const [echo] = yield* sql<{ readonly text: string }>`select ${text}::text as text`
      assert.isTrue(echo?.text === text)
      yield* sql`create table large (id int, data jsonb)`
      const data = { text: "x".repeat(8 * 1024 * 1024) }
      yield* Effect.all(
        Array.from({ length: 4 }, (_, id) => sql`insert into large values (${id}, ${sql.json(data)})`),
        { concurrency: "unbounded" }
      )
      const rows = yield* sql<{ readonly data: typeof data }>`select data from large`
      assert.deepStrictEqual(rows.map((row) => row.data.text === data.text), [true, true, true, true])
    }))

  it.effect("streams a result to a reader that is slow, and one that stops early", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const numbers = sql<{ readonly n: number }>`select n from generate_series(1, 50000) as n`.stream
      const sum = yield* numbers.pipe(
        Stream.rechunk(5000),
        Stream.tap((row) => row.n % 5000 === 0 ? Effect.delay(Effect.void, "1 millis") : Effect.void),
        Stream.runFold(() => 0, (sum, row) => sum + row.n)
      )
      assert.strictEqual(sum, 50000 * 50001 / 2)
      const first = yield* numbers.pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(first, [{ n: 1 }])
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    }))

  it.effect("listens without holding the connection", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const queue = yield* sql.listen("news \" of ünïcode")
      yield* sql.notify("news \" of ünïcode", "it's 1")
      yield* sql.withTransaction(sql`select pg_notify('news " of ünïcode', '2')`)
      yield* sql.notify("other news", "3")
      const first = yield* Queue.take(queue)
      const second = yield* Queue.take(queue)
      assert.strictEqual(first.channel, "news \" of ünïcode")
      assert.deepStrictEqual([first.payload, second.payload], ["it's 1", "2"])
      assert.strictEqual(yield* Queue.size(queue), 0)
    }).pipe(Effect.scoped))

  it.effect("tells every listener of a channel, and none whose scope has closed", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const scope = yield* Scope.make()
      const early = yield* Scope.provide(sql.listen("shared"), scope)
      const late = yield* sql.listen("shared")
      yield* sql.notify("shared", "both")
      assert.deepStrictEqual([(yield* Queue.take(early)).payload, (yield* Queue.take(late)).payload], ["both", "both"])
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(Queue.take(early))))
      yield* sql.notify("shared", "one")
      assert.strictEqual((yield* Queue.take(late)).payload, "one")
    }).pipe(Effect.scoped))

  it.effect("notifies when a transaction commits, and not when it rolls back", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const queue = yield* sql.listen("outcomes")
      yield* Effect.ignore(sql.withTransaction(Effect.andThen(sql.notify("outcomes", "lost"), Effect.fail("no"))))
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql.notify("outcomes", "kept")
        yield* sql`select 1`
        assert.strictEqual(yield* Queue.size(queue), 0)
      }))
      assert.strictEqual((yield* Queue.take(queue)).payload, "kept")
      assert.strictEqual(yield* Queue.size(queue), 0)
    }).pipe(Effect.scoped))

  it.effect("keeps a listener that began during a transaction which was then rolled back", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const inside = yield* Deferred.make<Queue.Dequeue<{ readonly payload: string }, SqlError.SqlError>>()
      const scope = yield* Scope.Scope
      const failed = sql.withTransaction(Effect.gen(function*() {
        yield* sql`select 1`
        yield* Deferred.succeed(inside, yield* Scope.provide(sql.listen("inner"), scope))
        const other = yield* Effect.forkIn(sql.listen("outer"), scope, { startImmediately: true })
        yield* Effect.ignore(sql`select 1 / 0`)
        return yield* Effect.fail(other)
      }))
      yield* Effect.ignore(failed)
      const inner = yield* Deferred.await(inside)
      const outer = yield* sql.listen("outer")
      yield* sql.notify("inner", "a")
      yield* sql.notify("outer", "b")
      assert.deepStrictEqual([(yield* Queue.take(inner)).payload, (yield* Queue.take(outer)).payload], ["a", "b"])
    }).pipe(Effect.scoped))

  it.effect("refuses a channel name that Postgres would cut off", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const listening = yield* Effect.scoped(Effect.result(sql.listen("x".repeat(64))))
      assert.isTrue(Result.isFailure(listening))
      assert.isTrue(Result.isFailure(yield* Effect.result(sql.notify("ü".repeat(32), ""))))
    }))

  it.effect("vacuums what is worn and checkpoints what has grown", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      yield* sql`create table worn as select n, repeat('x', 1000) as text from generate_series(1, 40000) as n`
      yield* sql`delete from worn where n % 2 = 0`
      const redo = sql<{ readonly lsn: string }>`select redo_lsn::text as lsn from pg_control_checkpoint()`
      const vacuums = sql<{ readonly n: number }>`
        select (vacuum_count + analyze_count)::int as n from pg_stat_user_tables where relname = 'worn'`
      const before = yield* redo
      // Postgres publishes its counts about once a second.
      yield* settle(Effect.andThen(pass(sql), Effect.map(vacuums, ([row]) => (row?.n ?? 0) >= 2)))
      assert.notDeepEqual(yield* redo, before)
      assert.deepStrictEqual(yield* sql`select count(*)::int as n from worn`, [{ n: 20000 }])
    }))
})

it.effect("an embedded database works under the test clock", () =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    const queue = yield* sql.listen("news")
    yield* TestClock.adjust("1 day")
    yield* sql.withTransaction(sql.notify("news", "today"))
    assert.strictEqual((yield* Queue.take(queue)).payload, "today")
  }).pipe(Effect.scoped, Effect.provide(Pglite.layer({}))), 60_000)
