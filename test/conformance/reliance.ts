/** Retention beside live runs: what a replay may start again is kept, and what it cannot reach goes. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { type Declare, lease, minute, second, t0 } from "./fixture.ts"
import { pruning } from "./ledger.ts"

const day = 24 * 60 * minute
const succeeded = { status: "Succeeded", outcome: "1" } as const

/** A worker whose runs end at once, and what is left when everything until now is too old. */
const relying = Effect.gen(function*() {
  const f = yield* pruning
  const owner = yield* f.worker(30 * day)
  const ended = (suffix: string, parent: string | null = null) =>
    Effect.flatMap(
      f.owned(suffix, owner, { parent: parent === null ? null : f.name(parent) }),
      (held) => f.db.finish(held, succeeded)
    )
  /** Starts an id that is there already in the body of this run. */
  const relies = (parent: string, suffix: string) =>
    Effect.map(
      f.db.start(f.newRun(suffix, { parent: f.name(parent) })),
      ({ created }) => assert.isFalse(created, suffix)
    )
  const left = Effect.gen(function*() {
    yield* TestClock.adjust("1 second")
    yield* f.pruneAll({ runsBefore: yield* f.db.now })
    return yield* f.suffixes
  })
  return { ...f, owner, ended, relies, left }
})

export const reliances = (test: Declare) => {
  test(
    "a run is not pruned as long as the run lives that it was started in; with that one it goes",
    Effect.gen(function*() {
      const { db, ended, left, owned, owner, run } = yield* relying
      const parent = yield* owned("parent", owner)
      yield* ended("child", "parent")
      yield* ended("grandchild", "child")
      yield* ended("other")
      // Who has ended is not replayed, so nobody will start the grandchild again.
      assert.deepStrictEqual(yield* left, ["child", "parent"])
      yield* db.suspend(parent, t0)
      assert.deepStrictEqual(yield* left, ["child", "parent"])
      yield* db.cancel((yield* run("parent")).id, null)
      assert.deepStrictEqual(yield* left, [])
    })
  )

  test(
    "a run is not pruned as long as a run lives that was given it because its id existed, whoever had started it",
    Effect.gen(function*() {
      const { db, ended, left, name, owned, owner, relies } = yield* relying
      const one = yield* owned("one", owner)
      const another = yield* owned("another", owner)
      yield* ended("of nobody")
      yield* ended("gone", "one")
      yield* ended("of another", "gone")
      for (const suffix of ["of nobody", "of another"]) yield* relies("one", suffix)
      yield* relies("one", "of nobody")
      yield* relies("another", "of nobody")
      // One that has not ended is kept too, once it has.
      const late = yield* owned("late", owner)
      yield* relies("another", "late")
      yield* db.finish(late, succeeded)
      assert.deepStrictEqual(yield* left, ["another", "gone", "late", "of another", "of nobody", "one"])
      yield* db.finish(one, succeeded)
      assert.deepStrictEqual(yield* left, ["another", "late", "of nobody"])
      yield* db.finish(another, succeeded)
      assert.deepStrictEqual(yield* left, [])
      // Nothing is left of what was relied on: a new run of that id goes like any other.
      yield* ended("of nobody")
      yield* owned("one", owner)
      assert.deepStrictEqual(yield* left, ["one"])
      yield* db.cancel(name("one"), null)
    })
  )

  test(
    "a run of another workflow that has the id is not kept for whoever was refused it",
    Effect.gen(function*() {
      const { db, ended, left, name, newRun, owned, owner } = yield* relying
      yield* owned("parent", owner)
      yield* ended("r")
      yield* Effect.flip(db.start(newRun("r", { workflow: name("other"), parent: name("parent") })))
      assert.deepStrictEqual(yield* left, ["parent"])
    })
  )

  test(
    "the runs of a schedule that live runs rely on are kept beyond its count, and beside it",
    Effect.gen(function*() {
      const { db, enqueue, name, owned, owner, pruneAll, relies, suffixes } = yield* relying
      const parent = yield* owned("parent", owner)
      yield* enqueue({ a: 1, b: 2, c: 3, d: 4 })
      for (const suffix of ["a", "b", "c", "d"]) yield* db.cancel(name(suffix), null)
      yield* relies("parent", "a")
      assert.deepStrictEqual(yield* pruneAll({ runsKept: 2 }), { runs: 1, entries: 0 })
      assert.deepStrictEqual(yield* suffixes, ["a", "c", "d", "parent"])
      yield* TestClock.adjust("1 second")
      yield* pruneAll({ runsBefore: t0 - 10 * day + second, runsKept: 2 })
      assert.deepStrictEqual(yield* suffixes, ["a", "parent"])
      yield* db.finish(parent, succeeded)
      yield* pruneAll({ runsKept: 0 })
      assert.deepStrictEqual(yield* suffixes, ["parent"])
    })
  )

  test(
    "a run that was claimed again is the one that is relied on, until it has ended",
    Effect.gen(function*() {
      const { claim, db, ended, left, owned, owner, relies, run } = yield* relying
      yield* db.release([yield* owned("parent", owner)])
      yield* ended("r")
      yield* relies("parent", "r")
      yield* claim(owner)
      assert.deepStrictEqual(yield* left, ["parent", "r"])
      yield* db.finish(lease(yield* run("parent")), succeeded)
      assert.deepStrictEqual(yield* left, [])
    })
  )
}
