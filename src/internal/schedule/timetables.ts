/** Rows made ready to decide about. Equal texts are parsed once, as many schedules say the same. */
import * as Result from "effect/Result"
import type * as Cron from "../../Cron.ts"
import type { DueSchedule } from "../../SystemDb.ts"
import { parseStored } from "./definition.ts"
import * as Policies from "./policies.ts"

export interface Timetable {
  readonly cron: Cron.Cron
  readonly policies: Policies.Policies
}

const maxKept = 10_000

export class Timetables {
  readonly #kept = new Map<string, Result.Result<Timetable, string>>()

  /** The row's timetable, or why it has none. */
  of(row: DueSchedule): Result.Result<Timetable, string> {
    const key = `${row.cron}\n${row.timeZone}\n${row.policies}`
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    const made = Result.all({
      cron: Result.mapError(parseStored(row), (error) => error.message),
      policies: Result.mapError(Policies.decode(row.policies), (reason) => `Its policies do not decode: ${reason}`)
    })
    if (this.#kept.size >= maxKept) this.#kept.clear()
    this.#kept.set(key, made)
    return made
  }
}
