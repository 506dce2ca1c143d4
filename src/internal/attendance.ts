/** Runs that nobody can execute: looked for by engines and by whoever awaits a run without one, and told of, seldom. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { StoreError } from "../Errors.ts"
import type { SystemDb, Unattended } from "../SystemDb.ts"
import { runsUnattended } from "./telemetry.ts"

type Store = SystemDb["Service"]

/** For so long a run waits before it is told of: a process may be just restarting. */
export const graceMillis = 60_000
/** About one workflow a process says the same no sooner than after this time. */
const sayAgainMillis = 3_600_000

const warning = ({ runs, since, workflow }: Unattended): string => {
  const first = DateTime.formatIso(DateTime.makeUnsafe(since))
  return `Workflow ${workflow} has a body in no process that lives, and ${runs} of its runs wait, the first since ${first}. ` +
    "Start a process that has its layer on an engine; or, if the workflow is gone, remove what starts its runs and cancel these."
}

/** What one process has said of one store. */
class Attendance {
  readonly #db: Store
  readonly #saidAt = new Map<string, number>()
  #lookedAt = -Infinity

  constructor(db: Store) {
    this.#db = db
  }

  /** Whether there were such runs at the last look. */
  get telling(): boolean {
    return this.#saidAt.size > 0
  }

  /** Looks now, and tells of what it did not tell of lately. */
  readonly look: Effect.Effect<void, StoreError> = Effect.gen({ self: this }, function*() {
    const now = yield* Clock.currentTimeMillis
    this.#lookedAt = now
    const unattended = yield* this.#db.listUnattended(graceMillis)
    for (const found of unattended) {
      yield* Metric.update(Metric.withAttributes(runsUnattended, { workflow: found.workflow }), found.runs)
      if (now - (this.#saidAt.get(found.workflow) ?? -Infinity) < sayAgainMillis) continue
      this.#saidAt.set(found.workflow, now)
      yield* Effect.annotateLogs(Effect.logWarning(warning(found)), { workflow: found.workflow })
    }
    for (const workflow of this.#saidAt.keys()) {
      if (unattended.some((found) => found.workflow === workflow)) continue
      this.#saidAt.delete(workflow)
      yield* Metric.update(Metric.withAttributes(runsUnattended, { workflow }), 0)
    }
  })

  /** For as long as somebody waits for a run: looks after the grace and once a grace from then on, however many wait. */
  readonly watch: Effect.Effect<never> = Effect.forever(Effect.andThen(
    Effect.sleep(graceMillis),
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => now - this.#lookedAt < graceMillis ? Effect.void : Effect.ignore(this.look)
    )
  ))
}

const attendances = new WeakMap<Store, Attendance>()

/** What this process looks after in a store. */
export const of = (db: Store): Attendance => {
  const known = attendances.get(db)
  if (known !== undefined) return known
  const attendance = new Attendance(db)
  attendances.set(db, attendance)
  return attendance
}
