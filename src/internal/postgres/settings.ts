/** What the library's own sessions rely on, whatever the role, the database or the server have as their defaults. */

export type Settings = ReadonlyArray<readonly [name: string, value: string]>

/** For the pool, which is the caller's too: his `search_path` stays as it is. */
export const ofPool: Settings = [
  ["default_transaction_isolation", "read committed"],
  ["default_transaction_read_only", "off"],
  ["statement_timeout", "0"],
  ["lock_timeout", "0"],
  ["idle_in_transaction_session_timeout", "0"],
  ["idle_session_timeout", "0"]
]

/** Since PostgreSQL 17. */
export const sinceVersion17: Settings = [["transaction_timeout", "0"]]

/** For a session that nobody else uses. */
export const reliedOn: Settings = [...ofPool, ...sinceVersion17, ["search_path", "pg_catalog"]]

/** A statement that makes the settings which the server knows. Where one is given twice the later one holds. */
export const setting = (settings: Settings): string => {
  const pairs = Array.from(new Map(settings), ([name, value]) => `('${name}', '${value}')`)
  return `select pg_catalog.set_config(s.name, v.value, false)
    from (values ${pairs.join(", ")}) as v (name, value) join pg_catalog.pg_settings as s on s.name = v.name`
}
