/**
 * I21, paused means still: between pause and resume only the host's register and memory ops change a SynIC;
 * what is sent then is refused or waits (KVM: vCPUs out of KVM_RUN; QEMU and OpenVMM stop their senders
 * first).
 */
import { EFFECT_EVENT, EFFECT_FREED, EFFECT_IRQ, EFFECT_MESSAGE, EFFECT_WORDS } from '../../synic/effects.js'
import * as o from '../../synic/op.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** Steps of a guest, or deliveries to it: refused while paused, or put off. */
const DELIVERIES = [o.OP_MESSAGE_POST, o.OP_EVENT_SIGNAL, o.OP_HOST_STEP, o.OP_GSI_ASSERT, o.OP_CLOCK_ADVANCE]
const GUEST_STEPS = [
  o.OP_MESSAGE_COMPLETE,
  o.OP_APIC_ACK,
  o.OP_APIC_EOI,
  o.OP_APIC_TPR,
  o.OP_HYPERCALL,
  o.OP_HV_POST_MESSAGE,
  o.OP_HV_SIGNAL_EVENT,
  o.OP_MEM_CAS,
  o.OP_MEM_XCHG,
  o.OP_VCPU_HALT,
  o.OP_VCPU_ENTER,
]

class PausedIsStill implements Watcher {
  constructor(private readonly desk: Desk) {}

  after(): void {
    if (!this.desk.m.paused) return
    const { op, m } = this.desk
    if (!m.effects.ok) return
    if (op.code === o.OP_MSR_WRITE) {
      if (!op.byHost)
        this.#say('error', "a guest's register write was carried out while the partition is paused")
    } else if (op.code === o.OP_MEM_WRITE) {
      if (!op.byHost) this.#stored()
    } else if (GUEST_STEPS.includes(op.code)) {
      if (!op.byHost) this.#say('error', "a guest's step was carried out while the partition is paused")
    } else this.#delivered()
  }

  #has(first: number, second = first, third = first): boolean {
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] === first || words[at] === second || words[at] === third) return true
    }
    return false
  }

  /**
   * Guest memory is open to the host at all times; a slot emptied by nobody in particular may be its doing.
   */
  #stored(): void {
    if (!this.#has(EFFECT_FREED)) return
    this.#say(this.desk.op.actor === 0 ? 'note' : 'error', 'a slot was emptied while the partition is paused')
  }

  #delivered(): void {
    if (this.#has(EFFECT_MESSAGE, EFFECT_EVENT)) {
      this.#say('error', 'a message or flag was delivered while the partition is paused')
    } else if (this.#has(EFFECT_IRQ)) {
      // An irqfd does not know of the pause: KVM takes the edge, and a snapshot taken before lacks it.
      const isGsi = this.desk.op.code === o.OP_GSI_ASSERT
      this.#say(isGsi ? 'note' : 'error', 'an interrupt was requested while the partition is paused')
    }
  }

  #say(severity: 'error' | 'note', text: string): void {
    this.desk.report({ severity, text })
  }
}

export const pausedIsStill: Rule = {
  invariant: 'I21',
  rule: 'paused_is_still',
  holds: "While a partition is paused only the host's register and memory ops change a SynIC.",
  ops: [...DELIVERIES, ...GUEST_STEPS, o.OP_MEM_WRITE],
  registers: ['SCONTROL', 'SIEFP', 'SIMP', 'SIRBP', 'EOM', 'SINT', 'STIMER', 'other'],
  onChange: true,
  deep: true,
  watch: (desk) => new PausedIsStill(desk),
}
