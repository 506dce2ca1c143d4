/** What the role, the database or the server have as defaults changes nothing for the library's own sessions. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import * as Engine from "../src/Engine.ts"
import * as Postgres from "../src/Postgres.ts"
import * as Run from "../src/Run.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Step from "../src/Step.ts"
import * as Timing from "../src/Timing.ts"
import * as Workflow from "../src/Workflow.ts"
import { freshDatabase } from "./support/postgres.ts"
import { execute, quoteName } from "./support/server.ts"

const Tick = Workflow.make("tick", { payload: Schedule.Tick() })
const Flow = Workflow.make("flow")

const app = (url: string) =>
  Layer.mergeAll(
    Tick.toLayer(() => Step.run("beat", Effect.void)),
    Flow.toLayer(() =>
      Effect.andThen(
        Step.run("plain", Effect.sleep("300 millis")),
        Step.transaction("in a transaction", SqlClient.use((sql) => Effect.asVoid(sql`select 1`)))
      )
    ),
    Schedule.layer([Schedule.make("beat", { workflow: Tick, timing: Timing.every("1 second") })])
  ).pipe(Layer.provideMerge(Engine.layer({ name: "app" })), Layer.provideMerge(Postgres.layer({ url })))

const defaults: ReadonlyArray<Readonly<Record<string, string>>> = [
  { statement_timeout: "50ms" },
  { lock_timeout: "1ms" },
  { default_transaction_read_only: "on" },
  { search_path: "nowhere" },
  { idle_session_timeout: "100ms", idle_in_transaction_session_timeout: "100ms" },
  { transaction_timeout: "100ms" },
  { default_transaction_isolation: "serializable", default_transaction_deferrable: "on" },
  { default_transaction_isolation: "repeatable read" }
]

for (const settings of defaults) {
  const text = Object.entries(settings).map(([name, value]) => `${name} = ${value}`).join(", ")
  it.live(`the first boot, runs and ticks work where the database sets ${text}`, () =>
    Effect.gen(function*() {
      const { url } = yield* freshDatabase
      const name = quoteName(decodeURIComponent(new URL(url).pathname.slice(1)))
      yield* execute(
        url,
        ...Object.entries(settings).map(([key, value]) => `alter database ${name} set ${key} = '${value}'`)
      )
      yield* Effect.gen(function*() {
        yield* Flow.execute()
        yield* Effect.repeat(
          Effect.delay(Run.list({ schedule: ["beat"], status: ["Succeeded"] }), "50 millis"),
          { until: (runs) => runs.length > 1 }
        )
        const sql = yield* SqlClient
        const [row] = yield* sql<{ readonly path: string }>`select current_setting('search_path') as path`
        // The pool is the caller's too.
        if (settings["search_path"] !== undefined) assert.strictEqual(row?.path, settings["search_path"])
      }).pipe(Effect.provide(app(url)))
    }), 60_000)
}
