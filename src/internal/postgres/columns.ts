/** Inputs of statements: any number of rows, as one array for each column. */
import { booleans, floats, instants, ints, type Parameter, texts } from "./parameters.ts"

/** A column of an input: its name, its type, and its value for each row as one parameter. */
export type Column<A> = readonly [name: string, type: string, values: (rows: ReadonlyArray<A>) => Parameter]

export const text = <A>(name: string, value: (row: A) => string | null): Column<A> => [
  name,
  "text",
  (rows) => texts(rows.map(value))
]
export const int = <A>(name: string, value: (row: A) => number | null): Column<A> => [
  name,
  "int",
  (rows) => ints(rows.map(value))
]
export const float = <A>(name: string, value: (row: A) => number | null): Column<A> => [
  name,
  "float8",
  (rows) => floats(rows.map(value))
]
export const time = <A>(name: string, value: (row: A) => number | null): Column<A> => [
  name,
  "timestamptz(3)",
  (rows) => instants(rows.map(value))
]
export const flag = <A>(name: string, value: (row: A) => boolean | null): Column<A> => [
  name,
  "boolean",
  (rows) => booleans(rows.map(value))
]

export class Input<A> {
  readonly names: string
  /** How many parameters it has. */
  readonly width: number
  readonly #columns: ReadonlyArray<Column<A>>

  constructor(columns: ReadonlyArray<Column<A>>) {
    this.#columns = columns
    this.names = columns.map(([name]) => name).join(", ")
    this.width = columns.length
  }

  /** The arrays, of which `$first` is the first. */
  arrays(first: number): string {
    return this.#columns.map(([, type], index) => `$${first + index}::${type}[]`).join(", ")
  }

  /** The rows as a table, numbered by `n`. */
  table(first: number, alias: string): string {
    return `unnest(${this.arrays(first)}) with ordinality as ${alias}(${this.names}, n)`
  }

  params(rows: ReadonlyArray<A>): ReadonlyArray<Parameter> {
    return this.#columns.map(([, , values]) => values(rows))
  }
}
