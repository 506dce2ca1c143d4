/** The commands of the model test: what may be asked of a store, by small numbers that a sequence gives a meaning. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const some = <S extends Schema.Top>(item: S, maximum: number) => Schema.Array(item).check(Schema.isMaxLength(maximum))
const several = <S extends Schema.Top>(item: S, maximum: number) => some(item, maximum).check(Schema.isMinLength(1))

const run = upTo(4)
const flow = upTo(1)
const schedule = upTo(3)
const variant = upTo(6)
const backfill = upTo(2)
/** The latest leases have the smallest numbers. */
const lease = upTo(2)
/** Instants stand on a coarse grid, so that they meet. */
const halfSeconds = upTo(5)
const ticks = some(upTo(3), 3)
/** 0 stands for nobody. */
const owner = upTo(3)
const worker = upTo(2)

/** The parent is one of the runs that are started, or none of them. */
const Start = Schema.TaggedStruct("Start", { run, flow, owner, delay: upTo(2), timeout: upTo(1), parent: upTo(6) })
const Claim = Schema.TaggedStruct("Claim", {
  worker,
  limit: upTo(4),
  flows: upTo(2),
  maxAttempts: upTo(2),
  suspect: Schema.Boolean
})
const RecordSteps = Schema.TaggedStruct("RecordSteps", {
  lease,
  writes: some(Schema.Struct({ step: upTo(2), open: Schema.Boolean, value: upTo(9) }), 4)
})
const Finish = Schema.TaggedStruct("Finish", { lease, succeeded: Schema.Boolean })
const Cancel = Schema.TaggedStruct("Cancel", { run: upTo(6), reason: Schema.Boolean })

const RunCommand = Schema.Union([
  Start,
  Claim,
  RecordSteps,
  Finish,
  Schema.TaggedStruct("Suspend", { lease, halfSeconds }),
  Cancel,
  Schema.TaggedStruct("Release", { leases: some(lease, 3) }),
  Schema.TaggedStruct("Reconcile", { worker, held: some(lease, 4) }),
  Schema.TaggedStruct("Register", {}),
  Schema.TaggedStruct("Leave", { worker }),
  Schema.TaggedStruct("Isolate", { lease, isolated: Schema.Boolean }),
  Schema.TaggedStruct("Pulse", { worker, suspecting: Schema.Boolean }),
  Schema.TaggedStruct("List", { limit: upTo(4), flows: upTo(2), active: Schema.Boolean, schedule })
])
export type RunCommand = typeof RunCommand.Type

const isRun = Schema.is(RunCommand)
export const isRunCommand = (command: Command): command is RunCommand => isRun(command)

const ChangeSchedules = Schema.TaggedStruct("ChangeSchedules", {
  /** `expect` 0 wants none to be there and 1 one that cannot be; others the one that is. The last variant deletes. */
  schedules: several(Schema.Struct({ schedule, variant, expect: upTo(9), entry: Schema.Boolean }), 4),
  /** 1 sets the freeze, 2 ends it, 3 asks for one that cannot be; others do nothing. */
  freeze: upTo(30)
})
const Fire = Schema.TaggedStruct("Fire", {
  firings: several(
    Schema.Struct({
      schedule,
      ticks: upTo(2),
      halfSeconds,
      /** 0 names another turn, 1 an instant to come; others what stands. */
      wrong: upTo(9),
      /** 0 relies on the live runs, 1 on the overlap scope too, 2 and 3 on others than there are; others on nothing. */
      rely: upTo(6),
      settle: Schema.Boolean,
      entry: Schema.Boolean,
      audit: Schema.Boolean,
      paused: Schema.Boolean,
      cancels: some(upTo(5), 2),
      settled: upTo(2),
      hooks: some(upTo(2), 2)
    }),
    4
  ),
  owner,
  /** 0 names a freeze that is not there. */
  freeze: upTo(20)
})

const ScheduleCommand = Schema.Union([
  ChangeSchedules,
  Schema.TaggedStruct("ChangeAgain", {}),
  Schema.TaggedStruct("DueSchedules", { halfSeconds }),
  Fire,
  Schema.TaggedStruct("EnqueueTicks", { schedule, ticks, settle: Schema.Boolean }),
  Schema.TaggedStruct("TriggerSchedule", {
    schedule,
    which: upTo(2),
    owner,
    own: Schema.Boolean,
    settle: Schema.Boolean
  }),
  Schema.TaggedStruct("CreateBackfill", {
    backfill,
    schedule,
    newestFirst: Schema.Boolean,
    concurrency: upTo(2),
    own: Schema.Boolean
  }),
  Schema.TaggedStruct("ChangeBackfill", { backfill, status: upTo(2), wrong: upTo(4) }),
  Schema.TaggedStruct("AdvanceBackfill", {
    backfill,
    ticks,
    settle: Schema.Boolean,
    end: Schema.Boolean,
    done: upTo(4),
    wrong: upTo(4)
  }),
  Schema.TaggedStruct("DueBackfills", { limit: upTo(3) }),
  Schema.TaggedStruct("Prune", {
    /** Each 0 prunes nothing by that rule. */
    runsBefore: upTo(5),
    runsKept: upTo(4),
    entriesBefore: upTo(5),
    entriesKept: upTo(4),
    limit: upTo(3)
  }),
  Schema.TaggedStruct("History", {
    schedule,
    newestFirst: Schema.Boolean,
    limit: upTo(4),
    /** Below 3 there is no bound. */
    from: upTo(5),
    to: upTo(5)
  }),
  // Again, to be drawn more often.
  ChangeSchedules,
  Fire,
  Fire,
  Fire
])
export type ScheduleCommand = typeof ScheduleCommand.Type

const HostileCommand = Schema.Union([
  Schema.TaggedStruct("HoldSchedule", { schedule }),
  Schema.TaggedStruct("LetGo", {}),
  /** The next command's writes are made, and their answers do not arrive; or they are not made. */
  Schema.TaggedStruct("Fault", { lost: Schema.Boolean, method: upTo(7) })
])
export type HostileCommand = typeof HostileCommand.Type

const isHostile = Schema.is(HostileCommand)
export const isHostileCommand = (command: Command): command is HostileCommand => isHostile(command)

const Command = Schema.Union([
  Schema.TaggedStruct("Advance", { halfSeconds }),
  HostileCommand,
  HostileCommand,
  Start,
  Claim,
  RecordSteps,
  Finish,
  Cancel,
  // Each is drawn as often as one of those above, whatever it has inside.
  RunCommand,
  RunCommand,
  RunCommand,
  ScheduleCommand,
  ScheduleCommand,
  ScheduleCommand,
  ScheduleCommand,
  ScheduleCommand,
  ScheduleCommand,
  ScheduleCommand
])
export type Command = typeof Command.Type

export const commands = Arbitrary.array(Arbitrary.schema(Command), { minLength: 10, maxLength: 100 })
