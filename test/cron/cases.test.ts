import { assert, describe, it } from "@effect/vitest"
import * as Cron from "effect-durable/Cron"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"

const rows = <A>(file: string): ReadonlyArray<A> =>
  readFileSync(new URL(`cases/${file}`, import.meta.url), "utf8").trim().split("\n").map((line) =>
    JSON.parse(line) as A
  )

interface Valid {
  readonly id: string
  readonly expr: string
  readonly tz: string
  readonly from: string
  readonly dir: "next" | "prev"
  readonly expect: ReadonlyArray<string>
  readonly cat: string
  readonly note: string
}

interface Invalid {
  readonly id: string
  readonly expr: string
  readonly tz?: string
  readonly field: string
  readonly reason: string
  readonly span: readonly [number, number] | null
  readonly hint: string
}

const valid = rows<Valid>("open.jsonl")

describe.each(Object.entries(Object.groupBy(valid, (row) => row.cat)))("cases about %s", (_, cases) => {
  it.effect.each(cases!.map((row) => ({ row, title: `${row.id}: ${row.expr} in ${row.tz} from ${row.from}` })))(
    "$title",
    ({ row }) =>
      Effect.sync(() => {
        const cron = Cron.parseUnsafe(row.expr, { timeZone: row.tz })
        let at = Date.parse(row.from)
        const found = row.expect.map(() => {
          at = Option.getOrThrow(row.dir === "next" ? Cron.next(cron, at) : Cron.prev(cron, at))
          return new Date(at).toISOString()
        })
        assert.deepStrictEqual(found, row.expect, row.note)
      })
  )
})

describe("cases about what is refused", () => {
  it.effect.each(rows<Invalid>("open-invalid.jsonl").map((row) => ({ row, title: `${row.id}: ${row.expr}` })))(
    "$title",
    ({ row }) =>
      Effect.sync(() => {
        const error = Result.getOrThrow(Result.flip(Cron.parse(row.expr, { timeZone: row.tz })))
        assert.strictEqual(error.field, row.field)
        assert.strictEqual(error.reason, row.reason)
        if (row.span !== null) {
          assert.isTrue(row.span[0] <= error.start && error.start <= error.end && error.end <= row.span[1])
        }
        if (row.hint !== "") assert.strictEqual(error.hint, row.hint)
      })
  )
})
