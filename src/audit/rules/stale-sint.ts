/**
 * I4, nothing armed is left to the next kernel: at a handover every SINT is masked (Linux MSHV on L1VH
 * left two unmasked over kexec, efe0fb8c3fe2; iPXE masks all sixteen and leaves SCONTROL on, which is
 * right).
 */
import { SINT_COUNT } from '../../hv/registers.js'
import { EFFECT_LIFECYCLE } from '../../synic/effects.js'
import { OP_KERNEL_BOOT } from '../../synic/op.js'
import { Handover, NO_HANDOVER } from '../handover.js'
import { LEDGER_SINTS } from '../ledger.js'
import { isOnAt, msrAt, nameAt, PLACE_COUNT, vcpuOf } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class StaleSint implements Watcher {
  readonly #handover: Handover

  constructor(private readonly desk: Desk) {
    this.#handover = new Handover(desk)
  }

  before(): void {
    this.#handover.before()
  }

  after(): void {
    if (this.#handover.kind() === NO_HANDOVER) return
    for (const f of this.desk.m.filesById()) {
      for (let sint = 0; sint < SINT_COUNT; sint++) this.#judge(f, LEDGER_SINTS + sint)
    }
  }

  #judge(f: number, place: number): void {
    const { m, ledger } = this.desk
    if (!isOnAt(m, f, place)) return
    const actor = ledger.enabler(f, place)
    const severity = this.#handover.severity(actor)
    if (!this.#handover.isNew(f * PLACE_COUNT + place, ledger.writeSeq(f, place), severity)) return
    const who = this.desk.nameOf(actor) || 'the old kernel'
    const heir = this.#handover.successor()
    this.desk.report({
      severity,
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, place),
      actor,
      otherSeq: ledger.enableSeq(f, place),
      text: `${who} leaves ${nameAt(m, f, place)} of vCPU ${vcpuOf(m, f)} unmasked to ${heir}`,
    })
  }
}

export const staleSint: Rule = {
  invariant: 'I4',
  rule: 'stale_sint',
  holds: 'When a kernel hands over, every SINT of every vCPU is masked.',
  ops: [OP_KERNEL_BOOT],
  registers: ['other'],
  effects: [EFFECT_LIFECYCLE],
  watch: (desk) => new StaleSint(desk),
}
