/**
 * I2, written only by its owner: every guest write to a claimed register comes from an actor that claims it
 * (Linux "mshv: limit SynIC management to MSHV-owned resources"; ownership is a convention among guests).
 */
import { MSR_NAMES } from '../../hv/msrs.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class ForeignWrite implements Watcher {
  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, claims, ledger } = this.desk
    if (op.byHost) return
    const owner = claims.foreignOwner(op.vcpu, op.msr, op.actor)
    if (owner === 0) return
    const place = placeOf(op.msr)
    // What stood in other registers than the SynIC's nobody has looked at.
    const isSame = place >= 0 && op.newLo === op.oldLo && op.newHi === op.oldHi
    const isOwners = place >= 0 && ledger.writer(op.file, place) === owner
    const register = MSR_NAMES.get(op.msr)
    const [actor, other] = [this.desk.nameOf(op.actor), this.desk.nameOf(owner)]
    this.desk.report({
      severity: isSame ? 'note' : 'error',
      other: owner,
      otherSeq: isOwners ? ledger.writeSeq(op.file, place) : 0,
      text: isSame
        ? `${actor} writes ${register} back unchanged, which belongs to ${other}`
        : `${actor} writes ${register}, which belongs to ${other}`,
    })
  }
}

export const foreignWrite: Rule = {
  invariant: 'I2',
  rule: 'foreign_write',
  holds: 'A claimed register is written only by an actor that claims it.',
  ops: [],
  registers: ['SCONTROL', 'SIEFP', 'SIMP', 'SIRBP', 'SINT', 'STIMER', 'other'],
  onForeign: true,
  watch: (desk) => new ForeignWrite(desk),
}
