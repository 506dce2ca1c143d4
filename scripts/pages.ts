/**
 * Checks the pages of the documentation: every link leads somewhere, heading included; docs/README.md lists every page of docs
 * once; and what the README says of the benchmarks is what docs/benchmarks.md says. With `--write` it puts the README's figures
 * right.
 */
import { existsSync, writeFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path/posix"
import { files, lineAt, type Problem, read, report, root } from "./source.ts"

const problems: Array<Problem> = []
const pages = files("*.md", "docs/**/*.md")

// ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Code, with every character but line breaks blanked: what looks like a link or a heading there is none. */
const withoutCode = (text: string): string =>
  text.replace(/^(```|~~~)[\s\S]*?^\1/gm, (code) => code.replace(/[^\n]/g, " "))
    .replace(/`[^`\n]*`/g, (code) => " ".repeat(code.length))

/** The anchors of a page's headings, as GitHub makes them. */
const anchorsOf = (text: string): ReadonlySet<string> => {
  const counts = new Map<string, number>()
  const prose = text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "")
  return new Set(
    [...prose.matchAll(/^#{1,6} +(.+?) *$/gm)].map(([, heading]) => {
      const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      const slug = plain.replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
      const count = counts.get(slug) ?? 0
      counts.set(slug, count + 1)
      return count === 0 ? slug : `${slug}-${count}`
    })
  )
}

const linksOf = (file: string): ReadonlyArray<{ readonly target: string; readonly line: number }> => {
  const text = withoutCode(read(file))
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((found) => ({ target: found[1]!, line: lineAt(text, found.index) }))
}

for (const file of pages) {
  for (const { line, target } of linksOf(file)) {
    if (/^[a-z]+:/.test(target)) continue
    const [path, anchor] = target.split("#") as [string, string?]
    const to = path === "" ? file : normalize(join(dirname(file), path))
    if (!existsSync(join(root, to))) problems.push({ file, line, message: `links to ${to}, which is not there` })
    else if (anchor !== undefined && !anchorsOf(read(to)).has(anchor)) {
      problems.push({ file, line, message: `links to ${to}#${anchor}, and there is no such heading` })
    }
  }
}

// ── the index ───────────────────────────────────────────────────────────────────────────────────────────────────────

const index = "docs/README.md"
const listed = linksOf(index).filter(({ target }) => !target.startsWith("..")).map(({ target }) => join("docs", target))
for (const page of pages) {
  if (!/^docs\/([^/]+|decisions\/README)\.md$/.test(page) || page === index) continue
  const times = listed.filter((path) => path === page).length
  if (times !== 1) problems.push({ file: index, line: 1, message: `lists ${page} ${times} times, and not once` })
}

// ── the figures ─────────────────────────────────────────────────────────────────────────────────────────────────────

const benchmarks = read("docs/benchmarks.md")
const rowsOf = (start: RegExp): ReadonlyArray<ReadonlyArray<string>> =>
  [...benchmarks.matchAll(/^\|(.+)\|$/gm)]
    .map(([, row]) => row!.split("|").map((cell) => cell.trim()))
    .filter(([first]) => start.test(first!))

const ratios = (which: RegExp): string => {
  const found = rowsOf(which).map((row) => Number(row.at(-1)))
  return `${Math.min(...found).toFixed(1)} to ${Math.max(...found).toFixed(1)}`
}

const [, , missed, , , lateness] = rowsOf(/^effect-durable$/)[0] ?? []
const version = /@dbos-inc\/dbos-sdk` (\S+?)\)/.exec(benchmarks)?.[1]
const figures =
  `Beside DBOS ${version} on the same Postgres with default durability, turn by turn, on a machine with two cores: ` +
  `${ratios(/ in flight$/)} times the throughput with 100 or 1000 runs in flight, ${
    ratios(/ one at a time$/)
  } times one at a ` +
  `time, and 1000 schedules every second with ${
    missed === "0" ? "no tick" : `${missed} ticks`
  } missed and a p99 lateness of ` +
  `${lateness}.`

/** At most so long, as the README is wrapped. */
const wrapped = (text: string): string => {
  const lines = [""]
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!
    if (last !== "" && last.length + 1 + word.length > 128) lines.push(word)
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`
  }
  return lines.join("\n")
}

const readme = read("README.md")
const marked = /(<!-- figures: from docs\/benchmarks.md, by scripts\/pages.ts -->\n)([\s\S]*?)(\n<!-- -->)/
const present = marked.exec(readme)
if (present === null) problems.push({ file: "README.md", line: 1, message: "has no place for the figures" })
else if (present[2] !== wrapped(figures)) {
  if (process.argv.includes("--write")) {
    writeFileSync(
      join(root, "README.md"),
      readme.replace(marked, (_, open, __, close) => `${open}${wrapped(figures)}${close}`)
    )
  } else {
    const line = lineAt(readme, present.index)
    problems.push({
      file: "README.md",
      line,
      message: "its figures are not those of docs/benchmarks.md: npm run pages -- --write"
    })
  }
}

report(problems, `pages: ${pages.length} read`)
