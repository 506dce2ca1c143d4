/**
 * Statement parameters that name their type. Left to inference, an array of nothing or of nulls has none, and one that
 * mixes integers and fractions is refused.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Result from "effect/Result"

export type Parameter = PgTypes.Parameter

type ArrayOf<A> = (values: ReadonlyArray<A | null>) => Parameter

const array = (elementOid: number) => (values: ReadonlyArray<unknown>): Parameter =>
  Result.getOrThrow(PgTypes.array(values, elementOid))

export const texts: ArrayOf<string> = array(PgTypes.OID.text)
export const ints: ArrayOf<number> = array(PgTypes.OID.int4)
export const floats: ArrayOf<number> = array(PgTypes.OID.float8)
export const booleans: ArrayOf<boolean> = array(PgTypes.OID.bool)

/** Epoch milliseconds, as `timestamptz`. Cast to `timestamptz(3)` in SQL: far from now, doubles miss the microsecond. */
export const instants: ArrayOf<number> = array(PgTypes.OID.timestamptz)
export const instant: (millis: number | null) => Parameter = PgTypes.timestamptz

export const isArray = (parameter: unknown): boolean => PgTypes.isParameter(parameter) && Array.isArray(parameter.value)
