/**
 * I6, a message leaves its slot by its reader's hand: nobody takes SIMP away under another's unread
 * message, and when all is done none lies on a vCPU that is offline or before a driver that has left
 * (Linux VMBus looked for the answer to its unload on online CPUs only, 320805ab61e5). An actor that
 * disables its own page loses its own message. A vCPU's reset that comes late, after the partition's, loses
 * what devices have posted in between (OpenVMM). A whole machine's reset is asked for, and loses what it
 * loses.
 */
import { gpnOf } from '../../hv/bits.js'
import { PAGE_ENABLE, SINT_COUNT } from '../../hv/registers.js'
import { DONT_ZERO_PAGES, FILE_FLAGS, FLAGS, OFFLINE, SIMP } from '../../synic/layout.js'
import * as o from '../../synic/op.js'
import { ERA_OPS, Eras } from '../eras.js'
import { LEDGER_SIMP, LEDGER_SINTS } from '../ledger.js'
import { isOnAt, msrAt, nameOfMsr, vcpuOf } from '../places.js'
import { type Readings, readingsOf } from '../readings.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { messageFrameOf, occupiedSlots } from '../slot-view.js'

class MessageUnread implements Watcher {
  readonly #eras: Eras
  readonly #readings: Readings
  /** SINTs with a message in their slot before the op; of a reset, file by file. */
  #occupied = 0
  #lost: { readonly f: number; readonly sint: number }[] = []
  /** When the machine was reset last. */
  #resetSeq = 0

  constructor(private readonly desk: Desk) {
    this.#eras = new Eras(desk)
    this.#readings = readingsOf(desk)
  }

  before(): void {
    const { op, m } = this.desk
    this.#occupied = 0
    if (op.code === o.OP_VCPU_RESET) this.#noteUnread()
    if (op.code !== o.OP_MSR_WRITE || op.byHost || (op.oldLo & PAGE_ENABLE) === 0) return
    this.#occupied = occupiedSlots(m, messageFrameOf(m, op.file))
  }

  after(): void {
    const { op, m, ledger } = this.desk
    if (op.code !== o.OP_MSR_WRITE) return this.#passed()
    if (this.#occupied === 0 || !m.effects.ok || !this.#isTakenAway()) return
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      if (((this.#occupied >> sint) & 1) === 0) continue
      const place = LEDGER_SINTS + sint
      const reader = isOnAt(m, op.file, place) ? ledger.enabler(op.file, place) : 0
      const isForeign = reader !== 0 && reader !== op.actor && op.actor !== 0 && !this.#eras.hasLeft(reader)
      const whose = isForeign ? `${this.desk.nameOf(reader)}'s unread message` : 'an unread message'
      const actor = this.desk.nameOf(op.actor) || 'the guest'
      this.desk.report({
        severity: isForeign ? 'error' : 'note',
        other: reader === op.actor ? 0 : reader,
        otherSeq: reader === op.actor ? 0 : ledger.enableSeq(op.file, place),
        text: `${actor} writes ${nameOfMsr(op.msr)} while ${whose} stands in the slot of SINT${sint}`,
      })
    }
  }

  /** What stands in the slots of a vCPU that is about to be reset, and nobody has looked at. */
  #noteUnread(): void {
    const { op, m } = this.desk
    const v = m.rowOf(op.vcpu)
    this.#lost = []
    // KVM resets the APIC alone; of what is offline liveness has spoken.
    if (v < 0 || !m.profile.vcpuResetClearsSynic || (m.w[v + FLAGS] & OFFLINE) !== 0) return
    for (const f of m.filesOf(v)) {
      const occupied = isOnAt(m, f, LEDGER_SIMP) ? occupiedSlots(m, messageFrameOf(m, f)) : 0
      for (let sint = 0; occupied >> sint !== 0; sint++) {
        const isUnread = ((occupied >> sint) & 1) !== 0 && !this.#readings.isSeen(m.queueKey(f, sint))
        if (isUnread) this.#lost.push({ f, sint })
      }
    }
  }

  #passed(): void {
    const { op, m, ledger } = this.desk
    this.#eras.note()
    const isBootReset = op.code === o.OP_KERNEL_BOOT && op.words[op.at + o.OP_ARGS + 1] === o.BOOT_RESET
    if (op.code === o.OP_PARTITION_RESET || isBootReset) this.#resetSeq = op.seq
    if (op.code !== o.OP_VCPU_RESET || !m.effects.ok) return
    for (const { f, sint } of this.#lost) {
      const reader = ledger.enabler(f, LEDGER_SINTS + sint)
      const vcpu = vcpuOf(m, f)
      const late = this.#resetSeq === 0 ? '' : ' after that of the partition'
      this.desk.report({
        // Who resets vCPUs one by one may be on the way to resetting the machine.
        severity: this.#resetSeq === 0 ? 'note' : 'error',
        vcpu,
        msr: msrAt(m, f, LEDGER_SINTS + sint),
        other: reader,
        otherSeq: this.#resetSeq,
        text: `the reset of vCPU ${vcpu}${late} throws away an unread message in the slot of SINT${sint}`,
      })
    }
  }

  settled(): void {
    const { m } = this.desk
    for (const f of m.filesById()) {
      if (!isOnAt(m, f, LEDGER_SIMP)) continue
      const occupied = occupiedSlots(m, messageFrameOf(m, f))
      for (let sint = 0; occupied >> sint !== 0; sint++)
        if (((occupied >> sint) & 1) !== 0) this.#judge(f, sint)
    }
  }

  #judge(f: number, sint: number): void {
    const { m, ledger } = this.desk
    const place = LEDGER_SINTS + sint
    const reader = ledger.enabler(f, place)
    const isOffline = (m.w[m.rowOfFile(f) + FLAGS] & OFFLINE) !== 0
    const hasLeft = reader !== 0 && this.#eras.hasLeft(reader)
    if (!isOffline && !hasLeft) return
    const why = isOffline ? 'which is offline' : `whose reader ${this.desk.nameOf(reader)} has left`
    this.desk.report({
      severity: 'error',
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, place),
      actor: reader,
      otherSeq: hasLeft ? this.#eras.leftSeq(reader) : 0,
      text: `an unread message stands in the slot of SINT${sint} of vCPU ${vcpuOf(m, f)}, ${why}`,
    })
  }

  /** Gone from where its reader looks: overlays take their content along, RAM stays, KVM may zero it. */
  #isTakenAway(): boolean {
    const { op, m } = this.desk
    const now = op.file + SIMP
    if ((m.w[now] & PAGE_ENABLE) === 0) return true
    if (m.profile.pages !== 'ram') return false
    const zeroed = (m.w[op.file + FILE_FLAGS] & DONT_ZERO_PAGES) === 0
    return zeroed || gpnOf(m.w[now], m.w[now + 1]) !== gpnOf(op.oldLo, op.oldHi)
  }
}

export const messageUnread: Rule = {
  invariant: 'I6',
  rule: 'message_unread',
  holds: 'A message leaves its slot by its reader, who is there to read it.',
  ops: ERA_OPS,
  registers: ['SIMP'],
  watch: (desk) => new MessageUnread(desk),
}
