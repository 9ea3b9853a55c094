/**
 * I2, written only by its owner: every guest write to a claimed register comes from an actor that claims it
 * (Linux "mshv: limit SynIC management to MSHV-owned resources"; ownership is a convention among guests).
 * What nobody has claimed is held by whoever enabled it, and nobody moves it to a page or vector of its own
 * (iPXE over UEFI firmware, 936657832f22; winload over iPXE, b91cc983da48).
 */
import { HV_X64_MSR_GUEST_OS_ID, MSR_NAMES } from '../../hv/msrs.js'
import { OP_MSR_WRITE } from '../../synic/op.js'
import { ERA_OPS, Eras } from '../eras.js'
import { robbedHolder } from '../holders.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class ForeignWrite implements Watcher {
  readonly #eras: Eras
  /** When a kernel took back its guest OS id last: nobody holds what it has left enabled. */
  #handedOverSeq = 0

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op, claims } = this.desk
    if (op.code !== OP_MSR_WRITE) return this.#eras.note()
    if (op.byHost) return
    if (op.msr === HV_X64_MSR_GUEST_OS_ID && (op.newLo | op.newHi) === 0) this.#handedOverSeq = op.seq
    const owner = claims.owner(op.vcpu, op.msr)
    if (owner === 0) return this.#judgeUnowned()
    if (op.actor !== 0 && owner !== op.actor) this.#judgeForeign(owner)
  }

  #judgeUnowned(): void {
    const { op, ledger } = this.desk
    const place = placeOf(op.msr)
    if (place < 0) return
    const holder = robbedHolder(this.desk, this.#eras, place, this.#handedOverSeq)
    if (holder === 0) return
    const [actor, other] = [this.desk.nameOf(op.actor), this.desk.nameOf(holder)]
    const text = `${actor} takes ${MSR_NAMES.get(op.msr)} from ${other}, which has enabled it and not let go`
    this.desk.report({
      severity: 'error',
      other: holder,
      otherSeq: ledger.enableSeq(op.file, place),
      text,
    })
  }

  #judgeForeign(owner: number): void {
    const { op, ledger } = this.desk
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
  holds:
    'A register is written only by who claims it, and what nobody claims is moved only by who enabled it.',
  ops: ERA_OPS,
  registers: ['SCONTROL', 'SIEFP', 'SIMP', 'SIRBP', 'SINT', 'STIMER', 'other'],
  onForeign: true,
  more: [
    { registers: ['SIEFP', 'SIMP', 'SIRBP', 'SINT'], needsActor: true, onChange: true },
    { registers: ['other'] },
  ],
  watch: (desk) => new ForeignWrite(desk),
}
