/** Prints the host's time zone and, in lines that must not depend on it, what the module answers. */
import * as Timing from "effect-durable/Timing"
import * as Result from "effect/Result"

console.log(`host ${new Date(0).getHours()}:${new Date(0).getMinutes()} ${new Date(1.3e12).getHours()}`)

const timings = ["UTC", "Europe/Lisbon", "Australia/Lord_Howe", "America/Nuuk"].flatMap((timeZone) => [
  Timing.cron(["0 30 2 * * *", "0 0 */6 * * MON"], { timeZone }),
  Timing.at(["2024-03-30T23:30", "2024-10-27", "2024-04-01 05:00:30.5", { year: 2024, month: 3, day: 31 }]),
  Timing.every("13 hours", { anchor: "2024-03-09T02:30" }),
  Timing.calendar({ every: 3, unit: "days", at: ["01:30", "23:30"], from: "2024-01-01", timeZone }),
  Timing.calendar({ every: 1, unit: "months", at: "02:15", from: "2024-01-31", timeZone, fold: "both" })
])

for (const timing of timings) {
  const timetable = Result.getOrThrow(
    Timing.parse(Timing.except(timing, { weekdays: ["SUN"], dates: ["03-31", "2024-04-06"], cron: "* * 0-1 * * *" }))
  )
  console.log(timetable.text, timetable.describe())
  let tick = timetable.next(Date.UTC(2024, 2, 1))
  for (let count = 0; tick !== null && count < 100; count++) {
    console.log(tick, timetable.excluded(tick), Timing.clockChange(timetable, tick), timetable.prev(tick))
    tick = timetable.next(tick)
  }
}
