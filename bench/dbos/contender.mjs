// The DBOS side of the benchmark: the same work, driven by the same lines on standard input.
import { DBOS } from "@dbos-inc/dbos-sdk"
import { createInterface } from "node:readline"

const noop = DBOS.registerWorkflow(async () => {}, { name: "noop" })

const tenSteps = DBOS.registerWorkflow(async () => {
  for (let step = 0; step < 10; step++) await DBOS.runStep(async () => step, { name: `step-${step}` })
}, { name: "ten-steps" })

const ticks = []
const tick = DBOS.registerWorkflow(async (scheduledAt, context) => {
  ticks.push([context, scheduledAt.getTime(), Date.now()])
}, { name: "tick" })

const workflows = { noop, tenSteps }

const inFlight = async (workflow, count, width) => {
  let next = 0
  const lane = async () => {
    while (next++ < count) await workflow()
  }
  await Promise.all(Array.from({ length: width }, lane))
}

const schedules = async (count, seconds) => {
  await DBOS.applySchedules(Array.from({ length: count }, (_, index) => ({
    scheduleName: `every-second-${index}`,
    workflowFn: tick,
    schedule: "* * * * * *",
    context: index
  })))
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  for (let index = 0; index < count; index++) await DBOS.pauseSchedule(`every-second-${index}`)
  return ticks
}

DBOS.setConfig({ name: "bench", systemDatabaseUrl: process.argv[2], logLevel: "error", schedulerPollingIntervalMs: 1000 })
await DBOS.launch()

const reply = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
reply({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const started = performance.now()
  if (command.kind === "stop") break
  if (command.kind === "schedules") reply({ ticks: await schedules(command.count, command.seconds) })
  else {
    await inFlight(workflows[command.workflow], command.count, command.inFlight)
    reply({ millis: performance.now() - started })
  }
}
process.exit(0)
