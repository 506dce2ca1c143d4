/** The commands of the model test: what may be asked of a store, by small numbers that a sequence gives a meaning. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const some = <S extends Schema.Top>(item: S, maximum: number) => Schema.Array(item).check(Schema.isMaxLength(maximum))

const run = upTo(4)
const flow = upTo(1)
const schedule = upTo(2)
const variant = upTo(5)
/** The latest leases have the smallest numbers. */
const lease = upTo(2)
/** Instants stand on a coarse grid, so that they meet. */
const halfSeconds = upTo(5)
/** 0 stands for nobody. */
const owner = upTo(3)
const worker = upTo(2)

const Start = Schema.TaggedStruct("Start", { run, flow, owner, delay: upTo(2), timeout: upTo(1) })
const Claim = Schema.TaggedStruct("Claim", { worker, limit: upTo(4), flows: upTo(2) })
const RecordSteps = Schema.TaggedStruct("RecordSteps", {
  lease,
  writes: some(Schema.Struct({ step: upTo(2), open: Schema.Boolean, value: upTo(9) }), 4)
})
const Fire = Schema.TaggedStruct("Fire", {
  firings: some(Schema.Struct({ schedule, ticks: upTo(2), halfSeconds, stale: upTo(4) }), 4),
  owner
})

export const Command = Schema.Union([
  Schema.TaggedStruct("Advance", { halfSeconds }),
  Start,
  Claim,
  RecordSteps,
  Schema.TaggedStruct("Finish", { lease, succeeded: Schema.Boolean }),
  Schema.TaggedStruct("Suspend", { lease, halfSeconds }),
  Schema.TaggedStruct("Cancel", { run: upTo(6) }),
  Schema.TaggedStruct("Release", { leases: some(lease, 3) }),
  Schema.TaggedStruct("Reconcile", { worker, held: some(lease, 4) }),
  Schema.TaggedStruct("Register", {}),
  Schema.TaggedStruct("Leave", { worker }),
  Schema.TaggedStruct("Pulse", { worker, maxAttempts: upTo(3), suspecting: Schema.Boolean }),
  Schema.TaggedStruct("CreateSchedule", { schedule, variant }),
  Schema.TaggedStruct("ApplySchedules", {
    schedules: some(Schema.Struct({ schedule, variant }), 4),
    prune: upTo(2)
  }),
  Schema.TaggedStruct("PauseSchedule", { schedule }),
  Schema.TaggedStruct("ResumeSchedule", { schedule, halfSeconds, stale: Schema.Boolean }),
  Schema.TaggedStruct("DeleteSchedule", { schedule }),
  Schema.TaggedStruct("DueSchedules", { halfSeconds }),
  Fire,
  Schema.TaggedStruct("EnqueueTicks", { schedule, ticks: some(upTo(3), 3) }),
  Schema.TaggedStruct("TriggerSchedule", { schedule, owner, own: Schema.Boolean }),
  Schema.TaggedStruct("List", { limit: upTo(4), flows: upTo(2), active: Schema.Boolean, schedule }),
  // Twice, to be drawn twice as often.
  Start,
  Claim,
  RecordSteps,
  Fire
])
export type Command = typeof Command.Type

export const commands = Arbitrary.array(Arbitrary.schema(Command), { maxLength: 100 })
