/**
 * Who uses a SynIC that another actor switches on comes after it and leaves before it (Linux MSHV and
 * VMBus on L1VH: VMBus first in, last out). Told at SCONTROL; what the owner's SIMP and SIEFP take away
 * from others is `rug_pull`.
 */
import { SCONTROL_ENABLE } from '../../hv/registers.js'
import { SCONTROL } from '../../synic/layout.js'
import { OP_MSR_WRITE } from '../../synic/op.js'
import { dependentsOn } from '../dependents.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SCONTROL } from '../ledger.js'
import { isOnAt, isOnValue, msrAt, nameAt, nameOfMsr } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Severity, Watcher } from '../rule.js'

class WrongOrder implements Watcher {
  readonly #eras: Eras

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code !== OP_MSR_WRITE) return this.#eras.note()
    if ((m.w[op.file + SCONTROL] & SCONTROL_ENABLE) !== 0) return
    if (op.actor === 0 || op.byHost || !m.effects.ok) return
    const place = placeOf(op.msr)
    const was = isOnValue(place, op.oldLo)
    const is = isOnAt(m, op.file, place)
    if (place === LEDGER_SCONTROL) {
      if (was && !is) this.#leaving()
    } else if (!was && is) this.#coming()
  }

  /** An actor sets up what it owns, and the SynIC is off. */
  #coming(): void {
    const { op, m, claims, ledger } = this.desk
    const owner = claims.foreignOwner(op.vcpu, msrAt(m, op.file, LEDGER_SCONTROL), op.actor)
    if (owner === 0 || this.#eras.hasLeft(owner)) return
    if (claims.owner(op.vcpu, op.msr) !== op.actor) return
    const [actor, other, register] = [this.desk.nameOf(op.actor), this.desk.nameOf(owner), nameOfMsr(op.msr)]
    const disableSeq = ledger.disableSeq(op.file, LEDGER_SCONTROL)
    const wasOn = disableSeq > this.#eras.since(m.rowOfFile(op.file))
    const when = wasOn ? `after ${other} has disabled` : `before ${other} has enabled`
    this.#tell(owner, wasOn ? disableSeq : 0, `${actor} sets up ${register} ${when} the SynIC`)
  }

  /** The owner of SCONTROL clears it, and others are still there. */
  #leaving(): void {
    const { op, m, claims } = this.desk
    if (claims.owner(op.vcpu, op.msr) !== op.actor) return
    for (const { actor, place, seq } of dependentsOn(this.desk, this.#eras, op.file, op.actor)) {
      const [name, other] = [this.desk.nameOf(op.actor), this.desk.nameOf(actor)]
      const text = `${name} disables the SynIC before ${other} has given up ${nameAt(m, op.file, place)}`
      this.#tell(actor, seq, text)
    }
  }

  #tell(other: number, otherSeq: number, text: string): void {
    // An ordinary guest only misses interrupts; parents share the SynIC with a hypervisor that minds.
    const isTolerated = this.desk.m.config.kind === 'guest' || this.desk.hasCrashed
    const severity: Severity = isTolerated ? 'note' : 'error'
    this.desk.report({ severity, other, otherSeq, text })
  }
}

export const wrongOrder: Rule = {
  invariant: 'wrong_order',
  rule: 'wrong_order',
  holds: 'Who uses a SynIC that another actor switches on comes after it and leaves before it.',
  ops: ERA_OPS,
  registers: ['SCONTROL', 'SIRBP', 'SINT'],
  needsActor: true,
  onChange: true,
  whileOff: true,
  watch: (desk) => new WrongOrder(desk),
}
