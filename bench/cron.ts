// Measures the cron module beside other libraries, each doing the same work in its own way, and prints tables of rates.
// Usage: node --conditions=@effect-durable/source bench/cron.ts [quick]
import { CronExpressionParser } from "cron-parser"
import { Cron as Croner } from "croner"
import * as Cron from "effect-durable/Cron"
import * as EffectCron from "effect/Cron"
import * as Option from "effect/Option"

const quick = process.argv.includes("quick")
const rounds = quick ? 3 : 7
const millisPerRound = quick ? 60 : 150
const start = Date.UTC(2026, 0, 1)

let sink = 0

/** Operations per second of the best round: the machine can only be slower than it is, never faster. */
const rate = (operate: () => void): number => {
  let batch = 1
  const time = (count: number): number => {
    const begin = performance.now()
    for (let index = 0; index < count; index++) operate()
    return performance.now() - begin
  }
  while (time(batch) < millisPerRound / 10) batch *= 4
  let best = 0
  for (let round = 0; round < rounds; round++) {
    let operations = 0
    let spent = 0
    while (spent < millisPerRound) {
      spent += time(batch)
      operations += batch
    }
    best = Math.max(best, (operations / spent) * 1000)
  }
  return best
}

const figure = (value: number): string =>
  value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : value >= 1e3 ? `${(value / 1e3).toFixed(1)} k` : value.toFixed(0)

const print = (title: string, columns: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): void => {
  console.log(`\n${title}\n`)
  const all = [columns, ...rows]
  const widths = columns.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  all.forEach((row, index) => {
    console.log(
      `| ${row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(" | ")} |`
    )
    if (index === 0) {
      console.log(`|${widths.map((width, i) => "-".repeat(width + 1) + (i === 0 ? "-" : ":")).join("|")}|`)
    }
  })
}

/** Expressions that every library reads, and reads alike. */
const common = [
  "* * * * * *",
  "0 */5 * * * *",
  "0 0 * * * *",
  "0 0 2 * * *",
  "0 30 9 * * 1-5",
  "0 0 0 1 * *",
  "0 0 0 1 1 *"
]

/** Walks from occurrence to occurrence, and starts again after ten years. */
const walkers: Readonly<Record<string, (expression: string, timeZone: string) => () => void>> = {
  "effect-durable": (expression, timeZone) => {
    const cron = Cron.parseUnsafe(expression, { timeZone })
    const end = start + 3e11
    let at = start
    return () => {
      const next = Cron.next(cron, at)
      at = Option.isSome(next) && next.value < end ? next.value : start
    }
  },
  croner: (expression, timezone) => {
    const cron = new Croner(expression, { timezone, paused: true })
    let at = new Date(start)
    return () => {
      at = cron.nextRun(at)!
    }
  },
  "cron-parser": (expression, tz) => {
    const cron = CronExpressionParser.parse(expression, { currentDate: new Date(start), tz })
    return () => {
      sink += cron.next().getTime()
    }
  },
  "effect/Cron": (expression, timeZone) => {
    const cron = EffectCron.parseUnsafe(expression, timeZone)
    let at = new Date(start)
    return () => {
      at = EffectCron.next(cron, at)
    }
  }
}

const parsers: Readonly<Record<string, (expression: string) => unknown>> = {
  "effect-durable": (expression) => Cron.parse(expression),
  croner: (expression) => new Croner(expression, { paused: true }),
  "cron-parser": (expression) => CronExpressionParser.parse(expression),
  "effect/Cron": (expression) => EffectCron.parse(expression, "UTC")
}

const names = Object.keys(walkers)

for (const timeZone of ["UTC", "Europe/Berlin", "America/New_York"]) {
  print(
    `next per second in ${timeZone}`,
    ["expression", ...names],
    common.map((
      expression
    ) => [`\`${expression}\``, ...names.map((name) => figure(rate(walkers[name]!(expression, timeZone))))])
  )
}

print(
  "next per second, expressions of this library's own kind",
  ["expression", "UTC", "Europe/Berlin"],
  ["0 0 9 L * *", "0 0 9 15W * *", "0 0 9 * * 2#2", "0 0 0 13 * +5", "0 0 0 29 2 *"].map((expression) => [
    `\`${expression}\``,
    ...["UTC", "Europe/Berlin"].map((zone) => figure(rate(walkers["effect-durable"]!(expression, zone))))
  ])
)

print("parses per second", ["expression", ...names], [
  [
    "all of the above, by turns",
    ...names.map((name) => {
      let index = 0
      return figure(rate(() => {
        if (parsers[name]!(common[index++ % common.length]!) === null) sink++
      }))
    })
  ]
])

const best = (measure: () => void): number => {
  let least = Infinity
  for (let round = 0; round < 3 * rounds; round++) {
    const begin = performance.now()
    measure()
    least = Math.min(least, performance.now() - begin)
  }
  return least
}

const everyMinute = Cron.parseUnsafe("0 * * * * *", { timeZone: "Europe/Berlin" })
const range = { from: start, to: start + 10_000 * 60_000 }
const century = { from: start, to: start + 36_525 * 86_400_000 }
const fresh = ["Asia/Tehran", "America/Santiago", "Africa/Cairo", "Europe/Lisbon", "America/Denver"]

/** The median over zones that nothing was asked about before. */
const firstNext = (): number => {
  const millis = fresh.map((timeZone) => {
    const begin = performance.now()
    sink += Option.getOrElse(Cron.next(Cron.parseUnsafe("0 0 2 * * *", { timeZone }), start), () => 0)
    return performance.now() - begin
  })
  return millis.sort((a, b) => a - b)[2]!
}

/** Bytes per value kept, or undefined when the garbage collector cannot be called. */
const bytesPerValue = (): string => {
  const collect = globalThis.gc
  if (collect === undefined) return "(run node with --expose-gc)"
  const count = 50_000
  const kept = new Array<Cron.Cron>(count)
  collect()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < count; index++) {
    kept[index] = Cron.parseUnsafe(common[index % common.length]! as string, { timeZone: "Europe/Berlin" })
    Cron.next(kept[index]!, start)
  }
  collect()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  return kept.length === count ? `${bytes.toFixed(0)} B` : ""
}

print("other figures of this library", ["what", "figure"], [
  [
    "10 000 occurrences, iterated",
    `${
      best(() => {
        for (const at of Cron.occurrences(everyMinute, range)) sink += at
      }).toFixed(2)
    } ms`
  ],
  [
    "counting every minute of a century in a zone with clock changes",
    `${
      best(() => {
        sink += Cron.count(everyMinute, century)
      }).toFixed(2)
    } ms`
  ],
  ["first next in a zone not used before", `${firstNext().toFixed(2)} ms`],
  ["memory of a parsed value that has been used", bytesPerValue()]
])

if (sink === 0) console.log()
