import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { migrations } from "../../src/internal/postgres/migrations.ts"
import { tables } from "../../src/internal/postgres/names.ts"

it.effect("docs/schema.sql holds the statements of every migration", () =>
  Effect.gen(function*() {
    const names = yield* tables("effect_durable")
    const expected = migrations.map(({ name, statements, version }) =>
      [`-- version ${version}: ${name}`, ...statements(names).map((statement) => `${statement};`)].join("\n\n")
    )
    assert.strictEqual(readFileSync("docs/schema.sql", "utf8"), `${expected.join("\n\n")}\n`)
  }))
