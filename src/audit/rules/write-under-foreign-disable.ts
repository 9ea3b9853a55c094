/**
 * I1, no write under a foreign disable: who still has a SynIC up writes none of its registers after
 * another one has cleared SCONTROL (Linux "mshv: limit SynIC management to MSHV-owned resources": the
 * hypervisor does not tolerate it). What brings a SynIC up again writes SIMP, SIEFP and SINTs before
 * SCONTROL too, so only those are judged who had something enabled when the SynIC went off and have not
 * switched it off themselves since; and of those who enable something, only who still has it. The same
 * actor going on with its own teardown is what FreeBSD and iPXE do as guests; parents may not.
 */
import { HV_X64_MSR_EOM } from '../../hv/msrs.js'
import { SCONTROL_ENABLE } from '../../hv/registers.js'
import { EFFECT_EOM } from '../../synic/effects.js'
import { SCONTROL } from '../../synic/layout.js'
import { OP_MSR_WRITE } from '../../synic/op.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SCONTROL } from '../ledger.js'
import { isOnAt, isOnValue, nameOfMsr, PLACE_COUNT } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { fileOfOp } from '../slots.js'

class WriteUnderForeignDisable implements Watcher {
  readonly #eras: Eras

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code !== OP_MSR_WRITE) {
      if (ERA_OPS.includes(op.code)) this.#eras.note()
      // The EOM of a message that the guest completes.
      else if (op.actor !== 0) this.#judge(fileOfOp(m, op), -1, HV_X64_MSR_EOM)
    } else if (op.actor !== 0 && !op.byHost && op.file >= 0) {
      this.#judge(op.file, placeOf(op.msr), op.msr)
    }
  }

  #judge(f: number, place: number, msr: number): void {
    const { op, m, ledger } = this.desk
    if (f < 0 || (m.w[f + SCONTROL] & SCONTROL_ENABLE) !== 0) return
    const disabler = ledger.disabler(f, LEDGER_SCONTROL)
    const disableSeq = ledger.disableSeq(f, LEDGER_SCONTROL)
    const since = this.#eras.since(m.rowOfFile(f))
    if (disabler === 0 || disableSeq <= since || disableSeq < ledger.enableSeq(f, LEDGER_SCONTROL)) return
    if (!this.#isUp(f, since, disableSeq, place)) return
    const own = disabler === op.actor
    const tolerated = m.config.kind === 'guest' || !m.auditsDisabledWrites
    const [actor, other, register] = [this.desk.nameOf(op.actor), this.desk.nameOf(disabler), nameOfMsr(msr)]
    this.desk.report({
      severity: own && tolerated ? 'note' : 'error',
      msr,
      other: disabler,
      otherSeq: disableSeq,
      text: own
        ? `${actor} writes ${register} after it disabled the SynIC itself: SCONTROL goes last`
        : `${actor} writes ${register} of a SynIC that ${other} disabled under it`,
    })
  }

  /**
   * Had the actor something enabled when the SynIC went off that it has not switched off itself since? What
   * the last to leave took down with the SynIC is no hindrance to who comes back and brings it up.
   */
  #isUp(f: number, since: number, disableSeq: number, written: number): boolean {
    const { op, m, ledger } = this.desk
    const enables = written >= 0 && isOnAt(m, f, written) && !isOnValue(written, op.oldLo)
    for (let place = LEDGER_SCONTROL + 1; place < PLACE_COUNT; place++) {
      const seq = ledger.enabledBy(f, place, op.actor)
      if (seq <= since || seq > disableSeq) continue
      const isOff = !(place === written ? isOnValue(place, op.oldLo) : isOnAt(m, f, place))
      if (!isOff || !(enables || ledger.writer(f, place) === op.actor)) return true
    }
    return false
  }
}

export const writeUnderForeignDisable: Rule = {
  invariant: 'I1',
  rule: 'write_under_foreign_disable',
  holds: 'Once an actor has cleared SCONTROL, no other writes that SynIC until somebody enables it again.',
  ops: ERA_OPS,
  registers: ['SIEFP', 'SIMP', 'SIRBP', 'EOM', 'SINT'],
  effects: [EFFECT_EOM],
  needsActor: true,
  whileOff: true,
  watch: (desk) => new WriteUnderForeignDisable(desk),
}
