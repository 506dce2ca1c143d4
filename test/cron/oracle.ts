/**
 * What an expression means, written for reading and not for speed, and sharing no code with the module: fields are read with
 * `split`, local time comes from the calendar fields that `Intl` prints, and every second is looked at.
 */

/** The local time at an instant, both in seconds, the former as if it were UTC. */
export const localClock = (timeZone: string) => {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    era: "short",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric"
  })
  return (second: number): number => {
    const parts = Object.fromEntries(format.formatToParts(second * 1000).map(({ type, value }) => [type, value]))
    const { day, hour, minute, month, year } = parts
    const date = new Date(0)
    date.setUTCFullYear(parts["era"] === "BC" ? 1 - Number(year) : Number(year), Number(month) - 1, Number(day))
    date.setUTCHours(Number(hour), Number(minute), Number(parts["second"]))
    return date.getTime() / 1000
  }
}

const valuesOf = (text: string, min: number, max: number): Set<number> => {
  const values = new Set<number>()
  for (const item of text.split(",")) {
    const [range, step = "1"] = item.split("/")
    const [from, to] = range === "*" ? [min, max] : range!.split("-").map(Number)
    for (let value = from!; value <= (to ?? from!); value += Number(step)) values.add(value)
  }
  return values
}

const isFree = (text: string) => ["*", "?", "*/1", "+*", "+*/1"].includes(text)

const dateMatches = (item: string, date: Date): boolean => {
  const day = date.getUTCDate()
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  const nearest = (to: number): number => {
    const on = (day: number) => new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), day)).getUTCDay()
    const candidates = Array.from({ length: last }, (_, index) => index + 1).filter((day) => on(day) % 6 !== 0)
    return candidates.sort((a, b) => Math.abs(a - to) - Math.abs(b - to))[0]!
  }
  if (item === "L") return day === last
  if (item === "LW") return day === nearest(last)
  if (item.startsWith("L-")) return day === last - Number(item.slice(2))
  if (item.endsWith("W")) return Number(item.slice(0, -1)) <= last && day === nearest(Number(item.slice(0, -1)))
  return valuesOf(item, 1, 31).has(day)
}

const weekdayMatches = (item: string, date: Date): boolean => {
  const day = date.getUTCDate()
  const weekday = date.getUTCDay()
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  if (item.endsWith("L")) {
    return weekday === Number(item.slice(0, item.length - 1).replace("#", "")) % 7 && day > last - 7
  }
  if (item.includes("#")) {
    const [which, week] = item.split("#").map(Number)
    return weekday === which! % 7 && Math.ceil(day / 7) === week
  }
  const values = valuesOf(item, 0, 6)
  return values.has(weekday) || (weekday === 0 && values.has(7))
}

/** Whether an expression matches a date, given in seconds as if it were UTC. */
export const dayMatcher = (expression: string) => {
  const [, , , dates, months, weekdays] = expression.split(" ") as [string, string, string, string, string, string]
  const inMonth = valuesOf(months, 1, 12)
  const both = weekdays.startsWith("+")
  return (local: number): boolean => {
    const date = new Date(local * 1000)
    if (!inMonth.has(date.getUTCMonth() + 1)) return false
    const byDate = () => dates.split(",").some((item) => dateMatches(item, date))
    const byWeekday = () => weekdays.replace("+", "").split(",").some((item) => weekdayMatches(item, date))
    if (isFree(dates)) return isFree(weekdays) || byWeekday()
    if (isFree(weekdays)) return byDate()
    return both ? byDate() && byWeekday() : byDate() || byWeekday()
  }
}

/** Whether an expression matches a local time. */
export const matcher = (expression: string) => {
  const [seconds, minutes, hours] = expression.split(" ") as [string, string, string]
  const inSecond = valuesOf(seconds, 0, 59)
  const inMinute = valuesOf(minutes, 0, 59)
  const inHour = valuesOf(hours, 0, 23)
  const onDay = dayMatcher(expression)
  const days = new Map<number, boolean>()
  return (local: number): boolean => {
    const time = ((local % 86_400) + 86_400) % 86_400
    if (!inSecond.has(time % 60) || !inMinute.has(Math.floor(time / 60) % 60)) return false
    if (!inHour.has(Math.floor(time / 3600))) return false
    const day = Math.floor(local / 86_400)
    if (!days.has(day)) days.set(day, onDay(local))
    return days.get(day)!
  }
}

/** Whether all 24 hours match. */
export const isEveryHour = (expression: string): boolean => valuesOf(expression.split(" ")[2]!, 0, 23).size === 24

const largestShift = 3 * 3600

export interface Rules {
  readonly gap: "shift" | "skip"
  readonly fold: "first" | "second" | "both"
}

export const rulesOf = (expression: string): Rules =>
  isEveryHour(expression) ? { gap: "skip", fold: "both" } : { gap: "shift", fold: "first" }

/** The occurrences among consecutive seconds, of which the first is `start` and `locals` are the local times. */
export const occurrences = (
  expression: string,
  start: number,
  locals: ReadonlyArray<number>,
  rules: Rules = rulesOf(expression)
): Array<number> => {
  const matches = matcher(expression)
  // When each local time comes, with a calendar correction starting a new count.
  const passes = new Map<number, Array<number>>()
  const chapters: Array<number> = []
  let chapter = 0
  locals.forEach((local, index) => {
    if (index > 0 && Math.abs(local - locals[index - 1]! - 1) > largestShift) chapter += 1e12
    chapters.push(chapter)
    passes.set(chapter + local, [...(passes.get(chapter + local) ?? []), index])
  })
  return locals.flatMap((local, index) => {
    const before = index === 0 ? local - 1 : locals[index - 1]!
    const pass = passes.get(chapters[index]! + local)!
    const mine = rules.fold === "both" || (rules.fold === "first" ? pass[0] : pass[pass.length - 1]) === index
    let fires = mine && matches(local)
    if (rules.gap === "shift" && local - before - 1 <= largestShift) {
      for (let missing = before + 1; missing < local && !fires; missing++) fires = matches(missing)
    }
    return fires ? [start + index] : []
  })
}
