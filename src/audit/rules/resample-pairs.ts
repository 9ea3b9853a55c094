/**
 * I18, resample pairs: each interrupt through a resampled GSI gives one notification after its EOI, only a
 * binding gives any, and none is made that could never hear one (KVM kvm_irqfd_assign, irqfd_resampler_ack).
 */

import { EFFECT_IRQ } from '../../synic/effects.js'
import { isBound, isResampled } from '../../synic/gsi-routes.js'
import { FLAG_RESAMPLE, OP_ARGS, OP_GSI_ASSERT, OP_IRQFD_BIND } from '../../synic/op.js'
import { GSI_NEWS } from '../dispatch.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { isUnacknowledged, knownReason } from '../unacknowledged.js'

class ResamplePairs implements Watcher {
  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, gsis } = this.desk
    if (op.code === OP_GSI_ASSERT) return this.#asserted()
    if (op.code === OP_IRQFD_BIND) this.#bound()
    const count = gsis.ackedCount(op.seq)
    for (let i = 0; i < count; i++) this.#notified(gsis.acked[i], gsis.ackedSeq[i], i)
  }

  settled(): void {
    const { m, gsis } = this.desk
    for (const edge of gsis.edges()) {
      const { gsi } = edge
      if (!isUnacknowledged(m, edge)) continue
      const reason = knownReason(this.desk, edge)
      const because = reason === '' ? '' : `: ${reason}`
      this.desk.report({
        severity: reason === '' ? 'error' : 'note',
        vcpu: m.vcpuId(m.rowOfFile(edge.f)),
        other: edge.actor,
        otherSeq: edge.seq,
        text: `GSI ${gsi} was asserted and its interrupt ended, but no notification followed${because}`,
      })
    }
  }

  #notified(gsi: number, seq: number, i: number): void {
    const { m, gsis } = this.desk
    if (!isResampled(m, gsi)) this.#say('error', `GSI ${gsi} is notified, and no resampler is bound`)
    if (i > 0 && gsis.acked.indexOf(gsi) < i) {
      // Two SINTs that link to one GSI after a change of table: KVM's links are never taken back.
      this.#say(m.profile.kvm ? 'note' : 'error', `GSI ${gsi} is notified twice for one acknowledgement`)
    }
    if (seq !== 0 && seq < gsis.boundSeq(gsi)) {
      this.#say('note', `GSI ${gsi} notifies its new binding of an interrupt from before it was made`, seq)
    }
  }

  #bound(): void {
    const { op, m } = this.desk
    const { irqchip } = m.options
    const isResample = (op.words[op.at] & FLAG_RESAMPLE) !== 0
    if (!isResample || !m.effects.ok || !m.profile.kvm || irqchip === 'full') return
    const gsi = op.words[op.at + OP_ARGS]
    this.#say(
      'error',
      `GSI ${gsi} was bound with a resampler that can never hear of an EOI (irqchip: ${irqchip})`,
    )
  }

  /** A GSI that nothing is bound to interrupts nobody. */
  #asserted(): void {
    const { op, m } = this.desk
    const gsi = op.words[op.at + OP_ARGS]
    if (isBound(m, gsi)) return
    if (m.effects.length > 0 && m.effects.words[0] === EFFECT_IRQ) {
      this.#say('error', `GSI ${gsi} interrupts, and nothing is bound to it`)
    }
  }

  #say(severity: 'error' | 'note', text: string, otherSeq = 0): void {
    this.desk.report({ severity, otherSeq, text })
  }
}

export const resamplePairs: Rule = {
  invariant: 'I18',
  rule: 'resample_pairs',
  holds: 'Each interrupt through a resampled GSI gives one notification after its EOI, through a binding.',
  ops: [OP_IRQFD_BIND],
  registers: [],
  effects: [GSI_NEWS],
  watch: (desk) => new ResamplePairs(desk),
}
