/** Dates and times of day as they are written, and dates as whole days since 1970-01-01. */
import { firstDay, monthNumber, monthOf, weekdayOf } from "../cron/calendar.ts"

export interface CivilDate {
  readonly year: number
  /** From 1 to 12. */
  readonly month: number
  readonly day: number
}

export const lengthOf = (month: number): number => firstDay(month + 1) - firstDay(month)

/** The day of a date such as `2030-02-28`, or undefined. */
export const dayOf = (date: string): number | undefined => {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(date)
  if (parts === null) return undefined
  const [year, month, day] = parts.slice(1).map(Number) as [number, number, number]
  if (year < 1 || month < 1 || month > 12 || day < 1) return undefined
  const number = monthNumber(year, month)
  return day <= lengthOf(number) ? firstDay(number) + day - 1 : undefined
}

/** Whether any year has this date, such as `02-29`. */
export const isYearly = (date: string): boolean => /^\d\d-\d\d$/.test(date) && dayOf(`2000-${date}`) !== undefined

export const dateOf = (day: number): CivilDate => {
  const number = monthOf(day)
  const year = Math.floor(number / 12)
  return { year, month: number - 12 * year + 1, day: day - firstDay(number) + 1 }
}

const digits = (value: number, count: number): string => String(value).padStart(count, "0")

/** A day as `2030-02-28`. */
export const formatDay = (value: number): string => {
  const { day, month, year } = dateOf(value)
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`
}

/** The weekdays, the first of a week first. */
export const weekdays = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"] as const
export type Weekday = (typeof weekdays)[number]

export const weekdayNames: Readonly<Record<Weekday, string>> = {
  MON: "Monday",
  TUE: "Tuesday",
  WED: "Wednesday",
  THU: "Thursday",
  FRI: "Friday",
  SAT: "Saturday",
  SUN: "Sunday"
}

export const weekday = (day: number): Weekday => weekdays[(weekdayOf(day) + 6) % 7]!

/** The seconds since midnight of a time such as `09:00` or `09:00:30`, or undefined. */
export const secondsOf = (time: string): number | undefined => {
  const parts = /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(time)
  return parts === null ? undefined : Number(parts[1]) * 3600 + Number(parts[2]) * 60 + Number(parts[3] ?? 0)
}

/** A time of day in the shorter form that says it. */
export const formatTime = (seconds: number): string => {
  const minute = `${digits(Math.floor(seconds / 3600), 2)}:${digits(Math.floor(seconds / 60) % 60, 2)}`
  return seconds % 60 === 0 ? minute : `${minute}:${digits(seconds % 60, 2)}`
}
