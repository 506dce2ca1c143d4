// The four schedules of the report system. They are values: nothing happens until a layer applies them.
import * as Schedule from "effect-durable/Schedule"
import { Report } from "./Report.ts"

export const hourlyOps = Schedule.make("hourly-ops-report", {
  workflow: Report,
  cron: "0 0 * * * *",
  context: {
    reportType: "Hourly Operations",
    metricType: "operations",
    recipients: ["ops@example.com"],
    lookbackHours: 1
  }
})

export const dailySummary = Schedule.make("daily-summary", {
  workflow: Report,
  cron: "0 0 6 * * *",
  timeZone: "Europe/Berlin",
  context: {
    reportType: "Daily Summary",
    metricType: "all",
    recipients: ["team@example.com", "manager@example.com"],
    lookbackHours: 24
  }
})

export const weeklyExecutive = Schedule.make("weekly-executive", {
  workflow: Report,
  cron: "0 0 9 * * MON",
  timeZone: "Europe/Berlin",
  context: {
    reportType: "Weekly Executive Summary",
    metricType: "business",
    recipients: ["executives@example.com"],
    lookbackHours: 168
  }
})

export const monthlyFinancial = Schedule.make("monthly-financial", {
  workflow: Report,
  cron: "0 0 8 1 * *",
  timeZone: "Europe/Berlin",
  context: {
    reportType: "Monthly Financial",
    metricType: "financial",
    recipients: ["finance@example.com", "cfo@example.com"],
    lookbackHours: 720
  }
})

export const all = [hourlyOps, dailySummary, weeklyExecutive, monthlyFinancial] as const
