/**
 * I5, reset equals creation: after a reset a vCPU is what `vcpu.create` makes, queued messages, pending
 * bits, acknowledgement links and overlays included (TLFS, "SynIC Registers"; QEMU synic_reset). KVM
 * resets the APIC alone and leaves the rest to the VMM, and never takes a link from SINT to GSI back.
 */
import { HV_X64_MSR_SCONTROL } from '../../hv/msrs.js'
import { SINT_COUNT, STIMER_COUNT } from '../../hv/registers.js'
import { Effects } from '../../synic/effects.js'
import { isRouted } from '../../synic/gsi-routes.js'
import * as l from '../../synic/layout.js'
import { createVcpu } from '../../synic/lifecycle.js'
import { Machine } from '../../synic/machine.js'
import * as o from '../../synic/op.js'
import { MODEL_QEMU } from '../../synic/profile.js'
import { sintGsi } from '../../synic/sint.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { eventFrameOf, isZeroPage, messageFrameOf } from '../slot-view.js'

/** Words of a file that a reset sets, and what they are called. */
const FILE_PARTS: readonly (readonly [from: number, to: number, name: string])[] = [
  [l.SCONTROL, l.SVERSION, 'SCONTROL'],
  [l.SVERSION, l.SIEFP, 'SVERSION'],
  [l.SIEFP, l.SIMP, 'SIEFP'],
  [l.SIMP, l.SIRBP, 'SIMP'],
  [l.SIRBP, l.SINTS, 'SIRBP'],
  [l.SINTS, l.SINT_TO_GSI, 'the SINTs'],
  [l.VECTORS, l.MESSAGE_FRAME, 'the vector bitmaps'],
  [l.SINT_MASKS, l.FILE_FLAGS, 'the mask of waiting SINTs'],
  [l.MESSAGE_MAP, l.FILE_WORDS, 'the overlays'],
]
const ROW_PARTS: readonly (readonly [from: number, to: number, name: string])[] = [
  [l.VP_ASSIST, l.TIMERS, 'the VP assist page'],
  [l.TIMERS, l.ROW_WORDS, 'the timers'],
]
const APIC_PARTS: readonly (readonly [from: number, to: number, name: string])[] = [
  [l.IRR, l.ISR, 'requested interrupts'],
  [l.ISR, l.TPR, 'interrupts in service'],
  [l.TPR, l.FLAGS, 'the task priority'],
]
const LIFE_FLAGS = l.APIC_ENABLED | l.HALTED | l.WAKE_TOKEN
const TIMER_FLAGS = l.TIMER_PENDING | l.MSG_PENDING | l.TIMER_QUEUED

class ResetEqualsCreation implements Watcher {
  readonly #effects = new Effects()

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    if (!m.effects.ok) return
    const { vcpuResetClearsSynic, model } = m.profile
    if (op.code === o.OP_VCPU_RESET) return this.#compare(m.rowOf(op.vcpu), vcpuResetClearsSynic)
    if (op.code === o.OP_KERNEL_BOOT && op.words[op.at + o.OP_ARGS + 1] !== o.BOOT_RESET) return
    for (const v of m.rowsById()) this.#compare(v, vcpuResetClearsSynic || model === MODEL_QEMU)
  }

  /** @param whole false: the APIC alone */
  #compare(v: number, whole: boolean): void {
    const { m } = this.desk
    const fresh = new Machine(m.config, this.#effects)
    if (createVcpu(fresh, m.vcpuId(v)) !== 0) return
    const differs: string[] = []
    const look = (at: number, from: number, [begin, end, name]: readonly [number, number, string]): void => {
      for (let i = begin; i < end; i++) if (m.w[at + i] !== fresh.w[from + i]) return void differs.push(name)
    }
    for (const part of APIC_PARTS) look(v, 0, part)
    const flags = (m.w[v + l.FLAGS] ^ fresh.w[l.FLAGS]) & (whole ? LIFE_FLAGS | TIMER_FLAGS : LIFE_FLAGS)
    if (flags !== 0) differs.push('pending bits')
    if (whole) {
      for (const part of ROW_PARTS) look(v, 0, part)
      for (const f of m.filesOf(v)) {
        for (const part of FILE_PARTS) if (!this.#isKept(part[0])) look(f, f - v, part)
        this.#compareBehind(f, differs)
      }
      for (let i = 0; i < STIMER_COUNT; i++) {
        if (m.due.dueOf((v / m.stride) * STIMER_COUNT + i) !== Number.POSITIVE_INFINITY)
          differs.push('a deadline')
      }
    }
    if (differs.length > 0) this.#tell(m.vcpuId(v), differs)
  }

  /** On KVM the mask says which SINTs have a link to a GSI, and those are never taken back. */
  #isKept(word: number): boolean {
    return this.desk.m.profile.kvm && word === l.SINT_MASKS
  }

  /** What belongs to a file and lies outside the slab. */
  #compareBehind(f: number, differs: string[]): void {
    const { m } = this.desk
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      const key = m.queueKey(f, sint)
      if ((m.queues.get(key)?.length ?? 0) > 0) differs.push(`messages queued for SINT${sint}`)
      if (m.rings.has(key)) differs.push(`the event ring of SINT${sint}`)
      const gsi = sintGsi(m, f, sint)
      if (gsi >= 0 && !m.profile.kvm && !this.#leadsTo(gsi, f, sint))
        differs.push(`SINT${sint}'s link to a GSI`)
      if (m.qemuRoutes.get(key)?.staged) differs.push(`a message staged for SINT${sint}`)
    }
    if (m.splits.some((split) => split.f === f)) differs.push('deliveries in progress')
    if (m.profile.pages === 'ram') return
    if (!isZeroPage(m, messageFrameOf(m, f))) differs.push('the content of the message page')
    if (!isZeroPage(m, eventFrameOf(m, f))) differs.push('the content of the event-flags page')
  }

  /** The routing table is not the vCPU's: a link that it still has is right. */
  #leadsTo(gsi: number, f: number, sint: number): boolean {
    const { m } = this.desk
    const vp = m.w[m.rowOfFile(f) + l.VP_INDEX]
    return isRouted(m, gsi) && m.routes[2 * gsi] === vp && m.routes[2 * gsi + 1] === sint
  }

  #tell(vcpu: number, differs: readonly string[]): void {
    const parts = [...new Set(differs)].join(', ')
    this.desk.report({
      severity: 'error',
      vcpu,
      msr: parts.startsWith('SCONTROL') ? HV_X64_MSR_SCONTROL : -1,
      text: `after its reset vCPU ${vcpu} is not what creation makes: ${parts}`,
    })
  }
}

export const resetEqualsCreation: Rule = {
  invariant: 'I5',
  rule: 'reset_equals_creation',
  holds: 'After a reset a vCPU is what creation makes.',
  ops: [o.OP_VCPU_RESET, o.OP_PARTITION_RESET, o.OP_KERNEL_BOOT],
  registers: [],
  watch: (desk) => new ResetEqualsCreation(desk),
}
