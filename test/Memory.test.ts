import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { crash } from "../src/internal/memory/store.ts"
import * as Memory from "../src/Memory.ts"
import { SystemDb } from "../src/SystemDb.ts"
import { fixture, minute, refused, second, t0 } from "./conformance/fixture.ts"
import { suite } from "./conformance/suite.ts"

suite("Memory", Memory.layer)
suite("Memory without hints", Memory.layerWith({ hints: false }), { hints: false })

it.effect("a worker whose lock is missing is suspected at once and found dead by the pulse after", () =>
  Effect.gen(function*() {
    const { db, owned, pulse, run, worker } = yield* fixture
    const [dying, other] = [yield* worker(), yield* worker()]
    yield* owned("r", dying)
    yield* crash(db, dying)
    const suspects = [{ worker: dying, renewedAt: t0 }]
    const suspecting = { alive: true, suspects, recovered: 0, dead: [] }
    assert.deepStrictEqual(yield* pulse(other), suspecting)
    assert.deepStrictEqual(yield* pulse(other), suspecting)
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* pulse(other, { suspects }), { alive: true, suspects: [], recovered: 1, dead: [] })
    const { attempt, owner, status, wakeAt } = yield* run("r")
    assert.deepStrictEqual({ attempt, owner, status, wakeAt }, {
      attempt: 2,
      owner: null,
      status: "Enqueued",
      wakeAt: t0 + second
    })
    assert.isFalse((yield* pulse(dying)).alive)
  }).pipe(Effect.provide(Memory.layer)))

it.effect("a suspect that has renewed its lease meanwhile is only suspected again", () =>
  Effect.gen(function*() {
    const { db, owned, pulse, run, worker } = yield* fixture
    const [suspected, other] = [yield* worker(), yield* worker()]
    yield* owned("r", suspected)
    yield* crash(db, suspected)
    const { suspects } = yield* pulse(other)
    yield* TestClock.adjust("1 second")
    assert.isTrue((yield* pulse(suspected)).alive)
    const { recovered, suspects: again } = yield* pulse(other, { suspects })
    assert.deepStrictEqual([recovered, again], [0, [{ worker: suspected, renewedAt: t0 + second }]])
    assert.strictEqual((yield* run("r")).owner, suspected)
  }).pipe(Effect.provide(Memory.layer)))

it.effect("a crashed worker hands nothing back when its scope closes", () =>
  Effect.gen(function*() {
    const { db, owned, pulse, run, worker } = yield* fixture
    const other = yield* worker(1_000_000)
    yield* Effect.scoped(Effect.gen(function*() {
      const dying = yield* worker(minute)
      yield* owned("r", dying)
      yield* crash(db, dying)
    }))
    assert.strictEqual((yield* run("r")).status, "Running")
    yield* TestClock.adjust("2 minutes")
    assert.strictEqual((yield* pulse(other)).recovered, 1)
  }).pipe(Effect.provide(Memory.layer)))

it.effect("a store without hints publishes none, and says that it must be polled", () =>
  Effect.gen(function*() {
    const { db, name, newRun, newSchedule, put } = yield* fixture
    const heard: Array<unknown> = []
    yield* Effect.forkScoped(Stream.runForEach(db.hints, (hint) => Effect.sync(() => heard.push(hint))), {
      startImmediately: true
    })
    yield* db.start(newRun("r"))
    yield* db.cancel(name("r"), null)
    yield* put(newSchedule("s"))
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(heard, [])
    assert.isFalse(db.exclusive)
  }).pipe(Effect.provide(Memory.layerWith({ hints: false }))))

it.effect("maxValueBytes limits every value", () =>
  Effect.gen(function*() {
    const { db, name, newRun } = yield* fixture
    yield* db.start(newRun("small", { payload: "12345678" }))
    const { bytes, limit } = yield* refused(db.start(newRun("large", { payload: "123456789" })), "ValueTooLarge")
    assert.deepStrictEqual([bytes, limit], [9, 8])
    assert.isTrue(Option.isNone(yield* db.findRun(name("large"))))
  }).pipe(Effect.provide(Memory.layerWith({ maxValueBytes: 8 }))))

it.effect("each build of the layer is an empty store that no other process reaches", () =>
  Effect.gen(function*() {
    const one = yield* fixture.pipe(Effect.tap(({ db, newRun }) => db.start(newRun("r"))), Effect.provide(Memory.layer))
    const found = SystemDb.use((db) => db.findRun(one.name("r")))
    assert.isTrue(Option.isNone(yield* Effect.provide(found, Memory.layer)))
    assert.isTrue(one.db.exclusive)
  }))
