/** A TCP proxy before a server, whose connections a test can cut, at a statement or at once, silence or refuse. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Net from "node:net"

/** In front of what is sent, or after the server has heard it and before its answer. */
export type Moment = "before" | "answer"

type Sent = (text: string, connection: number) => boolean

export interface Proxy {
  /** The server's URL by way of the proxy. */
  readonly url: string
  /** Cuts the connection on which such a thing is sent next, once. Says whether it has done so. Connections are numbered. */
  readonly cutAt: (sent: Sent, moment: Moment) => () => boolean
  /** Passes nothing on any more over the connections that are open, in neither direction, and tells nobody. */
  readonly silence: Effect.Effect<void>
  /** Closes the connections that are open. */
  readonly cut: Effect.Effect<void>
  /** Whether new connections are closed at once. */
  readonly refuse: (on: boolean) => Effect.Effect<void>
}

interface Pair {
  readonly client: Net.Socket
  readonly server: Net.Socket
  silent: boolean
  /** Closed when the server answers. */
  deaf: boolean
}

interface Trap {
  readonly sent: Sent
  readonly moment: Moment
  sprung: boolean
}

export const proxyTo = (url: string): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.gen(function*() {
    const target = new URL(url)
    const pairs = new Set<Pair>()
    let refusing = false
    let trap: Trap | undefined
    const close = (pair: Pair) => {
      pairs.delete(pair)
      pair.client.destroy()
      pair.server.destroy()
    }
    const cut = Effect.sync(() => pairs.forEach(close))
    let connections = 0
    const connect = (client: Net.Socket) => {
      const connection = connections++
      client.on("error", () => {})
      if (refusing) return void client.destroy()
      const server = Net.connect({ host: target.hostname, port: Number(target.port), noDelay: true })
      const pair: Pair = { client: client.setNoDelay(true), server, silent: false, deaf: false }
      pairs.add(pair)
      client.on("data", (data) => {
        if (trap?.sprung === false && trap.sent(data.toString("latin1"), connection)) {
          trap.sprung = true
          if (trap.moment === "before") return close(pair)
          pair.deaf = true
        }
        if (!pair.silent) server.write(data)
      })
      server.on("error", () => {}).on("data", (data) => {
        if (pair.deaf) close(pair)
        else if (!pair.silent) client.write(data)
      })
      const gone = () => pair.silent || close(pair)
      client.on("close", gone)
      server.on("close", gone)
    }
    const listener = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const listener = Net.createServer(connect).listen(0, "127.0.0.1")
        await once(listener, "listening")
        return listener
      }),
      (listener) => Effect.andThen(cut, Effect.sync(() => listener.close()))
    )
    const through = new URL(url)
    through.hostname = "127.0.0.1"
    through.port = String((listener.address() as Net.AddressInfo).port)
    return {
      url: through.href,
      cutAt: (sent, moment) => {
        const set: Trap = { sent, moment, sprung: false }
        trap = set
        return () => set.sprung
      },
      silence: Effect.sync(() =>
        pairs.forEach((pair) => {
          pair.silent = true
        })
      ),
      cut,
      refuse: (on) =>
        Effect.sync(() => {
          refusing = on
        })
    }
  })

/** What is sent next after a step's record in a transaction: COMMIT, which has no text when it is prepared. */
export const commitOfStep = (): Sent => {
  let recording: number | undefined
  return (text, connection) => {
    if (connection === recording) return true
    if (/held as materialized \(select r\.id/.test(text)) recording = connection
    return false
  }
}
