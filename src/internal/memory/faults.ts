/**
 * What can go wrong with a store that others reach, for tests: rows held by somebody else, answers that are lost, writes that are
 * rolled back. Held rows are the memory store's; the other two come in at the seam that the calls of every store pass.
 */
import * as Effect from "effect/Effect"
import { StoreError } from "../../Errors.ts"
import type { SystemDb } from "../../SystemDb.ts"
import type { Row } from "./locks.ts"
import { locksOf } from "./store.ts"

type Store = SystemDb["Service"]
type Method = keyof Store

/**
 * Holds the row as an open transaction would: whoever claims or fires passes over it, and whoever writes it waits. False when it is
 * held already. Dies when the store is not a memory store.
 */
export const hold = (store: Store, row: Row): Effect.Effect<boolean> => Effect.sync(() => locksOf(store).hold(row))

/** Lets a held row go as it was, which is also what a transaction does that is rolled back. */
export const letGo = (store: Store, row: Row): Effect.Effect<void> => Effect.sync(() => locksOf(store).letGo(row))

/** How many calls wait for rows that are held. */
export const waiting = (store: Store): Effect.Effect<number> => Effect.sync(() => locksOf(store).waiting)

/**
 * - `lost`: the call is made and its answer does not arrive
 * - `rolledBack`: nothing of the call remains, and its answer does not arrive either
 */
export type Fault = "lost" | "rolledBack"

interface Planned {
  readonly fault: Fault
  readonly method: Method
  left: number
}

const unanswered = (method: Method) =>
  new StoreError({ method, retryable: true, detail: "the connection was lost before the answer came" })

/** Faults to come. Give `intercept` to the calls they shall befall, as the `Interceptor`. */
export class Faults {
  readonly #planned: Array<Planned> = []

  /** Befalls the n-th call of the method from now on. */
  plan(fault: Fault, method: Method, nth = 1): void {
    this.#planned.push({ fault, method, left: nth })
  }

  /** The faults that have not happened yet. */
  get planned(): number {
    return this.#planned.length
  }

  /** Calls off what has not happened yet. */
  forget(): void {
    this.#planned.length = 0
  }

  readonly intercept = <A, E, R>(method: Method, call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const due = this.#planned.find((planned) => planned.method === method && --planned.left === 0)
      if (due === undefined) return call
      this.#planned.splice(this.#planned.indexOf(due), 1)
      // A fault of the store is in the error channel of each of its methods.
      const fault = Effect.fail(unanswered(method)) as unknown as Effect.Effect<A, E, R>
      return due.fault === "rolledBack" ? fault : Effect.andThen(Effect.exit(call), fault)
    })
}
