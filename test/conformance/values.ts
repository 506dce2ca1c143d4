/** Values, names and instants: what goes in comes out, and what is too large is refused before anything is written. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { defaultMaxValueBytes } from "../../src/internal/seal.ts"
import { Interceptor, type ScheduleContent } from "../../src/SystemDb.ts"
import { type Declare, fixture, minute, noOptions, refused, t0 } from "./fixture.ts"

/** JSON texts that a column, a driver or a well-meaning parser may spoil. */
const texts: Readonly<Record<string, string>> = {
  null: "null",
  "the empty string": "\"\"",
  "the escaped NUL character": "\"a\\u0000b\"",
  "an escaped lone surrogate": "\"\\ud800 and \\udfff\"",
  "characters of every plane": "\"\u00E4 \u4E2D \u{1F600} \u2028 \uFEFF \uFFFF\"",
  "white space and the order of keys": " { \"b\" : 1 ,\n\t\"a\" : [ ] , \"b\" : 2 } ",
  "numbers no double holds": "[12345678901234567890, 1.10, 1e400, -0, 0.1e-400]",
  "quotes and backslashes": "\"'\\\"\\\\ \\\\u0041 ' -- /* $1 ? :a {x,y} \\n %s\"",
  "1 MB": JSON.stringify("0123456789abcd\u00E4".repeat(62_500)),
  "deep nesting": `${"[".repeat(1_000)}{"a":1}${"]".repeat(1_000)}`
}

/** Names that a query, an array literal or a collation may spoil. */
const names = [
  "'; drop table run; --",
  "\"quoted\"",
  "back\\slash",
  "{a,b}",
  "NULL",
  "$1 ? :a",
  "100% _ *",
  " spaces ",
  "line\nbreak\ttab\r",
  "\u{1F469}\u200D\u{1F680}",
  "\u00E9",
  "e\u0301",
  "\u05D0\u0627",
  "CASE",
  "case",
  "x".repeat(400)
]

const lossless = (test: Declare) => {
  for (const [which, text] of Object.entries(texts)) {
    test(
      `values keep ${which} wherever they are stored`,
      Effect.gen(function*() {
        const { claim, db, firing, name, newRun, newSchedule, newStep, put, run, schedule, tick, trigger, worker } =
          yield* fixture
        const owner = yield* worker()
        yield* db.start(newRun("r", { payload: text }))
        const claimed = yield* claim(owner)
        assert.strictEqual(claimed.runs[0]?.run.payload, text)

        const held = { runId: name("r"), worker: owner, epoch: 1 }
        yield* db.recordStep(held, newStep("s", { outcome: text, errors: `[${text}]` }))
        const [step] = yield* db.listSteps(name("r"))
        assert.deepStrictEqual([step?.outcome, step?.errors], [text, `[${text}]`])
        yield* db.finish(held, { status: "Succeeded", outcome: text })
        const ended = yield* run("r")
        assert.deepStrictEqual([ended.payload, ended.outcome], [text, text])

        const stored = { context: text, policies: text, timing: text, state: text, jsonSchema: text, note: text }
        yield* put(newSchedule("created", stored))
        yield* put(newSchedule("applied"))
        yield* put(newSchedule("applied", stored))
        for (const suffix of ["created", "applied"]) {
          const { context, jsonSchema, note, policies, state, timing } = yield* schedule(suffix)
          assert.deepStrictEqual({ context, jsonSchema, note, policies, state, timing }, stored)
        }
        const payload = `{"scheduledAt":"at 1","context":${text}}`
        const { fired } = yield* db.fire([yield* firing("created", { ticks: [tick("fired", 1)] })], null)
        assert.isTrue(fired[0]?._tag === "Fired" && fired[0].runs[0]?.payload === payload)
        yield* db.enqueueTicks(name("created"), [tick("enqueued", 1)], noOptions)
        yield* trigger("applied", tick("own", 1))
        yield* trigger("applied", tick("given", 1), { context: text })
        for (const suffix of ["fired", "enqueued", "own", "given"]) {
          assert.strictEqual((yield* run(suffix)).payload, payload)
        }
      })
    )
  }

  test(
    "ids and names are kept to the character, and two that differ in any are two",
    Effect.gen(function*() {
      const { db, name, newRun, newSchedule, newStep, owned, put, run, schedule, worker } = yield* fixture
      const owner = yield* worker()
      yield* put(...names.map((suffix) => newSchedule(suffix)))
      yield* Effect.forEach(
        names,
        (suffix) =>
          db.start(newRun(suffix, { workflow: name(suffix), parent: suffix, payload: JSON.stringify(suffix) })),
        {
          concurrency: "unbounded"
        }
      )
      const held = yield* owned("steps", owner)
      for (const [i, suffix] of names.entries()) {
        yield* db.recordStep(held, newStep(suffix, { key: suffix, outcome: `${i}` }))
      }
      for (const suffix of names) {
        const { id, parent, payload, workflow } = yield* run(suffix)
        assert.deepStrictEqual([id, workflow, parent, payload], [
          name(suffix),
          name(suffix),
          suffix,
          JSON.stringify(suffix)
        ])
        assert.strictEqual((yield* schedule(suffix)).name, name(suffix))
        const listed = yield* db.listRuns({ workflow: [name(suffix)] }, { limit: 9, after: null })
        assert.deepStrictEqual(listed.map((run) => run.id), [name(suffix)])
        const prefixed = yield* db.listSchedules({ namePrefix: [name(suffix)] }, { limit: 1, after: null })
        assert.deepStrictEqual(prefixed.map((schedule) => schedule.name), [name(suffix)])
      }
      const steps = yield* db.listSteps(held.runId)
      assert.deepStrictEqual(
        steps.map((step) => [step.name, step.key, step.outcome]),
        names.map((suffix, i) => [suffix, suffix, `${i}`])
      )
      const { runs } = yield* db.claim({ worker: owner, limit: 99, workflows: names.map(name) })
      assert.strictEqual(runs.length, names.length)
    })
  )

  test(
    "instants are kept to the millisecond, from long ago to far ahead",
    Effect.gen(function*() {
      const { db, name, newSchedule, newStep, owned, put, run, schedule, tick, worker } = yield* fixture
      const owner = yield* worker()
      for (const [i, at] of [-62_135_596_800_000, -1, 0, 1, t0 + 1, 253_402_300_799_999].entries()) {
        const held = yield* owned(`r${i}`, owner)
        yield* db.recordStep(held, newStep("s", { wakeAt: at, startedAt: at }))
        const [step] = yield* db.listSteps(held.runId)
        assert.deepStrictEqual([step?.wakeAt, step?.startedAt], [at, at])
        yield* db.suspend(held, at)
        assert.strictEqual((yield* run(`r${i}`)).wakeAt, at)
        yield* put(newSchedule(`s${i}`, { nextAt: at }))
        assert.strictEqual((yield* schedule(`s${i}`)).nextAt, at)
        yield* db.enqueueTicks(name(`s${i}`), [tick(`t${i}`, at)], noOptions)
        assert.strictEqual((yield* run(`t${i}`)).tick, at)
      }
    })
  )
}

const limited = (test: Declare) => {
  const largest = JSON.stringify("x".repeat(defaultMaxValueBytes - 2))
  const tooLarge = JSON.stringify("x".repeat(defaultMaxValueBytes - 1))

  test(
    "a value of just the largest size is stored",
    Effect.gen(function*() {
      const { db, newRun, run } = yield* fixture
      yield* db.start(newRun("r", { payload: largest }))
      assert.isTrue((yield* run("r")).payload === largest)
    })
  )

  test(
    "the size of a value is counted in bytes of UTF-8",
    Effect.gen(function*() {
      const { db, newRun } = yield* fixture
      const units = Math.ceil(defaultMaxValueBytes / 3)
      const { bytes, limit } = yield* refused(
        db.start(newRun("r", { payload: JSON.stringify("\u4E2D".repeat(units)) })),
        "ValueTooLarge"
      )
      assert.deepStrictEqual([bytes, limit], [units * 3 + 2, defaultMaxValueBytes])
    })
  )

  test(
    "a value that is too large is refused wherever it is given, and nothing is written",
    Effect.gen(function*() {
      const { db, name, newChange, newRun, newSchedule, newStep, owned, put, run, schedule, tick, trigger, worker } =
        yield* fixture
      const created = (suffix: string, changes: Partial<ScheduleContent>) => ({
        name: name(suffix),
        turn: null,
        content: newSchedule(suffix, changes)
      })
      const held = yield* owned("held", yield* worker())
      yield* put(newSchedule("s"))
      const before = { run: yield* run("held"), schedule: yield* schedule("s") }
      const calls = [
        db.start(newRun("r", { payload: tooLarge })),
        db.recordStep(held, newStep("s", { outcome: tooLarge })),
        db.recordStep(held, newStep("s", { errors: tooLarge })),
        db.recordStepInTransaction(held, newStep("s", { outcome: tooLarge })),
        db.finish(held, { status: "Failed", outcome: tooLarge }),
        trigger("s", tick("r", t0), { context: tooLarge }),
        ...(["context", "timing", "policies", "jsonSchema", "labels", "state", "note"] as const).map((field) =>
          db.changeSchedules(
            newChange({ schedules: [created("created", {}), created("applied", { [field]: tooLarge })] })
          )
        ),
        db.changeSchedules(newChange({
          schedules: [created("created", {})],
          controls: [{ key: name("c"), turn: null, value: tooLarge }]
        })),
        db.changeSchedules(newChange({
          schedules: [created("created", {})],
          triggers: [{ ...noOptions, schedule: name("created"), run: tick("r", t0), context: tooLarge }]
        }))
      ] as const
      for (const call of calls) {
        const refusal = yield* refused(Effect.asVoid<any, any, never>(call), "ValueTooLarge")
        assert.deepStrictEqual([refusal.bytes, refusal.limit], [defaultMaxValueBytes + 1, defaultMaxValueBytes])
        assert.isTrue(refusal.field.length > 0)
      }
      assert.isTrue(Option.isNone(yield* db.findRun(name("r"))))
      for (const suffix of ["created", "applied"]) {
        assert.isTrue(Option.isNone(yield* db.findSchedule(name(suffix))))
      }
      assert.isTrue(Option.isNone(yield* db.findControl(name("c"))))
      assert.deepStrictEqual(yield* db.listSteps(held.runId), [])
      assert.deepStrictEqual({ run: yield* run("held"), schedule: yield* schedule("s") }, before)
      yield* db.finish(held, { status: "Failed", outcome: "\"too large\"" })
    })
  )
}

const intercepted = (test: Declare) => {
  test(
    "every call passes the interceptor, which may stop it before anything is written",
    Effect.gen(function*() {
      const { db, firing, name, newAudit, newChange, newRun, newSchedule, newStep, owned, put, tick, trigger, worker } =
        yield* fixture
      const owner = yield* worker()
      const held = yield* owned("held", owner)
      yield* put(newSchedule("s"))
      const page = { limit: 1, after: null }
      const calls: Record<string, Effect.Effect<unknown, unknown, any>> = {
        now: db.now,
        start: db.start(newRun("r")),
        claim: db.claim({ worker: owner, limit: 1, workflows: [name("flow")] }),
        findRun: db.findRun(name("r")),
        awaitRun: db.awaitRun(name("r")),
        listRuns: db.listRuns({}, page),
        listSteps: db.listSteps(name("r")),
        cancel: db.cancel(held.runId, null),
        recordStep: db.recordStep(held, newStep("s")),
        recordStepInTransaction: db.recordStepInTransaction(held, newStep("s")),
        finish: db.finish(held, { status: "Failed", outcome: "1" }),
        suspend: db.suspend(held, t0),
        registerWorker: worker(),
        pulse: db.pulse({ worker: owner, leaseMillis: minute, suspects: [] }),
        isolate: db.isolate(held, true),
        release: db.release([held]),
        reconcile: db.reconcile({ worker: owner, held: [] }),
        ownWorkflow: db.ownWorkflow({ workflow: name("own"), application: name("app"), formerly: [] }),
        setBodies: db.setBodies(owner, []),
        listBodies: db.listBodies,
        listUnattended: db.listUnattended(minute),
        findSchedule: db.findSchedule(name("s")),
        findSchedules: db.findSchedules([name("s")]),
        listSchedules: db.listSchedules({}, page),
        findControl: db.findControl("freeze"),
        changeSchedules: db.changeSchedules(
          newChange({ schedules: [{ name: name("new"), turn: null, content: newSchedule("new") }] })
        ),
        listAudits: db.listAudits(name("s"), page),
        dueSchedules: db.dueSchedules(minute),
        fire: db.fire([yield* firing("s")], null),
        enqueueTicks: db.enqueueTicks(name("s"), [tick("r", t0)], noOptions),
        triggerSchedule: trigger("s", tick("r", t0), { owner }),
        listHistory: db.listHistory({ schedule: name("s"), from: null, to: null, newestFirst: true }, page),
        findDecisions: db.findDecisions(name("s"), t0),
        findPrevious: db.findPrevious(held.runId),
        prune: db.prune({ runsBefore: null, runsKept: null, entriesBefore: null, entriesKept: null, limit: 1 }),
        createBackfill: db.createBackfill({
          id: name("new"),
          schedule: name("s"),
          from: 0,
          to: 1,
          newestFirst: false,
          concurrency: 1,
          rerun: false,
          context: null,
          planned: null
        }, newAudit()),
        findBackfill: db.findBackfill(name("new")),
        listBackfills: db.listBackfills(null, page),
        changeBackfill: db.changeBackfill({ id: name("new"), turn: 1, status: "Paused", audit: newAudit() }),
        dueBackfills: db.dueBackfills(1),
        advanceBackfill: db.advanceBackfill({
          id: name("new"),
          turn: 1,
          ticks: [],
          cursor: null,
          done: false,
          ...noOptions
        })
      }
      assert.deepStrictEqual(
        Object.keys(db).filter((method) => !["hints", "exclusive", "joined"].includes(method)).sort(),
        Object.keys(calls).sort()
      )
      const state = Effect.all([db.findRun(held.runId), db.findSchedule(name("s"))])
      const before = yield* state
      for (const [method, call] of Object.entries(calls)) {
        const stopped = Effect.provideService(
          call,
          Interceptor,
          (called, _call) => Effect.die(`stopped ${called}`)
        )
        const defect = yield* Effect.flip(Effect.sandbox(stopped as Effect.Effect<unknown, unknown>))
        assert.deepStrictEqual(
          defect.reasons.map((reason) => reason._tag === "Die" ? reason.defect : reason._tag),
          [`stopped ${method}`]
        )
      }
      assert.deepStrictEqual(yield* state, before)
      for (const id of ["r", "new"]) {
        assert.isTrue(Option.isNone(yield* db.findRun(name(id))))
        assert.isTrue(Option.isNone(yield* db.findSchedule(name(id))))
      }
    })
  )
}

export const values = (test: Declare) => {
  lossless(test)
  limited(test)
  intercepted(test)
}
