/**
 * I14, no wake is lost: once settled, no vCPU sleeps that could take an interrupt or has host work to do, and
 * a wake that came before the sleep is remembered (KVM kvm_vcpu_block, kvm_vcpu_has_events).
 */
import { deliverable } from '../../synic/apic.js'
import { FLAGS, HALTED, OFFLINE, TIMER_PENDING, WAKE_TOKEN } from '../../synic/layout.js'
import { FLAG_TRANSIENT, OP_VCPU_ENTER, OP_VCPU_KICK } from '../../synic/op.js'
import { hex } from '../effect-words.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class LostWake implements Watcher {
  /** By vCPU: the op with a wake that found nobody asleep and left no trace, until the vCPU looked again. */
  readonly #forgotten = new Map<number, number>()

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    const v = m.rowOf(op.vcpu)
    if (v < 0) return
    const isForgotten =
      op.code === OP_VCPU_KICK && (op.words[op.at] & FLAG_TRANSIENT) !== 0 && (m.w[v + FLAGS] & HALTED) === 0
    if (isForgotten) this.#forgotten.set(op.vcpu, op.seq)
    else if (op.code !== OP_VCPU_ENTER || (m.w[v + FLAGS] & HALTED) === 0) this.#forgotten.delete(op.vcpu)
  }

  settled(): void {
    const { m } = this.desk
    if (m.paused) return
    for (let v = 0; v < m.vcpuCount * m.stride; v += m.stride) {
      const flags = m.w[v + FLAGS]
      if ((flags & HALTED) === 0 || (flags & OFFLINE) !== 0) continue
      const vector = deliverable(m, v)
      if (vector >= 0) this.#say(v, `sleeps although vector ${hex(vector)} could be delivered`)
      if ((flags & TIMER_PENDING) !== 0) this.#say(v, 'sleeps although one of its timers is to be processed')
      if ((flags & WAKE_TOKEN) !== 0) this.#say(v, 'sleeps although it was woken')
      const seq = this.#forgotten.get(m.vcpuId(v))
      if (seq !== undefined) this.#say(v, 'sleeps: the wake that came just before was not remembered', seq)
    }
  }

  #say(v: number, what: string, otherSeq = 0): void {
    const vcpu = this.desk.m.vcpuId(v)
    this.desk.report({ severity: 'error', vcpu, otherSeq, text: `vCPU ${vcpu} ${what}` })
  }
}

export const lostWake: Rule = {
  invariant: 'I14',
  rule: 'lost_wake',
  holds: 'A vCPU with a deliverable interrupt or host work does not sleep.',
  ops: [OP_VCPU_KICK, OP_VCPU_ENTER],
  registers: [],
  watch: (desk) => new LostWake(desk),
}
