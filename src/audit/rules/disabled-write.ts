/**
 * A teardown write to a SynIC that is off, which the Microsoft hypervisor is reported not to tolerate
 * (Linux "mshv: limit SynIC management to MSHV-owned resources"). The machine sees the write; here both
 * sides get their names.
 */
import { EFFECT_VIOLATION, EFFECT_WORDS, VIOLATION_DISABLED_WRITE } from '../../synic/effects.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SCONTROL } from '../ledger.js'
import { nameOfMsr } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class DisabledWrite implements Watcher {
  readonly #eras: Eras

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    if (ERA_OPS.includes(this.desk.op.code)) this.#eras.note()
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] === EFFECT_VIOLATION && words[at + 1] === VIOLATION_DISABLED_WRITE)
        this.#tell(words[at + 3])
    }
  }

  #tell(msr: number): void {
    const { op, m, ledger } = this.desk
    const disableSeq = op.file < 0 ? 0 : ledger.disableSeq(op.file, LEDGER_SCONTROL)
    // Nobody has disabled it: a driver that masks what is masked on its way up.
    const isOff = disableSeq > (op.file < 0 ? 0 : this.#eras.since(m.rowOfFile(op.file)))
    const disabler = isOff ? ledger.disabler(op.file, LEDGER_SCONTROL) : 0
    const actor = this.desk.nameOf(op.actor) || 'the guest'
    const by = disabler === 0 ? '' : ` by ${disabler === op.actor ? 'itself' : this.desk.nameOf(disabler)}`
    const state = isOff ? `was disabled${by}` : 'nobody has enabled yet'
    const lost = m.effects.ok ? '' : '; the write faults and is lost'
    this.desk.report({
      severity: isOff && m.config.kind !== 'guest' ? 'error' : 'note',
      msr,
      other: disabler,
      otherSeq: isOff ? disableSeq : 0,
      text: `${actor} tears ${nameOfMsr(msr)} down on a SynIC that ${state}${lost}`,
    })
  }
}

export const disabledWrite: Rule = {
  invariant: 'disabled_write',
  rule: 'disabled_write',
  holds: 'Nothing of a SynIC is torn down while its SCONTROL is clear.',
  ops: ERA_OPS,
  registers: [],
  effects: [EFFECT_VIOLATION],
  watch: (desk) => new DisabledWrite(desk),
}
