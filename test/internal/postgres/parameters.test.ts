import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Embedded from "../../../src/Embedded.ts"
import { floats, instant, instants, ints, type Parameter, texts } from "../../../src/internal/postgres/parameters.ts"

layer(Embedded.layer(), { excludeTestServices: true, timeout: "1 minute" })("array parameters", (it) => {
  const back = (type: string, parameter: Parameter) =>
    PgClient.use((sql) =>
      Effect.map(
        sql.unsafe<{ readonly value: unknown }>(`select $1::${type}[] as value`, [parameter]),
        ([row]) => row!.value
      )
    )

  it.effect("texts come back as they were, with nulls, and without elements", () =>
    Effect.gen(function*() {
      const values = ["", "NULL", null, "a\"b", "a\\b", "{a,b}", "'", "\u{1F600}", " ", "\n"]
      for (const some of [values, [], [null], [null, null], [""]]) {
        assert.deepStrictEqual(yield* back("text", texts(some)), some)
      }
    }))

  it.effect("numbers come back as they were, whole and not, mixed, with nulls, and without elements", () =>
    Effect.gen(function*() {
      for (const some of [[1, -1, 2 ** 31 - 1], [], [null], [0, null]]) {
        assert.deepStrictEqual(yield* back("int", ints(some)), some)
      }
      for (const some of [[1, 0.5, 1e300, -0.1], [], [null, 1]]) {
        assert.deepStrictEqual(yield* back("float8", floats(some)), some)
      }
    }))

  it.effect("instants come back to the millisecond, from long ago to far ahead", () =>
    Effect.gen(function*() {
      const values = [-62_135_596_800_000, -1, 0, 1, 1_900_000_000_123, 253_402_300_799_999, null]
      const dates = (yield* back("timestamptz(3)", instants(values))) as ReadonlyArray<Date | null>
      assert.deepStrictEqual(dates.map((date) => date?.getTime() ?? null), values)
      assert.deepStrictEqual(yield* back("timestamptz(3)", instants([])), [])
      const sql = yield* PgClient
      const [row] = yield* sql.unsafe<{ readonly none: boolean }>("select $1::timestamptz is null as none", [
        instant(null)
      ])
      assert.isTrue(row?.none)
    }))
})
