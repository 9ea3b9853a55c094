/**
 * I6, a message is read before it is cleared: of two readers of one slot the second clears what came after
 * the first had made room, and nobody has seen it (Linux cd95aad55793). Reads are known where they are ops.
 */
import * as e from '../../synic/effects.js'
import * as o from '../../synic/op.js'
import { LEDGER_SINTS } from '../ledger.js'
import { msrAt, vcpuOf } from '../places.js'
import { type Readings, readingsOf } from '../readings.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class MessageUnseen implements Watcher {
  readonly #readings: Readings

  constructor(private readonly desk: Desk) {
    this.#readings = readingsOf(desk)
  }

  after(): void {
    const { op, m } = this.desk
    // Who clears last empties the list of readings: what it cleared is still told.
    this.#readings.follow()
    for (const { slot, staleSeq, isUnseen } of this.#readings.blind) {
      if (!isUnseen) continue
      const f = slot >> 4
      const who = this.desk.nameOf(op.actor) || 'the guest'
      const where = `the slot of SINT${slot & 15} of vCPU ${vcpuOf(m, f)}`
      this.desk.report({
        severity: op.actor === 0 ? 'note' : 'error',
        vcpu: vcpuOf(m, f),
        msr: msrAt(m, f, LEDGER_SINTS + (slot & 15)),
        otherSeq: staleSeq,
        text: `${who} clears ${where}: the message in it is lost unread`,
      })
    }
  }
}

export const messageUnseen: Rule = {
  invariant: 'I6',
  rule: 'message_unseen',
  holds: 'A message that came into a slot is read by somebody before it is cleared.',
  ops: [o.OP_MEM_WRITE, o.OP_MEM_CAS, o.OP_MEM_XCHG],
  registers: [],
  more: [{ effects: [e.EFFECT_MESSAGE, e.EFFECT_FREED], whileAwake: true }],
  watch: (desk) => new MessageUnseen(desk),
}
