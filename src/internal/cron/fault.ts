/** What can be wrong with an expression, and what to write in its place. */
import {
  dayOfMonth,
  dayOfWeek,
  type FieldName,
  type FieldShape,
  isBlank,
  monthNames,
  quartzShapes,
  shapes,
  weekdayNames
} from "./fields.ts"

/** The reasons, in no particular order; each is a fact about the characters at fault. */
export const reasons = [
  "Empty",
  "FieldCount",
  "UnknownMacro",
  "Malformed",
  "EmptyItem",
  "UnknownName",
  "OutOfRange",
  "ReversedRange",
  "InvalidStep",
  "StepTooLarge",
  "StepWithoutRange",
  "Modifier",
  "DayFields",
  "Year",
  "NeverFires",
  "UnknownTimeZone"
] as const

export type Reason = (typeof reasons)[number]

/** Whose expressions are read, where they are not ours. */
export const dialects = ["unix", "quartz"] as const

export type Dialect = (typeof dialects)[number]

/** What is wrong with the characters from `start` until before `end`; writing `hint` in their place repairs it. */
export interface Fault {
  readonly field: FieldName
  readonly reason: Reason
  readonly start: number
  readonly end: number
  readonly hint?: string | undefined
  readonly dialect?: Dialect | undefined
}

/** Says why an item is none, from the position at which it stopped making sense. */
export const misfit = (shape: FieldShape, input: string, start: number, end: number, position: number): Fault => {
  const item = input.slice(start, end)
  const whole = (reason: Reason, hint?: string): Fault => ({ field: shape.name, reason, start, end, hint })
  const days = shape === dayOfMonth || shape === dayOfWeek

  if (item.includes("?")) {
    const open = input.indexOf("?", start)
    // What follows is kept, so that `?/2` becomes a step of everything.
    return item.startsWith("?/")
      ? { field: shape.name, reason: "Modifier", start: open, end: open + 1, hint: "*" }
      : whole("Modifier", "*")
  }
  if (item.includes("+")) return whole(days || shape.name === "month" ? "Modifier" : "Malformed")
  if (item.includes("#")) return whole("Modifier", days ? inCapitals(shape, item) : undefined)

  const word = /^[A-Za-z]*/.exec(input.slice(position, end))![0]
  if (/^(L|W|LW|WL)$/i.test(word)) return whole("Modifier", inCapitals(shape, item))
  const afterDigit = position > start && /\d/.test(input[position - 1]!)
  if (word === "" || afterDigit || /^H$/i.test(word)) return whole("Malformed")
  const capitals = inCapitals(shape, item)
  if (capitals !== undefined) return whole("Modifier", capitals)
  return {
    field: shape.name,
    reason: "UnknownName",
    start: position,
    end: position + word.length,
    hint: shortened(shape, word)
  }
}

/** The item with its letters in capitals, when that makes it one. */
const inCapitals = (shape: FieldShape, item: string): string | undefined => {
  const capitals = item.toUpperCase()
  const makesSense = shape === dayOfMonth
    ? /^(L|LW|L-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])W)$/.test(capitals)
    : shape === dayOfWeek && /^([0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#L)$/.test(capitals)
  return makesSense && capitals !== item ? capitals : undefined
}

/** The three letters that are written instead of a longer name, such as `MON` for `Monday`. */
const shortened = (shape: FieldShape, word: string): string | undefined => {
  const names = shape.name === "month" ? monthNames : shape.name === "dayOfWeek" ? weekdayNames : []
  const name = word.length < 3 ? undefined : names.find((name) => name.toLowerCase().startsWith(word.toLowerCase()))
  return name?.slice(0, 3).toUpperCase()
}

// ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────────

const labels: Readonly<Record<FieldName, string>> = {
  expression: "expression",
  second: "second",
  minute: "minute",
  hour: "hour",
  dayOfMonth: "day of month",
  month: "month",
  dayOfWeek: "day of week",
  timeZone: "time zone"
}

const countFields = (text: string): number => {
  let count = 0
  for (let index = 0; index < text.length; index++) {
    if (!isBlank(text.charCodeAt(index)) && (index === 0 || isBlank(text.charCodeAt(index - 1)))) count++
  }
  return count
}

const fieldCount = (text: string, dialect: Dialect | undefined): string => {
  const count = countFields(text)
  const fields = count === 1 ? "1 field" : `${count} fields`
  if (dialect === "quartz") return `${fields}: Quartz has 6, with seconds first, and perhaps a year`
  if (dialect === "unix") {
    return `${fields}: a crontab line has 5${count === 6 ? "; with seconds first it needs no translation" : ""}`
  }
  if (count === 7) return `${fields}: this library has 6, seconds first, and none for years or a time zone`
  return `${fields}: this library needs 6, with seconds first`
}

const year = (text: string): string => {
  const [, from, until = from] = /^(\d{4})(?:-(\d{4}))?$/.exec(text) ?? []
  const bounds = from === undefined ? "" : `, here "${from}-01-01" and "${Number(until) + 1}-01-01"`
  return `${text} is a year, which is no part of when something repeats: leave it out and give the schedule \`from\` and \`until\`${bounds}`
}

/** One sentence about a fault; `text` are the characters at fault, perhaps not all of them. */
const sentence = (fault: Fault, input: string, text: string): string => {
  const quartz = fault.dialect === "quartz"
  const shape = (quartz ? quartzShapes : shapes).find((shape) => shape.name === fault.field)
  const label = labels[fault.field]
  switch (fault.reason) {
    case "Empty":
      return "the expression is empty; 6 fields are needed, with seconds first"
    case "FieldCount":
      return fieldCount(input.slice(fault.start, fault.end), fault.dialect)
    case "UnknownMacro":
      return `${text} is no macro; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly`
    case "Malformed":
      return `${label}: ${text} is neither *, a value, a range nor a step`
    case "EmptyItem":
      return `${label}: nothing stands on one side of the comma`
    case "UnknownName":
      return shape === undefined || shape.names.length === 0
        ? `${label}: ${text} is a name, and this field has numbers only`
        : `${label}: ${text} is none of ${shape.names.join(", ")}`
    case "OutOfRange":
      return `${label}: ${text} is not within ${shape?.min}-${shape?.max}${
        quartz && shape?.max === 7 ? ", of which 1 is Sunday" : ""
      }`
    case "ReversedRange":
      return `${label}: ${text} runs backwards`
    case "InvalidStep":
      return quartz && fault.hint !== undefined
        ? `${label}: Quartz ignores a step that follows a name; leave it out, or write numbers if it was meant`
        : `${label}: a step is a whole number from 1 on`
    case "StepTooLarge":
      return `${label}: a step of ${text} is larger than the field, which has ${shape?.size} values`
    case "StepWithoutRange":
      return `${label}: ${text} has a step but no range to take it in`
    case "Modifier":
      return quartz && text.includes(",")
        ? `${label}: Quartz takes a day with W, # or L only by itself; expressions of this library can list them`
        : modifier(fault.field, text)
    case "DayFields":
      return fault.hint === "*"
        ? `${label}: one of the two day fields is ?, and the other says which days`
        : `${label}: Quartz wants ? in one of the two day fields; expressions of this library can have both, with a + for "and"`
    case "Year":
      return year(text)
    case "NeverFires":
      return `${label}: no date in any year matches ${text} together with the other fields`
    case "UnknownTimeZone":
      return `${label}: ${JSON.stringify(text)} is neither a time zone's name nor an offset such as +02:00`
  }
}

const modifier = (field: FieldName, text: string): string => {
  const label = labels[field]
  if (text.includes("?")) {
    return field === "dayOfMonth" || field === "dayOfWeek"
      ? `${label}: ? stands alone or not at all`
      : `${label}: ? is for the day fields`
  }
  if (field === "dayOfMonth") return `${label}: ${text} is none of L, L-1 to L-30, LW and 1W to 31W`
  if (field !== "dayOfWeek") return `${label}: ${text} has a sign that is for the day fields`
  if (text.includes("+")) return `${label}: + stands once, before the whole field`
  return `${label}: ${text} is neither a weekday with #1 to #5 nor one with L, such as 5#2 or 5L`
}

const maxShown = 120

/** The sentence, the input, and a line that points at the fault and says what to write. */
export const describe = (input: string, fault: Fault): string => {
  const from = fault.end > maxShown ? Math.max(0, fault.start - 40) : 0
  const cut = input.slice(from, from + maxShown)
  // Every character becomes one column.
  const shown = (from > 0 ? "…" : "") + cut.replace(/[\p{Cc}\s]/gu, " ") + (from + maxShown < input.length ? "…" : "")
  const indent = fault.start - from + (from > 0 ? 1 : 0)
  const width = Math.max(1, Math.min(fault.end - fault.start, maxShown - indent))
  const text = input.slice(fault.start, Math.min(fault.end, fault.start + maxShown))
  const pointer = `${" ".repeat(indent)}${"^".repeat(width)}`
  const hint = fault.hint === undefined
    ? ""
    : `  try: ${fault.hint.slice(0, maxShown)}${fault.hint.length > maxShown ? "…" : ""}`
  return `${sentence(fault, input, text)}\n  ${shown}\n  ${pointer}${hint}`
}
