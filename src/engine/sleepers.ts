/** Who waits for a blocked vCPU to wake: `vcpu.halt` on a stream is answered then. */
import { EFFECT_WAKE, EFFECT_WORDS, type Effects } from '../synic/effects.js'
import type { Partition } from '../synic/partition.js'

interface Waiter {
  /** Who came first is told first. */
  readonly number: number
  /** vCPUs it still waits for. */
  readonly vcpus: Set<number>
  readonly done: () => void
  isGone: boolean
}

export class Sleepers {
  /** By vCPU: many may wait for few, and each batch looks for those who are awake. */
  readonly #waiters = new Map<number, Set<Waiter>>()
  /** Those whose vCPUs have all been awake in this batch. */
  #ready: Waiter[] = []
  #lastNumber = 0

  constructor(private readonly partition: Partition) {}

  /** Those of `vcpus` that are blocked now. */
  asleep(vcpus: readonly number[]): readonly number[] {
    return [...new Set(vcpus)].filter((vcpu) => this.partition.isHalted(vcpu))
  }

  /**
   * Calls `done` behind the batch after which each of `vcpus`, one at least, has been awake, also if one
   * sleeps again by then. Returns what ends the wait.
   */
  whenAwake(vcpus: readonly number[], done: () => void): () => void {
    const waiter = { number: ++this.#lastNumber, vcpus: new Set(vcpus), done, isGone: false }
    for (const vcpu of waiter.vcpus) {
      const others = this.#waiters.get(vcpu)
      if (others === undefined) this.#waiters.set(vcpu, new Set([waiter]))
      else others.add(waiter)
    }
    return () => this.#forget(waiter)
  }

  /** Looks for wakes among the consequences of an op. */
  follow({ words, length }: Effects): void {
    if (this.#waiters.size === 0) return
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] === EFFECT_WAKE) this.#woke(words[at + 1])
    }
  }

  /** The batch is over: who is awake for another reason, such as a reset, has no wake of its own. */
  settle(): void {
    for (const vcpu of this.#waiters.keys()) if (!this.partition.isHalted(vcpu)) this.#woke(vcpu)
    if (this.#ready.length === 0) return
    const ready = this.#ready.sort((a, b) => a.number - b.number)
    this.#ready = []
    for (const waiter of ready) if (!waiter.isGone) waiter.done()
  }

  #woke(vcpu: number): void {
    for (const waiter of this.#waiters.get(vcpu) ?? []) {
      waiter.vcpus.delete(vcpu)
      if (waiter.vcpus.size === 0) this.#ready.push(waiter)
    }
    this.#waiters.delete(vcpu)
  }

  #forget(waiter: Waiter): void {
    waiter.isGone = true
    for (const vcpu of waiter.vcpus) {
      const others = this.#waiters.get(vcpu)
      others?.delete(waiter)
      if (others?.size === 0) this.#waiters.delete(vcpu)
    }
  }
}
