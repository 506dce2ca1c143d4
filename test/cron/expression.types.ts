/** Which expressions compile. There is nothing to run here. */
import * as Cron from "effect-durable/Cron"

declare const text: string
declare const minute: number
declare const either: "0 0 6 * * *" | "@daily"
declare const mixed: "0 0 6 * * *" | "0 6 * * *"

// Six fields, however they are set apart, macros, and text that the compiler does not know.
Cron.parse("0 0 6 * * *")
Cron.parse("*/10 0,30 9-17 1,15,L * +MON-FRI")
Cron.parse("  0  0 6   * * *  ")
Cron.parse("0\t0 6 * * *")
Cron.parse("@daily")
Cron.parse(" @hourly ")
Cron.parse(text)
Cron.parse(either)
Cron.parse(`0 ${minute} 6 * * *`)
Cron.parse(`${text} * * *`)
Cron.parseUnsafe("0 0 6 * * *", { timeZone: "Europe/Berlin" })
Cron.make("0 0 6 * * *")

// @ts-expect-error a cron expression needs 6 fields, with seconds first; try: 0 *\/5 * * * *
Cron.parse("*/5 * * * *")
// @ts-expect-error
Cron.parseUnsafe("30 2 * * 1-5")
// @ts-expect-error
Cron.make("30 2 * * 1-5")
// @ts-expect-error
Cron.parse("* * * *")
// @ts-expect-error
Cron.parse("*")
// @ts-expect-error
Cron.parse("")
// @ts-expect-error
Cron.parse("   ")
// @ts-expect-error
Cron.parse("0 0 6 * * * 2026")
// @ts-expect-error
Cron.parse("0 0 6 * * * 2026 and a lot more than that")
// @ts-expect-error
Cron.parse("@reboot")
// @ts-expect-error
Cron.parse("@Daily")
// @ts-expect-error
Cron.parse("@daily 0 0 0 0 0")
// @ts-expect-error
Cron.parse(mixed)
// @ts-expect-error
Cron.parse(5)

// As the type of a parameter of other functions, alone or in an object.
const declare = <const S extends string>(options: { readonly cron: Cron.Expression<S> }) => options.cron
declare({ cron: "0 0 6 * * *" })
declare({ cron: text })
// @ts-expect-error
declare({ cron: "0 6 * * *" })

const narrow: Cron.Expression<"0 0 6 * * *"> = "0 0 6 * * *"
const wide: Cron.Expression = text
// The message is the type that is asked for.
const message: Cron.Expression<"0 6 * * *"> = "a cron expression needs 6 fields, with seconds first; try: 0 0 6 * * *"

export { message, narrow, wide }
