/** Ids and names that are derived from others, of bounded length. */
import { createHash } from "node:crypto"

/** How many bytes of UTF-8 a name or an id may have: three of them fit into one row of Postgres' indexes. */
export const maxBytes = 512

/** The text, or as much of its beginning as leaves room for a hash of the whole. The same text gives the same again. */
export const bounded = (text: string): string => {
  // A UTF-16 unit is at most 3 bytes of UTF-8, so most need no counting.
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text
  const hash = `~${createHash("sha256").update(text).digest("base64url")}`
  let head = ""
  let left = maxBytes - hash.length
  for (const character of text) {
    left -= Buffer.byteLength(character)
    if (left < 0) break
    head += character
  }
  return head + hash
}

const ofTick = /^sched-(.*)-\d{4}-\d\d-\d\dT[\d:.]{12}Z(?:~[0-9a-z]+)?$/s

/** The schedule of which a tick's run has this id; undefined for every other id. */
export const scheduleOfTick = (runId: string): string | undefined => ofTick.exec(runId)?.[1]
