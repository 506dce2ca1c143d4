/** The way to the server of an address: with or without encryption, and what stands between. */
import type { PgPoolConfig } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { StoreError } from "../../Errors.ts"
import { bootError, concernsEncryption, lacksEncryption } from "./boot.ts"
import { type Patience, patiently } from "./database.ts"
import * as Pooler from "./pooler.ts"
import type { Address } from "./url.ts"

export interface Reached extends Pooler.Found {
  readonly config: PgPoolConfig
}

const standby = new StoreError({
  method: "connect",
  retryable: true,
  detail: "The server is a standby, and target_session_attrs asks for one that can be written to"
})

/** Asks until there is an answer, for as long as the patience lasts. `keeps` says that sessions are to be kept, if they can. */
export const reach = (address: Address, keeps: boolean, patience: Patience): Effect.Effect<Reached, StoreError> => {
  const tried = address.encryptions.map((encryption) => {
    const config: PgPoolConfig = { ...address.config, ssl: encryption }
    return Effect.map(Pooler.look(config, keeps), (found): Reached => ({ ...found, config }))
  })
  const reached = tried.reduceRight((others, one) =>
    Effect.catchIf(
      one,
      concernsEncryption,
      (error) => Effect.mapError(others, (next) => concernsEncryption(next) && !lacksEncryption(error) ? error : next)
    )
  )
  return patiently(
    patience,
    "connect",
    Effect.mapError(reached, bootError("connect", address.config)).pipe(
      Effect.filterOrFail((found) => !(address.writable && found.standby), () => standby)
    )
  )
}
