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

/** For a session that nobody else uses. What is given again later holds. */
export const reliedOn: Settings = [...ofPool, ...sinceVersion17, ["search_path", "pg_catalog"]]

/** A statement that makes the settings, as far as the server knows them. */
export const setting = (settings: Settings): string => {
  const made = settings.map(([name, value]) => {
    const set = `pg_catalog.set_config('${name}', '${value}', false)`
    return sinceVersion17.some(([newer]) => newer === name)
      ? `case when pg_catalog.current_setting('${name}', true) is not null then ${set} end`
      : set
  })
  return `select ${made.join(", ")}`
}
