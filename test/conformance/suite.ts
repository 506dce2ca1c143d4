/**
 * The contract of the port, as tests. Every store must pass it: `suite("Postgres", layer)`.
 *
 * The tests of one suite share one store and run one after the other, each under a TestClock that the store follows. They
 * use nothing but the port.
 */
import { describe, layer } from "@effect/vitest"
import type * as Layer from "effect/Layer"
import type { SystemDb } from "../../src/SystemDb.ts"
import { backfills } from "./backfills.ts"
import { beginnings } from "./beginnings.ts"
import { bodies } from "./bodies.ts"
import { changes } from "./changes.ts"
import { claims } from "./claims.ts"
import { firings } from "./firing.ts"
import { type Declare, virtual } from "./fixture.ts"
import { handover } from "./handover.ts"
import { hints } from "./hints.ts"
import { ledgers } from "./ledger.ts"
import { lists } from "./lists.ts"
import { overlaps } from "./overlaps.ts"
import { reliances } from "./reliance.ts"
import { runs } from "./runs.ts"
import { schedules } from "./schedules.ts"
import { settlings } from "./settling.ts"
import { steps } from "./steps.ts"
import { texts } from "./texts.ts"
import { ticks } from "./ticks.ts"
import { values } from "./values.ts"
import { workers } from "./workers.ts"

/** Declares the whole suite for one store. With `hints: false` nothing is expected of the store's hints. */
export const suite = <R, E>(
  name: string,
  store: Layer.Layer<SystemDb | R, E>,
  options: { readonly hints?: boolean } = {}
): void =>
  // The store's own fibers live in real time; only the calls of a test carry its virtual clock.
  layer(store as Layer.Layer<SystemDb, E>, { excludeTestServices: true, timeout: "1 minute" })(name, (it) => {
    const declare: Declare = (sentence, test) => it.effect(sentence, () => virtual(test))
    const subjects = {
      runs,
      claims,
      steps,
      workers,
      handover,
      bodies,
      schedules,
      changes,
      beginnings,
      firings,
      overlaps,
      settlings,
      ticks,
      backfills,
      ledgers,
      reliances,
      lists,
      values,
      texts,
      hints
    }
    for (const [subject, tests] of Object.entries(subjects)) {
      if (subject === "hints" && options.hints === false) continue
      describe(subject, () => tests(declare))
    }
  })
