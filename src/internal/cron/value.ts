/** The value that users hold: a search, dressed as an immutable, comparable, printable thing. */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import { NodeInspectSymbol } from "effect/Inspectable"
import { pipeArguments } from "effect/Pipeable"
import { hasProperty } from "effect/Predicate"
import type { Cron, Range } from "../../Cron.ts"
import { format } from "./format.ts"
import { type Fold, nextMillis, prevMillis, type Search } from "./search.ts"

export const TypeId = "~effect-durable/Cron"

export const isCron = (u: unknown): u is Cron => hasProperty(u, TypeId)

const folds = ["both", "first", "second"] as const satisfies ReadonlyArray<keyof typeof Fold>

/** Everything public about it is computed when it is asked for: most values are only searched. */
export class Value implements Cron {
  readonly [TypeId] = TypeId
  readonly search: Search
  #expression: string | undefined

  constructor(search: Search) {
    this.search = search
  }

  get expression(): string {
    return this.#expression ??= format(this.search.fields)
  }

  get timeZone(): string {
    return this.search.zone.name
  }

  get gap(): "shift" | "skip" {
    return this.search.catchUp ? "shift" : "skip"
  }

  get fold(): "first" | "second" | "both" {
    return folds[this.search.fold]!
  }

  [Equal.symbol](that: unknown): boolean {
    return isCron(that) && this.expression === that.expression && this.timeZone === that.timeZone &&
      this.gap === that.gap && this.fold === that.fold
  }

  [Hash.symbol](): number {
    return Hash.string(`${this.expression} ${this.timeZone}`)
  }

  toString(): string {
    return this.expression
  }

  toJSON(): unknown {
    return { _id: "Cron", expression: this.expression, timeZone: this.timeZone, gap: this.gap, fold: this.fold }
  }

  [NodeInspectSymbol](): unknown {
    return this.toJSON()
  }

  pipe(): any {
    return pipeArguments(this, arguments)
  }
}

export const searchOf = (cron: Cron): Search => (cron as Value).search

/** The first occurrence after an instant, or NaN: for callers that ask often and want nothing allocated. */
export const nextOrNaN = (cron: Cron, after: number): number => nextMillis(searchOf(cron), after)

/** The occurrences of a range, found one by one as they are asked for, and again each time it is iterated. */
export class Occurrences implements Iterable<number> {
  readonly #search: Search
  readonly #range: Range

  constructor(search: Search, range: Range) {
    this.#search = search
    this.#range = range
  }

  [Symbol.iterator](): Iterator<number> {
    const search = this.#search
    const { from, reverse = false, to = Infinity } = this.#range
    let at = reverse ? to : Math.ceil(from / 1000) * 1000 - 1
    return {
      next: () => {
        at = reverse ? prevMillis(search, at) : nextMillis(search, at)
        // NaN, which is what is found when there is nothing more, is in no range and stays what it is.
        return (reverse ? at >= from : at < to) ? { done: false, value: at } : { done: true, value: at = NaN }
      }
    }
  }
}
