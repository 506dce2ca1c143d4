/**
 * A program on an embedded database, for tests that need it in a process of their own.
 *
 *     node pgliteProcess.ts <command> <dataDir>
 *
 * Says each thing it has done on a line of its own.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { layer } from "../../src/internal/pglite.ts"

const [command = "", dataDir = ""] = process.argv.slice(2)

const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const programs: Readonly<Record<string, Effect.Effect<unknown, unknown, SqlClient.SqlClient>>> = {
  /** Opens, and stays. */
  hold: Effect.andThen(say("open"), Effect.never),

  /** Opens, and is done. */
  visit: say("open"),

  /** Commits numbers one after the other, and says each when it is committed. */
  count: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists numbers (n int primary key, filler text)`
    const [last] = yield* sql<{ readonly n: number }>`select coalesce(max(n), 0) as n from numbers`
    for (let n = (last?.n ?? 0) + 1;; n++) {
      yield* sql.withTransaction(sql`insert into numbers values (${n}, ${"x".repeat(1000)})`)
      yield* say(String(n))
    }
  })
}

const program = Effect.provide(programs[command] ?? Effect.die(`unknown command ${command}`), layer({ dataDir }))

NodeRuntime.runMain(program.pipe(
  Effect.tapError((error) => say(String(error))),
  Effect.ensuring(Effect.suspend(() => say(`signal handlers: ${process.listenerCount("SIGTERM")}`)))
))
