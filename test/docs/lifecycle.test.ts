/** docs/lifecycle.md says what src/internal/lifecycle.ts does. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { allows, claimable, type Command, from, isFinished, statuses, to } from "../../src/internal/lifecycle.ts"

const lines = readFileSync(new URL("../../docs/lifecycle.md", import.meta.url), "utf8").split("\n")

/** The cells of the table whose first column has this head. */
const table = (head: string): ReadonlyArray<ReadonlyArray<string>> => {
  const rows: Array<ReadonlyArray<string>> = []
  for (let at = lines.findIndex((line) => line.startsWith(`| ${head} |`)) + 2; lines[at]?.startsWith("|"); at++) {
    rows.push(lines[at]!.split("|").slice(1, -1).map((cell) => cell.trim()))
  }
  return rows
}

const list = (cell: string): ReadonlyArray<string> => cell.split(", ")

const commands = Object.keys(from) as Array<Command>

describe("docs/lifecycle.md", () => {
  it("lists every status in order, and says which are finished and which may be claimed", () => {
    const rows = table("status").map(([status, finished, claim]) => [status, finished, claim])
    const expected = statuses.map((status) => [
      status,
      isFinished(status) ? "yes" : "no",
      claimable.includes(status) ? "yes" : "no"
    ])
    assert.deepStrictEqual(rows, expected)
  })

  it("lists every command with where it is allowed and where it leads", () => {
    const rows = table("command").map(([command, from, to]) => [command, list(from!), list(to!)])
    assert.deepStrictEqual(rows, commands.map((command) => [command, from[command], to[command]]))
  })

  it("draws an arrow for every transition and no other", () => {
    const arrows = lines.flatMap((line) => /^ {2}(\w+) --> (\w+): (\w+)$/.exec(line)?.slice(1).join(" ") ?? [])
    const transitions = commands.flatMap((command) =>
      statuses.filter((status) => allows(command, status))
        .flatMap((status) => to[command].map((next) => `${status} ${next} ${command}`))
    )
    assert.deepStrictEqual(arrows.toSorted(), transitions.toSorted())
  })
})
