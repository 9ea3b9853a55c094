/**
 * Since when what the ledger says counts: a reset or another kernel ends what was before it. And which
 * drivers have left, by detaching or with their kernel.
 */
import * as o from '../synic/op.js'
import type { Desk } from './rule.js'

export const ERA_OPS: readonly number[] = [
  o.OP_VCPU_RESET,
  o.OP_PARTITION_RESET,
  o.OP_KERNEL_BOOT,
  o.OP_ACTOR_ATTACH,
  o.OP_ACTOR_DETACH,
]

export class Eras {
  /** The op that began the present kernel; 0: none was told. */
  bootSeq = 0
  /** How many drivers have left and not come back. */
  leftCount = 0
  #allSeq = 0
  readonly #rows = new Map<number, number>()
  readonly #present: Set<string>
  readonly #left = new Map<string, number>()

  constructor(private readonly desk: Desk) {
    this.#present = new Set(desk.m.actors.keys())
  }

  /** To be told of every op in ERA_OPS, after it. */
  note(): void {
    const { op, m } = this.desk
    if (!m.effects.ok) return
    if (op.code === o.OP_VCPU_RESET) {
      // KVM resets the APIC alone: registers stay, and who wrote them.
      if (m.profile.vcpuResetClearsSynic) this.#rows.set(m.rowOf(op.vcpu), op.seq)
    } else if (op.code === o.OP_PARTITION_RESET) this.#reset(op.seq)
    else if (op.code === o.OP_KERNEL_BOOT) this.#boot(op.seq)
    else {
      const name = this.desk.nameOf(op.actor)
      const attaches = op.code === o.OP_ACTOR_ATTACH
      if (attaches) this.#present.add(name)
      else this.#present.delete(name)
      if (attaches) this.#left.delete(name)
      else this.#left.set(name, op.seq)
    }
    this.leftCount = this.#left.size
  }

  /** What happened to this vCPU's registers up to this op no longer counts. */
  since(v: number): number {
    return Math.max(this.#allSeq, this.#rows.get(v) ?? 0)
  }

  hasLeft(actor: number): boolean {
    return this.leftCount > 0 && this.#left.has(this.desk.nameOf(actor))
  }

  /** When it left; 0: it has not. */
  leftSeq(actor: number): number {
    return this.#left.get(this.desk.nameOf(actor)) ?? 0
  }

  /** Who had left may drive the machine that comes up. Attachments outlive a reset. */
  #reset(seq: number): void {
    this.#allSeq = seq
    this.#left.clear()
  }

  #boot(seq: number): void {
    this.bootSeq = seq
    this.#allSeq = seq
    // Who attached to the old kernel ended with it.
    for (const name of this.#present) this.#left.set(name, seq)
    this.#present.clear()
  }
}
