/**
 * An edge that nobody remembers: an assertion of a SINT that was masked, or under an APIC that was off (KVM
 * kvm_hv_synic_set_irq returns -2 or 0). Documented, so a note; an edge lost while the gate was open is I11.
 */
import { ENOENT } from '../../hv/errno.js'
import { HV_X64_MSR_STIMER0_CONFIG } from '../../hv/msrs.js'
import { SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import { EFFECT_LOST, EFFECT_WORDS, NO_SINT } from '../../synic/effects.js'
import { APIC_ENABLED, FLAGS, SINTS } from '../../synic/layout.js'
import { fileIn, isDroppedVector, sintIn } from '../effect-words.js'
import { LEDGER_SINTS } from '../ledger.js'
import { msrAt } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class LostEdge implements Watcher {
  constructor(private readonly desk: Desk) {}

  after(): void {
    const { m } = this.desk
    const { words, length } = m.effects
    // One op may lose thousands alike (a periodic timer on a masked SINT): each SINT and timer is told once.
    let told = 0
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_LOST) continue
      const sint = sintIn(words[at + 2])
      const timer = words[at + 2] >>> 24
      const bit = sint === NO_SINT ? SINT_COUNT + timer : sint
      if (((told >> bit) & 1) !== 0) continue
      told |= 1 << bit
      if (sint === NO_SINT) {
        this.#tellTimer(words[at + 1], timer)
        continue
      }
      const f = fileIn(m, words[at + 1], words[at + 2])
      if (f >= 0) this.#tell(f, words[at + 1], sint, words[at + 3])
    }
  }

  /** Of a timer in direct mode, which has no SINT behind it. */
  #tellTimer(vcpu: number, timer: number): void {
    this.desk.report({
      severity: 'note',
      vcpu,
      msr: HV_X64_MSR_STIMER0_CONFIG + 2 * timer,
      text: `direct STIMER${timer} has expired and its interrupt is lost: the APIC does not take it`,
    })
  }

  #tell(f: number, vcpu: number, sint: number, code: number): void {
    const { m } = this.desk
    const lo = m.w[f + SINTS + 2 * sint]
    const isMasked = (lo & SINT_MASKED) !== 0
    const isOff = (m.w[m.rowOfFile(f) + FLAGS] & APIC_ENABLED) === 0 || isDroppedVector(m, lo & SINT_VECTOR)
    const isDocumented = code === ENOENT ? isMasked : isOff
    const why = code === ENOENT ? 'it is masked' : 'the APIC does not take it'
    this.desk.report({
      severity: isDocumented ? 'note' : 'error',
      vcpu,
      msr: msrAt(m, f, LEDGER_SINTS + sint),
      text: isDocumented
        ? `SINT${sint} was asserted and the edge is lost: ${why}`
        : `SINT${sint} was asserted and the edge is lost, although its gate is open`,
    })
  }
}

export const lostEdge: Rule = {
  invariant: 'I11',
  rule: 'lost_edge',
  holds: 'An asserted SINT interrupts; an edge that is lost for a documented reason is noted.',
  ops: [],
  registers: [],
  effects: [EFFECT_LOST],
  watch: (desk) => new LostEdge(desk),
}
