/** What the clock on the wall of a zone does. */
import { maxInstant, minInstant, type Zone, zoneOf } from "../cron/zone.ts"

const daySeconds = 86_400

const localDay = (local: number): number => Math.floor(local / daySeconds)

/** The day that the calendar on the wall shows at an instant. */
export const dayAt = (zone: Zone, millis: number): number => {
  const instant = Math.floor(millis / 1000)
  return localDay(instant + zone.segmentAt(instant).offset)
}

export type ClockChange = "spring-forward" | "fall-back"

/** As for cron expressions, a change by more than this corrects the calendar and is none of the clock. */
const largestShift = 3 * 3600

/** Whether local times are left out or come twice on the day, in this zone, of an instant. */
export const changeAt = (timeZone: string, millis: number): ClockChange | null => {
  const zone = zoneOf(timeZone)
  if (zone === undefined || !(millis >= minInstant * 1000 && millis < (maxInstant + 1) * 1000)) return null
  const day = dayAt(zone, millis)
  const until = (day + 2) * daySeconds
  let segment = zone.segmentAt((day - 1) * daySeconds)
  while (segment.end < until) {
    const after = zone.segmentAt(segment.end)
    const shift = after.offset - segment.offset
    const stops = segment.end + segment.offset
    const goesOn = segment.end + after.offset
    segment = after
    if (shift === 0 || Math.abs(shift) > largestShift) continue
    // Ticks that are made up for fire when the clock goes on, so that counts as a part of the change.
    if (shift > 0 && localDay(stops) <= day && day <= localDay(goesOn)) return "spring-forward"
    if (shift < 0 && localDay(goesOn) <= day && day <= localDay(stops - 1)) return "fall-back"
  }
  return null
}
