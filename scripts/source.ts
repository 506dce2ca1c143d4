/**
 * What the checks in this folder share: finding files, parsing them, and saying what is wrong.
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseAst } from "vitest/node"

/** The project's folder; every path the scripts name is relative to it and written with forward slashes. */
export const root = join(import.meta.dirname, "..")

export interface Problem {
  readonly file: string
  readonly line: number
  readonly message: string
}

export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

export const read = (file: string): string => readFileSync(join(root, file), "utf8")

/** The files that match, in alphabetical order. */
export const files = (...patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
  globSync([...patterns], { cwd: root, exclude: ["**/node_modules/**"] })
    .map((file) => file.replaceAll("\\", "/"))
    .sort()

export const lineAt = (text: string, offset: number): number => text.slice(0, offset).split("\n").length

export const parse = (text: string): Node => parseAst(text, { lang: "ts" }) as unknown as Node

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string"

/** The child nodes in one field of a node, whether the field holds one or a list. */
export const children = (value: unknown): ReadonlyArray<Node> => (Array.isArray(value) ? value : [value]).filter(isNode)

/** Calls `visit` for the node and everything below it. */
export const walk = (node: Node, visit: (node: Node) => void): void => {
  visit(node)
  for (const value of Object.values(node)) {
    for (const child of children(value)) walk(child, visit)
  }
}

/** Prints the problems and sets the exit code, or prints the success line. */
export const report = (problems: ReadonlyArray<Problem>, success: string): void => {
  for (const problem of problems) console.error(`${problem.file}:${problem.line} ${problem.message}`)
  if (problems.length === 0) return console.log(success)
  console.error(`\n${problems.length} ${problems.length === 1 ? "problem" : "problems"} found`)
  process.exitCode = 1
}
