/** Who waits for a blocked vCPU to wake, or to be let go: `vcpu.halt` on a stream is answered then. */
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

const NOBODY: readonly number[] = []

export class Sleepers {
  /** By vCPU: many may wait for few, and each batch looks for those who are awake. */
  readonly #waiters = new Map<number, Set<Waiter>>()
  /** Those whose vCPUs have all been awake in this batch. */
  #ready: Waiter[] = []
  #lastNumber = 0
  /** vCPUs that the batch at hand has blocked and not let go. */
  #blocked: number[] = []

  constructor(private readonly partition: Partition) {}

  /** An op of the batch at hand has blocked a vCPU. */
  blocks(vcpu: number): void {
    this.#blocked.push(vcpu)
  }

  /** The vCPUs that the batch has blocked, and that are blocked behind it. */
  takeBlocked(): readonly number[] {
    if (this.#blocked.length === 0) return NOBODY
    const blocked = new Set(this.#blocked)
    this.#blocked = []
    return [...blocked].filter((vcpu) => this.partition.isHalted(vcpu))
  }

  /**
   * Nobody is to wait for this vCPU any longer, or for any if it is negative. The hypervisor lets it sleep
   * on, but who ran it is no more: it goes offline or comes online, or its kernel has ended.
   */
  letGo(vcpu: number): void {
    this.#blocked = vcpu < 0 ? [] : this.#blocked.filter((blocked) => blocked !== vcpu)
    for (const waited of vcpu < 0 ? this.#waiters.keys() : [vcpu]) this.#woke(waited)
  }

  /**
   * Calls `done` behind the batch after which each of `vcpus`, one at least, has been awake or let go, also
   * if one sleeps again by then. Returns what ends the wait.
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
