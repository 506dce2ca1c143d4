import { assert, it } from "@effect/vitest"
import * as Workflow from "effect-durable/Workflow"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { cluster, inTime } from "./support/engine.ts"

const Report = Workflow.make("report", { success: Schema.String })
const Shared = Workflow.make("report", { success: Schema.String, shared: true })

const by = (application: string) => Report.toLayer(() => Effect.succeed(application))

it.effect("the layer of a body dies where another application had a body for the workflow first, and says what to do", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    yield* world.node({ name: "shop", bodies: by("shop") })
    const second = yield* Effect.exit(world.node({ name: "billing", bodies: by("billing") }))
    const text = Exit.isFailure(second) ? Cause.pretty(second.cause) : ""
    for (const part of ["report", "shop", "billing", "shared: true", "formerly"]) assert.include(text, part)
  }))

it.effect("a workflow goes on belonging to its application while no process of that lives", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const first = yield* world.node({ name: "shop", bodies: by("shop") })
    yield* first.stop
    assert.isTrue(Exit.isFailure(yield* Effect.exit(world.node({ name: "billing", bodies: by("billing") }))))
    const again = yield* world.node({ name: "shop", bodies: by("shop again") })
    assert.strictEqual(yield* inTime(again.run(Report.execute())), "shop again")
  }))

it.effect("processes of one application execute its workflows together, whatever their versions are", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const first = yield* world.node({ name: "shop", version: "1", bodies: by("1") })
    const second = yield* world.node({ name: "shop", version: "2", bodies: by("2") })
    assert.strictEqual(yield* inTime(first.run(Report.execute())), "1")
    assert.strictEqual(yield* inTime(second.run(Report.execute())), "2")
  }))

it.effect("a workflow that is shared on purpose is executed by every application that has a body for it", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const body = (application: string) => Shared.toLayer(() => Effect.succeed(application))
    const first = yield* world.node({ name: "shop", bodies: body("shop") })
    const second = yield* world.node({ name: "billing", bodies: body("billing") })
    assert.strictEqual(yield* inTime(first.run(Shared.execute())), "shop")
    assert.strictEqual(yield* inTime(second.run(Shared.execute())), "billing")
  }))

it.effect("an application that was called something else before keeps its workflows, and the former name has lost them", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const before = yield* world.node({ name: "shop", bodies: by("shop") })
    yield* before.stop
    const now = yield* world.node({ name: "store", formerly: ["shop"], bodies: by("store") })
    assert.strictEqual(yield* inTime(now.run(Report.execute())), "store")
    assert.isTrue(Exit.isFailure(yield* Effect.exit(world.node({ name: "shop", bodies: by("shop") }))))
  }))

it.effect("a process that executes nothing takes no workflow, whatever bodies it has; and anybody may start runs", () =>
  Effect.gen(function*() {
    const world = yield* cluster()
    const api = yield* world.node({ name: "api", worker: false, bodies: by("api") })
    yield* world.node({ name: "shop", bodies: by("shop") })
    assert.strictEqual(yield* inTime(api.run(Report.execute())), "shop")
  }))
