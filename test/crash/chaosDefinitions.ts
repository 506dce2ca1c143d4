import * as Schedule from "effect-durable/Schedule"
import * as Workflow from "effect-durable/Workflow"
import * as Schema from "effect/Schema"

/** A bit of everything: steps, a transaction step, a step that could be undone, a child, a sleep. */
export const Job = Workflow.make("job", { payload: { run: Schema.Int } })

export const Child = Workflow.make("child", { payload: { run: Schema.Int }, success: Schema.Int })

/** Books its tick in a transaction step. */
export const Tick = Workflow.make("tick", { payload: Schedule.Tick({ name: Schema.String }) })

/** The plain steps of a job and of its child, by the numbers of their effects. */
export const effects = [0, 1, 2, 3]
