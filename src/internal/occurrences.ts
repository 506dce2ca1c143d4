/**
 * Gives every step its occurrence, and refuses a name whose order cannot be relied on.
 *
 * Uses of one name are in order when they happen in one fiber; in a fiber and one that it forks afterwards, or that has ended;
 * or in two fibers of which one has ended, and had done with the name before the other was forked. That covers loops, retries
 * and timeouts. Uses in fibers that live at the same time are in no order: on replay the first could become the second, and
 * get its result.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { StepId } from "../SystemDb.ts"

/** A fiber of a run, and the nearest fiber it descends from, as far as they are known. */
interface Branch {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly parent: Branch | undefined
}

const CurrentBranch = Context.Reference<Branch | undefined>("effect-durable/CurrentBranch", {
  defaultValue: () => undefined
})

const descendsFrom = (branch: Branch, ancestor: Branch): boolean => {
  for (let current = branch.parent; current !== undefined; current = current.parent) {
    if (current === ancestor) return true
  }
  return false
}

/** Fiber ids only grow, so this is an upper bound of the ids handed out so far, and a lower bound of those to come. */
const newestFiberId = (): number => Effect.runFork(Effect.void).id

interface User {
  readonly branch: Branch
  /** The newest fiber id when its latest use ended: fibers with a greater id were forked afterwards. */
  usedAt: number
}

interface Usage {
  count: number
  /** The one with a use that has not ended, if any. */
  busy: User | undefined
  users: Array<User>
}

const hasEnded = ({ fiber }: Branch): boolean => fiber.pollUnsafe() !== undefined

const inOrder = ({ branch: earlier, usedAt }: User, branch: Branch): boolean => {
  if (earlier === branch) return true
  if (descendsFrom(branch, earlier)) return usedAt < branch.fiber.id
  return hasEnded(earlier) && (descendsFrom(earlier, branch) || usedAt < branch.fiber.id)
}

/** The occurrences of one execution of a run. */
export class Occurrences {
  readonly #usages = new Map<string, Usage>()
  readonly #branches = new WeakMap<Fiber.Fiber<unknown, unknown>, Branch>()

  /** Marks the fiber as a branch; fibers it forks from now on inherit the mark and so know what they descend from. */
  branch(fiber: Fiber.Fiber<unknown, unknown>): Branch {
    const inherited = fiber.getRef(CurrentBranch)
    let branch = this.#branches.get(fiber)
    if (branch === undefined) {
      branch = { fiber, parent: inherited }
      this.#branches.set(fiber, branch)
    }
    // The mark is gone when the region of a provided service ends in which it was made.
    if (inherited !== branch) fiber.setContext(Context.add(fiber.context, CurrentBranch, branch))
    return branch
  }

  /** The identity of the next use of this name and key, or undefined when its order cannot be relied on. */
  next(fiber: Fiber.Fiber<unknown, unknown>, name: string, key: string): StepId | undefined {
    const branch = this.branch(fiber)
    const label = `${name}\0${key}`
    let usage = this.#usages.get(label)
    if (usage === undefined) {
      usage = { count: 0, busy: undefined, users: [] }
      this.#usages.set(label, usage)
    }
    if (usage.busy !== undefined && usage.busy.branch !== branch) return undefined
    if (!usage.users.every((user) => inOrder(user, branch))) return undefined
    this.#enlist(usage, branch).usedAt = newestFiberId()
    usage.count++
    return { name, key, occurrence: usage.count }
  }

  /** Says that a use is under way until `leave`, so that one that starts meanwhile in another fiber is refused. */
  enter(fiber: Fiber.Fiber<unknown, unknown>, id: StepId): void {
    const usage = this.#usages.get(`${id.name}\0${id.key}`)!
    usage.busy = this.#enlist(usage, this.branch(fiber))
  }

  leave(id: StepId): void {
    const usage = this.#usages.get(`${id.name}\0${id.key}`)!
    if (usage.busy !== undefined) usage.busy.usedAt = newestFiberId()
    usage.busy = undefined
  }

  #enlist(usage: Usage, branch: Branch): User {
    const known = usage.users.find((user) => user.branch === branch)
    if (known !== undefined) return known
    // Siblings that ended in turn say together no more than the last of them, so a loop does not grow the list.
    usage.users = usage.users.filter(({ branch: other }) => !hasEnded(other) || other.parent !== branch.parent)
    const user: User = { branch, usedAt: 0 }
    usage.users.push(user)
    return user
  }
}
