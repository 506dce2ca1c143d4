/** Rows made ready to decide about. Equal texts are read once, as many schedules say the same. */
import * as Result from "effect/Result"
import type { DueSchedule } from "../../SystemDb.ts"
import * as Timing from "../../Timing.ts"
import * as Policies from "./policies.ts"

export interface Rules {
  readonly timetable: Timing.Timetable
  readonly policies: Policies.Policies
}

const maxKept = 10_000

export class Timetables {
  readonly #kept = new Map<string, Result.Result<Rules, string>>()

  /** What the row says, or why it cannot be read. */
  of(row: Pick<DueSchedule, "timing" | "policies">): Result.Result<Rules, string> {
    const key = `${row.timing}\n${row.policies}`
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    const made = Result.all({
      timetable: Result.mapError(Timing.fromText(row.timing), (reason) => `Its timing does not decode: ${reason}`),
      policies: Result.mapError(Policies.decode(row.policies), (reason) => `Its policies do not decode: ${reason}`)
    })
    if (this.#kept.size >= maxKept) this.#kept.clear()
    this.#kept.set(key, made)
    return made
  }
}
