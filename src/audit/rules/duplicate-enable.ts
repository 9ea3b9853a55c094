/**
 * An actor enables SIMP or SIEFP that another has already enabled at the same address: redundant and
 * harmless, but it believes the page to be its own (Linux MSHV on L1VH before "limit SynIC management to
 * MSHV-owned resources").
 */
import { gpnOf } from '../../hv/bits.js'
import { PAGE_ENABLE } from '../../hv/registers.js'
import { OP_KERNEL_BOOT, OP_MSR_WRITE } from '../../synic/op.js'
import { nameOfMsr } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class DuplicateEnable implements Watcher {
  #bootSeq = 0

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m, ledger } = this.desk
    if (op.code !== OP_MSR_WRITE) {
      this.#bootSeq = op.seq
      return
    }
    if (op.actor === 0 || op.byHost || !m.effects.ok) return
    if ((op.oldLo & op.newLo & PAGE_ENABLE) === 0) return
    if (gpnOf(op.oldLo, op.oldHi) !== gpnOf(op.newLo, op.newHi)) return
    const place = placeOf(op.msr)
    const other = ledger.enabler(op.file, place)
    const otherSeq = ledger.enableSeq(op.file, place)
    if (other === 0 || other === op.actor || otherSeq <= this.#bootSeq) return
    const [actor, first, register] = [this.desk.nameOf(op.actor), this.desk.nameOf(other), nameOfMsr(op.msr)]
    const text = `${actor} enables ${register}, which ${first} has already enabled at the same address`
    this.desk.report({ severity: 'note', other, otherSeq, text })
  }
}

export const duplicateEnable: Rule = {
  invariant: 'duplicate_enable',
  rule: 'duplicate_enable',
  holds: 'A page register is enabled once, by one actor.',
  ops: [OP_KERNEL_BOOT],
  registers: ['SIMP', 'SIEFP'],
  needsActor: true,
  watch: (desk) => new DuplicateEnable(desk),
}
