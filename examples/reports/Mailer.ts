// A service the reports need. In production its layer talks to a mail server; this one keeps what was sent.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"

export interface Mail {
  readonly to: string
  readonly subject: string
  readonly body: string
}

export class Mailer extends Context.Service<Mailer, {
  readonly send: (mail: Mail) => Effect.Effect<void>
  readonly sent: Effect.Effect<ReadonlyArray<Mail>>
}>()("reports/Mailer") {
  static readonly layerMemory = Layer.effect(
    Mailer,
    Effect.gen(function*() {
      const outbox = yield* Ref.make<ReadonlyArray<Mail>>([])
      return Mailer.of({
        send: (mail) => Ref.update(outbox, (mails) => [...mails, mail]),
        sent: Ref.get(outbox)
      })
    })
  )
}
