/**
 * Three processes on one server, and an adversary who does to them whatever can happen. `CHAOS_SECONDS` says for how long (60),
 * `CHAOS_FAULTS` which faults (all), such as `kill,cut`, and `CHAOS_SEED` in which order; `CHAOS_LOG` shows what the processes say.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Postgres from "effect-durable/Postgres"
import * as Schedule from "effect-durable/Schedule"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as EffectSchedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { testServer } from "../support/postgres.ts"
import { stranger } from "../support/stranger.ts"
import { effects, Job, Tick } from "./chaosDefinitions.ts"
import { settle, signal } from "./harness.ts"
import { type Proxy, proxy } from "./proxy.ts"

const everyFault = ["kill", "stop", "terminate", "cut", "silence", "swallow", "hold", "edit", "restart"] as const
type Fault = typeof everyFault[number]

const seconds = Number(process.env["CHAOS_SECONDS"] ?? 60)
const seed = process.env["CHAOS_SEED"] ?? "1"
const asked = process.env["CHAOS_FAULTS"]?.split(",")
const chosen = everyFault.filter((fault) => asked?.includes(fault) ?? true)

const leaseMillis = 3_000
const schedules = Array.from({ length: 6 }, (_, n) => `s${n}`).map((name) =>
  Schedule.make(name, { workflow: Tick, cron: "* * * * * *", context: { name }, catchUp: "all", grace: "1 hour" })
)

// ── what is attacked ────────────────────────────────────────────────────────────────────────────────────────────────

interface Process {
  child: ChildProcess
  /** While it is stopped or replaced it is not stopped or replaced again. */
  busy: boolean
  readonly way: Proxy
}

const application = fileURLToPath(new URL("chaosApplication.ts", import.meta.url))

const launch = (url: string): Promise<ChildProcess> =>
  new Promise((resolve) => {
    const attempt = () => {
      const child = spawn(process.execPath, [
        "--conditions=@effect-durable/source",
        application,
        url,
        String(leaseMillis)
      ], { stdio: ["ignore", "pipe", "inherit"] })
      // One that meets a fault while it starts ends, and is started again, as whatever runs it would.
      child.once("exit", attempt)
      child.stdout!.on("data", (data: Buffer) => {
        if (!data.toString().includes("ready")) return
        child.removeListener("exit", attempt)
        resolve(child)
      })
    }
    attempt()
  })

const startProcess = (url: string): Effect.Effect<Process, never, Scope.Scope> =>
  Effect.flatMap(proxy(url), (way) =>
    Effect.acquireRelease(
      Effect.map(Effect.promise(() => launch(way.url)), (child): Process => ({ child, busy: false, way })),
      ({ child }) =>
        Effect.sync(() => {
          child.kill("SIGKILL")
        })
    ))

const gone = ({ child }: Process): boolean => child.exitCode !== null || child.signalCode !== null

/** The tables that bodies write to, out of the library's reach. */
const tables = SqlClient.use((sql) =>
  Effect.all([
    sql`create table effects (run int not null, step int not null)`,
    sql`create table undone (run int not null, step int not null)`,
    sql`create table bookings (run int not null)`,
    sql`create table ticks (schedule text not null, tick timestamptz not null)`
  ])
)

/** Asks until there is an answer: the server is restarted under everybody. */
const insist = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, never, R> =>
  effect.pipe(
    Effect.timeout("10 seconds"),
    Effect.retry(EffectSchedule.spaced("100 millis")),
    Effect.orDie
  ) as Effect.Effect<A, never, R>

// ── the adversary ───────────────────────────────────────────────────────────────────────────────────────────────────

const adversary = Effect.fnUntraced(function*(
  processes: ReadonlyArray<Process>,
  restart: Effect.Effect<void>,
  counts: Map<string, number>
) {
  const { config } = yield* PgClient
  const one = Effect.map(Random.nextIntBetween(0, processes.length), (n) => processes[n]!)
  const idle = (act: (process: Process) => Effect.Effect<void>) =>
    Effect.flatMap(one, (process) => {
      if (process.busy) return Effect.void
      process.busy = true
      return Effect.ensuring(
        act(process),
        Effect.sync(() => {
          process.busy = false
        })
      )
    })
  const until = (yield* DateTime.now).epochMilliseconds + seconds * 1000
  const replace = (process: Process) =>
    Effect.map(Effect.promise(() => launch(process.way.url)), (child) => {
      process.child = child
    })

  const acts: { readonly [F in Fault]: Effect.Effect<void, unknown, SqlClient> } = {
    kill: idle((process) =>
      Effect.andThen(gone(process) ? Effect.void : signal(process.child, "SIGKILL"), replace(process))
    ),
    stop: idle((process) =>
      Effect.gen(function*() {
        process.child.kill("SIGSTOP")
        yield* Effect.sleep(leaseMillis + 1_500)
        process.child.kill("SIGCONT")
      })
    ),
    terminate: Effect.flatMap(
      Random.nextIntBetween(1, 4),
      (n) =>
        SqlClient.use((sql) =>
          sql`select pg_terminate_backend(pid) from (
          select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
            and application_name <> 'onlooker' order by random() limit ${n}) a`
        )
    ),
    cut: Effect.flatMap(one, ({ way }) => way.cut),
    silence: Effect.flatMap(one, ({ way }) => way.silence),
    swallow: Effect.flatMap(one, ({ way }) => way.swallow),
    hold: Effect.scoped(Effect.gen(function*() {
      const other = yield* stranger(config)
      const n = yield* Random.nextIntBetween(0, schedules.length)
      const runs = yield* SqlClient.use((sql) =>
        sql<{ id: string }>`select id from effect_durable.runs where status in ('Enqueued', 'Running') limit 3`
      )
      yield* other.hold({ of: "schedule", key: schedules[n]!.name })
      for (const { id } of runs) yield* other.hold({ of: "run", key: id })
      yield* Effect.sleep("1500 millis")
      yield* other.letGo
    })).pipe(Effect.timeout("5 seconds")),
    edit: Effect.flatMap(
      Random.nextIntBetween(0, schedules.length),
      (n) =>
        SqlClient.use((sql) =>
          Effect.ignore(sql.withTransaction(Effect.gen(function*() {
            yield* Schedule.edit(schedules[n]!.name, { note: "never meant" })
            yield* Effect.sleep("1200 millis")
            return yield* Effect.fail("rolled back")
          })))
        ) as Effect.Effect<void, unknown, SqlClient>
    ),
    restart
  }

  const often = chosen.filter((fault) => fault !== "restart")
  // They go on beside each other, as faults do.
  const acting: Array<Fiber.Fiber<unknown>> = []
  let restarted = !chosen.includes("restart")
  while ((yield* DateTime.now).epochMilliseconds < until) {
    yield* Effect.sleep(yield* Random.nextIntBetween(200, 1_200))
    const half = (yield* DateTime.now).epochMilliseconds > until - seconds * 500
    const fault = half && !restarted ? "restart" : often[yield* Random.nextIntBetween(0, Math.max(1, often.length))]
    if (fault === undefined) continue
    if (fault === "restart") restarted = true
    counts.set(fault, (counts.get(fault) ?? 0) + 1)
    acting.push(yield* Effect.forkChild(Effect.exit(acts[fault])))
  }
  yield* Fiber.joinAll(acting)
  for (const process of processes) {
    process.child.kill("SIGCONT")
    if (gone(process)) yield* replace(process)
  }
})

/** Starts jobs for as long as it is let. */
const customer = Effect.fnUntraced(function*(started: Set<number>) {
  for (let run = 0;; run++) {
    yield* insist(Job.start({ run }, { runId: `job-${run}` }))
    started.add(run)
    yield* Effect.sleep("150 millis")
  }
})

// ── what is left ────────────────────────────────────────────────────────────────────────────────────────────────────

const numbers = <A extends object>(rows: ReadonlyArray<A>): A => rows[0]!

const ledgerHolds = Effect.fnUntraced(function*(from: number) {
  const sql = yield* SqlClient
  let answered = 0
  for (const { name, pausedAt } of yield* Schedule.list()) {
    const paused = DateTime.toEpochMillis(Option.getOrThrow(pausedAt))
    const { next } = numbers(
      yield* sql<{ next: Date }>`select next_at as next from effect_durable.schedules where name = ${name}`
    )
    const to = Math.min(paused, next.getTime())
    const answers = yield* Schedule.ledger(name, { from, to })
    const instants = Array.from({ length: Math.ceil((to - from) / 1000) }, (_, n) => from + n * 1000)
    assert.deepStrictEqual(answers.map(({ tick }) => DateTime.toEpochMillis(tick)), instants, name)
    answered += answers.length
  }
  return answered
})

describe("Chaos", () => {
  it.live(
    "leaves every job done once, every tick answered once, and no run failed",
    () =>
      Effect.gen(function*() {
        const server = yield* testServer({ durable: false })
        const url = yield* server.createDatabase("chaos")
        const direct = new URL(url)
        direct.searchParams.set("application_name", "onlooker")
        const counts = new Map<string, number>()
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient
          yield* tables
          yield* Schedule.apply(schedules)
          const from = Math.ceil((yield* DateTime.now).epochMilliseconds / 1000 + 1) * 1000
          const processes = yield* Effect.forEach([1, 2, 3], () => startProcess(url), { concurrency: "unbounded" })
          const started = new Set<number>()
          const jobs = yield* Effect.forkChild(customer(started))
          yield* adversary(processes, server.restart("fast"), counts)
          yield* Fiber.interrupt(jobs)

          const left = insist(sql<{ n: number }>`select count(*)::int as n from effect_durable.runs
            where status in ('Enqueued', 'Running', 'Suspended') and workflow in ('job', 'child')`)
          yield* settle(Effect.map(left, (rows) => numbers(rows).n === 0))
          const released = (yield* DateTime.now).epochMilliseconds
          const behind = insist(sql<{ n: number }>`select count(*)::int as n from effect_durable.schedules
            where next_at < ${new Date(released)}`)
          yield* settle(Effect.map(behind, (rows) => numbers(rows).n === 0))
          yield* insist(Schedule.pauseAll({}))
          const live = insist(sql<{ n: number }>`select count(*)::int as n from effect_durable.runs
            where status in ('Enqueued', 'Running', 'Suspended')`)
          yield* settle(Effect.map(live, (rows) => numbers(rows).n === 0))

          const statuses = yield* sql<{ workflow: string; status: string; n: number }>`
            select workflow, status, count(*)::int as n from effect_durable.runs group by 1, 2 order by 1, 2`
          const answered = yield* ledgerHolds(from)
          process.stdout.write(
            `${
              JSON.stringify({
                seconds,
                seed,
                jobs: started.size,
                answered,
                faults: Object.fromEntries(counts),
                statuses
              })
            }\n`
          )
          assert.deepStrictEqual(statuses.filter(({ status }) => status !== "Succeeded"), [])
          for (const workflow of ["job", "child"]) {
            const { n } = statuses.find((row) => row.workflow === workflow)!
            // One start may have been under way when the customer left.
            assert.include([started.size, started.size + 1], n, workflow)
          }
          const booked = numbers(
            yield* sql<{ all: number; distinct: number }>`
              select count(*)::int as "all", count(distinct run)::int as "distinct" from bookings`
          )
          const jobRuns = statuses.find(({ workflow }) => workflow === "job")!.n
          assert.deepStrictEqual(booked, { all: jobRuns, distinct: jobRuns })
          const done = numbers(yield* sql<{ n: number }>`select count(distinct (run, step))::int as n from effects`)
          assert.strictEqual(done.n, jobRuns * effects.length)
          assert.deepStrictEqual(yield* sql`select * from undone`, [])
          const unrecorded = yield* sql`select r.id from effect_durable.runs r where r.workflow = 'job'
            and (select count(*) from effect_durable.steps s where s.run_id = r.id and s.kind = 'Step') <> 3`
          assert.deepStrictEqual(unrecorded, [])
          const ticks = numbers(
            yield* sql<{ all: number; distinct: number; runs: number }>`
              select count(*)::int as "all", count(distinct (schedule, tick))::int as "distinct",
                (select count(*)::int from effect_durable.runs where workflow = 'tick') as runs from ticks`
          )
          assert.deepStrictEqual(ticks, { all: ticks.runs, distinct: ticks.runs, runs: ticks.runs })

          // Whoever stops leaves nothing behind on the server.
          yield* Effect.forEach(processes, ({ child }) => signal(child, "SIGTERM"), { concurrency: "unbounded" })
          // What had fallen silent is known to be over by nobody else.
          yield* Effect.forEach(processes, ({ way }) => way.cut)
          const leaks = insist(sql<{ n: number }>`select
            (select count(*)::int from pg_stat_activity where datname = current_database()
              and application_name <> 'onlooker')
            + (select count(*)::int from pg_locks l join pg_database d on d.oid = l.database
              where l.locktype = 'advisory' and d.datname = current_database()) as n`)
          yield* settle(Effect.map(leaks, (rows) => numbers(rows).n === 0))
        }).pipe(
          Effect.scoped,
          Effect.provide(Layer.provide(
            Postgres.layer({ url: direct.href, retryFor: "1 minute" }),
            Layer.succeed(References.MinimumLogLevel, "Error")
          ))
        )
      }).pipe(Effect.scoped, Random.withSeed(seed)),
    seconds * 1000 + 240_000
  )
})
