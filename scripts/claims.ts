/**
 * Decides whether a value shows as the documentation claims. Loaded by the blocks that scripts/docs.ts runs.
 *
 * A value shows as the text that `console.log` prints for it, as its JSON, or as its `toString`: whichever reads best on
 * the page. Line breaks, space beside punctuation and the kind of quotes do not count.
 */
import { inspect } from "node:util"

const plain = (text: string): string =>
  text.replaceAll("'", "\"").replace(/\s+/g, " ").replace(/ ?([[\]{}():,]) ?/g, "$1").trim()

const showings = (value: unknown): ReadonlyArray<string> => {
  const inspected = inspect(value, { depth: null, maxArrayLength: null, maxStringLength: null })
  return [typeof value === "string" ? value : inspected, inspected, JSON.stringify(value) ?? inspected, String(value)]
}

const fail = (line: number, message: string): void => {
  console.error(`claim ${line}: ${message}`)
  process.exitCode = 1
}

/** Returns the function that checks one claim and passes the value on. A claim not reached by the end has failed. */
export const open = (lines: ReadonlyArray<number>) => {
  const waiting = new Set(lines)
  process.on("exit", () => {
    for (const line of waiting) fail(line, "this claim was never reached")
  })
  return <A>(line: number, text: string, value: A): A => {
    waiting.delete(line)
    const shown = showings(value)
    if (!shown.some((showing) => plain(showing) === plain(text))) fail(line, `shows ${shown[0]}, not ${text}`)
    return value
  }
}
