/** A store in the course of one sequence of the model test: the names it uses, its workers and leases, and what is done with runs. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import type { Lease, Run, SystemDb, TickRun } from "../../src/SystemDb.ts"
import type { RunCommand } from "./commands.ts"
import { second, t0 } from "./fixture.ts"

export type Store = SystemDb["Service"]

/** What a command comes to: the store's answer, or its refusal. */
export type Answer = Effect.Effect<unknown, { readonly _tag: string }>

export const half = second / 2

const by = <A>(key: (value: A) => string | number) => (a: A, b: A) => key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0
export const sorted = <A>(values: ReadonlyArray<A>, key: (value: A) => string | number) => [...values].sort(by(key))

/** What differs between stores that behave alike: which numbers they use, and in which order an object has its keys. */
const normal = (key: string, value: unknown): unknown => {
  if (key === "turn" || key === "position" || key === "revision") return "a number"
  if (key === "overlapTurn" || key === "incarnation") return value === null ? null : "a number"
  if (key === "key" && typeof value === "string") return value.replace(/^e\d{19}$/, "e")
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(sorted(Object.entries(value), ([key]) => key))
    : value
}

export class Subject {
  readonly db: Store
  readonly prefix: string
  /** Every worker there ever was, and the scope of those that have not left. */
  readonly #workers: Array<{ readonly id: string; scope: Scope.Closeable | undefined }> = []
  readonly #leases: Array<Lease> = []

  constructor(db: Store, prefix: string) {
    this.db = db
    this.prefix = prefix
  }

  name(suffix: string): string {
    return `${this.prefix}${suffix}`
  }

  flows(which: number): ReadonlyArray<string> {
    return [[this.name("flow0")], [this.name("flow1")], [this.name("flow0"), this.name("flow1")]][which] ?? []
  }

  #present(number: number) {
    const present = this.#workers.filter((worker) => worker.scope !== undefined)
    return present[number % present.length]
  }

  #worker(number: number): string {
    return this.#present(number)?.id ?? this.name("nobody")
  }

  owner(number: number): string | null {
    return number === 0 ? null : this.#worker(number - 1)
  }

  #lease(number: number): Lease {
    return this.#leases.at(-1 - number % this.#leases.length) ??
      { runId: this.name("r0"), worker: this.#worker(0), epoch: 1 }
  }

  /** One of the runs that were started, or whose lease is known. */
  runId(number: number): string {
    return number < 5 ? this.name(`r${number}`) : this.#lease(number).runId
  }

  /** Remembers the leases of runs that a worker was given. */
  owned(runs: ReadonlyArray<Pick<Run, "id" | "owner" | "epoch">>): void {
    for (const { epoch, id, owner } of runs) {
      if (owner !== null) this.#leases.push({ runId: id, worker: owner, epoch })
    }
  }

  /** The tick of a schedule at an instant, always with the same run id. */
  tick(schedule: number, at: number): TickRun {
    return {
      runId: this.name(`t${schedule}-${at}`),
      tick: at,
      scheduledAt: `at ${at}`,
      origin: `{"schedule":${schedule}}`,
      startBy: at % second === 0 ? null : at + second
    }
  }

  /** Starts with two workers, of which one has a short lease. */
  readonly begin = Effect.gen({ self: this }, function*() {
    yield* TestClock.setTime(t0)
    yield* this.#register(2 * second)
    yield* this.#register(60 * second)
  })

  #register(leaseMillis: number) {
    return Effect.gen({ self: this }, function*() {
      const scope = yield* Scope.make()
      const id = yield* Scope.provide(this.db.registerWorker({ application: this.name("app"), leaseMillis }), scope)
      this.#workers.push({ id, scope })
    })
  }

  readonly leave = Effect.gen({ self: this }, function*() {
    for (const worker of this.#workers) if (worker.scope !== undefined) yield* Scope.close(worker.scope, Exit.void)
  })

  get runs() {
    return this.db.listRuns({ workflow: [...this.flows(2), this.name("hook")] }, { limit: 10_000, after: null })
  }

  get schedules() {
    return this.db.listSchedules({ namePrefix: [this.prefix] }, { limit: 10_000, after: null })
  }

  /** The answer as text, without what differs between stores that behave alike. */
  normalised(answer: unknown): string {
    let text = JSON.stringify(answer, normal) ?? "nothing"
    for (const [i, worker] of this.#workers.entries()) text = text.replaceAll(worker.id, `worker ${i}`)
    return text.replaceAll(this.prefix, "")
  }

  execute(command: RunCommand): Answer {
    const { db } = this
    switch (command._tag) {
      case "Start": {
        const run = {
          id: this.name(`r${command.run}`),
          workflow: this.name(`flow${command.flow}`),
          payload: JSON.stringify(command),
          owner: this.owner(command.owner),
          delayMillis: command.delay === 0 ? null : command.delay * half,
          timeoutMillis: command.timeout === 0 ? null : 5_000,
          parent: command.parent < 5 ? this.name(`r${command.parent}`) : null
        }
        return Effect.tap(db.start(run), (started) => {
          if (started.created) this.owned([{ id: run.id, ...started }])
          return Effect.void
        })
      }
      case "Claim": {
        const { flows, limit, maxAttempts, suspect, worker } = command
        return Effect.tap(
          db.claim({ worker: this.#worker(worker), limit, workflows: this.flows(flows), maxAttempts, suspect }),
          ({ runs }) => {
            this.owned(runs.map(({ run }) => run))
            return Effect.void
          }
        )
      }
      case "RecordSteps": {
        const lease = this.#lease(command.lease)
        return Effect.forEach(command.writes, ({ open, step, value }) =>
          db.recordStep(lease, {
            name: `step${step}`,
            key: "",
            occurrence: 1,
            kind: open ? "Sleep" : "Step",
            attempts: value,
            errors: null,
            outcome: open ? null : `${value}`,
            wakeAt: open ? t0 : null,
            startedAt: t0 + value
          }))
      }
      case "Finish": {
        const end = command.succeeded
          ? { status: "Succeeded" as const, outcome: "1" }
          : { status: "Failed" as const, outcome: "0" }
        return db.finish(this.#lease(command.lease), end)
      }
      case "Suspend":
        return Effect.flatMap(db.now, (now) => db.suspend(this.#lease(command.lease), now + command.halfSeconds * half))
      case "Cancel": {
        return db.cancel(this.runId(command.run), command.reason ? "why" : null)
      }
      case "Release":
        return db.release(command.leases.map((lease) => this.#lease(lease)))
      case "Reconcile": {
        const held = command.held.map((lease) => this.#lease(lease))
        return Effect.map(
          db.reconcile({ worker: this.#worker(command.worker), held }),
          (lost) => sorted(Array.from(new Set(lost)), (id) => id)
        )
      }
      case "Register":
        return this.#register(2 * second)
      case "Leave": {
        const leaving = this.#present(command.worker)
        if (leaving?.scope === undefined) return Effect.void
        const { scope } = leaving
        leaving.scope = undefined
        return Scope.close(scope, Exit.void)
      }
      case "Isolate":
        return db.isolate(this.#lease(command.lease), command.isolated)
      case "Pulse":
        return this.#pulse(command)
      case "List":
        return this.#list(command)
    }
  }

  #pulse({ suspecting, worker }: Extract<RunCommand, { readonly _tag: "Pulse" }>) {
    return Effect.flatMap(this.db.now, (now) =>
      this.db.pulse({
        worker: this.#worker(worker),
        leaseMillis: 2 * second,
        // Everybody holds their session lock, so suspecting them all does nothing.
        suspects: suspecting ? this.#workers.map(({ id }) => ({ worker: id, renewedAt: now })) : []
      })).pipe(Effect.map((pulse) => ({ ...pulse, dead: sorted(pulse.dead, (id) => id) })))
  }

  #list({ active, flows, limit, schedule }: Extract<RunCommand, { readonly _tag: "List" }>) {
    const { db } = this
    return Effect.gen({ self: this }, function*() {
      const first = yield* db.listRuns({ workflow: this.flows(flows) }, { limit, after: null })
      return {
        first,
        next: yield* db.listRuns({ workflow: this.flows(flows) }, { limit, after: first.at(-1) ?? null }),
        scheduled: yield* db.listRuns({ schedule: [this.name(`s${schedule}`)] }, { limit: 99, after: null }),
        live: yield* db.listRuns(
          { workflow: this.flows(flows), status: ["Enqueued", "Running", "Suspended"] },
          { limit: 99, after: null }
        ),
        schedules: yield* db.listSchedules(
          { namePrefix: [this.prefix], status: active ? "Active" : "Paused", workflow: this.flows(flows) },
          { limit, after: this.name(`s${schedule}`) }
        ),
        labelled: yield* db.listSchedules({ labels: { team: this.name(`t${flows}`) } }, { limit: 99, after: null })
      }
    })
  }
}
