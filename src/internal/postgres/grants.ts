/** What a role lacks to use the schema, as the statements that give it. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../Errors.ts"
import { codeOf, detailOf } from "./errors.ts"
import { quoted, type Tables } from "./names.ts"

interface Rights {
  readonly role: string
  readonly database: string
  /** Of the schema, which may not be there. */
  readonly owner: string | null
  readonly createsSchemas: boolean
  readonly uses: boolean
  readonly creates: boolean
  readonly hasTables: boolean
  readonly ownsTables: boolean
  readonly reads: boolean
  readonly writes: boolean
  /** Anything. */
  readonly writesSome: boolean
  readonly draws: boolean
}

const rightsOf = (sql: PgClient, t: Tables): Effect.Effect<Rights, SqlError> =>
  Effect.map(
    sql<Rights>`
    select current_user::text as role, current_database()::text as database, pg_catalog.pg_get_userbyid(n.nspowner)::text as owner,
      pg_catalog.has_database_privilege(current_database(), 'create') as "createsSchemas",
      coalesce(pg_catalog.has_schema_privilege(n.oid, 'usage'), false) as uses,
      coalesce(pg_catalog.has_schema_privilege(n.oid, 'create'), false) as creates,
      r.count > 0 as "hasTables", r.owns as "ownsTables", r.reads, r.writes, r.some as "writesSome", s.draws
    from (values (1)) as one
    left join pg_catalog.pg_namespace as n on n.nspname = ${t.name}
    cross join lateral (
      select count(*) as count,
        coalesce(bool_and(pg_catalog.pg_has_role(c.relowner, 'usage')), true) as owns,
        coalesce(bool_and(pg_catalog.has_table_privilege(c.oid, 'select')), true) as reads,
        coalesce(bool_and(pg_catalog.has_table_privilege(c.oid, 'insert') and pg_catalog.has_table_privilege(c.oid, 'update')
          and pg_catalog.has_table_privilege(c.oid, 'delete')) filter (where c.relname <> 'migrations'), true) as writes,
        coalesce(bool_or(pg_catalog.has_table_privilege(c.oid, 'insert, update, delete')), false) as some
      from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relkind in ('r', 'p')
    ) as r
    cross join lateral (
      select coalesce(bool_and(pg_catalog.has_sequence_privilege(c.oid, 'usage')), true) as draws
      from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relkind = 'S'
    ) as s`,
    ([row]) => row as Rights
  )

/** What is missing to go on with the schema as it is, or to create or upgrade it. */
const missing = (rights: Rights, t: Tables, changing: boolean): ReadonlyArray<string> => {
  const to = `to ${quoted(rights.role)}`
  if (rights.owner === null) {
    return rights.createsSchemas ? [] : [`grant create on database ${quoted(rights.database)} ${to}`]
  }
  const inSchema = `in schema ${t.schema} ${to}`
  return [
    ...(changing && !rights.creates
      ? [`grant usage, create on schema ${t.schema} ${to}`]
      : rights.uses
      ? []
      : [`grant usage on schema ${t.schema} ${to}`]),
    ...(rights.reads && rights.writes ? [] : [`grant select, insert, update, delete on all tables ${inSchema}`]),
    ...(rights.draws ? [] : [`grant usage on all sequences ${inSchema}`])
  ]
}

const said = (statements: ReadonlyArray<string>): string => `Missing: ${statements.join("; ")}`

/** Only owners may change tables, and who is one may do much more. */
const owned = ({ owner, role }: Rights): string =>
  `Let one process start as ${quoted(owner ?? "")}, who owns the tables; or else: grant ${quoted(owner ?? "")} to ${
    quoted(role)
  }`

const isDenied = (error: unknown): error is SqlError =>
  isSqlError(error) && codeOf(error) === "42501" && error.reason.operation !== "connect"

/** Names the grants that a migration lacked when it was denied something. */
export const explained = <E>(migrated: Effect.Effect<void, E | SqlError>, sql: PgClient, t: Tables) =>
  Effect.catchIf(migrated, isDenied, (error) =>
    Effect.flatMap(rightsOf(sql, t), (rights) => {
      // Who could read which version there is was denied the next.
      const changing = !rights.hasTables || (rights.uses && rights.reads)
      const statements = missing(rights, t, changing)
      const remedy = changing && rights.hasTables && !rights.ownsTables
        ? owned(rights)
        : statements.length > 0
        ? said(statements)
        : "Grant the role what it lacks"
      const detail = `${detailOf(error)}. ${remedy}`
      return Effect.fail(new StoreError({ method: "migrate", retryable: false, detail, cause: error }))
    }))

/** Fails when the role could not do all that is asked of a store; one that can write nothing is taken for a reader, and warned. */
export const check = Effect.fnUntraced(function*(
  sql: PgClient,
  t: Tables
): Effect.fn.Return<void, SqlError | StoreError> {
  const rights = yield* rightsOf(sql, t)
  const statements = missing(rights, t, false)
  if (statements.length === 0) return
  if (rights.uses && rights.reads && !rights.writesSome) {
    return yield* Effect.logWarning(
      `The role ${rights.role} can only read schema ${t.name}: whatever is to be written will be refused. ${
        said(statements)
      }`
    )
  }
  const detail = `The role ${rights.role} may not do all that the store does in schema ${t.name}. ${said(statements)}`
  return yield* new StoreError({ method: "migrate", retryable: false, detail })
})
