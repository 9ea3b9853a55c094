/** Who waits for a blocked vCPU to wake: `vcpu.halt` on a stream is answered then. */
import { EFFECT_WAKE, EFFECT_WORDS, type Effects } from '../synic/effects.js'
import type { Partition } from '../synic/partition.js'

interface Waiter {
  /** vCPUs it still waits for. */
  readonly vcpus: Set<number>
  readonly done: () => void
}

export class Sleepers {
  readonly #waiters = new Set<Waiter>()

  constructor(private readonly partition: Partition) {}

  /** Those of `vcpus` that are blocked now. */
  asleep(vcpus: readonly number[]): readonly number[] {
    return [...new Set(vcpus)].filter((vcpu) => this.partition.isHalted(vcpu))
  }

  /**
   * Calls `done` behind the batch after which each of `vcpus` has been awake, even if it sleeps again by
   * then. Returns what ends the wait.
   */
  whenAwake(vcpus: readonly number[], done: () => void): () => void {
    const waiter = { vcpus: new Set(vcpus), done }
    this.#waiters.add(waiter)
    return () => this.#waiters.delete(waiter)
  }

  /** Looks for wakes among the consequences of an op. */
  follow({ words, length }: Effects): void {
    if (this.#waiters.size === 0) return
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] === EFFECT_WAKE) for (const { vcpus } of this.#waiters) vcpus.delete(words[at + 1])
    }
  }

  /** The batch is over: who is awake for another reason, such as a reset, has no wake of its own. */
  settle(): void {
    if (this.#waiters.size === 0) return
    for (const waiter of [...this.#waiters]) {
      for (const vcpu of waiter.vcpus) if (!this.partition.isHalted(vcpu)) waiter.vcpus.delete(vcpu)
      if (waiter.vcpus.size > 0) continue
      this.#waiters.delete(waiter)
      waiter.done()
    }
  }
}
