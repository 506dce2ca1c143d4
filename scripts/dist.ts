/**
 * Checks the built package as its users get it, by its own name and without the source condition: every relative import in
 * dist exists, every public module loads, and every declaration file compiles on its own.
 */
import { spawnSync } from "node:child_process"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { files, lineAt, type Problem, read, report, root } from "./source.ts"

const problems: Array<Problem> = []
const built = files("dist/**/*.{js,d.ts}")

for (const file of built) {
  const text = read(file)
  for (const found of text.matchAll(/^(?:import|export)\b(?:[^;"]*\bfrom)?\s*"(\.[^"]+)"/gm)) {
    const target = join(root, dirname(file), found[1]!)
    const line = lineAt(text, found.index)
    const exists = existsSync(target) || (file.endsWith(".d.ts") && existsSync(target.replace(/(\.js|\.ts)$/, ".d.ts")))
    if (!exists) problems.push({ file, line, message: `imports ${found[1]}, which is not in dist` })
    if (file.endsWith(".js") && !found[1]!.endsWith(".js")) {
      problems.push({ file, line, message: `imports ${found[1]}` })
    }
  }
}

const modules = files("src/*.ts").map((file) => basename(file, ".ts"))
for (const module of modules) {
  for (const extension of ["js", "d.ts"]) {
    const file = `dist/${module}.${extension}`
    if (!existsSync(join(root, file))) problems.push({ file, line: 1, message: "is missing" })
  }
}

const names = modules.map((module) => (module === "index" ? "effect-durable" : `effect-durable/${module}`))
const consumer = join(root, "dist", "consumer.ts")
const config = join(root, "dist", "consumer.json")
writeFileSync(consumer, names.map((name, index) => `export * as M${index} from "${name}"\n`).join("") || "export {}\n")
writeFileSync(
  config,
  JSON.stringify({
    extends: "../tsconfig.json",
    compilerOptions: { customConditions: [], rootDir: "..", allowImportingTsExtensions: false, skipLibCheck: false },
    include: ["consumer.ts", "**/*.d.ts"]
  })
)
const node = (...args: ReadonlyArray<string>) => spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" })

const loaded = node("--disable-warning=ExperimentalWarning", consumer)
if (loaded.status !== 0) problems.push({ file: "dist", line: 1, message: `does not load\n${loaded.stderr}` })

const compiled = node(join(root, "node_modules/typescript/bin/tsc"), "-p", config, "--pretty", "false")
for (const error of compiled.stdout.split(/\n(?=\S)/)) {
  const [, file, line, message] = /^(dist\/.+?)\((\d+),\d+\): error ([\s\S]*)$/.exec(error) ?? []
  // Declarations of other packages are compiled too; what is wrong in those is not ours to report.
  if (file !== undefined) problems.push({ file, line: Number(line), message: message!.trimEnd() })
}
rmSync(consumer)
rmSync(config)

report(problems, `dist: ${built.length} files checked, ${modules.length} modules loaded and compiled against`)
