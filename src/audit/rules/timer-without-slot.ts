/**
 * I15 for the one-shot that has spent its shot: its expiry waits, and nothing that is still to come will
 * bring it
 * to the guest (KVM kvm_hv_notify_acked_sint is the only one that tries again; TLFS "Message Buffers").
 */
import { HVMSG_NONE, HVMSG_TIMER_EXPIRED, MESSAGE_PENDING, SLOT_SIZE_FLAGS } from '../../hv/messages.js'
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
import type { Desk, Rule, Watcher } from '../rule.js'

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
        const config = m.w[timerAt(v, i) + CONFIG]
        const isOneShot = (config & (STIMER_PERIODIC | STIMER_DIRECT)) === 0
        if (((waiting >> i) & 1) !== 0 && isOneShot) this.#judge(v, i, stimerSint(config))
      }
    }
  }

  #judge(v: number, i: number, sint: number): void {
    const { m } = this.desk
    const isMasked = (m.w[v + SINTS + 2 * sint] & SINT_MASKED) !== 0
    // OpenVMM looks again at every entry, and says that it waits for the SINT to be unmasked.
    if (isMasked && (m.profile.model === MODEL_OPENVMM || m.options.masked_blocks_messages)) return
    const needsScontrol = m.profile.model === MODEL_TLFS
    const isClosed =
      (m.w[v + SIMP] & PAGE_ENABLE) === 0 || (needsScontrol && (m.w[v + SCONTROL] & SCONTROL_ENABLE) === 0)
    if (isClosed) {
      const text = `one-shot STIMER${i} has expired and waits: SINT${sint} has no page that takes messages`
      this.desk.report({ severity: 'note', vcpu: m.vcpuId(v), text })
      return
    }
    const type = slotTypeOf(m, v, sint)
    // A full slot that is flagged will be followed by EOM; its own message in it is with the guest already.
    const isFlagged = (slotWord(m, v, sint, SLOT_SIZE_FLAGS) & MESSAGE_PENDING) !== 0
    if (type !== HVMSG_NONE && (isFlagged || type === HVMSG_TIMER_EXPIRED)) return
    const state = type === HVMSG_NONE ? 'is empty' : 'is full and not flagged'
    this.desk.report({
      severity: 'error',
      vcpu: m.vcpuId(v),
      text: `one-shot STIMER${i} has expired, SINT${sint}'s slot ${state}, and nothing makes the host retry`,
    })
  }
}

export const timerWithoutSlot: Rule = {
  invariant: 'I15',
  rule: 'timer_without_slot',
  holds: 'An expired one-shot that waits has a full, flagged slot before it, or a page still to be enabled.',
  ops: [],
  registers: [],
  watch: (desk) => new TimerWithoutSlot(desk),
}
