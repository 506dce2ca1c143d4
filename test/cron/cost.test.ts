import { assert, describe, it } from "@effect/vitest"
import * as Cron from "effect-durable/Cron"
import * as Timing from "effect-durable/Timing"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

const length = 400_000
const repeat = (text: string) => text.repeat(length / text.length)

const fillings = {
  blanks: " ",
  tabs: "\t",
  "line ends": "\n",
  commas: ",",
  digits: "1",
  zeros: "0",
  lists: "1,",
  names: "MON,",
  letters: "L",
  fields: "* ",
  stars: "*",
  slashes: "/",
  dashes: "-",
  "question marks": "?",
  brackets: "[",
  garbage: "é\u0000"
}

/** Much of something in every place where it could be looked at again and again. */
const texts = (filling: string): ReadonlyArray<string> => {
  const much = repeat(filling)
  return [
    much,
    `${much} 0 0 * * ?`,
    `0 0 ${much} * *`,
    `0 0 * * ${much}x y`,
    `0 0 0 ${much} * ?`,
    `0 0 0 ? * ${much}`,
    `@${much}`,
    `2030-01-01T00:00:00.${much}Z`
  ]
}

const told = <A>(result: Result.Result<A, { readonly message: string }>): void => {
  if (Result.isFailure(result)) assert.isBelow(result.failure.message.length, 1000)
}

// The time-out is the law: what grows with the square of the length takes minutes, and all of this about a second.
describe("hundreds of thousands of characters", () => {
  it.effect.each(Object.keys(fillings).map((name) => ({ name })))(
    "of $name are read in time as a cron",
    ({ name }) =>
      Effect.sync(() => {
        for (const text of texts(fillings[name as keyof typeof fillings])) {
          told(Cron.parse(text))
          told(Cron.fromUnix(text))
          told(Cron.fromQuartz(text))
        }
      }),
    20_000
  )

  it.effect.each(Object.keys(fillings).map((name) => ({ name })))(
    "of $name are read in time as a timing",
    ({ name }) =>
      Effect.sync(() => {
        for (const text of texts(fillings[name as keyof typeof fillings])) {
          Timing.fromText(text)
          for (
            const timing of [
              { cron: text },
              { cron: "@daily", timeZone: text },
              { at: text },
              { every: text },
              { calendar: { every: 1, unit: "days", at: text, from: "2030-01-01" } },
              { calendar: { every: 1, unit: "days", at: "09:00", from: text } },
              { every: 5000, except: { dates: [text] } },
              { every: 5000, except: { weekdays: [text] } },
              { every: 5000, except: { cron: text } }
            ]
          ) Timing.parse(timing as unknown as Timing.Timing)
        }
      }),
    20_000
  )

  it.effect("in many crons are read in time", () =>
    Effect.sync(() => {
      const crons = Array.from({ length: 60_000 }, (_, at) =>
        `${at % 60} ${Math.floor(at / 60) % 60} ${at % 24} ${at % 28 + 1} * *`)
      assert.isTrue(Result.isSuccess(Timing.parse({ cron: crons as unknown as readonly [string] })))
    }), 30_000)
})
