/**
 * The slot of one execution on its worker: given to another run while all it does is wait for long, and taken back, in line with
 * others, before anything goes on.
 */
import * as Effect from "effect/Effect"

/** What an execution needs of the worker it runs on. */
export interface Host {
  /** A wait longer than this gives the run up until it is due. */
  readonly suspendAfterMillis: number
  /** Gives its slot to another run, while it only waits for long. */
  readonly park: () => void
  /** Stands in line for a slot, now granted or later; what is returned leaves the line. */
  readonly stand: (granted: () => void) => () => void
}

const restMillis = 1_000

export class Slot {
  readonly #host: Host
  /** Asked: somebody stands in line to go on. */
  #state: "Held" | "Given" | "Asked"
  #leaveLine: (() => void) | undefined = undefined
  readonly #standing = new Set<() => void>()
  /** Operations under way that would be lost with the fiber; waits do not count. */
  #inFlight = 0
  #waits = 0
  #longWaits = 0
  /** How often something has begun or ended. */
  #moved = 0
  #whenSettled: Array<() => void> = []
  #progressed = false
  /** Set when the execution goes on to its end without one, whatever it holds. */
  #dispensed = false
  #closed = false
  /** Set while it is about to be looked at whether the slot is needed. */
  #balancing = false

  constructor(host: Host, held: boolean) {
    this.#host = host
    this.#state = held ? "Held" : "Given"
  }

  /** Whether nothing would be lost if the execution were interrupted now. */
  get idle(): boolean {
    return this.#inFlight === 0 && this.#waits > 0
  }

  /** Whether nothing is under way, and nothing waits. */
  get unused(): boolean {
    return this.#inFlight === 0 && this.#waits === 0
  }

  /** Whether something may go on now. */
  get ready(): boolean {
    return this.#state === "Held" || this.#dispensed || this.#closed
  }

  /** Something begins that needs the slot. */
  enter(): void {
    this.#inFlight++
    this.#moved++
  }

  leave(): void {
    this.#inFlight--
    this.#changed()
  }

  /** Something new of the run is durable. */
  progressed(): void {
    this.#progressed = true
    this.#settle()
  }

  /** Lets whoever stands in line go on without a slot: the execution was ended. */
  doWithout(): void {
    this.#dispensed = true
    this.#admit()
    this.#settle()
  }

  /** The execution is over; true when its slot is not its own any more. */
  close(): boolean {
    this.#closed = true
    this.#leaveLine?.()
    this.#settle()
    return this.#state !== "Held"
  }

  /** A wait that costs nothing to interrupt. Whatever comes next needs the slot, also when the wait lost a race. */
  during<A, E, R>(wait: Effect.Effect<A, E, R>, long: boolean): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) => {
      this.#waits++
      if (long) this.#longWaits++
      this.#changed()
      return Effect.flatMap(Effect.exit(restore(wait)), (exit) =>
        Effect.andThen(
          this.taken,
          Effect.suspend(() => {
            this.#waits--
            if (long) this.#longWaits--
            this.#changed()
            return exit
          })
        ))
    })
  }

  /** Waits for a slot, in line with others, unless it has one or needs none any more. */
  readonly taken: Effect.Effect<void> = Effect.suspend(() =>
    this.ready ? Effect.void : Effect.callback<void>((resume) => {
      // Somebody who was let go on before this one may have given it away again.
      const go = () => resume(this.taken)
      this.#standing.add(go)
      if (this.#state === "Given") this.#ask()
      return Effect.sync(() => {
        this.#standing.delete(go)
        this.#changed()
        if (this.#standing.size > 0 || this.#state !== "Asked") return
        this.#leaveLine?.()
        this.#leaveLine = undefined
        this.#state = "Given"
      })
    })
  )

  /** Waits until the run is over here, or has recorded something new. */
  readonly #settled: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.#progressed || this.#dispensed || this.#closed) return resume(Effect.void)
    const go = () => resume(Effect.void)
    this.#whenSettled.push(go)
    return Effect.sync(() => {
      this.#whenSettled = this.#whenSettled.filter((other) => other !== go)
    })
  })

  /** Waits until the run has only waited for a while: one that goes over waits that are over long since does not count. */
  readonly #restful: Effect.Effect<void> = Effect.suspend(() => {
    const moved = this.#moved
    return Effect.andThen(
      Effect.sleep(restMillis),
      Effect.suspend(() => this.idle && this.#moved === moved ? Effect.void : this.#restful)
    )
  })

  /** Waits until the run is over here, or has recorded something new, or has only waited for a while. */
  readonly rested: Effect.Effect<void> = Effect.raceFirst(this.#settled, this.#restful)

  /** Looks at what is left to do when whoever was let go on has begun it: what ended may be followed by something that works. */
  #changed(): void {
    this.#moved++
    if (this.#balancing) return
    this.#balancing = true
    queueMicrotask(() => {
      this.#balancing = false
      this.#balance()
    })
  }

  /** Gives the slot away while long waits are all there is. */
  #balance(): void {
    const park = this.#longWaits > 0 && this.#longWaits === this.#waits && this.#inFlight === 0
    if (!park || this.#state !== "Held" || this.#closed) return
    this.#state = "Given"
    this.#host.park()
  }

  #ask(): void {
    this.#state = "Asked"
    const leave = this.#host.stand(() => {
      this.#state = "Held"
      this.#leaveLine = undefined
      this.#admit()
      this.#changed()
    })
    // Granted at once, there is no line to leave.
    if (this.#state === "Asked") this.#leaveLine = leave
  }

  /** Those who stand here now: whoever goes on may come back. */
  #admit(): void {
    const admitted = [...this.#standing]
    this.#standing.clear()
    for (const go of admitted) go()
  }

  #settle(): void {
    for (const go of this.#whenSettled.splice(0)) go()
  }
}
