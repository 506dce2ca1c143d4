/**
 * Checks the code in the documentation: every `ts` block in the Markdown files and in the doc comments of src.
 *
 *     ```ts                    is type-checked under the project's own settings
 *     ```ts run                is type-checked, and run in a process of its own; it must end, with exit code 0
 *     ```ts continues          starts with the code of the `ts` block before it in the same file (may be followed by run)
 *     ```ts nocheck <reason>   is left alone; the reason is printed
 *
 * In a block that is run, a statement followed on its last line by `// => text` shows that text (scripts/claims.ts says
 * what "shows" means). The statement is an expression, `console.log(value)` or a declaration of one constant. Each such
 * claim must be reached. A claim in a block that is not run is refused, because nothing would check it.
 *
 * A block is written to a file of its own with every line at the number it has in its source, so that what the compiler
 * and the runtime report needs no translation.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { children, files, lineAt, type Node, parse, type Problem, read, report, root, walk } from "./source.ts"

interface Block {
  readonly file: string
  /** The line of the opening fence. */
  readonly line: number
  readonly words: ReadonlyArray<string>
  /** The whole source file, with everything but this block's code made empty. */
  readonly lines: ReadonlyArray<string>
}

const folder = ".docs"
const problems: Array<Problem> = []
const claim = /\/\/ => (.*)$/

// ── finding the blocks ──────────────────────────────────────────────────────────────────────────────────────────────

/** The lines of a source file as its doc comments read, with the code around them made empty. */
const commentLines = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  let inside = false
  return lines.map((line) => {
    if (/^\s*\/\*\*/.test(line)) inside = true
    const text = inside ? /^\s*\* ?(?!\/)(.*)$/.exec(line)?.[1] ?? "" : ""
    if (line.includes("*/")) inside = false
    return text.replaceAll("*\\/", "*/") // a cron such as "*\/5 * * * *" cannot be written plainly in a comment
  })
}

const blocksOf = (file: string): ReadonlyArray<Block> => {
  const text = read(file).split("\n")
  const lines = file.endsWith(".ts") ? commentLines(text) : text
  const blocks: Array<Block> = []
  let open: { readonly fence: string; readonly line: number; readonly words: ReadonlyArray<string> } | undefined
  let code = lines.map(() => "")
  lines.forEach((line, index) => {
    const [, fence, info] = /^\s*(`{3,}|~{3,})(.*)$/.exec(line) ?? []
    if (open === undefined) {
      if (fence === undefined) return
      open = { fence, line: index + 1, words: info!.trim().split(/\s+/) }
      if (open.words[1] !== "continues") code = lines.map(() => "")
    } else if (fence?.startsWith(open.fence) && info!.trim() === "") {
      if (/^(ts|typescript)$/.test(open.words[0]!)) blocks.push({ ...open, file, lines: [...code] })
      open = undefined
    } else {
      code[index] = line
    }
  })
  if (open !== undefined) problems.push({ file, line: open.line, message: "this block is never closed" })
  return blocks
}

const nameOf = (block: Block): string => `${block.file.replaceAll("/", "~")}~${block.line}.ts`

// ── checking the types ──────────────────────────────────────────────────────────────────────────────────────────────

const checkTypes = (blocks: ReadonlyArray<Block>): void => {
  for (const block of blocks) writeFileSync(join(root, folder, nameOf(block)), block.lines.join("\n"))
  writeFileSync(
    join(root, folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ["*.ts"]
    })
  )
  const tsc = join(root, "node_modules/typescript/bin/tsc")
  const result = spawnSync(process.execPath, [tsc, "-p", folder, "--pretty", "false"], { cwd: root, encoding: "utf8" })
  const errors = result.stdout.split(/\n(?=\S)/).filter((error) => error.trim() !== "")
  for (const error of errors) {
    const [, path, line, message] = /^(.+?)\((\d+),\d+\): error ([\s\S]*)$/.exec(error) ?? []
    const block = blocks.find((block) => path === `${folder}/${nameOf(block)}`)
    problems.push({
      file: block?.file ?? path ?? folder,
      line: Number(line ?? 1),
      message: (message ?? error).trimEnd()
    })
  }
  if (result.status !== 0 && errors.length === 0) {
    problems.push({ file: folder, line: 1, message: `tsc ended with ${result.status}: ${result.stderr}` })
  }
}

// ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The expression at the end of a statement, and the part of it that a claim is about. */
const subjectOf = (statement: Node): { readonly whole: Node; readonly subject: Node } | undefined => {
  if (statement.type === "VariableDeclaration") {
    const declarations = children(statement["declarations"])
    const whole = declarations.length === 1 ? children(declarations[0]!["init"])[0] : undefined
    return whole && { whole, subject: whole }
  }
  if (statement.type !== "ExpressionStatement") return undefined
  const whole = children(statement["expression"])[0]!
  const callee = children(whole["callee"])[0]
  if (callee === undefined || children(callee["object"])[0]?.["name"] !== "console") return { whole, subject: whole }
  const printed = children(whole["arguments"])
  return printed.length === 1 ? { whole, subject: printed[0]! } : undefined
}

/** The block's code with each claim turned into a call that checks it. */
const withClaims = (block: Block): string => {
  const text = block.lines.join("\n")
  const tree = parse(text)
  const top = new Set(children(tree["body"]))
  const edits: Array<{ readonly at: number; readonly insert: string }> = []
  const claims = new Set<number>()
  walk(tree, (node) => {
    const about = subjectOf(node)
    const found = about && /^[^\S\n]*;?[^\S\n]*\/\/ => (.*)/.exec(text.slice(about.whole.end))
    if (!found) return
    const line = lineAt(text, about.whole.end)
    claims.add(line)
    const wait = top.has(node) && node.type === "ExpressionStatement" ? "await " : ""
    edits.push({ at: about.subject.start, insert: `$claim(${line}, ${JSON.stringify(found[1]!.trim())}, ${wait}(` })
    edits.push({ at: about.subject.end, insert: "))" })
  })
  block.lines.forEach((line, index) => {
    if (!claim.test(line) || claims.has(index + 1)) return
    problems.push({
      file: block.file,
      line: index + 1,
      message: "this claim does not follow a statement it could be about"
    })
  })
  const code = edits
    .toSorted((a, b) => b.at - a.at)
    .reduce((code, { at, insert }) => code.slice(0, at) + insert + code.slice(at), text)
    .split("\n")
  const from = JSON.stringify(pathToFileURL(join(root, "scripts/claims.ts")).href)
  code[block.line - 1] = `import { open } from ${from}; const $claim = open([${[...claims]}])`
  return code.join("\n")
}

const run = (block: Block): void => {
  const path = join(root, folder, "run", nameOf(block))
  writeFileSync(path, withClaims(block))
  const flags = ["--conditions=@effect-durable/source", "--disable-warning=ExperimentalWarning"]
  const options = { cwd: join(root, folder, "run"), encoding: "utf8", timeout: 60_000, input: "" } as const
  const result = spawnSync(process.execPath, [...flags, path], options)
  if (result.status === 0) return
  for (const [, line, message] of result.stderr.matchAll(/^claim (\d+): (.*)$/gm)) {
    problems.push({ file: block.file, line: Number(line), message: message! })
  }
  if (/^claim \d+: /m.test(result.stderr)) return
  const why = result.error?.message ??
    result.stderr.replaceAll(pathToFileURL(path).href, block.file).replaceAll(path, block.file)
  problems.push({ file: block.file, line: block.line, message: `the block failed when run\n${why.trimEnd()}` })
}

// ── the whole ───────────────────────────────────────────────────────────────────────────────────────────────────────

const documents = files("README.md", "CONTRIBUTING.md", "docs/**/*.md", "src/**/*.ts")
const blocks = documents.flatMap(blocksOf)
const unchecked = blocks.filter(({ words }) => words[1] === "nocheck")
const checked = blocks.filter((block) => !unchecked.includes(block))
const runs = checked.filter(({ words }) => words.includes("run"))

for (const { file, line, words } of unchecked) {
  if (words.length < 3) problems.push({ file, line, message: "nocheck needs a reason: ```ts nocheck <reason>" })
  else console.log(`${file}:${line} not checked: ${words.slice(2).join(" ")}`)
}
for (const { file, line, words } of checked) {
  const unknown = words.slice(1).find((word) => word !== "run" && word !== "continues")
  if (unknown !== undefined) problems.push({ file, line, message: `"${unknown}" is not run, continues or nocheck` })
}
for (const { file, line, lines } of checked.filter((block) => !runs.includes(block))) {
  const at = lines.findIndex((text, index) => index >= line && claim.test(text))
  if (at >= 0) problems.push({ file, line: at + 1, message: "a claim in a block that is not run; write ```ts run" })
}

rmSync(join(root, folder), { recursive: true, force: true })
mkdirSync(join(root, folder, "run"), { recursive: true })
if (checked.length > 0) checkTypes(checked)
for (const block of runs) run(block)
if (problems.length === 0) rmSync(join(root, folder), { recursive: true, force: true })

const counts = `${checked.length} blocks checked, ${runs.length} of them run, ${unchecked.length} left out`
report(problems, `docs: ${documents.length} files, ${counts}`)
