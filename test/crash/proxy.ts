/** A way to a Postgres server that can be cut, go silent and swallow answers. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

interface Line {
  readonly client: Socket
  readonly server: Socket
  /** Nothing more of what the server says arrives; whatever it is told still does. */
  swallowed: boolean
}

export interface Proxy {
  /** The server's URL by way of this proxy. */
  readonly url: string
  /** Ends every connection. */
  readonly cut: Effect.Effect<void>
  /** Nothing arrives any more on the connections there are, in either direction, and nobody is told. New ones work. */
  readonly silence: Effect.Effect<void>
  /** The next answers on every connection are lost with it: they are asked for, given, and do not arrive. */
  readonly swallow: Effect.Effect<void>
}

const reset = ({ client, server }: Line): void => {
  client.destroy()
  server.destroy()
}

export const proxy = (url: string): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly proxy: Proxy; readonly close: () => void }>((resume) => {
      const target = new URL(url)
      const lines = new Set<Line>()
      const server = createServer((client) => {
        const line: Line = {
          client,
          server: connect(Number(target.port), target.hostname),
          swallowed: false
        }
        lines.add(line)
        line.client.on("data", (data) => line.server.write(data))
        line.server.on("data", (data) => {
          if (line.swallowed) reset(line)
          else line.client.write(data)
        })
        for (const socket of [line.client, line.server]) {
          socket.setNoDelay(true)
          socket.on("error", () => reset(line))
          socket.on("close", () => {
            reset(line)
            lines.delete(line)
          })
        }
      })
      server.listen(0, "127.0.0.1", () => {
        const address = new URL(url)
        address.hostname = "127.0.0.1"
        address.port = String((server.address() as AddressInfo).port)
        const each = (f: (line: Line) => void) => Effect.sync(() => lines.forEach(f))
        resume(Effect.succeed({
          proxy: {
            url: address.href,
            cut: each(reset),
            silence: each(({ client, server }) => {
              client.pause()
              server.pause()
            }),
            swallow: each((line) => {
              line.swallowed = true
            })
          },
          close: () => {
            lines.forEach(reset)
            server.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ proxy }) => proxy))
