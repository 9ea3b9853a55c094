/**
 * I7, a waiting message has someone who will come back for it: when all is settled the slot is full and
 * its pending flag set, so that an EOM will follow (KVM 3a0e7731724f), or the partition is paused, or
 * SIMP, SCONTROL or the SINT keep it waiting, and then it is told for whom. A full slot whose interrupt
 * was taken and ended is one that its reader left. Senders that were refused or told "busy" while a reader
 * believes all is well wait as well.
 */
import { testBit } from '../../hv/bits.js'
import { MESSAGE_PENDING } from '../../hv/messages.js'
import {
  PAGE_ENABLE,
  SCONTROL_ENABLE,
  SINT_COUNT,
  SINT_MASKED,
  SINT_PROXY,
  SINT_VECTOR,
} from '../../hv/registers.js'
import { BUSY, DELIVERED, DROPPED, HAS_DELIVERY, QUEUED } from '../../synic/effects.js'
import { IRR, ISR, SCONTROL, SIMP, SINTS } from '../../synic/layout.js'
import * as o from '../../synic/op.js'
import { MODEL_OPENVMM, MODEL_TLFS } from '../../synic/profile.js'
import { SPLIT_WAITING } from '../../synic/split-delivery.js'
import { isSilent } from '../effect-words.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SCONTROL, LEDGER_SIMP, LEDGER_SINTS } from '../ledger.js'
import { msrAt, nameAt, vcpuOf } from '../places.js'
import type { Desk, Rule, Severity, Watcher } from '../rule.js'
import { flagsIn, messageFrameOf, typeIn } from '../slot-view.js'
import { fileOfOp, forgetReset } from '../slots.js'

class WaitingMessage implements Watcher {
  readonly #eras: Eras
  /** SINTs whose last post was answered "busy" or "dropped", and what it was, by file and SINT. */
  readonly #unserved = new Map<number, number>()

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code !== o.OP_MESSAGE_POST) {
      if (op.code === o.OP_VCPU_RESET || op.code === o.OP_PARTITION_RESET) {
        forgetReset(this.desk, this.#unserved, SINT_COUNT)
        this.desk.wake(this.#unserved.size > 0)
      }
      return this.#eras.note()
    }
    if ((m.effects.has & HAS_DELIVERY) === 0) return
    const { delivery } = m.effects
    if (delivery === DELIVERED || delivery === QUEUED) {
      if (this.#unserved.size === 0) return
      this.#unserved.delete(m.queueKey(fileOfOp(m, op), op.words[op.at + o.OP_ARGS]))
    } else this.#unserved.set(m.queueKey(fileOfOp(m, op), op.words[op.at + o.OP_ARGS]), delivery)
    this.desk.wake(this.#unserved.size > 0)
  }

  settled(): void {
    const { m } = this.desk
    if (m.paused) return
    const waiting = new Set<number>(m.queues.keys())
    for (const [key, { staged }] of m.qemuRoutes) if (staged !== null) waiting.add(key)
    for (const { f, sint, state } of m.splits) if (state === SPLIT_WAITING) waiting.add(m.queueKey(f, sint))
    for (const key of waiting) this.#judge(Math.floor(key / 16), key % 16)
    for (const [key, delivery] of this.#unserved) {
      if (!waiting.has(key)) this.#judgeUnserved(Math.floor(key / 16), key % 16, delivery)
    }
  }

  #judge(f: number, sint: number): void {
    const { m } = this.desk
    const closed = this.#closedBy(f)
    if (closed >= 0) return this.#tellClosed(f, sint, closed, `a message waits for SINT${sint}`)
    const isHeld = m.options.masked_blocks_messages && m.profile.model === MODEL_TLFS
    if (isHeld && (m.w[f + SINTS + 2 * sint] & SINT_MASKED) !== 0) {
      return this.#tell('note', f, sint, `a message waits for SINT${sint}, which is masked`)
    }
    const frame = messageFrameOf(m, f)
    const message = `a message waits for SINT${sint}`
    if (typeIn(m, frame, sint) === 0)
      this.#tell('error', f, sint, `${message} although its slot is free: nothing makes the host look again`)
    else if ((flagsIn(m, frame, sint) & MESSAGE_PENDING) === 0) {
      this.#tell('error', f, sint, `${message} behind a full slot without pending flag: no EOM will follow`)
    } else if (this.#isLeft(f, sint)) {
      this.#tell(
        'error',
        f,
        sint,
        `${message} behind one whose interrupt was handled and which was left there`,
      )
    }
  }

  #judgeUnserved(f: number, sint: number, delivery: number): void {
    const { m, ledger } = this.desk
    if (f < 0) return
    const lo = m.w[f + SINTS + 2 * sint]
    if ((lo & SINT_MASKED) !== 0 || sint > 15) return
    if (delivery === BUSY) {
      const isFull = this.#closedBy(f) < 0 && typeIn(m, messageFrameOf(m, f), sint) !== 0
      const text = `a sender found the slot of SINT${sint} full, and its interrupt was handled already`
      if (isFull && this.#isLeft(f, sint)) this.#tell('error', f, sint, text)
      return
    }
    const reader = ledger.enabler(f, LEDGER_SINTS + sint)
    const closed = this.#closedBy(f)
    if (delivery !== DROPPED || closed < 0 || reader === 0 || this.#eras.hasLeft(reader)) return
    this.#tellClosed(f, sint, closed, `messages for SINT${sint} are refused`)
  }

  /** The register that keeps messages out of the slots, as this machine sees it, or -1. */
  #closedBy(f: number): number {
    const { m } = this.desk
    // Its messages go into an overlay that is merely hidden; the others do not ask SCONTROL.
    if (m.profile.model === MODEL_OPENVMM) return -1
    const isOff = m.profile.model === MODEL_TLFS && (m.w[f + SCONTROL] & SCONTROL_ENABLE) === 0
    if ((m.w[f + SIMP] & PAGE_ENABLE) === 0) return LEDGER_SIMP
    return isOff ? LEDGER_SCONTROL : -1
  }

  /** The slot is full, and the interrupt that said so is neither requested nor in service any more. */
  #isLeft(f: number, sint: number): boolean {
    const { m } = this.desk
    const lo = m.w[f + SINTS + 2 * sint]
    // Who polls comes when it likes.
    if ((lo & SINT_MASKED) !== 0 || isSilent(m, sint, lo)) return false
    if ((lo & SINT_PROXY) !== 0 && m.profile.honoursProxy) return false
    const v = m.rowOfFile(f)
    return !testBit(m.w, v + IRR, lo & SINT_VECTOR) && !testBit(m.w, v + ISR, lo & SINT_VECTOR)
  }

  /**
   * A creation value is nobody's fault, and who disables its own page knows. That nobody ever enables SIMP
   * under an unmasked SINT, or that another disabled it, is what no reader expects.
   */
  #tellClosed(f: number, sint: number, closed: number, what: string): void {
    const { m, ledger } = this.desk
    const reader = ledger.enabler(f, LEDGER_SINTS + sint)
    const isUnmasked = (m.w[f + SINTS + 2 * sint] & SINT_MASKED) === 0
    const seq = ledger.disableSeq(f, closed)
    const wasOn = seq > this.#eras.since(m.rowOfFile(f))
    const by = wasOn ? ledger.disabler(f, closed) : 0
    const isForeign = wasOn && by !== 0 && reader !== 0 && by !== reader
    const isForgotten = !wasOn && closed === LEDGER_SIMP
    const severity = isUnmasked && (isForeign || isForgotten) ? 'error' : 'note'
    const who = wasOn ? `${this.desk.nameOf(by) || 'the guest'} has disabled` : 'nobody has enabled'
    this.#tell(severity, f, sint, `${what}: ${who} ${nameAt(m, f, closed)}`, closed, by, wasOn ? seq : 0)
  }

  #tell(
    severity: Severity,
    f: number,
    sint: number,
    text: string,
    place?: number,
    other = 0,
    otherSeq = 0,
  ): void {
    const { m, ledger } = this.desk
    this.desk.report({
      severity,
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, place ?? LEDGER_SINTS + sint),
      actor: ledger.enabler(f, LEDGER_SINTS + sint),
      other,
      otherSeq,
      text,
    })
  }
}

export const waitingMessage: Rule = {
  invariant: 'I7',
  rule: 'waiting_message',
  holds: 'When settled, a message waits only where somebody will come back for it.',
  ops: ERA_OPS,
  registers: [],
  more: [
    { ops: [o.OP_MESSAGE_POST], onRefusal: true },
    { ops: [o.OP_MESSAGE_POST], whileAwake: true },
  ],
  watch: (desk) => new WaitingMessage(desk),
}
