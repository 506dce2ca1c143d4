/** Reads the sentence that describes a cron as somebody would who knows nothing else of it. */

/** What is said of one unit: its values, or how many of a range. */
export interface Said {
  readonly values: ReadonlyArray<number>
  /** When not all of the values are meant but this many. */
  readonly count?: number
  /** `every 5 minutes` says that nothing interrupts them. */
  readonly even?: true
}

export interface Sentence {
  readonly seconds: Said
  readonly minutes: Said
  readonly hours: Said
  /** Each of the times of day, when they are listed. */
  readonly times: ReadonlyArray<string> | undefined
  /** Whether it fires on a day; undefined when the sentence sums up and does not say. */
  readonly on: (date: Date) => boolean | undefined
}

const fail = (text: string): never => {
  throw new Error(`A reader cannot make sense of "${text}"`)
}

const span = (from: number, to: number, step = 1): Array<number> => {
  const values: Array<number> = []
  for (let value = from; value <= to; value += step) values.push(value)
  return values
}

/** Values and ranges, with words between them. */
const list = (text: string, read: (word: string) => number): Array<number> =>
  text.split(/, | and | or /).flatMap((part) => {
    const [from, to] = part.split(" to ").map(read) as [number, number?]
    return span(from, to ?? from)
  })

// ── time of day ─────────────────────────────────────────────────────────────────────────────────────────────────────

const sizes = { second: 60, minute: 60, hour: 24 } as const
type Unit = keyof typeof sizes

const said = (phrase: string): readonly [Unit, Said] => {
  const all = /^every (second|minute|hour)$/.exec(phrase)
  if (all !== null) return [all[1] as Unit, { values: span(0, sizes[all[1] as Unit] - 1), even: true }]
  const even = /^every (\d+) (second|minute|hour)s$/.exec(phrase)
  if (even !== null) {
    return [even[2] as Unit, { values: span(0, sizes[even[2] as Unit] - 1, Number(even[1])), even: true }]
  }
  const some = /^(?:at )?(\d+) of the (second|minute|hour)s (\d+) to (\d+)$/.exec(phrase)
  if (some !== null) return [some[2] as Unit, { values: span(+some[3]!, +some[4]!), count: Number(some[1]) }]
  const steps = /^(?:at )?(second|minute|hour)s (\d+) to (\d+) in steps of (\d+)$/.exec(phrase)
  if (steps !== null) return [steps[1] as Unit, { values: span(+steps[2]!, +steps[3]!, +steps[4]!) }]
  const few = /^(?:at )?(second|minute|hour)s? (\d[\d, andto]*)$/.exec(phrase) ?? fail(phrase)
  return [few[1] as Unit, { values: list(few[2]!, Number) }]
}

const timeOfDay = (text: string): Omit<Sentence, "on"> => {
  const zero: Said = { values: [0] }
  if (/^at \d\d:/.test(text)) {
    const times = text.slice(3).split(/, | and /)
    const part = (index: number): Said => ({
      values: [...new Set(times.map((time) => Number(time.split(":")[index])))].sort((a, b) => a - b)
    })
    return { seconds: part(2), minutes: part(1), hours: part(0), times }
  }
  const phrases = text.split(/ of (?=every |seconds? |minutes? |hours? |\d+ of the )/).map(said)
  // Smaller units than the first are zero, and larger ones that are not named are all of theirs.
  const units = ["second", "minute", "hour"] as const
  const first = units.indexOf(phrases[0]![0])
  const of = (unit: Unit): Said =>
    phrases.find(([name]) => name === unit)?.[1] ??
      (units.indexOf(unit) < first ? zero : { values: span(0, sizes[unit] - 1), even: true })
  return { seconds: of("second"), minutes: of("minute"), hours: of("hour"), times: undefined }
}

// ── days ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
const months = "January February March April May June July August September October November December".split(" ")

const indexIn = (names: ReadonlyArray<string>) => (name: string) =>
  names.includes(name) ? names.indexOf(name) : fail(name)
const ordinal = (word: string) => /^\d+(st|nd|rd|th)$/.test(word) ? parseInt(word) : fail(word)

const lengthOf = (date: Date) => new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()

const isWorking = (date: Date, day: number): boolean => {
  const weekday = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), day)).getUTCDay()
  return weekday > 0 && weekday < 6
}

/** The working day of the month that is nearest to one of its days. */
const nearest = (date: Date, day: number): number | undefined =>
  day > lengthOf(date)
    ? undefined
    : [0, -1, 1, -2, 2].map((by) => day + by)
      .find((near) => near >= 1 && near <= lengthOf(date) && isWorking(date, near))

type On = (date: Date) => boolean | undefined

const ord = "\\d+(?:st|nd|rd|th)"
const ords = `the ${ord}(?: to ${ord})?(?:(?:, | and | or )${ord}(?: to ${ord})?)*`
const dates =
  `(?:${ords}|every ${ord} day from the ${ord} to the ${ord}|\\d+ of the days from the ${ord} to the ${ord})`

/** The days that a phrase names, and whether only some of them are meant. */
const readDates = (text: string): readonly [ReadonlyArray<number>, all: boolean] => {
  const range = /from the (\w+) to the (\w+)$/.exec(text)
  if (range === null) return [list(text.slice(4), ordinal), true]
  const [from, to] = [ordinal(range[1]!), ordinal(range[2]!)]
  const step = /^every (\w+) day/.exec(text)
  return step === null ? [span(from, to), false] : [span(from, to, ordinal(step[1]!)), true]
}

const yesOrMaybe = (named: boolean, all: boolean) => named ? (all ? true : undefined) : false

const dayPhrases: ReadonlyArray<readonly [RegExp, (match: RegExpExecArray) => On]> = [
  [new RegExp(`^the working days? nearest to (${dates})`), ([, text]) => {
    const [days, all] = readDates(text!)
    return (date) => yesOrMaybe(days.some((day) => nearest(date, day) === date.getUTCDate()), all)
  }],
  [/^the last working day/, () => (date) => nearest(date, lengthOf(date)) === date.getUTCDate()],
  [/^the last day/, () => (date) => date.getUTCDate() === lengthOf(date)],
  [
    /^(\d+) of the numbers from (\d+) to (\d+) of days before the last day(?: \([^)]*\))?/,
    ([, , from, to]) => (date) => {
      const before = lengthOf(date) - date.getUTCDate()
      return yesOrMaybe(before >= +from! && before <= +to!, false)
    }
  ],
  [/^(\d+(?: to \d+)?(?:(?:, | and )\d+(?: to \d+)?)*) days? before the last day(?: \([^)]*\))?/, ([, text]) => {
    const befores = list(text!, Number)
    return (date) => befores.includes(lengthOf(date) - date.getUTCDate())
  }],
  [
    /^the (\d)(?:st|nd|rd|th) ([A-Z]\w+)/,
    ([, week, name]) => (date) =>
      date.getUTCDay() === indexIn(weekdays)(name!) && Math.ceil(date.getUTCDate() / 7) === +week!
  ],
  [
    /^the last ([A-Z]\w+)/,
    ([, name]) => (date) => date.getUTCDay() === indexIn(weekdays)(name!) && date.getUTCDate() > lengthOf(date) - 7
  ],
  [/^\d+ more such weekdays/, () => () => undefined],
  [new RegExp(`^${dates}`), ([text]) => {
    const [days, all] = readDates(text)
    return (date) => yesOrMaybe(days.includes(date.getUTCDate()), all)
  }],
  [/^[A-Z]\w+(?: to [A-Z]\w+)?/, ([text]) => {
    const days = list(text, indexIn(weekdays))
    return (date) => days.includes(date.getUTCDay())
  }]
]

const either = (ons: ReadonlyArray<On>): On => (date) => {
  const found = ons.map((on) => on(date))
  return found.includes(true) ? true : found.includes(undefined) ? undefined : false
}

const both = (ons: ReadonlyArray<On>): On => (date) => {
  const found = ons.map((on) => on(date))
  return found.includes(false) ? false : found.includes(undefined) ? undefined : true
}

/** Days with commas, "and" or "or" between them: any of them. */
const anyOf = (text: string): On => {
  const ons: Array<On> = []
  for (let rest = text; rest !== "";) {
    const found = dayPhrases.map(([pattern, read]) => [pattern.exec(rest), read] as const)
      .find(([match]) => match !== null) ?? fail(rest)
    ons.push(found[1](found[0]!))
    rest = rest.slice(found[0]![0].length).replace(/^(, | and | or )/, "")
  }
  return either(ons)
}

const inMonths = (text: string | undefined): On => {
  if (text === undefined) return () => true
  const numbers = list(text, indexIn(months))
  return (date) => numbers.includes(date.getUTCMonth())
}

const monthNames = `((?:${months.join("|")})[\\w, ]*?)`
const on = (text: string): On => {
  const every = new RegExp(`^every day(?: in ${monthNames})?$`).exec(text)
  if (every !== null) return inMonths(every[1])
  const or = new RegExp(`^on (.*) of the month and on (.*?)(?:, both only in ${monthNames})?$`).exec(text)
  if (or !== null) return both([either([anyOf(or[1]!), anyOf(or[2]!)]), inMonths(or[3])])
  const and = new RegExp(`^on (.*?)(?: of the month| in ${monthNames})(?: if that is (.*))?$`).exec(text)
  if (and !== null) {
    return both([anyOf(and[1]!), inMonths(and[2]), ...(and[3] === undefined ? [] : [anyOf(and[3])])])
  }
  return anyOf(text.slice("on ".length))
}

/** Reads the sentence of a cron in UTC. */
export const read = (sentence: string): Sentence => {
  const zone = ", in UTC, which has no clock changes."
  if (!sentence.endsWith(zone)) fail(sentence)
  const text = sentence[0]!.toLowerCase() + sentence.slice(1, -zone.length)
  const days = /, (?:every day|on )/.exec(text) ?? fail(text)
  return { ...timeOfDay(text.slice(0, days.index)), on: on(text.slice(days.index + 2)) }
}
