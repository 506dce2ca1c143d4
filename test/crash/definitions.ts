import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Schema from "effect/Schema"

/** Steps with an effect each, then a transaction step. */
export const Job = Workflow.make("job", { payload: { run: Schema.Int } })

export const stepsPerJob = 5

/** Books its tick in a transaction step, after this long. */
export const Tick = Workflow.make("tick", {
  payload: Schedule.Tick({ name: Schema.String, millis: Schema.optionalKey(Schema.Int) })
})
