/**
 * One Postgres server for a whole run of vitest, started when the first test asks for a database.
 *
 * Test files run in processes of their own, so they ask over HTTP; the answer is the URL of the server.
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { TestProject } from "vitest/node"
import { type Server, startServer } from "./server.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** Where to ask for the URL of the server; empty if `DATABASE_URL` says it. */
    readonly postgresBroker: string
  }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  if ((process.env["DATABASE_URL"] ?? "") !== "") {
    project.provide("postgresBroker", "")
    return async () => {}
  }
  let server: Promise<Server> | undefined
  const broker = createServer((_request, response) => {
    server ??= startServer()
    server.then(
      ({ url }) => response.end(url),
      (cause: unknown) => response.writeHead(500).end(cause instanceof Error ? cause.message : String(cause))
    )
  }).listen(0, "127.0.0.1")
  await once(broker, "listening")
  const address = broker.address()
  const port = typeof address === "object" ? address?.port : undefined
  project.provide("postgresBroker", `http://127.0.0.1:${port}`)
  return async () => {
    broker.close()
    await server?.then((server) => server.remove(), () => {})
  }
}
