/** A way to the database that a test can cut: in front of a statement, or after it was heard and before its answer. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connect, createServer, type Socket } from "node:net"

export type Moment = "before" | "answer"

export interface Cuts {
  /** The same database, by this way. */
  readonly url: string
  /** Cuts the connection on which this is asked next. Says how often it has done so. */
  readonly cutAt: (statement: RegExp, moment: Moment) => () => number
  /** Cuts every connection that there is. */
  readonly cutAll: Effect.Effect<void>
}

interface Trap {
  readonly statement: RegExp
  readonly moment: Moment
  hits: number
}

/** A proxy in front of the server of this URL, until the scope closes. */
export const cuts = (url: string): Effect.Effect<Cuts, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => {
      const target = new URL(url)
      const open = new Set<() => void>()
      let trap: Trap | undefined
      const server = createServer((client: Socket) => {
        const database = connect(Number(target.port), target.hostname)
        let deaf = false
        const cut = () => {
          client.destroy()
          database.destroy()
          open.delete(cut)
        }
        open.add(cut)
        for (const socket of [client, database]) socket.on("error", cut).on("close", cut)
        client.on("data", (data) => {
          if (trap !== undefined && trap.hits === 0 && trap.statement.test(data.toString("latin1"))) {
            trap.hits++
            if (trap.moment === "before") return cut()
            deaf = true
          }
          database.write(data)
        })
        database.on("data", (data) => deaf ? cut() : client.write(data))
      })
      return new Promise<{ readonly made: Cuts; readonly close: () => void }>((resolve) => {
        server.listen(0, "127.0.0.1", () => {
          const through = new URL(url)
          const address = server.address()
          through.hostname = "127.0.0.1"
          through.port = String(typeof address === "object" ? address?.port : address)
          const cutAll = () => [...open].forEach((cut) => cut())
          resolve({
            made: {
              url: through.href,
              cutAt: (statement, moment) => {
                const set: Trap = { statement, moment, hits: 0 }
                trap = set
                return () => set.hits
              },
              cutAll: Effect.sync(cutAll)
            },
            close: () => {
              server.close()
              cutAll()
            }
          })
        })
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ made }) => made))
