/**
 * Checks the shape of the code: floors, cycles, sizes, file names, and calls that a library on Effect must not make.
 *
 * A module may use (import values from) what stands on a lower floor, or on an earlier row of its own floor. Within one
 * row only types may be imported, except between files of one folder in src/internal. Adapting the table below is the
 * way to add a file; decision 0001 says why there is a table at all.
 */
import { matchesGlob } from "node:path"
import { dirname, join } from "node:path/posix"
import { children, files, lineAt, type Node, parse, type Problem, read, report, walk } from "./source.ts"

// ── the rules, as data ──────────────────────────────────────────────────────────────────────────────────────────────

interface Floor {
  readonly floor: number
  readonly name: string
  /** Glob patterns. A later row may use an earlier one; the first pattern that matches a file places it. */
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

const floors: ReadonlyArray<Floor> = [
  {
    floor: 0,
    name: "nouns",
    rows: [["src/internal/cron/**", "src/internal/ids.ts"], ["src/Cron.ts"]]
  },
  {
    floor: 1,
    name: "rules",
    rows: [
      ["src/internal/lifecycle.ts"],
      ["src/Errors.ts"],
      ["src/internal/texts.ts"],
      ["src/internal/{codec,durations,names,records,scheduleRecords,telemetry,tracing,uuid}.ts"],
      ["src/internal/timing/**"],
      ["src/Timing.ts"],
      ["src/internal/{outcome,supervise}.ts"],
      ["src/internal/{kept,pages,storeOptions}.ts"]
    ]
  },
  {
    floor: 2,
    name: "port",
    rows: [["src/SystemDb.ts"], ["src/internal/lookups.ts", "src/internal/seal.ts"]]
  },
  {
    floor: 3,
    name: "implementations",
    rows: [
      ["src/internal/{postgres,memory}/**"],
      ["src/internal/transaction.ts"],
      ["src/internal/pglite*.ts", "src/internal/pglite*/**"],
      ["src/{Postgres,Memory}.ts"],
      ["src/Embedded.ts"]
    ]
  },
  {
    floor: 4,
    name: "definitions",
    rows: [
      ["src/internal/{ask,attendance,identity,occurrences,slot,turns}.ts"],
      ["src/internal/execution.ts"],
      ["src/internal/interposed.ts"],
      ["src/internal/{attempts,inBody,registry,undo}.ts"],
      ["src/internal/{begin,body,endings,once,steps}.ts"],
      ["src/Run.ts"],
      ["src/{Workflow,Step}.ts", "src/internal/schedule/**"],
      ["src/Schedule.ts"],
      ["src/Backfill.ts"]
    ]
  },
  {
    floor: 5,
    name: "engine",
    rows: [
      ["src/internal/engine/**"],
      ["src/Engine.ts"]
    ]
  },
  {
    floor: 6,
    name: "surfaces",
    rows: [
      ["src/internal/{cli,http,dashboard,testing}.ts", "src/internal/{cli,http,dashboard,testing}/**"],
      ["src/{Cli,Http,Dashboard,Testing}.ts"]
    ]
  }
]

/** Modules of Effect that may still change between minor versions, and the floors that may depend on them. */
const unstable = { module: /^(effect\/[a-z]|@effect\/|@electric-sql\/)/, floors: [3, 6] }

/** Effect's modules that share a name with ours, and what they are called inside src (decision 0002). */
const renamed: Readonly<Record<string, string>> = { Cron: "EffectCron", Schedule: "EffectSchedule" }

/** What src must not do: the node of a syntax tree that does it → what to use. */
const banned: ReadonlyArray<readonly [rule: string, is: (node: Node) => boolean, instead: string]> = [
  ["Date.now", (node) => isMember(node, "Date", "now"), "ask Effect's Clock"],
  ["new Date", (node) => node.type === "NewExpression" && isNamed(node["callee"], "Date"), "use DateTime"],
  ["Math.random", (node) => isMember(node, "Math", "random"), "ask Effect's Random"],
  ["console", (node) => node.type === "MemberExpression" && isNamed(node["object"], "console"), "use Effect.log"],
  ["async", (node) => node["async"] === true, "use Effect.gen or Effect.fn"],
  ["await", (node) => node.type === "AwaitExpression" || node["await"] === true, "use yield*"],
  ["try", (node) => node.type === "TryStatement", "use Effect.try or a Result"],
  ["setTimeout", (node) => isCall(node, "setTimeout"), "use Effect.sleep"],
  ["setInterval", (node) => isCall(node, "setInterval"), "use Effect.repeat"]
]

/** Places where a banned call is right. Each says why; one that is no longer needed is reported. */
const exceptions: ReadonlyArray<{ readonly file: string; readonly rule: string; readonly why: string }> = []

const maxLines = 500
const bucketNames = /^(utils?|helpers?|common|types?)$/i

// ── reading the code ────────────────────────────────────────────────────────────────────────────────────────────────

const isNamed = (value: unknown, name: string): boolean => children(value).some((node) => node["name"] === name)

const isMember = (node: Node, object: string, property: string): boolean =>
  node.type === "MemberExpression" && isNamed(node["object"], object) && isNamed(node["property"], property)

const isCall = (node: Node, name: string): boolean =>
  node.type === "CallExpression" &&
  (isNamed(node["callee"], name) || children(node["callee"]).some((callee) => isMember(callee, "globalThis", name)))

interface Import {
  readonly target: string
  readonly typeOnly: boolean
  /** Imported name → local name. */
  readonly names: ReadonlyArray<readonly [imported: string, local: string]>
  readonly line: number
}

interface File {
  readonly path: string
  readonly text: string
  readonly tree: Node
  readonly imports: ReadonlyArray<Import>
}

const nameOf = (value: unknown): string => String(children(value)[0]?.["name"] ?? children(value)[0]?.["value"] ?? "*")

const load = (path: string): File => {
  const text = read(path)
  const tree = parse(text)
  const imports: Array<Import> = []
  walk(tree, (node) => {
    if (!/^(Import|ExportAll|ExportNamed)(Declaration|Expression)$/.test(node.type)) return
    const specifier = children(node["source"])[0]?.["value"]
    if (typeof specifier !== "string") return
    imports.push({
      target: specifier.startsWith(".") ? join(dirname(path), specifier) : specifier,
      typeOnly: node["importKind"] === "type" || node["exportKind"] === "type",
      names: children(node["specifiers"]).map((name) => [nameOf(name["imported"]), nameOf(name["local"])]),
      line: lineAt(text, node.start)
    })
  })
  return { path, text, tree, imports }
}

interface Place {
  readonly floor: number
  readonly row: number
}

const placeOf = (path: string): Place | undefined => {
  for (const { floor, rows } of floors) {
    const row = rows.findIndex((patterns) => patterns.some((pattern) => matchesGlob(path, pattern)))
    if (row >= 0) return { floor, row }
  }
  return undefined
}

// ── the checks ──────────────────────────────────────────────────────────────────────────────────────────────────────

const problems: Array<Problem> = []
const say = (file: string, line: number, message: string) => problems.push({ file, line, message })

const checkFile = ({ path, text }: File): void => {
  const lines = text.trimEnd().split("\n").length
  if (lines > maxLines) say(path, maxLines + 1, `is ${lines} lines long; ${maxLines} is the ceiling: split it by duty`)
  const bucket = path.split("/").find((part) => bucketNames.test(part.replace(/\..*$/, "")))
  if (bucket !== undefined) say(path, 1, `"${bucket}" says nothing about what is inside; name the duty`)
}

const checkBarrel = ({ imports, path }: File): void => {
  for (const { line, target } of imports) {
    if (target === "src/index.ts") say(path, line, "imports the barrel; import the module it needs")
    if (path.startsWith("src/") && /^effect-durable(\/|$)/.test(target)) {
      say(path, line, `imports its own package by name; use a relative path instead of "${target}"`)
    }
  }
}

const checkFloor = ({ imports, path }: File): void => {
  const from = placeOf(path)
  if (from === undefined) return void say(path, 1, "has no floor; give it one in scripts/architecture.ts")
  for (const { line, target, typeOnly } of imports) {
    if (target.startsWith("..") || /^(test|examples|scripts|bench)\//.test(target)) {
      say(path, line, `imports ${target}, which is outside src`)
    }
    if (typeOnly) continue
    if (unstable.module.test(target) && !unstable.floors.includes(from.floor)) {
      say(path, line, `floor ${from.floor} uses ${target}; only floors ${unstable.floors.join(" and ")} may`)
    }
    const to = target.startsWith("src/") ? placeOf(target) : undefined
    if (to === undefined || to.floor < from.floor || (to.floor === from.floor && to.row < from.row)) continue
    if (to.floor > from.floor) {
      say(path, line, `floor ${from.floor} uses ${target} on floor ${to.floor}; imports go down`)
    } else if (to.row > from.row) {
      say(path, line, `uses ${target}, which stands on a later row of floor ${to.floor}`)
    } else if (dirname(path) !== dirname(target) || !path.startsWith("src/internal/")) {
      say(path, line, `uses ${target} beside it on floor ${to.floor}; sideways only \`import type\``)
    }
  }
}

const checkNames = ({ imports, path }: File): void => {
  for (const { line, names, target } of imports) {
    for (const [imported, local] of names) {
      const module = imported === "*" ? target.replace(/^effect\//, "") : target === "effect" ? imported : ""
      const wanted = renamed[module]
      if (wanted !== undefined && local !== wanted) say(path, line, `calls Effect's ${module} ${local}, not ${wanted}`)
    }
  }
}

const usedExceptions = new Set<unknown>()

const checkCalls = ({ path, text, tree }: File): void =>
  walk(tree, (node) => {
    for (const [rule, is, instead] of banned) {
      if (!is(node)) continue
      const exception = exceptions.find((exception) => exception.file === path && exception.rule === rule)
      if (exception === undefined) say(path, lineAt(text, node.start), `uses ${rule}; ${instead}`)
      usedExceptions.add(exception)
    }
  })

/** Reports each cycle once, at the import that closes it. */
const checkCycles = (sources: ReadonlyArray<File>): void => {
  const byPath = new Map(sources.map((file) => [file.path, file]))
  const done = new Set<string>()
  const visit = (path: string, trail: ReadonlyArray<string>): void => {
    if (done.has(path)) return
    for (const { line, target, typeOnly } of byPath.get(path)?.imports ?? []) {
      const start = [...trail, path].indexOf(target)
      if (typeOnly || !byPath.has(target)) continue
      if (start < 0) visit(target, [...trail, path])
      else say(path, line, `closes a cycle: ${[...[...trail, path].slice(start), target].join(" → ")}`)
    }
    done.add(path)
  }
  for (const file of sources) visit(file.path, [])
}

const all = files("{src,test,examples,scripts}/**/*.ts", "bench/*.ts", "*.ts").map(load)
const sources = all.filter(({ path }) => path.startsWith("src/") && path !== "src/index.ts")

for (const file of all) checkFile(file)
for (const file of all) checkBarrel(file)
for (const file of sources) checkFloor(file)
for (const file of sources) checkNames(file)
for (const file of sources) checkCalls(file)
checkCycles(sources)
for (const exception of exceptions) {
  if (!usedExceptions.has(exception)) say(exception.file, 1, `no longer needs its exception for ${exception.rule}`)
}

report(
  problems,
  `architecture: ${all.length} files checked, ${sources.length} of them placed on ${floors.length} floors`
)
