/**
 * Checks the package as it comes out of its tarball, in a fresh project: what is in it, that its types compile without
 * skipLibCheck, that the README's first example runs as an ES module and as CommonJS on the oldest Node and this one, and that
 * bundles of it run. Needs a built dist, and the npm registry.
 */
import { build, transformSync } from "esbuild"
import { spawnSync, type SpawnSyncReturns } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, posix } from "node:path"
import { startServer } from "../test/support/server.ts"
import { files, type Problem, read, report, root } from "./source.ts"

const problems: Array<Problem> = []
const say = (file: string, message: string) => problems.push({ file, line: 1, message })

const work = mkdtempSync(join(tmpdir(), "effect-durable-package-"))
process.on("exit", () => rmSync(work, { recursive: true, force: true }))

const spawn = (cwd: string, command: string, args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  spawnSync(command, args, { cwd, encoding: "utf8", timeout: 300_000, env: { ...process.env, ...env } })

const said = ({ error, status, stderr, stdout }: SpawnSyncReturns<string>) =>
  `${error?.message ?? `ended with ${status}`}\n${stdout}${stderr}`.trimEnd()

const must = (what: string, result: SpawnSyncReturns<string>): string => {
  if (result.status !== 0) throw new Error(`${what} ${said(result)}`)
  return result.stdout
}

const { devDependencies, engines, peerDependencies, version } = JSON.parse(read("package.json"))

// ── what is in it ───────────────────────────────────────────────────────────────────────────────────────────────────

// It was built before; `prepare` would do so again.
must("npm pack", spawn(root, "npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", work]))
const tarball = join(work, `effect-durable-${version}.tgz`)
const packed = must("tar", spawn(work, "tar", ["tzf", tarball])).trim().split("\n").map((file) =>
  file.slice("package/".length)
)

for (const file of packed) {
  const known = /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|src\/.+\.ts|dist\/.+\.(js|d\.ts)(\.map)?)$/.test(file)
  if (!known || /\.test\./.test(file)) say(file, "is in the package")
  if (!file.endsWith(".map")) continue
  for (const source of JSON.parse(readFileSync(join(root, file), "utf8")).sources) {
    const path = posix.join(posix.dirname(file), source)
    if (!packed.includes(path)) say(file, `maps to ${path}, which is not in the package`)
  }
}
for (const file of files("src/**/*.ts")) {
  const built = file.replace(/^src/, "dist").replace(/\.ts$/, ".js")
  if (!packed.includes(built)) say(built, "is not in the package")
}

// ── a fresh project ─────────────────────────────────────────────────────────────────────────────────────────────────

const app = join(work, "app")
mkdirSync(app)
writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }))
const peers = Object.keys(peerDependencies).map((name) => `${name}@${devDependencies[name]}`)
const install = ["install", "--no-audit", "--no-fund", "--prefer-offline", tarball]
must("npm install", spawn(app, "npm", [...install, ...peers, `@types/node@${devDependencies["@types/node"]}`]))

const tools = join(work, "tools")
mkdirSync(tools)
const oldest = /\d+\.\d+\.\d+/.exec(engines.node)![0]
writeFileSync(join(tools, "package.json"), JSON.stringify({ private: true, allowScripts: { node: true } }))
must("npm install", spawn(tools, "npm", ["install", "--no-audit", "--no-fund", `node@${oldest}`]))
const nodes = [join(tools, "node_modules/.bin/node"), process.execPath]

const first = /^```ts\n([\s\S]*?)^```/m.exec(read("README.md"))![1]!
writeFileSync(join(app, "first.ts"), first)

// ── types ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const modules = files("src/*.ts").map((file) => file.slice("src/".length, -".ts".length)).filter((name) =>
  name !== "index"
)
const everything = ["effect-durable", ...modules.map((name) => `effect-durable/${name}`)]
writeFileSync(join(app, "all.ts"), everything.map((name, at) => `export * as M${at} from "${name}"\n`).join(""))
const config = join(app, "tsconfig.json")
const resolutions = [["node16", "node16"], ["nodenext", "nodenext"], ["esnext", "bundler"]] as const
for (const [module, moduleResolution] of resolutions) {
  const compilerOptions = { strict: true, noEmit: true, target: "ES2022", types: ["node"], module, moduleResolution }
  writeFileSync(config, JSON.stringify({ compilerOptions, include: ["all.ts", "first.ts"] }))
  const tsc = join(root, "node_modules/typescript/bin/tsc")
  const compiled = spawn(app, process.execPath, [tsc, "-p", config, "--skipLibCheck", "false", "--pretty", "false"])
  if (compiled.status !== 0) say("dist", `does not compile under ${moduleResolution}\n${said(compiled)}`)
}

// ── the first example ───────────────────────────────────────────────────────────────────────────────────────────────

/** What the README's first example prints on its way. */
const expected = ["shipping 42", "receipt of 42"]

const runs = (what: string, node: string, file: string, lines: ReadonlyArray<string>, env = {}): void => {
  const folder = mkdtempSync(join(work, "data-"))
  const ran = spawn(folder, node, [file], env)
  const missing = lines.find((line) => !ran.stdout.includes(line))
  if (ran.status !== 0 || missing !== undefined) say("README.md", `${what} does not run: ${said(ran)}`)
}

for (const [format, extension] of [["esm", "mjs"], ["cjs", "cjs"]] as const) {
  const file = join(app, `first.${extension}`)
  writeFileSync(file, transformSync(first, { loader: "ts", format }).code)
  for (const node of nodes) runs(`the first example to ${format} on ${node}`, node, file, expected)
}
writeFileSync(
  join(app, "required.cjs"),
  `for (const name of ${
    JSON.stringify(everything)
  }) if (Object.keys(require(name)).length === 0) throw new Error(name)\n`
)
for (const node of nodes) runs(`require on ${node}`, node, join(app, "required.cjs"), [])

// ── bundles ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const embedded = `Embedded.layer({ dataDir: ".durable" })`
if (!first.includes(embedded)) say("README.md", `the first example has no ${embedded}`)
const stores = {
  Embedded: embedded,
  Memory: "Memory.layer",
  Postgres: "Postgres.layer({ url: process.env.DATABASE_URL! })"
}
const server = await startServer()
for (const [store, layer] of Object.entries(stores)) {
  const entry = join(app, `${store}.ts`)
  writeFileSync(entry, first.replace(embedded, layer).replace("{ Embedded,", `{ ${store},`))
  for (const [format, extension] of [["esm", "mjs"], ["cjs", "cjs"]] as const) {
    const folder = join(work, `${store}-${format}`)
    const outfile = join(folder, `main.${extension}`)
    const external = store === "Embedded" ? ["@electric-sql/pglite"] : []
    await build({ entryPoints: [entry], bundle: true, platform: "node", format, outfile, external, logLevel: "error" })
    // Beside the bundle there is what is external, and nothing else.
    for (const name of external) {
      mkdirSync(join(folder, "node_modules", name, ".."), { recursive: true })
      symlinkSync(join(app, "node_modules", name), join(folder, "node_modules", name))
    }
    const DATABASE_URL = await server.createDatabase(`${store}-${format}`.toLowerCase())
    runs(`a bundle to ${format} with ${store}`, process.execPath, outfile, expected, { DATABASE_URL })
  }
}
await server.remove()

report(
  problems,
  `package: ${packed.length} files, ${everything.length} modules, ${nodes.length} versions of Node, 6 bundles`
)
