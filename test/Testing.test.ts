/** The test kit, used as an application's tests use it. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as EffectSchedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cron from "../src/Cron.ts"
import * as Schedule from "../src/Schedule.ts"
import * as Step from "../src/Step.ts"
import * as Testing from "../src/Testing.ts"
import * as Workflow from "../src/Workflow.ts"

const Job = Workflow.make("job", { payload: Schedule.Tick(Schema.Unknown) })

const iso = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** A ledger as a test writes it down: tick and decision. */
const lines = (answers: ReadonlyArray<Schedule.Answer>) =>
  answers.map(({ decision, tick }) => `${DateTime.formatIso(tick)} ${decision._tag}`)

const now = Effect.map(Clock.currentTimeMillis, iso)

const scheduleName = Effect.map(Schedule.current, (occasion) => Option.getOrThrow(occasion).schedule)

describe("time", () => {
  it.effect("passes through every due tick in order, and bodies see the instant they are due at", () => {
    const seen: Array<readonly [schedule: string, tick: string, at: string]> = []
    const body = Job.toLayer(({ scheduledAt }) =>
      Effect.gen(function*() {
        seen.push([yield* scheduleName, DateTime.formatIso(scheduledAt), yield* now])
      })
    )
    const schedules = Schedule.layer([
      Schedule.make("quarters", { workflow: Job, cron: "0 */15 * * * *" }),
      Schedule.make("odd", { workflow: Job, cron: "7 1-59/20 * * * *" })
    ])
    return Effect.gen(function*() {
      yield* Testing.advance("1 hour")
      assert.deepStrictEqual(seen.map(([schedule, tick]) => `${tick.slice(11, 19)} ${schedule}`), [
        "00:01:07 odd",
        "00:15:00 quarters",
        "00:21:07 odd",
        "00:30:00 quarters",
        "00:41:07 odd",
        "00:45:00 quarters",
        "01:00:00 quarters"
      ])
      for (const [, tick, at] of seen) assert.strictEqual(at, tick)
      assert.strictEqual(yield* now, "2026-03-27T01:00:00.000Z")
    }).pipe(
      Effect.provide(
        Layer.mergeAll(body, schedules).pipe(
          Layer.provideMerge(Testing.layer({ at: "2026-03-27T00:00:00Z" }))
        )
      )
    )
  })

  it.effect("lets bodies that sleep and retry do so at the very instants, between the ticks", () => {
    const log: Array<string> = []
    const say = (what: string) =>
      Effect.flatMap(now, (at) => Effect.sync(() => log.push(`${at.slice(11, 23)} ${what}`)))
    const body = Job.toLayer(({ scheduledAt }) =>
      Effect.gen(function*() {
        const name = DateTime.formatIso(scheduledAt).slice(11, 13)
        yield* Step.run("first", say(`${name} begins`))
        yield* Workflow.sleep("90 minutes")
        yield* Step.run(
          "flaky",
          Effect.andThen(
            say(`${name} tries`),
            Effect.flatMap(Step.attempt, (attempt) => attempt < 3 ? Effect.fail("no") : Effect.void)
          ),
          { error: Schema.String, retry: EffectSchedule.exponential("1 minute") }
        ).pipe(Effect.orDie)
      })
    )
    const hourly = Schedule.layer([Schedule.make("hourly", { workflow: Job, cron: "0 0 * * * *" })])
    return Effect.gen(function*() {
      yield* Testing.advance("3 hours")
      assert.deepStrictEqual(log, [
        "01:00:00.000 01 begins",
        "02:00:00.000 02 begins",
        "02:30:00.000 01 tries",
        "02:31:00.000 01 tries",
        "02:33:00.000 01 tries",
        "03:00:00.000 03 begins"
      ])
      const runs = yield* Testing.runs("hourly")
      assert.deepStrictEqual(runs.map(({ status }) => status), ["Succeeded", "Suspended", "Suspended"])
    }).pipe(Effect.provide(Layer.mergeAll(body, hourly).pipe(Layer.provideMerge(Testing.layer()))))
  })

  it.effect("takes a change of clocks as the zone has it", () => {
    const body = Job.toLayer(() => Effect.void)
    const schedules = Schedule.layer([
      Schedule.make("nightly", { workflow: Job, cron: "0 30 2 * * *", timeZone: "Europe/Berlin" }),
      Schedule.make("half-hourly", { workflow: Job, cron: "0 */30 * * * *", timeZone: "Europe/Berlin" })
    ])
    return Effect.gen(function*() {
      yield* Testing.setTime("2026-03-30T12:00:00Z")
      assert.deepStrictEqual(lines(yield* Testing.ledger("nightly")), [
        "2026-03-28T01:30:00.000Z Started",
        "2026-03-29T01:00:00.000Z Started",
        "2026-03-30T00:30:00.000Z Started"
      ])
      const autumn = { from: "2026-10-24T22:00:00Z", to: "2026-10-25T23:00:00Z" }
      yield* Testing.setTime("2026-10-26T00:00:00Z")
      assert.strictEqual((yield* Testing.ledger("half-hourly", autumn)).length, 50)
      assert.strictEqual((yield* Testing.ledger("nightly", autumn)).length, 1)
    }).pipe(
      Effect.provide(
        Layer.mergeAll(body, schedules).pipe(
          Layer.provideMerge(Testing.layer({ at: "2026-03-27T12:00:00Z" }))
        )
      )
    )
  })

  it.effect("stands still for promises and other real work, however short or slow, within its patience", () => {
    const Slow = Workflow.make("slow", { success: Schema.Array(Schema.String) })
    const real = Effect.promise(() => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve))))
    const body = Slow.toLayer(() =>
      Effect.gen(function*() {
        yield* Step.run("promise", Effect.promise(() => Promise.resolve().then(() => Promise.resolve())))
        const first = yield* now
        yield* Step.run("io", Effect.repeat(real, { times: 5 }).pipe(Effect.asVoid))
        const second = yield* now
        yield* Effect.sleep("1 second")
        yield* Step.run("more io", real)
        return [first, second, yield* now]
      })
    )
    return Effect.gen(function*() {
      const handle = yield* Slow.start()
      yield* Testing.advance("1 day")
      assert.deepStrictEqual(yield* handle.await, [
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:01.000Z"
      ])
    }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer())))
  })

  it.effect("passes over a body that waits for the test, and goes on", () => {
    const Waiting = Workflow.make("waiting")
    return Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const body = Waiting.toLayer(() => Step.run("wait", Deferred.await(gate)))
      yield* Effect.gen(function*() {
        const handle = yield* Waiting.start()
        yield* Testing.advance("1 hour")
        assert.strictEqual(yield* handle.status, "Running")
        yield* Deferred.succeed(gate, undefined)
        yield* Testing.until(handle.await)
        assert.strictEqual(yield* now, "2026-01-01T01:00:00.000Z")
      }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer({ patience: "5 millis" }))))
    })
  })

  it.effect("is TestClock's as well, and does not go back", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      yield* Effect.forkChild(Effect.forever(Effect.andThen(
        Effect.sleep("6 hours"),
        Effect.flatMap(now, (at) => Effect.sync(() => log.push(at.slice(11, 16))))
      )))
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(log, ["06:00", "12:00", "18:00", "00:00"])
      const exit = yield* Effect.exit(Testing.setTime("2026-01-01T12:00:00Z"))
      assert.strictEqual(exit._tag, "Failure")
      assert.strictEqual((yield* Effect.exit(Testing.until(Effect.never)))._tag, "Failure")
    }).pipe(Effect.provide(Testing.layer())))
})

describe("policies", () => {
  const overlapping = (overlap: Schedule.Overlap) =>
    Effect.gen(function*() {
      yield* Testing.setTime("2026-01-01T06:59:00Z")
      return lines(yield* Testing.ledger("hourly")).map((line) => line.slice(11, 16) + line.slice(24))
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Job.toLayer(() => Workflow.sleep("90 minutes")),
          Schedule.layer([Schedule.make("hourly", { workflow: Job, cron: "0 0 * * * *", overlap })])
        ).pipe(Layer.provideMerge(Testing.layer()))
      )
    )

  it.effect("skip every other tick of an hourly schedule whose runs take 90 minutes", () =>
    Effect.map(overlapping("skip"), (ticks) =>
      assert.deepStrictEqual(ticks, [
        "01:00 Started",
        "02:00 Overlapped",
        "03:00 Started",
        "04:00 Overlapped",
        "05:00 Started",
        "06:00 Overlapped"
      ])))

  it.effect("start what waited as soon as the run before it ends", () =>
    Effect.gen(function*() {
      yield* Testing.setTime("2026-01-01T05:00:00Z")
      const starts = (yield* Testing.runs("hourly")).map(({ createdAt }) => iso(createdAt).slice(11, 23))
      assert.deepStrictEqual(starts, ["01:00:00.000", "02:30:00.000", "04:00:00.000"])
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Job.toLayer(() => Workflow.sleep("90 minutes")),
          Schedule.layer([Schedule.make("hourly", { workflow: Job, cron: "0 0 * * * *", overlap: "bufferOne" })])
        ).pipe(Layer.provideMerge(Testing.layer()))
      )
    ))

  it.effect("tell a hook of a failure at the instant of the failure, however far the next tick is", () => {
    const told: Array<string> = []
    const Told = Workflow.make("told", { payload: Schedule.Event })
    return Effect.gen(function*() {
      yield* Testing.advance("40 days")
      assert.deepStrictEqual(told, ["2026-02-01T00:30:00.000Z failure"])
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Job.toLayer(() => Effect.andThen(Workflow.sleep("30 minutes"), Effect.die(new Error("no")))),
          Told.toLayer(({ event }) => Effect.flatMap(now, (at) => Effect.sync(() => told.push(`${at} ${event}`)))),
          Schedule.layer([Schedule.make("monthly", { workflow: Job, cron: "0 0 0 1 * *", onFailure: Told })])
        ).pipe(Layer.provideMerge(Testing.layer()))
      )
    )
  })
})

describe("a crash", () => {
  const Order = Workflow.make("order", { payload: Schema.String, success: Schema.String })

  /** Three steps with waits in between, and a note of who ran which of them when. */
  const orders = () => {
    const log: Array<string> = []
    const step = (name: string, order: string) =>
      Step.run(
        name,
        Effect.flatMap(now, (at) => Effect.sync(() => void log.push(`${at.slice(11, 19)} ${order} ${name}`)))
      )
    const body = Order.toLayer((order) =>
      Effect.gen(function*() {
        yield* step("charge", order)
        yield* Effect.sleep("10 seconds")
        yield* step("pack", order)
        yield* Effect.sleep("1 minute")
        yield* step("ship", order)
        return `${order} shipped`
      })
    )
    return { log, body }
  }

  it.effect("after the n-th step lets another worker continue, and no recorded step runs again", () => {
    const { body, log } = orders()
    return Effect.gen(function*() {
      yield* Testing.crashAfterStep(2)
      const order = yield* Order.start("A", { runId: "A" })
      assert.strictEqual(yield* Testing.until(order.await), "A shipped")
      assert.deepStrictEqual(log, ["00:00:00 A charge", "00:00:10 A pack", "00:01:22 A ship"])
      const [crash] = yield* Testing.crashes
      assert.deepInclude(crash, { runId: "A", workflow: "order", step: "pack" })
      const { attempt, owner } = yield* order.info
      assert.strictEqual(attempt, 2)
      assert.notStrictEqual(owner, crash!.worker)
    }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer({ workers: 2 }))))
  })

  it.effect("takes everything with it that the worker had under way, and nothing that another one had", () => {
    const { body, log } = orders()
    return Effect.gen(function*() {
      yield* Testing.crashAfterStep({ workflow: Order, step: "pack" })
      const a = yield* Order.start("A")
      yield* Testing.advance("1 second")
      const b = yield* Order.start("B")
      yield* Testing.until(Effect.all([a.await, b.await]))
      assert.deepStrictEqual(log, [
        "00:00:00 A charge",
        "00:00:01 B charge",
        "00:00:10 A pack",
        // B lived on the same worker. A sleep that is not durable begins anew on the other one.
        "00:00:22 B pack",
        "00:01:22 A ship",
        "00:01:22 B ship"
      ])
    }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer({ workers: 2 }))))
  })

  it.effect("of the last worker starts a new one, as often as it happens", () => {
    const { body, log } = orders()
    return Effect.gen(function*() {
      for (let n = 1; n <= 3; n++) yield* Testing.crashAfterStep(n)
      const order = yield* Order.start("A")
      assert.strictEqual(yield* Testing.until(order.await), "A shipped")
      assert.deepStrictEqual(log.map((line) => line.slice(9)), ["A charge", "A pack", "A ship"])
      assert.strictEqual((yield* Testing.crashes).length, 3)
      assert.strictEqual((yield* order.info).attempt, 4)
    }).pipe(Effect.provide(Layer.provideMerge(body, Testing.layer())))
  })

  it.effect("keeps no tick from running", () => {
    const ran: Array<string> = []
    const body = Job.toLayer(({ scheduledAt }) =>
      Step.run("work", Effect.sync(() => void ran.push(DateTime.formatIso(scheduledAt).slice(11, 16))))
    )
    const hourly = Schedule.layer([Schedule.make("hourly", { workflow: Job, cron: "0 0 * * * *" })])
    return Effect.gen(function*() {
      yield* Testing.crashAfterStep(2)
      yield* Testing.advance("1 hour")
      yield* Testing.crashAfterStep(2)
      yield* Testing.advance("4 hours")
      assert.deepStrictEqual(ran, ["01:00", "02:00", "03:00", "04:00", "05:00"])
      const runs = yield* Testing.runs("hourly")
      assert.deepStrictEqual(runs.map(({ attempt, status }) => [status, attempt]), [
        ["Succeeded", 1],
        ["Succeeded", 2],
        ["Succeeded", 2],
        ["Succeeded", 1],
        ["Succeeded", 1]
      ])
    }).pipe(Effect.provide(Layer.mergeAll(body, hourly).pipe(Layer.provideMerge(Testing.layer({ workers: 2 })))))
  })
})

// ── a year ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"] as const
const crons = ["0 0 * * * *", "0 30 */6 * * *", "0 30 2 * * *", "0 0 9 L * *"] as const
const year = { from: Date.UTC(2026, 0), to: Date.UTC(2027, 0) }

/** Hourly, six-hourly, daily and monthly, each in five zones, each zone with other policies. */
const policies = [
  {},
  { overlap: "bufferOne" },
  { jitter: "10 minutes" },
  { catchUp: "all", overlap: "skip" },
  { pauseAfterFailures: 5 }
] as const satisfies ReadonlyArray<Schedule.PolicyOptions>

const twenty = crons.flatMap((cron, row) =>
  zones.map((timeZone, column) => ({ name: `s${row}-${column}`, cron, timeZone, policies: policies[column]! }))
)

const expected = (cron: string, timeZone: string) =>
  Array.from(
    Cron.occurrences(Cron.parseUnsafe(cron as "0 * * * * *", { timeZone }), { from: year.from + 1, to: year.to + 1 })
  )

it.effect("a simulated year of twenty schedules starts every tick there is, once and in order", () => {
  let bodies = 0
  const latest = new Map<string, number>()
  const late: Array<string> = []
  const body = Job.toLayer(({ scheduledAt }) =>
    Effect.gen(function*() {
      bodies++
      const schedule = yield* scheduleName
      const tick = DateTime.toEpochMillis(scheduledAt)
      assert.isAbove(tick, latest.get(schedule) ?? 0)
      latest.set(schedule, tick)
      const at = yield* Clock.currentTimeMillis
      if (at !== tick && !schedule.endsWith("-2")) late.push(`${schedule} ${iso(at)}`)
    })
  )
  const schedules = Schedule.layer(
    twenty.map(({ cron, name, policies, timeZone }) =>
      Schedule.make(name, { workflow: Job, cron, timeZone, ...policies })
    )
  )
  return Effect.gen(function*() {
    const began = yield* TestClock.withLive(Clock.currentTimeMillis)
    yield* Testing.setTime("2027-01-01T00:15:00Z")
    const millis = (yield* TestClock.withLive(Clock.currentTimeMillis)) - began
    let ticks = 0
    for (const { cron, name, timeZone } of twenty) {
      const answers = yield* Testing.ledger(name, { from: year.from, to: year.to + 1 })
      assert.deepStrictEqual(answers.map(({ tick }) => DateTime.toEpochMillis(tick)), expected(cron, timeZone), name)
      assert.isTrue(
        answers.every(({ decision }) => decision._tag === "Started" && decision.status === "Succeeded"),
        name
      )
      ticks += answers.length
    }
    assert.deepStrictEqual(late, [])
    assert.strictEqual(bodies, ticks)
    yield* TestClock.withLive(Effect.sync(() => process.stdout.write(`a year of ${ticks} ticks: ${millis} ms\n`)))
  }).pipe(
    Effect.provide(
      Layer.mergeAll(body, schedules).pipe(Layer.provideMerge(Testing.layer({ at: "2026-01-01T00:00:00Z" })))
    )
  )
}, 120_000)

it.effect("the same seed gives the same ledger and the same runs, and another seed does not", () => {
  const world = (seed: string) => {
    const body = Job.toLayer(() =>
      Effect.gen(function*() {
        const dice = yield* Step.run("dice", Random.next, { success: Schema.Number })
        yield* Workflow.sleep(`${Math.floor(dice * 120)} minutes`)
        yield* Step.run("flaky", dice < 0.3 ? Effect.fail("no") : Effect.void, {
          error: Schema.String,
          retry: Step.backoff({ times: 2 })
        }).pipe(Effect.orDie)
        return yield* Effect.asVoid(Workflow.uuid)
      })
    )
    const schedules = Schedule.layer([
      Schedule.make("a", { workflow: Job, cron: "0 0 * * * *", overlap: "skip" }),
      Schedule.make("b", { workflow: Job, cron: "0 0 */2 * * *", jitter: "30 minutes", pauseAfterFailures: 3 })
    ])
    return Effect.gen(function*() {
      yield* Testing.crashAfterStep(7)
      yield* Testing.advance("5 days")
      return {
        ledger: [...(yield* Testing.ledger("a")), ...(yield* Testing.ledger("b"))],
        runs: [...(yield* Testing.runs("a")), ...(yield* Testing.runs("b"))]
      }
    }).pipe(
      Effect.provide(Layer.fresh(
        Layer.mergeAll(body, schedules).pipe(Layer.provideMerge(Testing.layer({ seed, workers: 2 })))
      ))
    )
  }
  return Effect.gen(function*() {
    const first = yield* world("one")
    assert.deepStrictEqual(yield* world("one"), first)
    assert.notDeepEqual(yield* world("two"), first)
    assert.isAbove(first.ledger.length, 100)
  })
})
