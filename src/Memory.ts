/**
 * The store in the memory of one process, for tests.
 *
 * It keeps every promise of `SystemDb` except durability: what it holds is gone when the layer's scope closes. Each method
 * is one synchronous block, and the only clock is the fiber's `Clock`, so under `TestClock` a month of schedules runs in
 * milliseconds and no test waits for real time. It is not a production store and has no SQL client: `Step.transaction`
 * needs `Embedded.layer` or `Postgres.layer`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Store from "./internal/memory/store.ts"
import { defaultMaxValueBytes } from "./internal/seal.ts"
import * as Given from "./internal/storeOptions.ts"
import { SystemDb } from "./SystemDb.ts"

/**
 * Provides an empty store with the given options.
 *
 * Each call is a layer of its own and each build of it an empty store: keep the layer in a constant when two parts of a
 * program shall share one.
 *
 * Shape:   `maxValueBytes` limits one JSON value in UTF-8 bytes, 8 MB unless given; with `hints: false` no hint is ever
 *          published, so that everything which waits must poll
 * Fails:   never; an option that makes no sense is a defect, the InvalidInput that names it
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (
  options: { readonly maxValueBytes?: number | undefined; readonly hints?: boolean | undefined }
): Layer.Layer<SystemDb> =>
  Layer.orDie(Layer.effect(
    SystemDb,
    Effect.gen(function*() {
      const { hints = true, maxValueBytes = defaultMaxValueBytes } = options
      return yield* Store.make({
        maxValueBytes: yield* Effect.fromResult(Given.maxValueBytes(maxValueBytes)),
        hints: yield* Effect.fromResult(Given.flag("hints", hints))
      })
    })
  ))

/**
 * Provides an empty store, shared by all who are given this layer in one program.
 *
 * Fails:   never
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<SystemDb> = layerWith({})
