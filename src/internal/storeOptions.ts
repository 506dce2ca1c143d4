/** What the options of the stores' layers may be, whichever store they are of. */
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { InvalidInput } from "../Errors.ts"
import * as durations from "./durations.ts"

const invalid = (field: string, reason: string) => Result.fail(new InvalidInput({ field, reason }))

/** Text in JavaScript has no more characters. */
const largestValueBytes = 2 ** 29

/** Of a pool. A server takes no more. */
const mostConnections = 262_143

const count = (field: string, value: number, most: number): Result.Result<number, InvalidInput> =>
  Number.isSafeInteger(value) && value >= 1 && value <= most
    ? Result.succeed(value)
    : invalid(field, `must be a whole number from 1 to ${most}, and is ${String(value)}`)

export const maxValueBytes = (value: number) => count("maxValueBytes", value, largestValueBytes)

export const maxConnections = (value: number) => count("maxConnections", value, mostConnections)

/** Words such as "false", as they come from an environment variable, would count as true. */
export const flag = (field: string, value: boolean): Result.Result<boolean, InvalidInput> =>
  typeof value === "boolean" ? Result.succeed(value) : invalid(field, `must be true or false, and is ${String(value)}`)

/** Milliseconds, Infinity among them. */
export const retryFor = (value: Duration.Input): Result.Result<number, InvalidInput> =>
  Result.map(durations.timeout("retryFor", value), (millis) => millis ?? Number.POSITIVE_INFINITY)

/** A folder of the file system. Nothing is not the folder that the process was started in, and a URL is no folder. */
export const dataDir = (value: string): Result.Result<string, InvalidInput> => {
  if (typeof value !== "string") return invalid("dataDir", `must be the path of a folder, and is ${String(value)}`)
  if (value.trim() === "") {
    return invalid(
      "dataDir",
      "must not be empty: give the path of a folder, or leave it out to keep the data in memory"
    )
  }
  if (value.includes("\0")) return invalid("dataDir", "must not contain the NUL character")
  return /^\w+:\/\//.test(value)
    ? invalid("dataDir", "must be the path of a folder and not a URL; leave it out to keep the data in memory")
    : Result.succeed(value)
}
