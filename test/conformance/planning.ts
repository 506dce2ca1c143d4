/** What the model test does with schedules, their ledger and their backfills. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type {
  Backfill,
  Control,
  DueSchedule,
  Firing,
  NewAudit,
  NewEntry,
  ScheduleChange,
  ScheduleContent
} from "../../src/SystemDb.ts"
import type { ScheduleCommand } from "./commands.ts"
import { second, t0 } from "./fixture.ts"
import { type Answer, half, sorted, type Subject } from "./subject.ts"

type Of<Tag extends ScheduleCommand["_tag"]> = Extract<ScheduleCommand, { readonly _tag: Tag }>

const everySchedule = [0, 1, 2, 3]
/** Deletes instead of writing. */
const deleting = 6

const distinct = <A extends { readonly schedule: number }>(values: ReadonlyArray<A>): ReadonlyArray<A> =>
  values.filter((value, i) => values.findIndex((other) => other.schedule === value.schedule) === i)

const statuses = ["Active", "Paused", "Cancelled"] as const

export class Planner {
  readonly #of: Subject
  #changes = 0
  #last: ScheduleChange | undefined
  #turns = new Map<string, number>()

  constructor(of: Subject) {
    this.#of = of
  }

  #schedule(number: number): string {
    return this.#of.name(`s${number}`)
  }

  #audit(schedule: string | null, action: string): NewAudit {
    return { schedule, action, actor: "model", source: null, reason: null, before: null, after: `"${action}"` }
  }

  #entry(schedule: string, first: number): NewEntry {
    return {
      schedule,
      first,
      last: first + second,
      count: null,
      decision: "skipped",
      reason: "why",
      runId: null,
      timing: "{}"
    }
  }

  #content(number: number, variant: number): ScheduleContent {
    const name = (suffix: string) => this.#of.name(suffix)
    const paused = variant === 5
    return {
      name: this.#schedule(number),
      workflow: name(`flow${variant % 2}`),
      timing: `{"variant":${variant}}`,
      context: `{"variant":${variant % 4}}`,
      contextSchema: variant % 3 === 0 ? "0123abcd" : null,
      jsonSchema: null,
      policies: "{}",
      overlap: variant < 2 ? null : name(`scope${variant % 2}`),
      owner: variant < 3 ? null : name("app"),
      labels: JSON.stringify({ team: name(`t${variant % 2}`) }),
      externalId: null,
      status: paused ? "Paused" : "Active",
      revision: variant,
      nextAt: variant === 4 ? null : t0 + variant * second,
      wakeAt: paused || variant === 4 ? null : t0 + variant * second,
      waitingSince: variant === 4 ? t0 : null,
      state: `[${variant}]`,
      pausedAt: paused ? t0 : null,
      pauseReason: paused ? "why" : null,
      resumeAt: null,
      note: null
    }
  }

  get #freeze() {
    return Effect.map(this.#of.db.findControl("freeze"), Option.getOrNull)
  }

  /** How these schedules stand, which firings at a turn that nothing has are told. */
  #seen(numbers: ReadonlyArray<number>) {
    const probes = numbers.map((number) => this.#firing(number, { turn: -1 }))
    return Effect.map(
      this.#of.db.fire(probes, null),
      ({ fired, now }) => ({
        now,
        schedules: fired.map((fired): DueSchedule | null => fired._tag === "Stale" ? fired.current : null)
      })
    )
  }

  #firing(number: number, changes: Partial<Firing>): Firing {
    return {
      name: this.#schedule(number),
      turn: 1,
      at: t0,
      live: null,
      overlapTurn: null,
      after: {
        status: "Active",
        nextAt: null,
        wakeAt: null,
        waitingSince: null,
        state: "{}",
        pausedAt: null,
        pauseReason: null,
        resumeAt: null
      },
      ticks: [],
      owner: null,
      timeoutMillis: null,
      settle: false,
      entries: [],
      cancels: [],
      settled: [],
      hooks: [],
      audit: null,
      ...changes
    }
  }

  /** Which schedules and backfills have another turn than they had when this was asked last. */
  readonly moved = Effect.gen({ self: this }, function*() {
    const before = this.#turns
    const freeze = yield* this.#freeze
    this.#turns = new Map([
      ...(yield* this.#of.schedules).map(({ name, turn }) => [name, turn] as const),
      ...(yield* this.#backfills).map(({ id, turn }) => [id, turn] as const),
      ...freeze === null ? [] : [["freeze", freeze.turn] as const]
    ])
    return Array.from(this.#turns).flatMap(([name, turn]) => before.get(name) === turn ? [] : [name]).sort()
  })

  get #backfills() {
    return Effect.map(
      Effect.forEach(
        everySchedule,
        (schedule) => this.#of.db.listBackfills(this.#schedule(schedule), { limit: 1000, after: null })
      ),
      (lists) => lists.flat()
    )
  }

  /** Everything the store holds of the sequence, but for runs. */
  readonly dump = Effect.gen({ self: this }, function*() {
    const { db } = this.#of
    return {
      schedules: yield* this.#of.schedules,
      backfills: yield* this.#backfills,
      freeze: yield* this.#freeze,
      histories: yield* Effect.forEach(everySchedule, (schedule) =>
        db.listHistory(
          { schedule: this.#schedule(schedule), from: null, to: null, newestFirst: false },
          { limit: 1000, after: null }
        )),
      audits: yield* Effect.forEach(
        everySchedule,
        (schedule) => db.listAudits(this.#schedule(schedule), { limit: 1000, after: null })
      ),
      due: yield* this.#due(1e6)
    }
  })

  #due(horizon: number) {
    return Effect.map(this.#of.db.dueSchedules(horizon), ({ freeze, now, schedules }) => ({
      now,
      freeze,
      schedules: schedules.filter((schedule) => schedule.name.startsWith(this.#of.prefix))
    }))
  }

  /** Starts with schedules, of which two have one overlap scope, and a backfill. */
  readonly begin = Effect.gen({ self: this }, function*() {
    const { db } = this.#of
    const contents = [2, 3, 2].map((variant, schedule) => this.#content(schedule, variant))
    yield* db.changeSchedules({
      id: this.#of.name("begin"),
      schedules: contents.map((content) => ({ name: content.name, turn: null, content })),
      controls: [],
      entries: [],
      audits: [this.#audit(null, "begin")]
    })
    yield* this.#create(0, 0, { newestFirst: false, concurrency: 2, context: null })
  })

  #create(
    backfill: number,
    schedule: number,
    options: Pick<Backfill, "newestFirst" | "concurrency" | "context">
  ) {
    const name = this.#schedule(schedule)
    const given = {
      id: this.#of.name(`b${backfill}`),
      schedule: name,
      from: t0,
      to: t0 + 9 * second,
      rerun: false,
      planned: null
    }
    return this.#of.db.createBackfill({ ...given, ...options }, this.#audit(name, "backfill"))
  }

  /** Leaves nothing behind that another sequence could stumble over. */
  readonly end = Effect.gen({ self: this }, function*() {
    const { db } = this.#of
    const freeze = yield* this.#freeze
    yield* db.changeSchedules({
      id: this.#of.name("end"),
      schedules: (yield* this.#of.schedules).map(({ name, turn }) => ({ name, turn, content: null })),
      controls: freeze === null ? [] : [{ key: "freeze", turn: freeze.turn, value: null }],
      entries: [],
      audits: [this.#audit(null, "end")]
    })
    for (const { id, turn } of yield* this.#backfills) {
      yield* db.changeBackfill({ id, turn, status: "Cancelled", audit: this.#audit(null, "end") })
    }
    const far = t0 + 1e12
    yield* this.#prune({ runsBefore: far, runsKept: null, entriesBefore: far, entriesKept: null, limit: 10_000 })
  })

  execute(command: ScheduleCommand): Answer {
    const { db } = this.#of
    switch (command._tag) {
      case "ChangeSchedules":
        return this.#change(command)
      case "ChangeAgain":
        return this.#last === undefined ? Effect.void : db.changeSchedules(this.#last)
      case "DueSchedules":
        return this.#due(command.halfSeconds * half)
      case "Fire":
        return this.#fire(command)
      case "EnqueueTicks":
        return Effect.map(
          db.enqueueTicks(
            this.#schedule(command.schedule),
            command.ticks.map((tick) => this.#of.tick(command.schedule, t0 + tick * second)),
            { settle: command.settle, timeoutMillis: null }
          ),
          (created) => sorted(created, (id) => id)
        )
      case "TriggerSchedule": {
        const { own, owner, schedule, settle, which } = command
        const run = { ...this.#of.tick(schedule, t0 + which), runId: this.#of.name(`x${schedule}-${which}`) }
        return Effect.tap(
          db.triggerSchedule({
            name: this.#schedule(schedule),
            run,
            options: { settle, timeoutMillis: 5_000 },
            context: own ? null : "[]",
            owner: this.#of.owner(owner),
            audit: this.#audit(this.#schedule(schedule), "trigger")
          }),
          ({ created, run }) => Effect.sync(() => this.#of.owned(created ? [run] : []))
        )
      }
      case "CreateBackfill":
      case "ChangeBackfill":
      case "AdvanceBackfill":
      case "DueBackfills":
        return this.#backfill(command)
      case "Prune":
        return Effect.flatMap(db.now, (now) => {
          const before = (number: number) => number === 0 ? null : now - (number - 2) * half
          const kept = (number: number) => number === 0 ? null : number - 1
          return this.#prune({
            runsBefore: before(command.runsBefore),
            runsKept: kept(command.runsKept),
            entriesBefore: before(command.entriesBefore),
            entriesKept: kept(command.entriesKept),
            limit: command.limit + 1
          })
        })
      case "History":
        return this.#history(command)
    }
  }

  #change({ freeze, schedules }: Of<"ChangeSchedules">) {
    return Effect.gen({ self: this }, function*() {
      const { db } = this.#of
      const named = distinct(schedules)
      const rows = yield* db.findSchedules(named.map(({ schedule }) => this.#schedule(schedule)))
      const turns = new Map(rows.map(({ name, turn }) => [name, turn]))
      const control = yield* this.#freeze
      const change: ScheduleChange = {
        id: this.#of.name(`change${this.#changes++}`),
        schedules: named.map(({ expect, schedule, variant }) => {
          const name = this.#schedule(schedule)
          return {
            name,
            turn: expect === 0 ? null : expect === 1 ? 1e12 : turns.get(name) ?? null,
            content: variant === deleting ? null : this.#content(schedule, variant)
          }
        }),
        controls: this.#freezing(freeze, control),
        entries: named.flatMap(({ entry, schedule, variant }) =>
          entry ? [this.#entry(this.#schedule(schedule), t0 + variant * half)] : []
        ),
        audits: [
          this.#audit(null, "change"),
          ...named.map(({ schedule }) => this.#audit(this.#schedule(schedule), "change"))
        ]
      }
      this.#last = change
      return yield* db.changeSchedules(change)
    })
  }

  #freezing(what: number, control: Control | null): ScheduleChange["controls"] {
    const turn = what === 3 ? 1e12 : control?.turn ?? null
    return what < 1 || what > 3 ? [] : [{ key: "freeze", turn, value: what === 2 ? null : `[${what}]` }]
  }

  #fire({ firings, freeze, owner }: Of<"Fire">) {
    return Effect.gen({ self: this }, function*() {
      const named = distinct(firings)
      const { now, schedules } = yield* this.#seen(named.map(({ schedule }) => schedule))
      const decided: Array<{ readonly scope: string | null; readonly relied: boolean; readonly firing: Firing }> = []
      for (const [i, asked] of named.entries()) {
        const firing = this.#decide(asked, schedules[i] ?? null, now, this.#of.owner(owner))
        const scope = schedules[i]?.overlap ?? null
        const relied = firing.live !== null || firing.overlapTurn !== null
        // Whatever is relied on must not be changed by another one of the same statement.
        if (scope !== null && decided.some((other) => other.scope === scope && (relied || other.relied))) continue
        decided.push({ scope, relied, firing })
      }
      const frozen = yield* this.#freeze
      const turn = freeze === 0 ? 1e12 : frozen?.turn ?? null
      const answer = yield* this.#of.db.fire(decided.map(({ firing }) => firing), turn)
      for (const fired of answer.fired) if (fired._tag === "Fired") this.#of.owned(fired.runs)
      return answer
    })
  }

  #decide(
    asked: Of<"Fire">["firings"][number],
    current: DueSchedule | null,
    now: number,
    owner: string | null
  ): Firing {
    const { audit, cancels, entry, halfSeconds, hooks, paused, rely, schedule, settle, settled, ticks, wrong } = asked
    const name = this.#schedule(schedule)
    const next = halfSeconds === 0 ? null : now + halfSeconds * half
    const cursor = current?.nextAt ?? now
    const live = current?.live.map(({ runId }) => runId) ?? []
    const turn = current?.turn ?? 1
    return this.#firing(schedule, {
      turn: wrong === 0 ? turn - 1 : turn,
      at: wrong === 1 ? now + half : now,
      live: rely < 2 ? live : rely === 2 ? [...live, this.#of.name("~")] : null,
      overlapTurn: rely === 1 ? current?.overlapTurn ?? null : rely === 3 ? 1e12 : null,
      after: {
        status: paused ? "Paused" : "Active",
        nextAt: next,
        wakeAt: paused ? null : next,
        waitingSince: halfSeconds === 1 ? t0 : null,
        state: `[${halfSeconds}]`,
        pausedAt: paused ? now : null,
        pauseReason: paused ? "fired" : null,
        resumeAt: null
      },
      ticks: Array.from({ length: ticks }, (_, i) => this.#of.tick(schedule, cursor + i * second)),
      owner,
      settle,
      entries: entry ? [this.#entry(name, cursor)] : [],
      cancels: cancels.map((which) => ({
        runId: live[which] ?? this.#of.name(`r${which}`),
        reason: "a firing did it"
      })),
      settled: (current?.ended ?? []).slice(0, settled).map(({ runId }) => runId),
      hooks: hooks.map((hook) => ({
        id: this.#of.name(`h${hook}`),
        workflow: this.#of.name("hook"),
        payload: `${hook}`
      })),
      audit: audit ? this.#audit(name, "fire") : null
    })
  }

  #backfill(command: Of<"CreateBackfill" | "ChangeBackfill" | "AdvanceBackfill" | "DueBackfills">): Answer {
    const { db } = this.#of
    if (command._tag === "DueBackfills") return db.dueBackfills(command.limit)
    if (command._tag === "CreateBackfill") {
      const { backfill, concurrency, newestFirst, own, schedule } = command
      return this.#create(backfill, schedule, {
        newestFirst,
        concurrency: concurrency + 1,
        context: own ? null : "[]"
      })
    }
    const id = this.#of.name(`b${command.backfill}`)
    return Effect.flatMap(db.findBackfill(id), (found) => {
      const backfill = Option.getOrUndefined(found)
      const turn = command.wrong === 0 ? 1e12 : backfill?.turn ?? 1
      if (command._tag === "AdvanceBackfill") return this.#advance(command, id, turn, backfill)
      const status = statuses[command.status] ?? "Active"
      return db.changeBackfill({ id, turn, status, audit: this.#audit(backfill?.schedule ?? null, status) })
    })
  }

  #advance(command: Of<"AdvanceBackfill">, id: string, turn: number, backfill: Backfill | undefined) {
    const schedule = everySchedule.find((number) => this.#schedule(number) === backfill?.schedule) ?? 0
    const { done, end, settle, ticks } = command
    return this.#of.db.advanceBackfill({
      id,
      turn,
      ticks: ticks.map((tick) => this.#of.tick(schedule, t0 + tick * second)),
      cursor: end ? null : t0 + ticks.length * second,
      done: done === 0,
      settle,
      timeoutMillis: null
    })
  }

  /** Until nothing is left of it: in which order rows go is up to the store. */
  /** Until nothing is left of any of the schedules there are by now, which a store may count some hundred at a time. */
  #prune(request: Parameters<Subject["db"]["prune"]>[0]) {
    return Effect.gen({ self: this }, function*() {
      const sum = { runs: 0, entries: 0 }
      for (let idle = 0;;) {
        const { entries, runs } = yield* this.#of.db.prune(request)
        idle = runs + entries === 0 ? idle + 1 : 0
        if (idle === 10) return sum
        sum.runs += runs
        sum.entries += entries
      }
    })
  }

  #history({ from, limit, newestFirst, schedule, to }: Of<"History">) {
    const { db } = this.#of
    const name = this.#schedule(schedule)
    const filter = {
      schedule: name,
      from: from < 3 ? null : t0 + (from - 3) * half,
      to: to < 3 ? null : t0 + to * second,
      newestFirst
    }
    return Effect.gen(function*() {
      const first = yield* db.listHistory(filter, { limit, after: null })
      const audits = yield* db.listAudits(name, { limit, after: null })
      return {
        first,
        next: yield* db.listHistory(filter, { limit, after: first.at(-1) ?? null }),
        audits,
        olderAudits: yield* db.listAudits(name, { limit, after: audits.at(-1)?.position ?? null }),
        decisions: yield* db.findDecisions(name, t0 + from * half),
        backfills: yield* db.listBackfills(name, { limit, after: null })
      }
    })
  }
}
