/**
 * Runs the numbered examples (examples/01-name.ts) one after another. Each must end by itself with exit code 0, and print
 * exactly the lines of its last comment, when that comment opens with `// Prints:`. DATABASE_URL names an empty database.
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { startServer } from "../test/support/server.ts"
import { files, lineAt, type Problem, read, report, root } from "./source.ts"

const server = await startServer()
const environment = { ...process.env, DATABASE_URL: await server.createDatabase("examples") }
const problems: Array<Problem> = []
const examples = files("examples/[0-9]*.ts")

for (const file of examples) {
  const text = read(file)
  const [comment, body] = /^\/\/ Prints:\n((?:\/\/.*\n?)*)\s*$/m.exec(text) ?? []
  const expected = body?.replace(/^\/\/ ?/gm, "").trimEnd()
  const flags = ["--conditions=@effect-durable/source", "--disable-warning=ExperimentalWarning"]
  const options = { cwd: root, encoding: "utf8", timeout: 120_000, input: "", env: environment } as const
  const { error, status, stderr, stdout } = spawnSync(process.execPath, [...flags, join(root, file)], options)
  if (status !== 0) {
    problems.push({ file, line: 1, message: `${error?.message ?? `ended with ${status}`}\n${stdout}${stderr}` })
  } else if (expected !== undefined && stdout.trimEnd() !== expected) {
    problems.push({ file, line: lineAt(text, text.indexOf(comment!)), message: `printed instead:\n${stdout}` })
  } else {
    console.log(`${file} ran`)
  }
}

await server.remove()
report(problems, `examples: ${examples.length} ran`)
