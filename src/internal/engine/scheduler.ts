import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SystemDb } from "../../SystemDb.ts"
import type { Registry } from "../registry.ts"
import type { Settings } from "./options.ts"

export const start = (
  _db: SystemDb["Service"],
  _settings: Settings,
  _registry: Registry["Service"]
): Effect.Effect<void, never, Scope.Scope> => Effect.void
