/**
 * Everything this library refuses or reports, as tagged errors.
 *
 * There are three kinds of failure and no more: *refusals* (you asked for something that cannot be done; the error
 * carries the facts and its message says what to do), {@link StoreError} (the database did not answer as it should;
 * it knows whether asking again can help), and defects, which are bugs and are never in a type.
 *
 * The `name` of each is its kind, such as `effect-durable/RunNotFound`, so that logs and monitoring can group by it; the name of
 * what it is about stands in another field.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { BackfillStatus, RunStatus } from "./internal/lifecycle.ts"

/**
 * What becomes of a run when the store fails in the middle of it.
 *
 * - `AskAgain`: the error passes (connections, restarts, locks, serialization); its worker asks again for as long as it takes.
 * - `HandBack`: nobody knows whether it passes (disk, internal errors, permissions); the run is handed back and tried later.
 * - `Fail`: what is to be written can never be stored; only this is the run's own failure.
 *
 * @category models
 * @since 0.1.0
 */
export type Fate = "AskAgain" | "HandBack" | "Fail"

/**
 * The store did not do what was asked.
 *
 * `retryable` is true for lost connections, restarts, deadlocks and serialization failures: asking again can succeed.
 * Workers retry those by themselves for as long as it takes; calls you make yourself are retried for a bounded time
 * and then fail with this error. `refused` is true where the request is at fault: the store will never take this value. All
 * else is trouble of the store that may or may not pass.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreError extends Schema.TaggedError<StoreError>("effect-durable/StoreError")("StoreError", {
  method: Schema.String,
  retryable: Schema.Boolean,
  refused: Schema.optionalKey(Schema.Boolean),
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  /** What becomes of a run that meets it. */
  get fate(): Fate {
    return this.retryable ? "AskAgain" : this.refused === true ? "Fail" : "HandBack"
  }

  override get message(): string {
    return `SystemDb.${this.method} failed: ${this.detail}${this.retryable ? " (asking again can help)" : ""}`
  }
}

/**
 * A value given by the caller cannot be stored or used. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidInput extends Schema.TaggedError<InvalidInput>("effect-durable/InvalidInput")("InvalidInput", {
  /** The field at fault, such as `"cron"`, `"timeZone"`, `"name"`, `"context"` or `"payload"`. */
  field: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.field}: ${this.reason}`
  }
}

/**
 * A value is larger than the store accepts. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueTooLarge extends Schema.TaggedError<ValueTooLarge>("effect-durable/ValueTooLarge")("ValueTooLarge", {
  field: Schema.String,
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message(): string {
    return `${this.field}: ${this.bytes} bytes of JSON is more than the ${this.limit} this store accepts; ` +
      "store the value elsewhere and pass a reference, or raise maxValueBytes on the store's layer"
  }
}

/**
 * The run id is already used by a run of another workflow.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunConflict extends Schema.TaggedError<RunConflict>("effect-durable/RunConflict")("RunConflict", {
  runId: Schema.String,
  workflow: Schema.String,
  existing: Schema.String
}) {
  override get message(): string {
    return `Run ${this.runId} belongs to workflow ${this.existing}; choose another id to start ${this.workflow}.`
  }
}

/**
 * No run has this id.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunNotFound extends Schema.TaggedError<RunNotFound>("effect-durable/RunNotFound")("RunNotFound", {
  runId: Schema.String
}) {
  override get message(): string {
    return `There is no run ${this.runId}.`
  }
}

/**
 * A command asked for a change that the run's status does not allow. Retrying cannot help.
 *
 * @category errors
 * @since 0.1.0
 */
export class IllegalTransition
  extends Schema.TaggedError<IllegalTransition>("effect-durable/IllegalTransition")("IllegalTransition", {
    runId: Schema.String,
    command: Schema.String,
    status: RunStatus
  })
{
  override get message(): string {
    return `Run ${this.runId} is ${this.status}; it cannot be asked to ${this.command}.`
  }
}

/**
 * The worker no longer owns the run: another worker took it over, or the run was cancelled. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>("effect-durable/LeaseLost")("LeaseLost", {
  runId: Schema.String,
  epoch: Schema.Int
}) {
  override get message(): string {
    return `Run ${this.runId} is no longer owned under epoch ${this.epoch}; this worker must stop working on it.`
  }
}

/**
 * The awaited run was cancelled.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunCancelled extends Schema.TaggedError<RunCancelled>("effect-durable/RunCancelled")("RunCancelled", {
  runId: Schema.String
}) {
  override get message(): string {
    return `Run ${this.runId} was cancelled.`
  }
}

/**
 * The awaited run did not end before its deadline.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunTimedOut extends Schema.TaggedError<RunTimedOut>("effect-durable/RunTimedOut")("RunTimedOut", {
  runId: Schema.String
}) {
  override get message(): string {
    return `Run ${this.runId} did not end within its timeout.`
  }
}

/**
 * The awaited run was given up: each worker that took it died while it ran.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunDead extends Schema.TaggedError<RunDead>("effect-durable/RunDead")("RunDead", {
  runId: Schema.String,
  attempts: Schema.Int
}) {
  override get message(): string {
    return `Run ${this.runId} was given up: the workers of ${this.attempts} attempts died while it ran.`
  }
}

/**
 * A stored value no longer decodes with the schema given for it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Undecodable extends Schema.TaggedError<Undecodable>("effect-durable/Undecodable")("Undecodable", {
  /** What was read, such as `"payload of run r1"`. */
  subject: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `The stored ${this.subject} does not decode: ${this.reason}`
  }
}

/**
 * No schedule has this name.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScheduleNotFound
  extends Schema.TaggedError<ScheduleNotFound>("effect-durable/ScheduleNotFound")("ScheduleNotFound", {
    schedule: Schema.String
  })
{
  override get message(): string {
    return `There is no schedule named ${JSON.stringify(this.schedule)}.`
  }
}

/**
 * A schedule with this name exists already, or a list of schedules names it twice.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScheduleExists
  extends Schema.TaggedError<ScheduleExists>("effect-durable/ScheduleExists")("ScheduleExists", {
    schedule: Schema.String
  })
{
  override get message(): string {
    return `A schedule named ${JSON.stringify(this.schedule)} exists already; use apply to replace it, or another name.`
  }
}

/**
 * The schedule was changed since it was read: its revision is another one. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScheduleConflict
  extends Schema.TaggedError<ScheduleConflict>("effect-durable/ScheduleConflict")("ScheduleConflict", {
    schedule: Schema.String,
    expected: Schema.Int,
    found: Schema.Int
  })
{
  override get message(): string {
    return `Schedule ${
      JSON.stringify(this.schedule)
    } is at revision ${this.found} and not ${this.expected} any more; ` +
      "read it again and decide anew."
  }
}

/**
 * The schedule was declared by another owner. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScheduleOwned extends Schema.TaggedError<ScheduleOwned>("effect-durable/ScheduleOwned")("ScheduleOwned", {
  schedule: Schema.String,
  owner: Schema.String
}) {
  override get message(): string {
    return `Schedule ${
      JSON.stringify(this.schedule)
    } is declared by ${this.owner}; choose another name, or remove it there.`
  }
}

/**
 * No backfill has this id.
 *
 * @category errors
 * @since 0.1.0
 */
export class BackfillNotFound
  extends Schema.TaggedError<BackfillNotFound>("effect-durable/BackfillNotFound")("BackfillNotFound", {
    id: Schema.String
  })
{
  override get message(): string {
    return `There is no backfill ${this.id}.`
  }
}

/**
 * The backfill has ended, and what was asked of it cannot be done any more. Retrying cannot help.
 *
 * @category errors
 * @since 0.1.0
 */
export class BackfillEnded extends Schema.TaggedError<BackfillEnded>("effect-durable/BackfillEnded")("BackfillEnded", {
  id: Schema.String,
  status: BackfillStatus
}) {
  override get message(): string {
    return `Backfill ${this.id} is ${this.status}; start another one.`
  }
}

/**
 * The database was migrated by a newer version of this library than the one running.
 *
 * @category errors
 * @since 0.1.0
 */
export class SchemaTooNew extends Schema.TaggedError<SchemaTooNew>("effect-durable/SchemaTooNew")("SchemaTooNew", {
  schema: Schema.String,
  found: Schema.Int,
  supported: Schema.Int
}) {
  override get message(): string {
    return `Schema ${JSON.stringify(this.schema)} is at version ${this.found}, and this code knows versions up to ` +
      `${this.supported}; upgrade effect-durable, or point it at another schema.`
  }
}

/**
 * Every attempt of a step with a timeout was still running when its time was up.
 *
 * @category errors
 * @since 0.1.0
 */
export class StepTimedOut extends Schema.TaggedError<StepTimedOut>("effect-durable/StepTimedOut")("StepTimedOut", {
  step: Schema.String
}) {
  override get message(): string {
    return `Step ${this.step} did not end within its timeout.`
  }
}

/**
 * A workflow's body is not deterministic, or uses steps in a way whose order cannot be relied on. Always a defect: it is
 * the program that must change.
 *
 * @category errors
 * @since 0.1.0
 */
export class NonDeterminism
  extends Schema.TaggedError<NonDeterminism>("effect-durable/NonDeterminism")("NonDeterminism", {
    runId: Schema.String,
    step: Schema.String,
    reason: Schema.String
  })
{
  override get message(): string {
    return `Step ${this.step} of run ${this.runId}: ${this.reason}`
  }
}
