/**
 * The one statement that writes what was gathered since the last one: a data-modifying CTE for each kind of fact, fenced
 * inside itself. Its text depends only on which kinds are present, so there are at most fifteen, and each is planned once.
 *
 * It waits for nobody's lock on a run: a fact whose run somebody else holds is passed over, and said to be busy. Only the start
 * of an id that another transaction is just inserting has to wait.
 *
 * All its parts see the rows as they were before it, and none of them what another one writes. So facts that could meet in a
 * row must not share a statement (facts.ts).
 */
import * as Lifecycle from "../lifecycle.ts"
import type { Lease } from "../records.ts"
import type { Fact } from "./facts.ts"
import { literals, type Tables } from "./names.ts"
import { floats, instant, instants, ints, type Parameter, texts } from "./parameters.ts"
import { clock } from "./rows.ts"
import { deathsLeft, fence, stepWrite } from "./steps.ts"

type Kind = Fact["_tag"]
type Of<K extends Kind> = Extract<Fact, { readonly _tag: K }>

// ── its input ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A column of a kind's input: its name, its type, and its value for each fact as one parameter. */
type Column<F> = readonly [name: string, type: string, values: (facts: ReadonlyArray<F>) => Parameter]

const text = <F>(name: string, value: (fact: F) => string | null): Column<F> => [
  name,
  "text",
  (facts) => texts(facts.map(value))
]
const int = <F>(name: string, value: (fact: F) => number): Column<F> => [
  name,
  "int",
  (facts) => ints(facts.map(value))
]
const float = <F>(name: string, value: (fact: F) => number | null): Column<F> => [
  name,
  "float8",
  (facts) => floats(facts.map(value))
]
const time = <F>(name: string, value: (fact: F) => number | null): Column<F> => [
  name,
  "timestamptz(3)",
  (facts) => instants(facts.map(value))
]

const leaseColumns: ReadonlyArray<Column<{ readonly lease: Lease }>> = [
  text("run_id", ({ lease }) => lease.runId),
  text("owner", ({ lease }) => lease.worker),
  int("epoch", ({ lease }) => lease.epoch)
]

const columns: { readonly [K in Kind]: ReadonlyArray<Column<Of<K>>> } = {
  Start: [
    text("id", ({ run }) => run.id),
    text("workflow", ({ run }) => run.workflow),
    text("payload", ({ run }) => run.payload),
    text("owner", ({ run }) => run.delayMillis === null ? run.owner : null),
    float("delay", ({ run }) => run.delayMillis ?? 0),
    float("timeout", ({ run }) => run.timeoutMillis),
    text("parent", ({ run }) => run.parent),
    text("trace", ({ run }) => run.trace ?? null)
  ],
  Step: [
    ...leaseColumns,
    text("name", ({ step }) => step.name),
    text("key", ({ step }) => step.key),
    int("occurrence", ({ step }) => step.occurrence),
    text("kind", ({ step }) => step.kind),
    int("attempts", ({ step }) => step.attempts),
    text("errors", ({ step }) => step.errors),
    text("outcome", ({ step }) => step.outcome),
    time("wake_at", ({ step }) => step.wakeAt),
    time("started_at", ({ step }) => step.startedAt)
  ],
  Finish: [
    ...leaseColumns,
    text("status", ({ status }) => status),
    text("outcome", ({ outcome }) => outcome)
  ],
  Suspend: [...leaseColumns, time("wake_at", ({ wakeAt }) => wakeAt), text("trace", ({ trace }) => trace)]
}

// ── its parts ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Part {
  /** CTEs over the kind's input, whose row number is `n`. */
  readonly write: string
  /** Columns of the answer. */
  readonly answer: string
}

/**
 * Rows are found by their key, one lookup for each fact, whatever the planner believes of tables that may have been empty when
 * it was asked: OFFSET 0 keeps it from turning the join around. What holds already, and whose row is held by somebody else, is
 * looked for only where nothing was written.
 *
 * A row is locked first and fenced as it stands then: it may have changed since the statement began, and does not until the
 * commit. One that has changed without losing the fence cannot be written by the version the statement sees; it counts as busy.
 */
const parts = (t: Tables): { readonly [K in Kind]: Part } => {
  const held = (input: string, command: Lifecycle.Command, lock: string) => `
      select i.*, r.at from ${input} i cross join lateral (
        select r.id, r.owner, r.epoch, r.status, r.ctid as at from ${t.runs} r where r.id = i.run_id offset 0
        for ${lock} of r skip locked) r
      where ${fence(command)}`
  const others = (kind: string, condition: string) =>
    `array(select i.n::int from ${kind}_input i where i.n not in (select n from ${kind}_written) and exists (
        select from ${t.runs} r where ${condition} offset 0))`
  const busy = (kind: string, command: Lifecycle.Command) => `${others(kind, fence(command))} as ${kind}_busy`
  const already = (kind: string, condition: string) =>
    `${others(kind, `r.id = i.run_id and r.epoch = i.epoch and ${condition}`)} as ${kind}_before`

  return {
    // In the order of the ids, so that two processes that start the same runs do not deadlock.
    Start: {
      write: `start_written as (
      insert into ${t.runs} (id, workflow, payload, status, owner, epoch, wake_at, deadline, timeout_millis, parent,
        trace, created_at, started_at)
      select id, workflow, payload, case when owner is null then 'Enqueued' else 'Running' end, owner,
        case when owner is null then 0 else 1 end,
        case when owner is null then now + delay * interval '1 millisecond' end,
        case when owner is not null then now + timeout * interval '1 millisecond' end, timeout, parent,
        trace, now, case when owner is not null then now end
      from start_input, clock order by id
      on conflict (id) do nothing
      returning id, deadline)`,
      answer: `array(select id from start_written) as started,
      array(select deadline from start_written) as deadlines`
    },
    // Locks the run's row FOR SHARE: either a takeover comes first, and the step is refused, or it waits for this commit, and
    // the next owner reads the step. A record that this epoch made before holds, whatever became of the run since.
    Step: {
      write: `step_written as materialized (${held("step_input", "succeed", "share")}),
    step_recorded as (
      insert into ${t.steps} (${stepWrite.columns})
      select run_id, name, key, occurrence, kind, attempts, errors, outcome, wake_at, started_at, now, epoch
      from step_written, clock order by n
      ${stepWrite.onConflict})`,
      answer: `array(select n::int from step_written) as step_fresh,
      array(select i.n::int from step_input i where i.n not in (select n from step_written) and exists (
        select from ${t.steps} s where s.run_id = i.run_id and s.name = i.name and s.key = i.key
          and s.occurrence = i.occurrence and s.epoch = i.epoch and s.outcome is not null offset 0)) as step_before,
      ${busy("step", "succeed")}`
    },
    Finish: {
      write: `finish_held as materialized (${held("finish_input", "succeed", "no key update")}),
    finish_written as (
      update ${t.runs} r set status = i.status, outcome = i.outcome, finished_at = clock.now, handbacks = 0,
        reason = case when i.status = 'Succeeded' then null else r.reason end
      from finish_held i, clock where r.ctid = i.at returning i.n)`,
      answer: `array(select n::int from finish_written) as finish_fresh,
      ${
        already(
          "finish",
          `r.owner = i.owner and r.status in (${literals([...Lifecycle.to.succeed, ...Lifecycle.to.fail])})`
        )
      },
      ${busy("finish", "succeed")}`
    },
    Suspend: {
      write: `suspend_held as materialized (${held("suspend_input", "suspend", "no key update")}),
    suspend_written as (
      update ${t.runs} r set status = 'Suspended', owner = null, wake_at = i.wake_at, handbacks = 0,
        trace = coalesce(r.trace, i.trace), deaths = ${deathsLeft(t)}
      from suspend_held i where r.ctid = i.at returning i.n)`,
      answer: `array(select n::int from suspend_written) as suspend_fresh,
      ${already("suspend", `r.status in (${literals(Lifecycle.to.suspend)})`)},
      ${busy("suspend", "suspend")}`
    }
  }
}

// ── the statement ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Row numbers by what became of them; absent where the statement has no fact of the kind. */
interface Answer {
  readonly started?: ReadonlyArray<string>
  readonly deadlines?: ReadonlyArray<Date | null>
  readonly step_fresh?: ReadonlyArray<number>
  readonly step_before?: ReadonlyArray<number>
  readonly step_busy?: ReadonlyArray<number>
  readonly finish_fresh?: ReadonlyArray<number>
  readonly finish_before?: ReadonlyArray<number>
  readonly finish_busy?: ReadonlyArray<number>
  readonly suspend_fresh?: ReadonlyArray<number>
  readonly suspend_before?: ReadonlyArray<number>
  readonly suspend_busy?: ReadonlyArray<number>
}

/**
 * What is known of a fact once its statement is through. `held`: it stands, now or since an earlier try; a start that does
 * not hold met a run of that id. `fresh`: this statement made the difference. `busy`: the lease stands, and somebody else holds
 * the run's row, so nothing was done.
 */
export interface Written {
  readonly held: boolean
  readonly fresh: boolean
  readonly busy: boolean
  /** Of a run that was started. */
  readonly deadline: number | null
}

const no: Written = { held: false, fresh: false, busy: false, deadline: null }
const busy: Written = { ...no, busy: true }
const before: Written = { ...no, held: true }
const fresh: Written = { ...before, fresh: true }

export interface Batch {
  readonly sql: string
  readonly params: ReadonlyArray<Parameter>
  /** What became of each fact, in the order given. */
  readonly read: (row: object) => ReadonlyArray<Written>
}

/** With `patience` the statement fails when it has waited for somebody's lock that long, whatever its session is set to. */
export type Compile = (
  facts: ReadonlyArray<Fact>,
  now: number | null,
  options?: { readonly patience: typeof patience }
) => Batch

export const patience = "50ms"

const kinds: ReadonlyArray<Kind> = ["Start", "Step", "Finish", "Suspend"]

/** What became of `count` facts of a kind, by their row numbers. */
const marked = (count: number, answer: Answer, kind: "step" | "finish" | "suspend"): Array<Written> => {
  const marks = Array.from({ length: count }, () => no)
  for (const n of answer[`${kind}_busy`] ?? []) marks[n - 1] = busy
  for (const n of answer[`${kind}_before`] ?? []) marks[n - 1] = before
  for (const n of answer[`${kind}_fresh`] ?? []) marks[n - 1] = fresh
  return marks
}

const startedOf = (facts: ReadonlyArray<Of<"Start">>, { deadlines, started }: Answer): Array<Written> => {
  const deadlineOf = new Map(started?.map((id, index) => [id, deadlines?.[index]?.getTime() ?? null]))
  return facts.map(({ run }) => {
    const deadline = deadlineOf.get(run.id)
    return deadline === undefined ? no : deadline === null ? fresh : { ...fresh, deadline }
  })
}

/** A function that makes the statement for some facts; the text for each combination of kinds is made once. */
export const compiler = (t: Tables): Compile => {
  const all = parts(t)
  const texts = new Map<number, string>()

  const textOf = (present: ReadonlyArray<Kind>, patient: boolean): string => {
    let parameter = 1
    // Set for this statement alone; every input is read through it, so before anything is locked.
    const waiting = `patience as materialized (select set_config('lock_timeout', '${patience}', true))`
    const ctes = present.flatMap((kind) => {
      const input = columns[kind] as ReadonlyArray<Column<never>>
      const arrays = input.map(([, type]) => `$${++parameter}::${type}[]`).join(", ")
      const names = input.map(([name]) => name).join(", ")
      return [
        `${kind.toLowerCase()}_input as (
      select i.* from unnest(${arrays}) with ordinality as i(${names}, n)${patient ? ", patience" : ""})`,
        all[kind].write
      ]
    })
    return `with ${[clock, ...(patient ? [waiting] : []), ...ctes].join(",\n")}\nselect ${
      present.map((kind) => all[kind].answer).join(",\n")
    }`
  }

  return (facts, now, options) => {
    const patient = options !== undefined
    const byKind: { readonly [K in Kind]: Array<Of<K>> } = { Start: [], Step: [], Finish: [], Suspend: [] }
    for (const fact of facts) byKind[fact._tag].push(fact as never)
    const present = kinds.filter((kind) => byKind[kind].length > 0)
    const mask = present.reduce((mask, kind) => mask | 1 << kinds.indexOf(kind), patient ? 1 << kinds.length : 0)
    let sql = texts.get(mask)
    if (sql === undefined) {
      sql = textOf(present, patient)
      texts.set(mask, sql)
    }
    const params = [instant(now)]
    for (const kind of present) {
      for (const [, , values] of columns[kind]) params.push(values(byKind[kind] as never))
    }
    return {
      sql,
      params,
      read: (row) => {
        const answer = row as Answer
        const marks = {
          Start: startedOf(byKind.Start, answer),
          Step: marked(byKind.Step.length, answer, "step"),
          Finish: marked(byKind.Finish.length, answer, "finish"),
          Suspend: marked(byKind.Suspend.length, answer, "suspend")
        }
        const next = { Start: 0, Step: 0, Finish: 0, Suspend: 0 }
        return facts.map(({ _tag }) => marks[_tag][next[_tag]++] ?? no)
      }
    }
  }
}
