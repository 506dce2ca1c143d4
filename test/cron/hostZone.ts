/** Prints the host's time zone and, in lines that must not depend on it, what the module answers. */
import * as Cron from "effect-durable/Cron"

console.log(`host ${new Date(0).getHours()}:${new Date(0).getMinutes()} ${new Date(1.3e12).getHours()}`)

for (const timeZone of ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]) {
  for (const expression of ["0 30 2 * * *", "0 */20 * * * *", "0 0 0 L * *", "15 15 1-3 * * SUN#1"]) {
    const cron = Cron.parseUnsafe(expression, { timeZone })
    for (const from of [Date.UTC(1971, 11, 30), Date.UTC(2011, 8, 1), Date.UTC(2024, 2, 9), Date.UTC(2024, 9, 26)]) {
      const ticks = [...Cron.occurrences(cron, { from, to: from + 3_000_000_000 })]
      console.log(
        expression,
        timeZone,
        ticks.length,
        ticks.reduce((sum, tick) => (sum * 31 + tick / 1000) % 2 ** 40, 7)
      )
    }
  }
}
