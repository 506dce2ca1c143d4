/**
 * Two stores are given the same commands and must give the same answers: sequences are generated, run on both, and compared
 * answer by answer and as a whole at the end. Run with Memory as one of the two, Memory is the model of the other.
 */
import { assert, layer } from "@effect/vitest"
import type * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { isFinished } from "../../src/internal/lifecycle.ts"
import { type Lease, type NewSchedule, type Run, SystemDb, type TickRun } from "../../src/SystemDb.ts"
import { type Command, commands } from "./commands.ts"
import { second, t0, virtual } from "./fixture.ts"

type Store = SystemDb["Service"]

const half = second / 2

const by = <A>(key: (value: A) => string | number) => (a: A, b: A) => key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0
const sorted = <A>(values: ReadonlyArray<A>, key: (value: A) => string | number) => [...values].sort(by(key))
const distinct = <A extends { readonly schedule: number }>(values: ReadonlyArray<A>): ReadonlyArray<A> =>
  values.filter((value, i) => values.findIndex((other) => other.schedule === value.schedule) === i)

const keysInOrder = (_key: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(sorted(Object.entries(value), ([key]) => key))
    : value

/** One store in the course of one sequence: the names it uses, the workers it registered, the leases it gave. */
class Subject {
  readonly #db: Store
  readonly #prefix: string
  /** Every worker there ever was, and the scope of those that have not left. */
  readonly #workers: Array<{ readonly id: string; scope: Scope.Closeable | undefined }> = []
  readonly #leases: Array<Lease> = []
  #triggered = 0

  constructor(db: Store, prefix: string) {
    this.#db = db
    this.#prefix = prefix
  }

  #name(suffix: string): string {
    return `${this.#prefix}${suffix}`
  }

  #flows(which: number): ReadonlyArray<string> {
    return [[this.#name("flow0")], [this.#name("flow1")], [this.#name("flow0"), this.#name("flow1")]][which] ?? []
  }

  #present(number: number) {
    const present = this.#workers.filter((worker) => worker.scope !== undefined)
    return present[number % present.length]
  }

  #worker(number: number): string {
    return this.#present(number)?.id ?? this.#name("nobody")
  }

  #owner(number: number): string | null {
    return number === 0 ? null : this.#worker(number - 1)
  }

  #lease(number: number): Lease {
    return this.#leases.at(-1 - number % this.#leases.length) ??
      { runId: this.#name("r0"), worker: this.#worker(0), epoch: 1 }
  }

  #owned(runs: ReadonlyArray<Pick<Run, "id" | "owner" | "epoch">>): void {
    for (const { epoch, id, owner } of runs) {
      if (owner !== null) this.#leases.push({ runId: id, worker: owner, epoch })
    }
  }

  #schedule(number: number, variant: number): NewSchedule {
    return {
      name: this.#name(`s${number}`),
      workflow: this.#name(`flow${variant % 2}`),
      cron: variant < 3 ? "* * * * * *" : "0 * * * * *",
      timeZone: variant === 4 ? "Europe/Berlin" : "UTC",
      context: `{"variant":${variant % 4}}`,
      policies: "{}",
      application: variant < 2 ? null : this.#name(`app${variant % 2}`),
      nextAt: variant === 5 ? null : t0 + variant * second
    }
  }

  #tick(schedule: number, at: number): TickRun {
    return { runId: this.#name(`t${schedule}-${at}`), tick: at, scheduledAt: `at ${at}` }
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
      const id = yield* Scope.provide(this.#db.registerWorker({ application: this.#name("app"), leaseMillis }), scope)
      this.#workers.push({ id, scope })
    })
  }

  /** Ends the sequence so that nothing of it is left that another could stumble over. */
  readonly end = Effect.gen({ self: this }, function*() {
    for (const worker of this.#workers) if (worker.scope !== undefined) yield* Scope.close(worker.scope, Exit.void)
    for (const run of yield* this.#runs) if (!isFinished(run.status)) yield* this.#db.cancel(run.id)
    for (const schedule of yield* this.#schedules) yield* this.#db.deleteSchedule(schedule.name)
  })

  get #runs() {
    return this.#db.listRuns({ workflow: this.#flows(2) }, { limit: 10_000, after: null })
  }

  get #schedules() {
    return this.#db.listSchedules({ namePrefix: [this.#prefix] }, { limit: 10_000, after: null })
  }

  /** Everything the store holds of this sequence. */
  readonly dump = Effect.gen({ self: this }, function*() {
    const runs = yield* this.#runs
    return this.#normalised({
      runs,
      steps: yield* Effect.forEach(runs, (run) => this.#db.listSteps(run.id)),
      schedules: yield* this.#schedules
    })
  })

  /** The answer as text, without what differs between stores that behave alike. */
  #normalised(answer: unknown): string {
    let text = JSON.stringify(answer, keysInOrder) ?? "nothing"
    for (const [i, worker] of this.#workers.entries()) text = text.replaceAll(worker.id, `worker ${i}`)
    return text.replaceAll(this.#prefix, "")
  }

  /** The store's answer, or its refusal. */
  readonly answer = (command: Command): Effect.Effect<string> =>
    this.#run(command).pipe(
      Effect.result,
      Effect.flatMap((result) => {
        if (Result.isSuccess(result)) return Effect.succeed(this.#normalised(result.success))
        const error = result.failure
        return error._tag === "StoreError" ? Effect.die(error) : Effect.succeed(this.#normalised({ ...error }))
      })
    )

  #run(command: Command): Effect.Effect<unknown, { readonly _tag: string }> {
    const db = this.#db
    const name = (schedule: number) => this.#name(`s${schedule}`)
    switch (command._tag) {
      case "Advance":
        return TestClock.adjust(command.halfSeconds * half) as Effect.Effect<void>
      case "Start": {
        const run = {
          id: this.#name(`r${command.run}`),
          workflow: this.#name(`flow${command.flow}`),
          payload: JSON.stringify(command),
          owner: this.#owner(command.owner),
          delayMillis: command.delay === 0 ? null : command.delay * half,
          timeoutMillis: command.timeout === 0 ? null : 5_000,
          parent: null
        }
        return Effect.tap(db.start(run), (started) => {
          if (started.created) this.#owned([{ id: run.id, ...started }])
          return Effect.void
        })
      }
      case "Claim": {
        const { flows, limit, worker } = command
        return Effect.tap(
          db.claim({ worker: this.#worker(worker), limit, workflows: this.#flows(flows) }),
          ({ runs }) => {
            this.#owned(runs.map(({ run }) => run))
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
      case "Cancel":
        return db.cancel(command.run < 5 ? this.#name(`r${command.run}`) : this.#lease(command.run).runId)
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
      case "Pulse":
        return this.#pulse(command)
      case "CreateSchedule":
        return db.createSchedule(this.#schedule(command.schedule, command.variant))
      case "ApplySchedules":
        return Effect.map(
          db.applySchedules(
            distinct(command.schedules).map(({ schedule, variant }) => this.#schedule(schedule, variant)),
            { pruneApplication: command.prune === 0 ? null : this.#name(`app${command.prune - 1}`) }
          ),
          ({ changed, created, pruned, unchanged }) =>
            [created, changed, unchanged, pruned].map((names) => sorted(names, (name) => name))
        )
      case "PauseSchedule":
        return db.pauseSchedule(name(command.schedule))
      case "ResumeSchedule":
        return Effect.flatMap(this.#revision(command.schedule), ({ now, revision }) =>
          db.resumeSchedule({
            name: name(command.schedule),
            revision: command.stale ? revision - 1 : revision,
            nextAt: now + command.halfSeconds * half
          }))
      case "DeleteSchedule":
        return db.deleteSchedule(name(command.schedule))
      case "DueSchedules":
        return Effect.map(db.dueSchedules(command.halfSeconds * half), ({ now, schedules }) => [
          now,
          sorted(schedules.filter((schedule) => schedule.name.startsWith(this.#prefix)), (schedule) => schedule.name)
        ])
      case "Fire":
        return this.#fire(command)
      case "EnqueueTicks":
        return Effect.map(
          db.enqueueTicks(
            name(command.schedule),
            command.ticks.map((tick) => this.#tick(command.schedule, t0 + tick * second))
          ),
          (created) => sorted(created, (id) => id)
        )
      case "TriggerSchedule":
        return Effect.tap(
          db.triggerSchedule({
            name: name(command.schedule),
            run: { ...this.#tick(command.schedule, t0), runId: this.#name(`x${this.#triggered++}`) },
            context: command.own ? null : "[]",
            owner: this.#owner(command.owner)
          }),
          (run) => Effect.sync(() => this.#owned([run]))
        )
      case "List":
        return this.#list(command)
    }
  }

  #pulse({ maxAttempts, suspecting, worker }: Extract<Command, { readonly _tag: "Pulse" }>) {
    return Effect.flatMap(this.#db.now, (now) =>
      this.#db.pulse({
        worker: this.#worker(worker),
        leaseMillis: 2 * second,
        maxAttempts,
        // Everybody holds their session lock, so suspecting them all does nothing.
        suspects: suspecting ? this.#workers.map(({ id }) => ({ worker: id, renewedAt: now })) : []
      })).pipe(Effect.map((pulse) => ({ ...pulse, dead: sorted(pulse.dead, (id) => id) })))
  }

  #revision(schedule: number) {
    return Effect.zipWith(
      this.#db.findSchedule(this.#name(`s${schedule}`)),
      this.#db.now,
      (found, now) => ({
        now,
        revision: found._tag === "Some" ? found.value.revision : 1,
        cursor: found._tag === "Some" ? found.value.nextAt ?? now : now
      })
    )
  }

  #fire({ firings, owner }: Extract<Command, { readonly _tag: "Fire" }>) {
    const read = Effect.forEach(
      distinct(firings),
      ({ halfSeconds, schedule, stale, ticks }) =>
        Effect.map(this.#revision(schedule), ({ cursor, now, revision }) => ({
          name: this.#name(`s${schedule}`),
          revision: stale === 1 ? revision - 1 : revision,
          cursor: stale === 2 ? cursor - half : cursor,
          nextAt: halfSeconds === 0 ? null : now + halfSeconds * half,
          ticks: Array.from({ length: ticks }, (_, i) => this.#tick(schedule, cursor + i * second)),
          owner: this.#owner(owner)
        }))
    )
    return Effect.flatMap(read, this.#db.fire).pipe(
      Effect.map(({ fired, now }) => {
        const answers = sorted(fired, (fired) => fired.name).map((fired) =>
          fired._tag === "Fired" ? { ...fired, runs: sorted(fired.runs, (run) => run.id) } : fired
        )
        for (const answer of answers) if (answer._tag === "Fired") this.#owned(answer.runs)
        return { now, answers }
      })
    )
  }

  #list({ active, flows, limit, schedule }: Extract<Command, { readonly _tag: "List" }>) {
    const db = this.#db
    return Effect.gen({ self: this }, function*() {
      const first = yield* db.listRuns({ workflow: this.#flows(flows) }, { limit, after: null })
      return {
        first,
        next: yield* db.listRuns({ workflow: this.#flows(flows) }, { limit, after: first.at(-1) ?? null }),
        scheduled: yield* db.listRuns({ schedule: [this.#name(`s${schedule}`)] }, { limit: 99, after: null }),
        live: yield* db.listRuns(
          { workflow: this.#flows(flows), status: ["Enqueued", "Running", "Suspended"] },
          { limit: 99, after: null }
        ),
        schedules: yield* db.listSchedules(
          { namePrefix: [this.#prefix], status: active ? "Active" : "Paused", workflow: this.#flows(flows) },
          { limit, after: this.#name(`s${schedule}`) }
        )
      }
    })
  }
}

/** What a store answered to each command, and what it holds at the end. */
const transcript = Effect.fnUntraced(function*(db: Store, prefix: string, sequence: ReadonlyArray<Command>) {
  const subject = new Subject(db, prefix)
  yield* subject.begin
  const answers: Array<string> = []
  for (const command of sequence) answers.push(`${JSON.stringify(command)}\n${yield* subject.answer(command)}`)
  answers.push(`at the end\n${yield* subject.dump}`)
  yield* subject.end
  return answers
})

class One extends Context.Service<One, Store>()("effect-durable/test/One") {}
class Other extends Context.Service<Other, Store>()("effect-durable/test/Other") {}

/** Declares the comparison of two stores. */
export const compare = <R1, E1, R2, E2>(
  name: string,
  one: Layer.Layer<SystemDb | R1, E1>,
  other: Layer.Layer<SystemDb | R2, E2>,
  options: Arbitrary.CheckOptions & { readonly timeout?: number } = {}
): void => {
  const { timeout = 120_000, ...arbitrary } = options
  const both = Layer.merge(
    Layer.effect(One, SystemDb).pipe(Layer.provide(Layer.fresh(one as Layer.Layer<SystemDb, E1>))),
    Layer.effect(Other, SystemDb).pipe(Layer.provide(Layer.fresh(other as Layer.Layer<SystemDb, E2>)))
  )
  layer(both, { excludeTestServices: true, timeout: "1 minute" })(name, (it) => {
    it.effect.prop(
      "both stores give the same answers to any sequence of commands, and hold the same at the end",
      [commands],
      ([sequence]) =>
        Effect.gen(function*() {
          const prefix = `m${globalThis.crypto.randomUUID().slice(0, 8)}-`
          const expected = yield* virtual(transcript(yield* One, prefix, sequence))
          const actual = yield* virtual(transcript(yield* Other, prefix, sequence))
          for (const [i, answer] of expected.entries()) {
            // Written out, because the report of a shrunk sequence abbreviates what it compares.
            assert.isTrue(actual[i] === answer, `\none store: ${answer}\nthe other: ${actual[i]}`)
          }
        }),
      { timeout, arbitrary: { runs: 100, size: 100, ...arbitrary } }
    )
  })
}
