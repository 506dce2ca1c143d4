/** Bodies: whose a workflow is, what live workers can execute, and what nobody can. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { type Declare, fixture, minute, second, t0 } from "./fixture.ts"

const owning = (test: Declare) => {
  test(
    "a workflow belongs to the application that first had a body for it, whoever comes later",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      const own = (workflow: string, application: string, formerly: ReadonlyArray<string> = []) =>
        db.ownWorkflow({ workflow: name(workflow), application, formerly })
      assert.strictEqual(yield* own("report", "shop"), "shop")
      assert.strictEqual(yield* own("report", "billing"), "shop")
      assert.strictEqual(yield* own("report", "billing", ["billings", "stores"]), "shop")
      assert.strictEqual(yield* own("invoice", "billing"), "billing")
      assert.strictEqual(yield* own("report", "shop"), "shop")
    })
  )

  test(
    "of applications that bring a body at one moment one gets the workflow, and the others learn which",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      const applications = ["a", "b", "c", "d", "e", "f"]
      const owners = yield* Effect.forEach(
        applications,
        (application) => db.ownWorkflow({ workflow: name("report"), application, formerly: [] }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(owners).size, 1)
      assert.include(applications, owners[0])
    })
  )

  test(
    "an application that has another name now takes the workflows of the former one along",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      const own = (application: string, formerly: ReadonlyArray<string> = []) =>
        db.ownWorkflow({ workflow: name("report"), application, formerly })
      yield* own("reports")
      assert.strictEqual(yield* own("reporting", ["reports"]), "reporting")
      assert.strictEqual(yield* own("reports"), "reporting")
    })
  )
}

const attending = (test: Declare) => {
  test(
    "live workers' bodies are listed, as they were set last; of a worker that does not say nothing is known",
    Effect.gen(function*() {
      const { db, name } = yield* fixture
      const registered = (workflows: ReadonlyArray<string> | undefined, leaseMillis = minute) =>
        db.registerWorker({ application: name("app"), leaseMillis, workflows })
      const one = yield* registered([])
      yield* registered([name("b"), name("c")], second)
      assert.deepStrictEqual(yield* db.listBodies, [name("b"), name("c")])
      yield* db.setBodies(one, [name("b"), name("a")])
      yield* db.setBodies("nobody", [name("d")])
      assert.deepStrictEqual(yield* db.listBodies, [name("a"), name("b"), name("c")])
      yield* TestClock.adjust(second + 1)
      assert.deepStrictEqual(yield* db.listBodies, [name("a"), name("b")])
      const scope = yield* Scope.make()
      yield* Scope.provide(registered(undefined), scope)
      assert.strictEqual(yield* db.listBodies, null)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* db.listBodies, [name("a"), name("b")])
    })
  )

  test(
    "runs that have been due for the grace and that no live worker can execute are told of by workflow",
    Effect.gen(function*() {
      const { db, name, newRun, owned } = yield* fixture
      const start = (id: string, workflow: string, delayMillis: number | null = null) =>
        db.start({ ...newRun(id), workflow: name(workflow), delayMillis })
      const unattended = Effect.map(
        db.listUnattended(minute),
        (all) => all.filter(({ workflow }) => workflow.startsWith(name("")))
      )
      const worker = yield* db.registerWorker({
        application: name("app"),
        leaseMillis: 10 * minute,
        workflows: [name("known")]
      })
      yield* start("late", "b", 5 * second)
      yield* start("first", "b")
      yield* start("one", "a")
      yield* start("later", "a", 10 * minute)
      yield* start("attended", "known")
      yield* db.cancel(name("one"), null)
      yield* start("two", "a", second)
      yield* db.suspend(yield* owned("asleep", worker, { workflow: name("c") }), t0 + second)
      yield* owned("running", worker, { workflow: name("d") })
      assert.deepStrictEqual(yield* unattended, [])
      yield* TestClock.adjust(minute + 10 * second)
      assert.deepStrictEqual(yield* unattended, [
        { workflow: name("a"), runs: 1, since: t0 + second },
        { workflow: name("b"), runs: 2, since: t0 },
        { workflow: name("c"), runs: 1, since: t0 + second }
      ])
      yield* db.setBodies(worker, [name("known"), name("b")])
      assert.deepStrictEqual((yield* unattended).map(({ workflow }) => workflow), [name("a"), name("c")])
      // Whoever lived in the grace may be just restarting, and who does not say may have any body.
      yield* TestClock.adjust(9 * minute)
      assert.deepStrictEqual((yield* unattended).map(({ workflow }) => workflow), [name("a"), name("c")])
      yield* TestClock.adjust(minute)
      assert.include((yield* unattended).map(({ workflow }) => workflow), name("known"))
      yield* db.registerWorker({ application: name("old"), leaseMillis: minute })
      assert.deepStrictEqual(yield* unattended, [])
    })
  )

  test(
    "of many runs that nobody can execute a thousand are counted",
    Effect.gen(function*() {
      const { db, newRun } = yield* fixture
      const { workflow } = newRun("0")
      yield* Effect.forEach(Array.from({ length: 1_005 }, (_, n) => n), (n) => db.start(newRun(`${n}`)), {
        concurrency: "unbounded"
      })
      yield* TestClock.adjust(minute)
      const found = (yield* db.listUnattended(minute)).filter((found) => found.workflow === workflow)
      assert.deepStrictEqual(found, [{ workflow, runs: 1_000, since: t0 }])
    })
  )
}

export const bodies = (test: Declare) => {
  owning(test)
  attending(test)
}
