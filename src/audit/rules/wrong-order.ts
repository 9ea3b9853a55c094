/**
 * Who uses a SynIC that another actor switches on comes after it and leaves before it (Linux MSHV and
 * VMBus on L1VH: VMBus first in, last out). Told at SCONTROL; what the owner's SIMP and SIEFP take away
 * from others is `rug_pull`. Whether the other will ever come is not known before it does: who came first is
 * told when SCONTROL is set.
 */
import { SCONTROL_ENABLE } from '../../hv/registers.js'
import { SCONTROL } from '../../synic/layout.js'
import { OP_MSR_WRITE } from '../../synic/op.js'
import { dependentsOn } from '../dependents.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SCONTROL, LEDGER_SIRBP } from '../ledger.js'
import { isOnAt, isOnValue, msrAt, nameAt, nameOfMsr, PLACE_COUNT } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Finding, Rule, Severity, Watcher } from '../rule.js'

class WrongOrder implements Watcher {
  /** By register file and place, the op that set it up while the SynIC was off and its owner not there. */
  readonly #early = new Map<number, number>()
  readonly #eras: Eras

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code !== OP_MSR_WRITE) return this.#eras.note()
    if (op.actor === 0 || op.byHost || !m.effects.ok) return
    const place = placeOf(op.msr)
    const was = isOnValue(place, op.oldLo)
    const is = isOnAt(m, op.file, place)
    if (place === LEDGER_SCONTROL) {
      if (was && !is) this.#leaving()
      else if (!was && is && this.#early.size > 0) this.#enabling()
    } else if ((m.w[op.file + SCONTROL] & SCONTROL_ENABLE) !== 0) return
    else if (!was && is) this.#coming()
  }

  /** An actor sets up what it owns, and the SynIC is off. */
  #coming(): void {
    const { op, m, claims, ledger } = this.desk
    const owner = claims.foreignOwner(op.vcpu, msrAt(m, op.file, LEDGER_SCONTROL), op.actor)
    if (claims.owner(op.vcpu, op.msr) !== op.actor) return
    if (owner === 0 || this.#eras.hasLeft(owner)) {
      this.#early.set(op.file + placeOf(op.msr), op.seq)
      return
    }
    const [actor, other, register] = [this.desk.nameOf(op.actor), this.desk.nameOf(owner), nameOfMsr(op.msr)]
    const disableSeq = ledger.disableSeq(op.file, LEDGER_SCONTROL)
    const wasOn = disableSeq > this.#eras.since(m.rowOfFile(op.file))
    const when = wasOn ? `after ${other} has disabled` : `before ${other} has enabled`
    this.#tell(owner, wasOn ? disableSeq : 0, `${actor} sets up ${register} ${when} the SynIC`)
  }

  /** SCONTROL is set, by its owner: who was there before it, and still is? Each is told once. */
  #enabling(): void {
    const { op, m, claims, ledger } = this.desk
    const isOwner = claims.owner(op.vcpu, op.msr) === op.actor
    const told = new Set([op.actor])
    for (let place = LEDGER_SIRBP; place < PLACE_COUNT; place++) {
      const seq = this.#early.get(op.file + place)
      if (seq === undefined) continue
      this.#early.delete(op.file + place)
      const actor = ledger.enabler(op.file, place)
      const isStill = isOnAt(m, op.file, place) && ledger.enableSeq(op.file, place) === seq
      const counts = seq > this.#eras.since(m.rowOfFile(op.file)) && !this.#eras.hasLeft(actor)
      if (!isOwner || !isStill || !counts || told.has(actor)) continue
      told.add(actor)
      const [name, owner] = [this.desk.nameOf(actor), this.desk.nameOf(op.actor)]
      const text = `${name} has set up ${nameAt(m, op.file, place)} before ${owner} enables the SynIC`
      this.#tell(op.actor, seq, text, { actor, msr: msrAt(m, op.file, place) })
    }
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

  #tell(other: number, otherSeq: number, text: string, whose: Pick<Finding, 'actor' | 'msr'> = {}): void {
    // An ordinary guest only misses interrupts; parents share the SynIC with a hypervisor that minds.
    const isTolerated = this.desk.m.config.kind === 'guest' || this.desk.hasCrashed
    const severity: Severity = isTolerated ? 'note' : 'error'
    this.desk.report({ severity, other, otherSeq, text, ...whose })
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
  more: [{ registers: ['SCONTROL'], needsActor: true, onChange: true }],
  watch: (desk) => new WrongOrder(desk),
}
