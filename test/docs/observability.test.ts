import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { children, files, type Node, parse, read, walk } from "../../scripts/source.ts"

/** What is said somewhere else than where it is logged: by what stands there, and its text. */
const elsewhere: Readonly<Record<string, string>> = {
  "Pooler.warning":
    "A connection pooler in transaction mode (PgBouncer or one of its kind) stands before the database. …",
  "warning(found)": "Workflow … has a body in no process that lives, and … of its runs wait, the first since …. …",
  warning: "Schedule … cannot be read and does not fire. …"
}

/** The texts of an expression, with … for what is put into them; undefined when there is no text in it. */
const textOf = (node: Node): string | undefined => {
  if (node.type === "Literal" && typeof node["value"] === "string") return node["value"]
  if (node.type === "TemplateLiteral") {
    const texts = children(node["quasis"]).map((quasi) => (quasi["value"] as { readonly cooked: string }).cooked)
    return texts.join("…")
  }
  if (node.type !== "BinaryExpression") return undefined
  const [left, right] = [textOf(node["left"] as Node), textOf(node["right"] as Node)]
  return left === undefined && right === undefined ? undefined : `${left ?? "…"}${right ?? "…"}`
}

interface Call {
  /** Such as `Effect.fn`. */
  readonly callee: string
  readonly args: ReadonlyArray<Node>
  readonly source: string
}

/** Every call in what a process runs in production. */
const calls: ReadonlyArray<Call> = files("src/**/*.ts").filter((file) => !/testing|Testing/.test(file)).flatMap(
  (file) => {
    const source = read(file)
    const found: Array<Call> = []
    walk(parse(source), (node) => {
      if (node.type !== "CallExpression") return
      const { end, start } = node["callee"] as Node
      found.push({ callee: source.slice(start, end), args: children(node["arguments"]), source })
    })
    return found
  }
)

const docs = readFileSync("docs/observability.md", "utf8")

/** What is named in the first column of a chapter's table. */
const listed = (chapter: string): ReadonlyArray<string> => {
  const [, text = ""] = docs.split(`\n## ${chapter}\n`)
  const rows = text.split("\n## ")[0]!.split("\n").filter((line) => line.startsWith("| `"))
  return rows.flatMap((line) => Array.from(line.split(" |")[0]!.matchAll(/`(.*?)`/g), ([, name]) => name!))
}

const same = (chapter: string, inSource: ReadonlyArray<string>) => {
  assert.isAbove(inSource.length, 5)
  assert.deepStrictEqual(
    [...listed(chapter)].sort(),
    [...new Set(inSource)].sort(),
    `docs/observability.md, ${chapter}`
  )
}

it("docs/observability.md lists every span that the library makes, and no other", () => {
  const named = calls.flatMap(({ args, callee }) =>
    callee === "Effect.fn" ? args.slice(0, 1) : callee === "Effect.withSpan" ? args.slice(0, 2) : []
  )
  // What is put into a name is a workflow's or a step's.
  same(
    "Spans",
    named.flatMap((node) => textOf(node)?.replace("Run.…", "Run.<workflow>").replace("Step.…", "Step.<step>") ?? [])
  )
})

it("docs/observability.md lists every metric, and no other", () => {
  same("Metrics", calls.flatMap(({ args, callee }) => callee.startsWith("Metric.") ? textOf(args[0]!) ?? [] : []))
})

it("docs/observability.md lists every line that the library logs with its level, and no other", () => {
  same(
    "Log lines",
    calls.flatMap(({ args, callee, source }) => {
      const level = /^Effect\.log(Debug|Info|Warning|Error|Fatal)$/.exec(callee)?.[1]
      if (level === undefined) return []
      const [said] = args
      const text = textOf(said!) ?? elsewhere[source.slice(said!.start, said!.end)]
      assert.isDefined(text, `the text of ${callee}(${source.slice(said!.start, said!.end)})`)
      return [`${level}: ${text}`]
    })
  )
})
