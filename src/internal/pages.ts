/** Lists that are read a page at a time: everything there is, or one page where somebody says how long it is. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** Reads so many items, from the one after the cursor on. */
type Read<A, C, E, R> = (
  page: { readonly limit: number; readonly after: C | null }
) => Effect.Effect<ReadonlyArray<A>, E, R>

const pageSize = 500

/** Every item from the one after the cursor on, read as the stream is pulled. */
export const stream = <A, C, E, R>(
  read: Read<A, C, E, R>,
  cursorOf: (last: A) => C,
  after: C | null
): Stream.Stream<A, E, R> =>
  Stream.paginate(after, (after) =>
    Effect.map(read({ limit: pageSize, after }), (page) => {
      const last = page.length < pageSize ? undefined : page.at(-1)
      return [page, last === undefined ? Option.none() : Option.some(cursorOf(last))] as const
    }))

/** A page of `limit` items; all of them without a limit, so that a list is never short without saying so. */
export const list = <A, C, E, R>(
  read: Read<A, C, E, R>,
  cursorOf: (last: A) => C,
  { after, limit }: { readonly limit?: number | undefined; readonly after?: C | null | undefined }
): Effect.Effect<ReadonlyArray<A>, E, R> =>
  limit === undefined ? Stream.runCollect(stream(read, cursorOf, after ?? null)) : read({ limit, after: after ?? null })
