/** The global freeze: stored, seen by all processes, and remembered for as long as a tick can be asked about it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { StoreError, ValueTooLarge } from "../../Errors.ts"
import type { Control } from "../../SystemDb.ts"
import * as uuids from "../uuid.ts"
import { audits, type Store } from "./change.ts"
import type { Freeze } from "./decide.ts"

/** The control that every firing names. */
export const key = "freeze"

const Stored = Schema.fromJsonString(Schema.Struct({
  /** Oldest first; only the last can be open. */
  freezes: Schema.Array(Schema.Struct({ from: Schema.Int, to: Schema.NullOr(Schema.Int) })),
  reason: Schema.NullOr(Schema.String),
  by: Schema.String
}))
const decode = Schema.decodeUnknownOption(Stored)

/** A schedule that looks at nothing for so many freezes takes the ticks of the oldest for late ones. */
const maxKept = 50

interface Frozen {
  readonly freezes: ReadonlyArray<Freeze>
  readonly reason: string | null
  readonly by: string
}

const thawed: Frozen = { freezes: [], reason: null, by: "" }

export const read = (control: Control | null): Frozen =>
  control === null ? thawed : Option.getOrElse(decode(control.value), () => thawed)

/** The freeze that is on, if one is. */
export const on = (control: Control | null): (Frozen & { readonly from: number }) | undefined => {
  const frozen = read(control)
  const last = frozen.freezes.at(-1)
  return last === undefined || last.to !== null ? undefined : { ...frozen, from: last.from }
}

/** Replaces the control by what `next` makes of it; nothing is written for undefined. */
const replace = (
  db: Store,
  action: string,
  reason: string | undefined,
  next: (frozen: Frozen, now: number) => Effect.Effect<Frozen | undefined>
): Effect.Effect<boolean, ValueTooLarge | StoreError> =>
  Effect.gen(function*() {
    const control = Option.getOrNull(yield* db.findControl(key))
    const before = read(control)
    const after = yield* next(before, yield* db.now)
    if (after === undefined) return false
    const done = yield* db.changeSchedules({
      id: yield* uuids.v7,
      schedules: [],
      controls: [{ key, turn: control?.turn ?? null, value: JSON.stringify(after) }],
      entries: [],
      audits: yield* audits([{
        name: null,
        action,
        before: before.freezes.at(-1),
        after: after.freezes.at(-1)
      }], reason ?? null)
    })
    return done || (yield* replace(db, action, reason, next))
  })

/** False when one is on already. */
export const freeze = (db: Store, by: string, reason: string | undefined) =>
  replace(db, "freeze", reason, ({ freezes }, now) =>
    Effect.succeed(
      freezes.at(-1)?.to === null
        ? undefined
        : { freezes: [...freezes, { from: now, to: null }].slice(-maxKept), reason: reason ?? null, by }
    ))

/** False when none is on. With `catchUp` its ticks are late ones, about which each schedule's own policy decides. */
export const thaw = (
  db: Store,
  by: string,
  options: { readonly catchUp: boolean; readonly reason: string | undefined }
) =>
  replace(db, "thaw", options.reason, ({ freezes }, now) => {
    const last = freezes.at(-1)
    if (last === undefined || last.to !== null) return Effect.undefined
    const ended = options.catchUp ? freezes.slice(0, -1) : [...freezes.slice(0, -1), { from: last.from, to: now }]
    return Effect.succeed({ freezes: ended, reason: options.reason ?? null, by })
  })
