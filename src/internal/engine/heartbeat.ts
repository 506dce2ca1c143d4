/** The heartbeat: a workflow of the library's own that requests a URL after each success of a schedule. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Step from "../../Step.ts"
import type { HookRun } from "../../SystemDb.ts"
import * as Workflow from "../../Workflow.ts"

/**
 * The URL of a heartbeat did not answer with a success.
 *
 * @category errors
 * @since 0.1.0
 */
export class HeartbeatFailed
  extends Schema.TaggedError<HeartbeatFailed>("effect-durable/HeartbeatFailed")("HeartbeatFailed", {
    url: Schema.String,
    reason: Schema.String
  })
{
  override get message(): string {
    return `Heartbeat ${this.url}: ${this.reason}`
  }
}

const request = (url: string): Effect.Effect<void, HeartbeatFailed> =>
  Effect.flatMap(
    Effect.tryPromise({
      try: (signal) => fetch(url, { signal }),
      catch: (error) => new HeartbeatFailed({ url, reason: String(error) })
    }),
    (response) =>
      response.ok
        ? Effect.void
        : Effect.fail(new HeartbeatFailed({ url, reason: `it answered with status ${response.status}` }))
  )

/**
 * How the URL of a heartbeat is requested. By default with a GET, where any status of success will do.
 *
 * @category references
 * @since 0.1.0
 */
export const HeartbeatRequest = Context.Reference<(url: string) => Effect.Effect<void, HeartbeatFailed>>(
  "effect-durable/Engine/HeartbeatRequest",
  { defaultValue: () => request }
)

const Heartbeat = Workflow.make("effect-durable.heartbeat", {
  payload: { url: Schema.String },
  error: HeartbeatFailed
})

const body = ({ url }: { readonly url: string }) =>
  Effect.flatMap(HeartbeatRequest, (request) =>
    Step.run(
      "request",
      Effect.timeoutOrElse(request(url), {
        duration: "30 seconds",
        orElse: () => Effect.fail(new HeartbeatFailed({ url, reason: "it did not answer in time" }))
      }),
      { error: HeartbeatFailed, retry: Step.backoff({ times: 5 }) }
    ))

/** Executes heartbeats on this process. */
export const layer = Heartbeat.toLayer(body)

/** The run that tells of this run's success. */
export const run = (runId: string, url: string): HookRun => ({
  id: `${runId}-heartbeat`,
  workflow: Heartbeat.name,
  payload: JSON.stringify({ url })
})
