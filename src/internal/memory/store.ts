/** The memory store, put together; and the ways a test reaches behind it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type { Hint, SystemDb } from "../../SystemDb.ts"
import { seal } from "../seal.ts"
import * as Backfills from "./backfills.ts"
import * as Bodies from "./bodies.ts"
import * as Firing from "./firing.ts"
import * as Leased from "./leased.ts"
import * as Ledger from "./ledger.ts"
import type { Locks } from "./locks.ts"
import * as Runs from "./runs.ts"
import * as Schedules from "./schedules.ts"
import { State } from "./state.ts"
import * as Workers from "./workers.ts"

type Store = SystemDb["Service"]

const states = new WeakMap<Store, State>()

const stateOf = (store: Store): State => {
  const state = states.get(store)
  if (state === undefined) throw new Error("not a memory store")
  return state
}

/** The rows of this memory store that are held. */
export const locksOf = (store: Store): Locks => stateOf(store).locks

export const make = Effect.fnUntraced(
  function*(options: { readonly maxValueBytes: number; readonly hints: boolean }) {
    const state = new State(yield* PubSub.unbounded<Hint>(), options)
    const store = seal({
      now: Clock.currentTimeMillis,
      hints: Stream.fromPubSub(state.hints),
      // Whoever gets no hints must poll, as in a store that others reach.
      exclusive: options.hints,
      joined: () => false,
      ...Runs.make(state),
      ...Leased.make(state),
      ...Workers.make(state),
      ...Bodies.make(state),
      ...Schedules.make(state),
      ...Firing.make(state),
      ...Ledger.make(state),
      ...Backfills.make(state)
    }, options)
    states.set(store, state)
    return store
  }
)

/**
 * Ends a worker of this memory store as the death of its process would: its session lock is dropped, and neither now nor
 * when its scope closes is anything handed back. The worker stays registered until another one finds it dead. Dies when
 * the store is not a memory store.
 */
export const crash = (store: Store, worker: string): Effect.Effect<void> =>
  Effect.sync(() => Workers.crash(stateOf(store), worker))
