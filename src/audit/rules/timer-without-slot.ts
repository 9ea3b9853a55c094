/**
 * I15 for an expiry that waits: nothing that is still to come will bring it to the guest. KVM tries again
 * when the SINT is acknowledged and at no other time (kvm_hv_notify_acked_sint; TLFS "Message Buffers"), and
 * until then a periodic timer stands still too; a direct timer that found the APIC off it never tries again,
 * until one of its registers is written (stimer_notify_direct).
 */
import { HVMSG_NONE, HVMSG_TIMER_EXPIRED, MESSAGE_PENDING, SLOT_SIZE_FLAGS } from '../../hv/messages.js'
import { HV_X64_MSR_STIMER0_CONFIG } from '../../hv/msrs.js'
import {
  PAGE_ENABLE,
  SCONTROL_ENABLE,
  SINT_MASKED,
  STIMER_COUNT,
  STIMER_DIRECT,
  STIMER_PERIODIC,
  stimerSint,
} from '../../hv/registers.js'
import {
  APIC_ENABLED,
  CONFIG,
  FLAGS,
  MSG_PENDING_SHIFT,
  OFFLINE,
  SCONTROL,
  SIMP,
  SINTS,
  TIMER_QUEUED_SHIFT,
} from '../../synic/layout.js'
import { MODEL_OPENVMM, MODEL_TLFS } from '../../synic/profile.js'
import { timerAt } from '../../synic/stimer.js'
import { slotTypeOf, slotWord } from '../page-content.js'
import type { Desk, Rule, Severity, Watcher } from '../rule.js'

class TimerWithoutSlot implements Watcher {
  constructor(private readonly desk: Desk) {}

  settled(): void {
    const { m } = this.desk
    if (m.paused) return
    for (let v = 0; v < m.vcpuCount * m.stride; v += m.stride) {
      const flags = m.w[v + FLAGS]
      const waiting = (flags >> MSG_PENDING_SHIFT) | (flags >> TIMER_QUEUED_SHIFT)
      if ((flags & OFFLINE) !== 0) continue
      for (let i = 0; i < STIMER_COUNT; i++) {
        if (((waiting >> i) & 1) === 0) continue
        const config = m.w[timerAt(v, i) + CONFIG]
        const what = `${(config & STIMER_PERIODIC) === 0 ? 'one-shot' : 'periodic'} STIMER${i}`
        // A message in a buffer of its own may be from before the timer was made a direct one.
        if ((config & STIMER_DIRECT) === 0) this.#judge(v, i, what, stimerSint(config))
        else if (((flags >> (MSG_PENDING_SHIFT + i)) & 1) !== 0) this.#judgeDirect(v, i, what)
      }
    }
  }

  #judgeDirect(v: number, i: number, what: string): void {
    const isOff = (this.desk.m.w[v + FLAGS] & APIC_ENABLED) === 0
    const text = isOff
      ? `direct ${what} has expired and waits: the APIC is off`
      : `direct ${what} has expired while the APIC was off, and nothing makes the host retry`
    this.#tell(isOff ? 'note' : 'error', v, i, text)
  }

  #judge(v: number, i: number, what: string, sint: number): void {
    const { m } = this.desk
    const isMasked = (m.w[v + SINTS + 2 * sint] & SINT_MASKED) !== 0
    // OpenVMM looks again at every entry, and says that it waits for the SINT to be unmasked.
    if (isMasked && (m.profile.model === MODEL_OPENVMM || m.options.masked_blocks_messages)) return
    const needsScontrol = m.profile.model === MODEL_TLFS
    const isOff = (m.w[v + SIMP] & PAGE_ENABLE) === 0
    const isControlOff = needsScontrol && (m.w[v + SCONTROL] & SCONTROL_ENABLE) === 0
    // OpenVMM's page takes messages whether or not it shows.
    const isClosed = m.profile.model !== MODEL_OPENVMM && (isOff || isControlOff)
    if (isClosed) {
      const text = `${what} has expired and waits: SINT${sint} has no page that takes messages`
      return this.#tell('note', v, i, text)
    }
    const type = slotTypeOf(m, v, sint)
    // A full slot that is flagged will be followed by EOM; its own message in it is with the guest already.
    const isFlagged = (slotWord(m, v, sint, SLOT_SIZE_FLAGS) & MESSAGE_PENDING) !== 0
    if (type !== HVMSG_NONE && (isFlagged || type === HVMSG_TIMER_EXPIRED)) return
    const state = type === HVMSG_NONE ? 'is empty' : 'is full and not flagged'
    const text = `${what} has expired, SINT${sint}'s slot ${state}, and nothing makes the host retry`
    this.#tell('error', v, i, text)
  }

  #tell(severity: Severity, v: number, i: number, text: string): void {
    const msr = HV_X64_MSR_STIMER0_CONFIG + 2 * i
    this.desk.report({ severity, vcpu: this.desk.m.vcpuId(v), msr, text })
  }
}

export const timerWithoutSlot: Rule = {
  invariant: 'I15',
  rule: 'timer_without_slot',
  holds: 'An expiry that waits has a full, flagged slot before it, or a page or an APIC still to be enabled.',
  ops: [],
  registers: [],
  watch: (desk) => new TimerWithoutSlot(desk),
}
