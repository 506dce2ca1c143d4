// Runs the same work on this library and on DBOS, on one Postgres server with its default settings, turn by turn, and prints
// a table of rates and ratios. Usage: npm run bench [-- quick]
import { spawn, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { createInterface } from "node:readline"
import { startServer } from "../test/support/server.ts"

const quick = process.argv.includes("quick")
const rounds = quick ? 2 : 3

const scenarios = [
  { name: "no-op run, one at a time", workflow: "noop", inFlight: 1, count: 300 },
  { name: "no-op run, 100 in flight", workflow: "noop", inFlight: 100, count: 3000 },
  { name: "no-op run, 1000 in flight", workflow: "noop", inFlight: 1000, count: 6000 },
  { name: "10-step run, one at a time", workflow: "tenSteps", inFlight: 1, count: 60 },
  { name: "10-step run, 100 in flight", workflow: "tenSteps", inFlight: 100, count: 600 },
  { name: "10-step run, 1000 in flight", workflow: "tenSteps", inFlight: 1000, count: 1000 }
]

type Reply = { readonly millis?: number; readonly ticks?: ReadonlyArray<[number, number, number]> }

const here = new URL(".", import.meta.url).pathname

if (!existsSync(`${here}dbos/node_modules`)) {
  spawnSync("npm", ["ci"], { cwd: `${here}dbos`, stdio: "inherit" })
}

/** Starts one side of the benchmark; the returned function sends a command and waits for its answer. */
const contend = async (file: string, url: string) => {
  const child = spawn(process.execPath, ["--conditions=@effect-durable/source", `${here}${file}`, url], {
    stdio: ["pipe", "pipe", "inherit"],
    cwd: here
  })
  const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<Reply> => {
    while (true) {
      const line = await replies.next()
      if (line.done === true) throw new Error(`${file} ended early`)
      if (line.value.startsWith("{")) return JSON.parse(line.value)
    }
  }
  await next()
  return {
    ask: (command: unknown): Promise<Reply> => {
      child.stdin.write(`${JSON.stringify(command)}\n`)
      return next()
    },
    stop: () =>
      new Promise<void>((resolve) => {
        child.once("exit", () => resolve())
        child.stdin.write(`{"kind":"stop"}\n`)
        setTimeout(() => child.kill("SIGKILL"), 8000).unref()
      })
  }
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

const lateness = (ticks: Reply["ticks"], count: number) => {
  const from = ticks!.reduce((least, [, at]) => Math.min(least, at), Infinity)
  const to = ticks!.reduce((most, [, at]) => Math.max(most, at), 0)
  // The first and the last second are cut off by starting and pausing.
  const whole = ticks!.filter(([, at]) => at > from && at < to)
  const late = whole.map(([, at, ran]) => ran - at).toSorted((a, b) => a - b)
  const expected = count * (Math.round((to - from) / 1000) - 1)
  const distinct = new Set(whole.map(([schedule, at]) => `${schedule} ${at}`)).size
  const quantile = (q: number) => late[Math.min(late.length - 1, Math.floor(late.length * q))]
  return {
    "expected ticks": expected,
    missed: expected - distinct,
    twice: whole.length - distinct,
    "p50 ms late": quantile(0.5),
    "p99 ms late": quantile(0.99)
  }
}

const server = await startServer({ durable: true })
try {
  const ours = await contend("contender.ts", await server.createDatabase("bench_ours"))
  const dbos = await contend("dbos/contender.mjs", await server.createDatabase("bench_dbos"))
  const table: Record<string, Record<string, unknown>> = {}
  for (const { name, ...scenario } of scenarios) {
    const rates: Record<"ours" | "dbos", Array<number>> = { ours: [], dbos: [] }
    const command = { kind: "runs", ...scenario }
    const warmUp = { ...command, count: Math.ceil(scenario.count / 5) }
    await ours.ask(warmUp)
    await dbos.ask(warmUp)
    for (let round = 0; round < rounds; round++) {
      rates.ours.push(scenario.count / (await ours.ask(command)).millis! * 1000)
      rates.dbos.push(scenario.count / (await dbos.ask(command)).millis! * 1000)
    }
    const ratio = median(rates.ours.map((rate, round) => rate / rates.dbos[round]!))
    table[name] = {
      "ours, runs/s": Math.round(median(rates.ours)),
      "DBOS, runs/s": Math.round(median(rates.dbos)),
      ratio: Number(ratio.toFixed(1))
    }
  }
  console.table(table)
  await ours.stop()
  await dbos.stop()
  console.log("1000 schedules, each every second, on one process")
  const every = { kind: "schedules", count: 1000, seconds: quick ? 8 : 20 }
  const late: Record<string, unknown> = {}
  for (const [name, file] of [["ours", "contender.ts"], ["DBOS", "dbos/contender.mjs"]] as const) {
    const side = await contend(file, await server.createDatabase(`bench_schedules_${name.toLowerCase()}`))
    late[name] = lateness((await side.ask(every)).ticks, every.count)
    await side.stop()
  }
  console.table(late)
} finally {
  await server.remove()
}
